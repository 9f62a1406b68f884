"""The schema of `quarterdeck.yaml`: every key with its unit, default and reason."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator

from lite.config.address import parse_listen
from lite.config.backend import BackendField, BackendModel
from lite.config.fields import Duration, Labels, Lifted, LiftedCount, Size, Strict, Texts
from lite.config.kubernetes import AgentKubernetesModel, KubernetesModel
from lite.config.prices import PriceModel
from lite.config.secrets import AgentSecretsField, SecretsField
from lite.model.session import DEFAULT_COLS, DEFAULT_ROWS
from lite.model.settings import Agent, RetryPolicy, Settings
from lite.model.staging import Staging
from lite.rules.checks import MAX_TIME_MS, env_problem, is_slug
from lite.rules.spelling import quoted
from lite.terminal.keys import DEFAULT as DETACH_KEY
from providers.base import Mode

_BARE = Settings()
_RETRY = RetryPolicy()


class AgentLimitsModel(Strict):
    wall: Lifted = Field(default=None, description="as timeout, where no timeout is given")
    idle: Lifted = Field(default=None, description="as idle_timeout, where none is given")
    steps: LiftedCount = Field(default=None, description="most uses of a tool in one attempt")
    retries: LiftedCount = Field(default=None, description="most repeated calls to the model in a row")


class AgentModel(Strict):
    provider: str = Field(min_length=1, description="which adapter: claude, shell, http, scripted, ...")
    roles: Texts = Field(default=(), description="work types (`type:` of a task) this agent takes")
    slots: int | None = Field(
        default=None, ge=1, le=10_000, description="most of its tasks running at once; no limit when left out"
    )
    mode: Mode | None = Field(
        default=None, description="headless or interactive; the provider's own default when left out"
    )
    model: str = Field(default="", description="the model its program should use")
    identity: str = Field(default="", description="a directory of prompt parts")
    env: Labels = Field(default_factory=dict, description="variables for its programs")
    secrets: AgentSecretsField = Field(
        default_factory=dict, description="variables whose value is a secret: its name, or where this agent's own is"
    )
    timeout: Duration | None = Field(default=None, description="per attempt, from launch; none when left out")
    idle_timeout: Duration | None = Field(
        default=None, description="without output and event, per attempt; none when left out"
    )
    retries: int = Field(default=0, ge=0, le=100, description="attempts after the first, for the task's own failures")
    options: dict[str, Any] = Field(default_factory=dict, description="handed to the provider as they are")
    limits: AgentLimitsModel = Field(
        default_factory=AgentLimitsModel,
        description="where an attempt is ended; its provider's own when left out, no limit when `none`",
    )
    account: str = Field(
        default="",
        max_length=200,
        description="whose limits and login it uses; its provider and endpoint when left out",
    )
    gate: bool = Field(
        default=True, description="hold the account's tasks while it is not logged in, or at its usage limit"
    )
    kubernetes: AgentKubernetesModel | None = Field(
        default=None, description="what its pods have otherwise; mappings are laid over the fleet's"
    )

    @field_validator("env")
    @classmethod
    def _env(cls, env: dict[str, str]) -> dict[str, str]:
        return checked_env(env)

    @field_validator("timeout", "idle_timeout")
    @classmethod
    def _time(cls, value: int | None) -> int | None:
        return None if value is None else positive(value)

    def to_agent(self, name: str) -> Agent:
        return Agent(
            name=name,
            provider=self.provider,
            roles=self.roles,
            slots=self.slots,
            mode=self.mode,
            model=self.model,
            identity=self.identity,
            env=self.env,
            secrets=self.secrets,
            timeout_ms=self.timeout,
            idle_timeout_ms=self.idle_timeout,
            retries=self.retries,
            options=self.options,
            limits=self.limits.model_dump(exclude_unset=True),
            account=self.account,
            gate=self.gate,
        )


class TriggerModel(Strict):
    match: str = Field(min_length=1, description="an fnmatch pattern over the trigger's text; the first that fits wins")
    agent: str


class RoutingModel(Strict):
    triggers: tuple[TriggerModel, ...] = ()
    default: str = Field(default="", description="the agent of prompts that nothing else routes")


class LimitsModel(Strict):
    slots: int = Field(default=_BARE.slots, ge=1, le=10_000, description="sessions running at once on this machine")


class SqliteModel(Strict):
    synchronous: Literal["full", "normal"] = Field(
        default="full", description="normal may lose the last moments at a power cut, never the database"
    )


class RetryModel(Strict):
    base: Duration = Field(default=_RETRY.base_ms, description="wait before the first retry")
    factor: float = Field(default=_RETRY.factor, ge=1, le=100, description="each further wait is this much longer")
    cap: Duration = Field(default=_RETRY.cap_ms, description="the longest wait")
    jitter: float = Field(default=_RETRY.jitter, ge=0, le=1, description="waits vary by plus or minus this share")


class LeaseModel(Strict):
    ttl: Duration = Field(default=_BARE.lease_ms, description="a worker silent for this long may lose its tasks")
    heartbeat: Duration = Field(
        default=_BARE.heartbeat_ms, description="how often leases are renewed; at most half of ttl"
    )

    @field_validator("ttl", "heartbeat")
    @classmethod
    def _time(cls, value: int) -> int:
        if not 100 <= value <= 24 * 3600 * 1000:
            raise ValueError("must be between 100ms and 24h")
        return value


class RecordingModel(Strict):
    cap: Size = Field(
        default=_BARE.recording_cap, description="bytes kept per session; past it, the head and a rolling tail stay"
    )
    enabled: bool = Field(default=_BARE.record, description="false keeps only what a late attach needs")

    @field_validator("cap")
    @classmethod
    def _cap(cls, value: int) -> int:
        if not 1 << 20 <= value <= 1 << 40:
            raise ValueError("must be between 1MB and 1024GB")
        return value


class TerminalModel(Strict):
    cols: int = Field(default=DEFAULT_COLS, ge=20, le=1000)
    rows: int = Field(default=DEFAULT_ROWS, ge=5, le=1000)


class StagingModel(Strict):
    keep: Duration = Field(
        default=Staging().keep_ms, description="how long a run's folder stays when the run failed or was cancelled"
    )
    path: str = Field(
        default="",
        max_length=1000,
        description="the directory of these folders, beside this file; in the home when left out",
    )

    @field_validator("keep")
    @classmethod
    def _time(cls, value: int) -> int:
        return positive(value)


class WorkerModel(Strict):
    name: str = Field(default="", description="the beginning of this worker's id; the machine's name when left out")

    @field_validator("name")
    @classmethod
    def _name(cls, value: str) -> str:
        if value and not is_slug(value):
            raise ValueError(f"cannot be {quoted(value)}; use a-z, 0-9, dot, dash, underscore")
        return value


class SettingsModel(Strict):
    agents: dict[str, AgentModel] = Field(default_factory=dict, description="shell and http always exist")
    routing: RoutingModel = Field(default_factory=RoutingModel)
    limits: LimitsModel = Field(default_factory=LimitsModel)
    backend: BackendField = Field(
        default=BackendModel(url=_BARE.backend), description="where truth is kept: sqlite, or a Redis server's URL"
    )
    secrets: SecretsField = Field(
        default_factory=dict, description="by name, for agents and tasks; only where each one is"
    )
    sqlite: SqliteModel = Field(default_factory=SqliteModel)
    executor: str = Field(default=_BARE.executor, description="where attempts run: local, kubernetes or auto")
    kubernetes: KubernetesModel | None = Field(
        default=None, description="the cluster and its pods, for executor: kubernetes or auto"
    )
    retry: RetryModel = Field(default_factory=RetryModel)
    lease: LeaseModel = Field(default_factory=LeaseModel)
    stop_grace: Duration = Field(
        default=_BARE.stop_grace_ms, description="from the interrupt to the kill when a session is stopped"
    )
    recording: RecordingModel = Field(default_factory=RecordingModel)
    prices: dict[str, PriceModel] = Field(
        default_factory=dict,
        description="USD per million tokens by pattern of the model's name; before those that come with the program",
    )
    env_allow: Texts = Field(
        default=(), description="variables of the supervisor passed on to sessions, beyond the built-in list"
    )
    terminal: TerminalModel = Field(default_factory=TerminalModel)
    staging: StagingModel | None = Field(
        default=None, description="a folder for the tasks of each run, $QD_STAGING; none when left out"
    )
    labels: Labels = Field(default_factory=dict, description="of this machine, for `selector:`")
    worker: WorkerModel = Field(default_factory=WorkerModel)
    listen: str = Field(
        default=_BARE.listen, description="HOST:PORT of the control API for other machines; none when left out"
    )
    detach_key: str = Field(default=DETACH_KEY, description="leaves an attached session: ctrl- and a character")

    @field_validator("stop_grace")
    @classmethod
    def _grace(cls, value: int) -> int:
        if value > 600_000:
            raise ValueError("must be at most 10m")
        return value

    @field_validator("listen")
    @classmethod
    def _listen(cls, value: str) -> str:
        if value:
            parse_listen(value)
        return value


_NUMBERS = ("limits", "retry", "lease", "recording", "terminal", "prices", "stop_grace")  # hold them


def positive(value: int) -> int:
    if value <= 0:
        raise ValueError("must be more than 0; leave it out for no limit")
    if value > MAX_TIME_MS:
        raise ValueError("is longer than a year; leave it out for no limit")
    return value


def checked_env(env: dict[str, str]) -> dict[str, str]:
    for name, value in env.items():
        problem = env_problem(name, value)
        if problem:
            raise ValueError(f"is wrong: {problem}")
    return env


def typed(path: tuple[str | int, ...]) -> bool:
    """At these paths a plain scalar may be a number or a boolean; elsewhere it is text."""
    if path[:1] == ("agents",):
        return len(path) > 2 and (
            path[2] == "options" or path[2] in ("slots", "timeout", "idle_timeout", "retries", "limits", "gate")
        )
    if path[:1] == ("backend",):
        return path == ("backend", "tls", "verify")
    return path[:1] in tuple((key,) for key in _NUMBERS)


def settings_schema() -> dict[str, Any]:
    """JSON Schema of `quarterdeck.yaml`."""
    return SettingsModel.model_json_schema()


def unknown_agent(name: str) -> str:
    return f"no agent {quoted(name)} is configured"
