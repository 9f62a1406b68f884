"""Every JSON body of the control API. Times are integer ms since the epoch, durations integer ms, None: not yet or not
known, "": none. Only types: the client reads this module for type checking alone, the server makes OpenAPI of it."""

from __future__ import annotations

from typing import Any, Literal, NotRequired

from typing_extensions import TypedDict  # pydantic wants this one before Python 3.12

from lite.model.task import Affinity, OnFailure, Strategy
from providers.base import Mode


class WaitingJson(TypedDict):
    """What a session waits for a person to answer. `verbs` can be done about it: "approve", "deny", "answer"; an answer
    names the `id`, which stands for exactly this text."""

    id: str
    kind: Literal["question", "approval", "input"]
    text: str
    hash: str
    verbs: list[str]


class TaskJson(TypedDict):
    """One task. `activity` is that of its live session: "" when it has none, "unknown" when it runs elsewhere."""

    id: str
    run: str
    name: str
    seq: int  # order of submission
    agent: str
    provider: str
    mode: str
    state: str
    reason: str
    detail: str
    cause: str  # the task that made this one skip or fail
    activity: str
    activity_source: str
    activity_rule: str
    activity_since: int | None
    waiting: WaitingJson | None
    attempt: int
    failures: int
    faults: int
    retries: int
    lane: str
    needs: list[str]
    touches: list[str]
    priority: int
    rule: str  # the routing rule that matched
    type: str
    trigger: str
    prompt: str
    command: list[str]
    url: str  # of an HTTP task
    cwd: str
    key: str
    timeout_ms: int | None
    idle_timeout_ms: int | None
    on_failure: str
    worker: str
    assigned: str
    assigned_why: str
    session: str  # the newest attempt's, "" before the first
    cancel: str
    exit_code: int | None
    signal: int | None
    output: str | None
    cost_usd: float | None
    cost_source: str
    tokens_in: int | None
    tokens_out: int | None
    run_at: int | None
    created_at: int
    started_at: int | None
    ended_at: int | None


class RunJson(TypedDict):
    """One submission of a plan; `counts` has the number of tasks by state."""

    id: str
    name: str
    key: str
    source: str
    state: str
    counts: dict[str, int]
    created_at: int
    ended_at: int | None


class EventJson(TypedDict):
    """One entry of the event log. Ask on with `after=cursor`."""

    cursor: int
    at: int
    kind: str
    run: str
    task: str
    attempt: int
    worker: str
    data: dict[str, Any]


class ActivityJson(TypedDict):
    """A change of activity, streamed beside the event log."""

    task: str
    activity: str
    source: str
    rule: str
    since: int
    text: str


class WorkerJson(TypedDict):
    """A registered worker; `running` are ids of tasks. `address`: where other machines reach its control API. `load`:
    what its machine does, per processor."""

    id: str
    node: str
    state: str
    slots: int
    running: list[str]
    agents: list[str]
    labels: dict[str, str]
    cordoned: bool
    pid: int
    address: str
    executors: list[str]
    load: float
    version: str
    registered_at: int
    heartbeat_at: int


class CostJson(TypedDict):
    """A sum over attempts; how its parts are known is kept apart. `unpriced`: attempts whose cost nobody knows,
    `uncounted`: those whose tokens nobody knows."""

    key: str  # the agent, day (UTC), model, id of the run ("" for none) or of the task
    name: str  # of the run or task; else the key
    attempts: int
    tokens_in: int
    tokens_out: int
    tokens_cached: int  # the part of tokens_in that came from a cache
    reported_usd: float  # in the agents' own words
    estimated_usd: float  # by list prices
    unpriced: int
    uncounted: int


class CostsJson(TypedDict):
    by: str
    since: int  # ms since the epoch
    costs: list[CostJson]
    total: CostJson


class AgentJson(TypedDict):
    """A configured agent and whether its program is there; `env` has names only. `problem` "": it can run. `held`: why
    its account's tasks are not started now, "" when they are."""

    name: str
    provider: str
    roles: list[str]
    slots: int | None
    mode: str | None  # None: the provider's default
    model: str
    identity: str
    env: list[str]
    timeout_ms: int | None
    idle_timeout_ms: int | None
    retries: int
    path: str
    version: str
    problem: str
    account: str
    held: str


class AccountBody(TypedDict):
    """An account that is held, or an agent whose account is."""

    account: str


class AccountJson(TypedDict):
    """An account that was released, and what had held it."""

    account: str
    reason: str
    message: str
    since: int


class ErrorBody(TypedDict):
    """`code` is stable; `place` is file:line:column or the name of a field; `hint` says what to do."""

    code: str
    message: str
    hint: str
    place: str


class ErrorJson(TypedDict):
    """The body of every answer that is not 2xx."""

    error: ErrorBody


