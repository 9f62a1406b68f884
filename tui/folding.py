"""The fold: what the feed brings, laid over what is known. Pure. Times are ms since the epoch.

Events may be older than the rows they meet: rows are read after the cursor was taken, so each event says what the
columns are from then on, and saying it again changes nothing once the newest has been said.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from tui.state import (
    EMPTY,
    NO_ACTIVITY,
    Activity,
    Asked,
    Fleet,
    Link,
    RunView,
    SupervisorView,
    TaskView,
    WorkerView,
)

if TYPE_CHECKING:
    from lite.api.messages import ActivityJson, EventJson, RunJson, StatusJson, TaskJson, WorkerJson

_TEXT = 300  # characters kept of a prompt, a command, a detail


@dataclass(frozen=True, slots=True)
class Rows:
    """Whole tasks, read at one moment. `complete`: there are no others."""

    tasks: Sequence[TaskJson]
    complete: bool = False


@dataclass(frozen=True, slots=True)
class Runs:
    runs: Sequence[RunJson]


@dataclass(frozen=True, slots=True)
class Workers:
    """All that are registered."""

    workers: Sequence[WorkerJson]


@dataclass(frozen=True, slots=True)
class Status:
    status: StatusJson


@dataclass(frozen=True, slots=True)
class Events:
    """Entries of the log, in order."""

    events: Sequence[EventJson]


@dataclass(frozen=True, slots=True)
class Activities:
    changes: Sequence[ActivityJson]


@dataclass(frozen=True, slots=True)
class Linked:
    """The connection changed; `text` says why it is lost."""

    link: Link
    at: int
    text: str = ""


@dataclass(frozen=True, slots=True)
class Forget:
    """Everything known is of another log: begin anew."""


Update = Rows | Runs | Workers | Status | Events | Activities | Linked | Forget


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
                    self.runs[run["id"]] = run_view(run)
            case Workers(workers):
                found = {worker["id"]: worker_view(worker) for worker in workers}
                self._set(workers=MappingProxyType(found))
            case Status(status):
                self._set(supervisor=supervisor_view(status), cursor=self._fleet.cursor or status["cursor"])
            case Events(events):
                for event in events:
                    self._event(event)
            case Activities(changes):
                for change in changes:
                    self._activity(change)
            case Linked(link, at, text):
                self._set(link=link, link_text=text, link_since=at)
            case Forget():
                kept = self._fleet
                self._tasks, self._runs = {}, {}
                self._fleet = replace(EMPTY, link=kept.link, link_text=kept.link_text, link_since=kept.link_since)

    def done(self) -> Fleet:
        if self._tasks is not None:
            tasks = self._tasks
            if self._unordered:
                tasks = dict(sorted(tasks.items(), key=lambda item: (item[1].seq, item[0])))
            self._set(tasks=MappingProxyType(tasks))
        if self._runs is not None:
            self._set(runs=MappingProxyType(self._runs))
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

    def _row(self, row: TaskJson) -> None:
        view = task_view(row)
        before = self.tasks.get(view.id)
        if before is None or before.seq != view.seq:
            self._unordered = True
        self.tasks[view.id] = view

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
            change["text"][:_TEXT],
        )
        self.tasks[task.id] = replace(task, activity=activity)

    def _event(self, event: EventJson) -> None:
        kind, data = event["kind"], event["data"]
        if event["cursor"] > self._fleet.cursor:
            self._set(cursor=event["cursor"])
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
        run = self.runs.get(event["run"]) or RunView(event["run"], created_at=event["at"])
        name = str(event["data"].get("name", run.name))
        if kind == "run.submitted":
            self.runs[run.id] = replace(run, name=name, created_at=event["at"])
        elif kind == "run.finished":
            state = sys.intern(str(event["data"].get("state", run.state)))
            self.runs[run.id] = replace(run, name=name, state=state, ended_at=event["at"])
        elif kind == "run.reopened":
            self.runs[run.id] = replace(run, name=name, state="running", ended_at=None)

    def _task_event(self, kind: str, event: EventJson) -> None:
        task = self.tasks.get(event["task"])
        if task is None:
            if kind != "task.submitted":
                return
            last = next(reversed(self.tasks.values()), None)
            task = TaskView(event["task"], run=event["run"], seq=(last.seq + 1 if last else 1))
        change = _CHANGES.get(kind)
        if change is not None:
            self.tasks[task.id] = replace(task, **change(task, event))


_Change = Callable[[TaskView, "EventJson"], dict[str, Any]]
_NOT_RUNNING: dict[str, Any] = {"activity": NO_ACTIVITY, "waiting": None, "cancel": "", "worker": ""}
_FRESH: dict[str, Any] = {
    **_NOT_RUNNING,
    "exit_code": None,
    "signal": None,
    "cost_usd": None,
    "cost_source": "",
    "tokens_in": None,
    "tokens_out": None,
    "detail": "",
    "started_at": None,
    "ended_at": None,
    "run_at": None,
}


def _submitted(task: TaskView, event: EventJson) -> dict[str, Any]:
    data = event["data"]
    return {
        "name": str(data.get("name", task.name)),
        "agent": sys.intern(str(data.get("agent", task.agent))),
        "lane": sys.intern(str(data.get("lane", ""))),
        "needs": tuple(data.get("needs", ())),
        "run_at": data.get("run_at"),
        "created_at": event["at"],
        "state": "queued",
    }


def _routed(task: TaskView, event: EventJson) -> dict[str, Any]:
    agent = event["data"].get("agent")
    return {} if agent is None else {"agent": sys.intern(str(agent)), "reason": "", "detail": ""}


def _claimed(task: TaskView, event: EventJson) -> dict[str, Any]:
    return _FRESH | {
        "state": "running",
        "reason": "",
        "cause": "",
        "attempt": event["attempt"],
        "worker": sys.intern(event["worker"]),
        "session": f"{task.id}-{event['attempt']}",
    }


def _started(task: TaskView, event: EventJson) -> dict[str, Any]:
    return {"started_at": event["at"], "state": "running", "worker": sys.intern(event["worker"])}


def _parked(task: TaskView, event: EventJson) -> dict[str, Any]:
    """Unroutable, or an attempt that ended without an outcome of its own."""
    return _ended("queued")(task, event) if event["attempt"] else _reasons(event)


def _reasons(event: EventJson) -> dict[str, Any]:
    data = event["data"]
    return {"reason": sys.intern(str(data.get("reason", ""))), "detail": str(data.get("detail") or "")[:_TEXT]}


def _ended(state: str) -> _Change:
    def change(task: TaskView, event: EventJson) -> dict[str, Any]:
        data = event["data"]
        changed = _NOT_RUNNING | _reasons(event) | {"state": state}
        changed["ended_at"] = None if state == "queued" else event["at"]
        if event["attempt"]:
            changed["exit_code"], changed["signal"] = data.get("exit_code"), data.get("signal")
            changed["failures"], changed["faults"] = data.get("failures", task.failures), data.get("faults", 0)
            changed["run_at"] = data.get("run_at")
        if data.get("cause"):
            changed["cause"] = str(data["cause"])
        for name, column in (("cost_usd", "cost_usd"), ("tokens_in", "tokens_in"), ("tokens_out", "tokens_out")):
            if name in data:
                changed[column] = data[name]
        if "source" in data:
            changed["cost_source"] = sys.intern(str(data["source"]))
        return changed

    return change


def _reopened(task: TaskView, event: EventJson) -> dict[str, Any]:
    return _NOT_RUNNING | {
        "state": "queued",
        "reason": "reopened",
        "detail": "",
        "cause": "",
        "failures": 0,
        "faults": 0,
        "run_at": None,
        "exit_code": None,
        "signal": None,
        "ended_at": None,
    }


def _asked(task: TaskView, event: EventJson) -> dict[str, Any]:
    data = event["data"]
    asked = Asked(
        str(data.get("id", "")),
        str(data.get("kind", "")),
        str(data.get("text", "")),
        str(data.get("hash", "")),
        event["at"],
    )
    return {"waiting": asked}


_CHANGES: Mapping[str, _Change] = {
    "task.submitted": _submitted,
    "task.routed": _routed,
    "task.claimed": _claimed,
    "task.started": _started,
    "task.parked": _parked,
    "task.retrying": _ended("queued"),
    "task.cancelling": lambda task, event: {"cancel": str(event["data"].get("reason", "user"))},
    "task.reopened": _reopened,
    "task.succeeded": _ended("succeeded"),
    "task.failed": _ended("failed"),
    "task.cancelled": _ended("cancelled"),
    "task.skipped": _ended("skipped"),
    "lease.lost": lambda task, event: {"worker": sys.intern(event["worker"])},
    "session.waiting": _asked,
    "session.answered": lambda task, event: {"waiting": None},
}


def task_view(row: TaskJson) -> TaskView:
    """Strings that repeat are kept once."""
    asked = row["waiting"]
    since = row["activity_since"]
    return TaskView(
        id=row["id"],
        run=sys.intern(row["run"]),
        name=row["name"],
        seq=row["seq"],
        agent=sys.intern(row["agent"]),
        provider=sys.intern(row["provider"]),
        mode=sys.intern(row["mode"]),
        state=sys.intern(row["state"]),
        reason=sys.intern(row["reason"]),
        detail=row["detail"][:_TEXT],
        cause=row["cause"],
        activity=NO_ACTIVITY
        if not row["activity"]
        else Activity(
            sys.intern(row["activity"]),
            sys.intern(row["activity_source"]),
            sys.intern(row["activity_rule"]),
            since or 0,
        ),
        waiting=None
        if asked is None
        else Asked(asked["id"], asked["kind"], asked["text"], asked["hash"], since or row["started_at"] or 0),
        attempt=row["attempt"],
        failures=row["failures"],
        faults=row["faults"],
        retries=row["retries"],
        lane=sys.intern(row["lane"]),
        needs=tuple(row["needs"]),
        touches=tuple(row["touches"]),
        priority=row["priority"],
        prompt=row["prompt"][:_TEXT],
        command=" ".join(row["command"])[:_TEXT] or row["url"][:_TEXT],
        worker=sys.intern(row["worker"]),
        session=row["session"],
        cancel=row["cancel"],
        exit_code=row["exit_code"],
        signal=row["signal"],
        cost_usd=row["cost_usd"],
        cost_source=sys.intern(row["cost_source"]),
        tokens_in=row["tokens_in"],
        tokens_out=row["tokens_out"],
        run_at=row["run_at"],
        created_at=row["created_at"],
        started_at=row["started_at"],
        ended_at=row["ended_at"],
    )


def run_view(run: RunJson) -> RunView:
    return RunView(run["id"], run["name"], run["source"], sys.intern(run["state"]), run["created_at"], run["ended_at"])


def worker_view(worker: WorkerJson) -> WorkerView:
    return WorkerView(
        worker["id"],
        worker["node"],
        worker["state"],
        worker["slots"],
        tuple(worker["running"]),
        worker["cordoned"],
    )


def supervisor_view(status: StatusJson) -> SupervisorView:
    return SupervisorView(
        pid=status["pid"],
        home=status["home"],
        version=status["version"],
        backend=status["backend"],
        slots=status["slots"],
        config_error=status["config_error"],
        stopping=status["stopping"],
    )
