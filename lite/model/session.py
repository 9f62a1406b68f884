"""Sessions: the live program of one attempt, as executors and clients see it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from lite.model.task import Affinity
from providers.base import Launch

DEFAULT_COLS, DEFAULT_ROWS = 120, 40


class Activity(StrEnum):
    """Volatile: what the program is doing, as far as somebody said so."""

    STARTING = "starting"
    WORKING = "working"
    WAITING = "waiting"
    IDLE = "idle"
    THROTTLED = "throttled"
    STOPPED = "stopped"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Status:
    """An activity with its evidence: who said it (`source`), by which `rule`, since when (ms)."""

    activity: Activity
    source: str  # "holder", "events", "terminal", "engine"
    rule: str  # "osc7501", "title", "launch", "exit", ...
    since: int
    text: str = ""  # what a waiting program asks


@dataclass(frozen=True, slots=True)
class HeaderSecret:
    """A header's whole value, the hosts (as of `lite.rules.hosts`) it may be sent to, and the secret in it."""

    value: str = field(repr=False)
    hosts: tuple[str, ...]
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Origin:
    """Whose attempt it is, and near whom it wants to run: for executors whose cluster places by itself."""

    run: str = ""
    name: str = ""  # of the task
    agent: str = ""
    team: str = ""
    selector: Mapping[str, str] = field(default_factory=dict)
    affinity: Affinity = "none"


@dataclass(frozen=True, slots=True)
class SessionRequest:
    """Everything an executor needs to start the program of one attempt.

    `env` is complete, values of secrets included: `secrets` are those values again, to be hidden in what comes back.
    `headers` are those of an inline call that hold one. `directory` is the session's own (recording, prompt, needs,
    exit.json). `cap_bytes` bounds the recording; `record=False` keeps only what late attachers need.
    """

    task: str
    attempt: int
    token: int
    launch: Launch
    cwd: str
    env: Mapping[str, str] = field(repr=False)
    directory: str
    cols: int = DEFAULT_COLS
    rows: int = DEFAULT_ROWS
    cap_bytes: int = 256 << 20
    record: bool = True
    timeout_ms: int | None = None  # for inline work; processes are timed by the engine
    secrets: tuple[str, ...] = field(default=(), repr=False)
    headers: Mapping[str, HeaderSecret] = field(default_factory=dict)
    origin: Origin = Origin()

    @property
    def session(self) -> str:
        """The session's id, also `QD_SESSION`."""
        return session_id(self.task, self.attempt)


def session_id(task: str, attempt: int) -> str:
    return f"{task}-{attempt}"


@dataclass(frozen=True, slots=True)
class Inspection:
    """A look at a session. Offsets count all bytes ever recorded, `start` is the first one kept; times are ms since the
    epoch. `transcript`: bytes of what it said in neutral words, None when its output is not structured."""

    alive: bool
    pid: int = 0
    started_at: int | None = None
    last_output_at: int | None = None
    offset: int = 0
    status: Status | None = None
    cols: int = 0
    rows: int = 0
    start: int = 0
    transcript: int | None = None


@dataclass(frozen=True, slots=True)
class ExecutorCapabilities:
    """What an executor can do; asked instead of its name."""

    terminal: bool = False  # attach, input, resize
    recover: bool = False  # sessions outlive this process
    adopt: bool = False  # and it can recover those another worker has started
    signals: bool = False
    problem: str = ""  # why it can start nothing at the moment; "" when it can
    labels: Mapping[str, str] = field(default_factory=dict)
