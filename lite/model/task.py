"""Tasks: what is submitted (`TaskSpec`), the durable row (`Task`), the right to run one attempt (`Lease`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from providers.base import HttpCall, Mode, Usage

OnFailure = Literal["skip", "fail", "continue"]
Affinity = Literal["none", "prefer-colocate", "require-colocate", "prefer-spread", "require-spread"]
Strategy = Literal["", "local", "kubernetes", "auto"]

MAX_FAULTS = 10  # infrastructure faults before a task is called poison
MAX_OUTPUT = 64 * 1024  # bytes
NO_USAGE = Usage()


class State(StrEnum):
    """Durable. Blocked, delayed, retrying and throttled are reasons, not states."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"

    @property
    def terminal(self) -> bool:
        return self not in (State.QUEUED, State.RUNNING)


class Reason(StrEnum):
    """Why a task is in its state, as far as the row itself knows; `rules.explain` tells the rest."""

    NONE = ""
    # queued again
    RETRY = "retry"
    INFRASTRUCTURE = "infrastructure"
    SHUTDOWN = "shutdown"
    PARKED = "parked"  # until a time
    HELD = "held"  # with its agent's account, until somebody acts
    UNROUTABLE = "unroutable"
    REOPENED = "reopened"
    # ended
    EXIT = "exit"
    SIGNAL = "signal"
    TIMEOUT = "timeout"
    IDLE_TIMEOUT = "idle-timeout"
    LAUNCH = "launch"
    LIMIT = "limit"  # of steps, or of calls the agent repeats
    AGENT = "agent"
    OUTPUT = "output"
    HTTP = "http"
    POISON = "poison"
    NEED = "need"
    USER = "user"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class TaskSpec:
    """A task as submitted: validated, routed, its references resolved to ids. Never changes afterwards, but for
    `agent`, `provider`, `mode` and `rule` when an unroutable task is routed again.

    Times are ms; None means no limit. `touches` are absolute path prefixes. `needs` are task ids.
    """

    id: str
    name: str
    agent: str
    provider: str
    run: str = ""  # "" for an ad-hoc task
    mode: Mode = "headless"
    prompt: str = ""
    command: tuple[str, ...] = ()
    http: HttpCall | None = None
    needs: tuple[str, ...] = ()
    lane: str = ""
    touches: tuple[str, ...] = ()
    priority: int = 0
    timeout_ms: int | None = None
    idle_timeout_ms: int | None = None
    retries: int = 0
    on_failure: OnFailure = "skip"
    env: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)  # variable -> name of a configured secret
    cwd: str = ""
    rule: str = ""  # the routing rule that matched, in words
    type: str = ""
    trigger: str = ""
    team: str = ""
    selector: Mapping[str, str] = field(default_factory=dict)
    affinity: Affinity = "none"
    strategy: Strategy = ""
    complexity: str = ""
    key: str = ""
    run_at: int | None = None

    @property
    def placed(self) -> bool:
        """Must an orchestrator choose the worker before it may be claimed?"""
        return bool(self.selector) or self.affinity != "none" or self.strategy != ""


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to run attempt `attempt` of `task`, until `expires_at` (ms). `token` fences every write."""

    task: str
    attempt: int
    token: int
    worker: str
    expires_at: int


@dataclass(frozen=True, slots=True)
class Waiting:
    """What a session waits for a person to answer. `hash` binds an answer to exactly this text; `ref` is the program's
    own name for it, where it takes answers by that ("": they are typed)."""

    id: str
    kind: Literal["question", "approval", "input"]
    text: str
    hash: str = ""
    ref: str = ""


@dataclass(frozen=True, slots=True)
class Task:
    """The durable row. `attempt` counts leases granted (0: never claimed), `failures` the task's own, `faults`
    those of the infrastructure. `cause` is the task that made this one skip or fail."""

    spec: TaskSpec
    seq: int  # order of submission
    state: State = State.QUEUED
    reason: str = ""
    detail: str = ""
    cause: str = ""
    attempt: int = 0
    failures: int = 0
    faults: int = 0
    run_at: int = 0  # not before, ms; 0: at once
    assigned: str = ""  # the worker chosen by placement
    assigned_why: str = ""
    lease: Lease | None = None
    cancel: str = ""  # the reason of a cancel that was asked for while running
    handle: str = ""
    provider_session: str = ""
    waiting: Waiting | None = None
    exit_code: int | None = None
    signal: int | None = None
    output: str | None = None
    usage: Usage = NO_USAGE
    created_at: int = 0
    started_at: int | None = None  # of the last attempt
    ended_at: int | None = None

    @property
    def id(self) -> str:
        return self.spec.id

    @property
    def worker(self) -> str:
        return self.lease.worker if self.lease else ""

    @property
    def whereabouts(self) -> str:
        """The worker it runs on, or (queued) may only be claimed by; "" when neither."""
        return self.lease.worker if self.lease else self.assigned if self.state is State.QUEUED else ""


@dataclass(frozen=True, slots=True)
class TaskQuery:
    """Which tasks; every field given narrows. Answers come in order of submission."""

    ids: tuple[str, ...] = ()
    prefix: str = ""  # of the id
    run: str | None = None  # "" asks for ad-hoc tasks
    name: str = ""
    states: tuple[State, ...] = ()
    agent: str = ""
    worker: str = ""
    lease_before: int | None = None  # running, with a lease that expired before this time (ms)
    assigned: bool = False  # queued, assigned to a worker
    dead: bool = False  # failed with reason `poison`
    after_seq: int = 0
    newest: bool = False  # with `limit`: the newest ones (still in order of submission)
    limit: int | None = None


class OutcomeKind(StrEnum):
    """How an attempt ended, as its executor and provider see it."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"  # the task's own failure
    UNEXECUTABLE = "unexecutable"  # the infrastructure's
    RESCHEDULED = "rescheduled"  # nobody's: shutdown, parked until a time
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Outcome:
    """The one recorded end of an attempt. `until` (ms) parks a rescheduled task."""

    kind: OutcomeKind
    reason: str = ""
    detail: str = ""
    exit_code: int | None = None
    signal: int | None = None
    output: str | None = None
    usage: Usage | None = None
    provider_session: str | None = None  # None: as known before; "": not to be resumed
    until: int | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """What is written down while an attempt runs. None leaves a field as it is.

    `started` appends `task.started`; a new `waiting` appends `session.waiting`, `answered` appends
    `session.answered` and clears it. Everything else appends no event.
    """

    handle: str | None = None
    started: bool = False
    provider_session: str | None = None
    usage: Usage | None = None
    waiting: Waiting | None = None
    answered: bool = False


