"""What the dashboard knows: an immutable view of the fleet. No Textual, no I/O, no clock. Times: ms since the epoch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import Enum
from operator import attrgetter
from types import MappingProxyType
from typing import Any

OPEN = frozenset({"queued", "running"})


class Link(Enum):
    """How the dashboard stands to its supervisor."""

    CONNECTING = "connecting"
    LIVE = "live"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class Asked:
    """What a session waits for a person to answer."""

    id: str
    kind: str  # question, approval, input
    text: str
    hash: str
    since: int  # ms


@dataclass(frozen=True, slots=True)
class Activity:
    """What a live session does, with its evidence."""

    word: str = ""  # starting working waiting idle throttled stopped unknown; "" when no session lives
    source: str = ""
    rule: str = ""
    since: int = 0
    text: str = ""


NO_ACTIVITY = Activity()


@dataclass(frozen=True, slots=True)
class TaskView:
    """One task. Texts are as they came: make them safe where they are drawn."""

    id: str
    run: str = ""  # "" for an ad-hoc task
    name: str = ""
    seq: int = 0  # order of submission
    agent: str = ""
    provider: str = ""
    mode: str = ""
    state: str = "queued"
    reason: str = ""
    detail: str = ""
    cause: str = ""
    activity: Activity = NO_ACTIVITY
    waiting: Asked | None = None
    attempt: int = 0
    failures: int = 0
    faults: int = 0
    retries: int = 0
    lane: str = ""
    needs: tuple[str, ...] = ()  # task ids
    touches: tuple[str, ...] = ()
    priority: int = 0
    prompt: str = ""  # its beginning
    command: str = ""  # its beginning
    worker: str = ""
    elsewhere: bool = False  # it runs, with another worker than this supervisor's
    session: str = ""  # the newest attempt's
    cancel: str = ""
    exit_code: int | None = None
    signal: int | None = None
    cost_usd: float | None = None
    cost_source: str = ""
    tokens_in: int | None = None
    tokens_out: int | None = None
    run_at: int | None = None
    created_at: int = 0
    started_at: int | None = None
    ended_at: int | None = None
    cursor: int = field(default=0, compare=False, repr=False)  # all events up to it are in

    @property
    def open(self) -> bool:
        return self.state in OPEN

    @property
    def asks(self) -> bool:
        """Does it wait for a person?"""
        return self.state == "running" and (self.waiting is not None or self.activity.word == "waiting")


_NAMES = tuple(each.name for each in fields(TaskView))
_values = attrgetter(*_NAMES)
_SETTERS = {name: getattr(TaskView, name).__set__ for name in _NAMES}
_ALL_SETTERS = tuple(_SETTERS.values())


def evolve(task: TaskView, changed: Mapping[str, Any]) -> TaskView:
    """`dataclasses.replace` at a third of its cost: every event makes a row."""
    row = object.__new__(TaskView)
    for set_value, value in zip(_ALL_SETTERS, _values(task), strict=True):
        set_value(row, value)
    for name, value in changed.items():
        _SETTERS[name](row, value)
    return row


@dataclass(frozen=True, slots=True)
class RunView:
    """One submission of a plan."""

    id: str
    name: str = ""
    source: str = ""
    state: str = "running"
    created_at: int = 0
    ended_at: int | None = None
    cursor: int = field(default=0, compare=False, repr=False)  # all events up to it are in


@dataclass(frozen=True, slots=True)
class WorkerView:
    """`state` and `running` are of the moment the workers were read: when one came, went or was cordoned."""

    id: str
    node: str = ""
    state: str = ""
    slots: int = 0
    running: tuple[str, ...] = ()
    cordoned: bool = False


@dataclass(frozen=True, slots=True)
class SupervisorView:
    """What the header shows of the supervisor."""

    pid: int = 0
    home: str = ""
    version: str = ""
    backend: str = ""
    slots: int = 0
    worker: str = ""
    config_error: str = ""
    stopping: bool = False


@dataclass(frozen=True, slots=True)
class Fleet:
    """All that is known at one cursor of the event log. Mappings are read-only, tasks in order of submission."""

    link: Link = Link.CONNECTING
    link_text: str = ""  # why it is lost
    link_since: int = 0
    cursor: int = 0
    complete: bool = False  # every task is loaded, not only the newest
    supervisor: SupervisorView = field(default_factory=SupervisorView)
    tasks: Mapping[str, TaskView] = field(default_factory=lambda: MappingProxyType({}))
    runs: Mapping[str, RunView] = field(default_factory=lambda: MappingProxyType({}))
    workers: Mapping[str, WorkerView] = field(default_factory=lambda: MappingProxyType({}))
    notice: str = ""  # the newest thing worth a line: a configuration rejected, a worker gone

    def of_run(self, run: str) -> list[TaskView]:
        return [task for task in self.tasks.values() if task.run == run]


EMPTY = Fleet()