class HttpCallBody(TypedDict):
    """An HTTP request as a task; `body` is sent as it is. `secrets`: header -> name of a configured secret, which comes
    after what `headers` has for it."""

    url: str
    method: NotRequired[Literal["GET", "POST"]]
    headers: NotRequired[dict[str, str]]
    body: NotRequired[str]
    max_bytes: NotRequired[int]
    allow_private: NotRequired[bool]
    secrets: NotRequired[dict[str, str]]


class SubmitBody(TypedDict, total=False):
    """A task asked for. What is left out takes the agent's or the provider's default. A `command` string runs under
    `sh -c`, a list is an argv. `needs` are task ids, unique prefixes or `run/name`. `secrets`: variable -> name of a
    configured secret."""

    name: str
    agent: str
    type: str
    trigger: str
    prompt: str
    command: str | list[str]
    http: HttpCallBody | None
    needs: list[str]
    lane: str
    touches: list[str]
    priority: int
    timeout_ms: int | None
    idle_timeout_ms: int | None
    retries: int | None
    on_failure: OnFailure
    mode: Mode | None
    env: dict[str, str]
    secrets: dict[str, str]
    cwd: str
    team: str
    selector: dict[str, str]
    affinity: Affinity
    strategy: Strategy
    complexity: str
    key: str
    delay_ms: int
    watched: bool  # somebody will answer what its agent asks


class SubmittedJson(TypedDict):
    """`created` is False when the key already had its task."""

    task: TaskJson
    created: bool


class PlanBody(TypedDict):
    """A plan's YAML. `source` is its path, for error messages; `cwd` the project root."""

    text: str
    source: NotRequired[str]
    cwd: NotRequired[str]
    key: NotRequired[str]
    dry_run: NotRequired[bool]
    watched: NotRequired[bool]


class PlanSubmittedJson(TypedDict):
    """The run and its tasks in the order of the file; a dry run has no run and its tasks are previews."""

    run: RunJson | None
    tasks: list[TaskJson]
    created: bool


class CancelBody(TypedDict, total=False):
    reason: str


class ExplanationJson(TypedDict):
    """Why a task is in its state: `summary` in one line, then the evidence."""

    task: str
    state: str
    code: str  # a stable word for the cause
    summary: str
    facts: list[str]
    hint: str


class SendBody(TypedDict, total=False):
    """What to type: `text` in UTF-8, or any bytes in base64. Nothing is added, no newline either."""

    text: str
    base64: str


class SendJson(TypedDict):
    """What really happened to it."""

    result: Literal["delivered", "queued", "refused"]
    reason: str


class AnswerBody(TypedDict):
    """To the question `id`, and to no other. `text`: the answer, or why it is denied; `hash`: the question's."""

    id: str
    decision: Literal["allow", "deny", "answer"]
    text: NotRequired[str]
    hash: NotRequired[str]


class AttachBody(TypedDict, total=False):
    """`local`: the client is on the same machine and wants the holder's own socket."""

    control: bool
    local: bool


class AttachJson(TypedDict):
    """`address` is the session's Unix socket, or one that leads to its machine ("" when there is none for this client);
    `ticket` opens `/v1/sessions/{session}/stream` once, within 30 s."""

    session: str
    address: str
    ticket: str
    cols: int
    rows: int
    protocol: int


class InspectionJson(TypedDict):
    """A look at a session. Offsets count all bytes ever recorded: `start` is the first one kept, `offset` the one after
    the last. `activity` "": nothing runs. `transcript`: bytes of its transcript, null when it has none."""

    session: str
    alive: bool
    pid: int
    started_at: int | None
    last_output_at: int | None
    start: int
    offset: int
    transcript: int | None
    cols: int
    rows: int
    activity: str
    source: str
    rule: str
    since: int
    text: str  # what a waiting program asks


class CordonBody(TypedDict, total=False):
    on: bool


class ShutdownBody(TypedDict, total=False):
    keep_sessions: bool


class OkJson(TypedDict):
    ok: bool


class HealthJson(TypedDict):
    """`ready`: it takes work. Answered from memory, also under full load. `version` "": not told to strangers."""

    ok: bool
    ready: bool
    version: str


class ServiceJson(TypedDict):
    """One of the engine's loops: "running", "restarting" or "stopped"."""

    name: str
    state: str
    restarts: int
    last_error: str


class StatusJson(TypedDict):
    """The supervisor. `cursor` is the newest event's; `paused`: nothing is claimed now."""

    pid: int
    home: str
    version: str
    protocol: int
    worker: str
    backend: str
    backend_warnings: list[str]  # what one should know of it, and may want to change
    role: str  # "all", "orchestrator" or "worker"
    started_at: int
    services: list[ServiceJson]
    sessions: int
    slots: int
    ready: bool
    stopping: bool
    paused: bool
    config_path: str
    config_error: str
    cursor: int


class ConfigJson(TypedDict):
    """The settings in force. `origins` tells where each dotted key came from; values of `env` are masked."""

    path: str
    settings: dict[str, Any]
    origins: dict[str, str]