@dataclass(frozen=True, slots=True)
class Renewal:
    """The answer to one renewed lease, in the order asked: `lost`, or a fresh lease with any cancel request."""

    lease: Lease
    lost: bool = False
    cancel: str = ""


@dataclass(frozen=True, slots=True)
class ClaimRequest:
    """A worker asks for work. `agents` are those it serves, each with the most that may run at once in the whole
    fleet (None: no limit). `limit` is its number of free slots."""

    worker: str
    limit: int
    agents: Mapping[str, int | None]
    ttl_ms: int


@dataclass(frozen=True, slots=True)
class Claim:
    """One task taken: the row as it now is, with its lease in `task.lease`."""

    task: Task
    lease: Lease


@dataclass(frozen=True, slots=True)
class Assignment:
    """An orchestrator's decision for a queued task. With `worker`: only that worker may claim it ("" clears).
    With `agent`: it is routed to that agent. With `park`: nothing matches any more; `why` says so.

    `seen` is the part of the team index the choice of `worker` was made on (worker -> tasks of the task's team, those
    with any): when the index says otherwise by now, the assignment is refused, so that two orchestrators together keep
    what each of them keeps alone. `before` is the worker it is thought to be assigned to so far ("": to nobody); it is
    refused too when that is not so. None: does not matter."""

    worker: str | None = None
    before: str | None = None
    seen: Mapping[str, int] | None = None
    agent: str | None = None
    provider: str = ""
    mode: Mode = "headless"
    park: bool = False
    why: str = ""
