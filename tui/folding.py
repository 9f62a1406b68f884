"""The fold: what the feed brings, laid over what is known. Pure. Times are ms since the epoch.

Every row knows a cursor up to which it has all events. An event that is not newer is passed over; rows that are older
than what is known only tell what events do not. So rows and events may come from several threads, in any order, and
twice. Where a row is newer than it knows (it was read after its cursor), each event says what the columns are from then
on: saying it again changes nothing once the newest has been said.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from tui.state import (
    EMPTY,
    NO_ACTIVITY,
    Activity,
    Fleet,
    Link,
    RunView,
    SupervisorView,
    TaskView,
    WorkerView,
    evolve,
)
from tui.task_events import CHANGES
from tui.views import TEXT, task_view

if TYPE_CHECKING:
    from lite.api.messages import ActivityJson, EventJson, TaskJson


@dataclass(frozen=True, slots=True)
class Rows:
    """Whole tasks, read together; `rows` makes them, in the reading thread. `complete`: there are no others."""

    tasks: Sequence[TaskView]
    complete: bool = False


@dataclass(frozen=True, slots=True)
class Runs:
    runs: Sequence[RunView]


@dataclass(frozen=True, slots=True)
class Workers:
    """All that are registered."""

    workers: Sequence[WorkerView]


@dataclass(frozen=True, slots=True)
class Status:
    """`cursor`: rows and events follow from there on; None: they go on."""

    supervisor: SupervisorView
    cursor: int | None = None


@dataclass(frozen=True, slots=True)
class Events:
    """Entries of the log, in order."""

    events: Sequence[EventJson]


@dataclass(frozen=True, slots=True)
class Activities:
    changes: Sequence[ActivityJson]


@dataclass(frozen=True, slots=True)
class Linked:
    """How the connection is at `at`; `text` says why it is lost."""

    link: Link
    at: int
    text: str = ""


@dataclass(frozen=True, slots=True)
class Forget:
    """Everything known is of another log: begin anew."""


Update = Rows | Runs | Workers | Status | Events | Activities | Linked | Forget


def rows(tasks: Sequence[TaskJson], cursor: int = 0, *, complete: bool = False) -> Rows:
    """`cursor`: the newest one known before they were read."""
    return Rows([task_view(task, cursor) for task in tasks], complete)


def fold(fleet: Fleet, updates: Sequence[Update]) -> Fleet:
    """The fleet after `updates`. A batch costs one copy of the mappings it touches."""
    draft = _Draft(fleet)
    for update in updates:
        draft.take(update)
    return draft.done()


class _Draft:
    """Mutable while one batch is folded."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._tasks: dict[str, TaskView] | None = None
        self._runs: dict[str, RunView] | None = None
        self._cursor = fleet.cursor
        self._unordered = False

    def take(self, update: Update) -> None:
        match update:
            case Rows(tasks, complete):
                for row in tasks:
                    self._row(row)
                if complete:
                    self._set(complete=True)
            case Runs(runs):
                for run in runs:
                    self.runs[run.id] = _merged_run(run, self.runs.get(run.id))
            case Workers(workers):
                self._set(workers=MappingProxyType({worker.id: worker for worker in workers}))
            case Status(supervisor, cursor):
                self._set(supervisor=supervisor)
                self._cursor = self._cursor if cursor is None else cursor
            case Events(events):
                for event in events:
                    self._event(event)
            case Activities(changes):
                for change in changes:
                    self._activity(change)
            case Linked(link, at, text):
                since = self._fleet.link_since if link is self._fleet.link else at
                self._set(link=link, link_text=text, link_since=since)
            case Forget():
                kept = self._fleet
                self._tasks, self._runs, self._cursor = {}, {}, 0
                self._fleet = replace(EMPTY, link=kept.link, link_text=kept.link_text, link_since=kept.link_since)

    def done(self) -> Fleet:
        if self._tasks is not None:
            tasks = self._tasks
            if self._unordered:
                tasks = dict(sorted(tasks.items(), key=lambda item: (item[1].seq, item[0])))
            self._set(tasks=MappingProxyType(tasks))
        if self._runs is not None:
            self._set(runs=MappingProxyType(self._runs))
        if self._cursor != self._fleet.cursor:
            self._set(cursor=self._cursor)
        return self._fleet

    @property
    def tasks(self) -> dict[str, TaskView]:
        if self._tasks is None:
            self._tasks = dict(self._fleet.tasks)
        return self._tasks

    @property
    def runs(self) -> dict[str, RunView]:
        if self._runs is None:
            self._runs = dict(self._fleet.runs)
        return self._runs

    def _set(self, **changed: Any) -> None:
        self._fleet = replace(self._fleet, **changed)

    def _elsewhere(self, worker: str) -> bool:
        own = self._fleet.supervisor.worker
        return bool(worker and own) and worker != own

    def _row(self, row: TaskView) -> None:
        if row.state == "running" and self._elsewhere(row.worker):
            row = evolve(row, {"elsewhere": True})
        before = self.tasks.get(row.id)
        if before is None or before.seq != row.seq:
            self._unordered = True
        self.tasks[row.id] = row if before is None else _merged(row, before)

    def _activity(self, change: ActivityJson) -> None:
        task = self.tasks.get(change["task"])
        if task is None or task.state != "running":
            return
        if task.activity.since > change["since"]:
            return
        activity = Activity(
            sys.intern(change["activity"]),
            sys.intern(change["source"]),
            sys.intern(change["rule"]),
            change["since"],
            change["text"][:TEXT],
        )
        self.tasks[task.id] = evolve(task, {"activity": activity})

    def _event(self, event: EventJson) -> None:
        kind, data = event["kind"], event["data"]
        if event["cursor"] > self._cursor:
            self._cursor = event["cursor"]
        if kind.startswith("run."):
            self._run_event(kind, event)
        elif event["task"]:
            self._task_event(kind, event)
        elif kind == "worker.left":
            self._set(notice=f"worker {event['worker']} is gone: {data.get('reason', '')}".rstrip(": "))
        elif kind == "config.rejected":
            said = ": ".join(str(data[key]) for key in ("place", "message") if data.get(key))
            self._set(notice=f"configuration rejected: {said}", supervisor=self._supervisor(said))
        elif kind == "config.reloaded":
            self._set(notice="", supervisor=self._supervisor(""))

    def _supervisor(self, config_error: str) -> SupervisorView:
        return replace(self._fleet.supervisor, config_error=config_error)

    def _run_event(self, kind: str, event: EventJson) -> None:
        known = self.runs.get(event["run"])
        if known is not None and known.cursor >= event["cursor"]:
            return
        run = known or RunView(event["run"], created_at=event["at"])
        run = replace(run, name=str(event["data"].get("name", run.name)), cursor=event["cursor"])
        if kind == "run.submitted":
            run = replace(run, created_at=event["at"])
        elif kind == "run.finished":
            run = replace(run, state=sys.intern(str(event["data"].get("state", run.state))), ended_at=event["at"])
        elif kind == "run.reopened":
            run = replace(run, state="running", ended_at=None)
        self.runs[run.id] = run

    def _task_event(self, kind: str, event: EventJson) -> None:
        task = self.tasks.get(event["task"])
        if task is None:
            if kind != "task.submitted":
                return  # its row is still to be read, and will know of it
            last = next(reversed(self.tasks.values()), None)
            task = TaskView(sys.intern(event["task"]), run=sys.intern(event["run"]), seq=(last.seq + 1 if last else 1))
        if task.cursor >= event["cursor"]:
            return
        change = CHANGES.get(kind)
        if change is not None:
            changed = change(task, event)
            changed["cursor"] = event["cursor"]
            if "worker" in changed:
                changed["elsewhere"] = self._elsewhere(changed["worker"])
                if changed["elsewhere"] and "activity" in changed:
                    changed["activity"] = NO_ACTIVITY  # nobody tells us what it does: "starting" would stand for ever
            self.tasks[task.id] = evolve(task, changed)


# what events do not tell
_SPEC = (
    "name",
    "run",
    "seq",
    "agent",
    "provider",
    "mode",
    "lane",
    "needs",
    "touches",
    "priority",
    "prompt",
    "command",
    "retries",
    "created_at",
)


def _merged(row: TaskView, known: TaskView) -> TaskView:
    """A row just read over the one known: whatever is newer of both."""
    if known.cursor > row.cursor:
        return evolve(known, {name: getattr(row, name) for name in _SPEC})
    changed: dict[str, Any] = {}
    if known.session == row.session and row.state == "running":
        if known.activity.since >= row.activity.since and known.activity.word:
            changed["activity"] = known.activity  # it has come by itself, with its text
        if known.waiting is not None and row.waiting is not None and known.waiting.id == row.waiting.id:
            changed["waiting"] = known.waiting  # its event knows since when
    return evolve(row, changed) if changed else row


def _merged_run(run: RunView, known: RunView | None) -> RunView:
    if known is None or known.cursor <= run.cursor:
        return run
    return replace(run, state=known.state, ended_at=known.ended_at, cursor=known.cursor)
