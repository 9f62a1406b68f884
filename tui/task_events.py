"""What each event of the log makes of a task's columns: what they are from then on, whatever they were. Pure."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from tui.state import NO_ACTIVITY, Activity, Asked, TaskView
from tui.views import QUESTION, TEXT

if TYPE_CHECKING:
    from lite.api.messages import EventJson

_Change = Callable[[TaskView, "EventJson"], dict[str, Any]]
_NOT_RUNNING: dict[str, Any] = {"activity": NO_ACTIVITY, "waiting": None, "cancel": "", "worker": ""}
_FRESH: dict[str, Any] = {
    **_NOT_RUNNING,
    "exit_code": None,
    "signal": None,
    "cost_usd": None,
    "cost_source": "unknown",
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
        "needs": tuple(sys.intern(str(need)) for need in data.get("needs", ())),
        "run_at": data.get("run_at"),
        "cost_source": "unknown",
        "created_at": event["at"],
        "state": "queued",
    }


def _routed(task: TaskView, event: EventJson) -> dict[str, Any]:
    agent = event["data"].get("agent")
    return {} if agent is None else {"agent": sys.intern(str(agent)), "reason": "", "detail": ""}


def _claimed(task: TaskView, event: EventJson) -> dict[str, Any]:
    return _FRESH | {
        "state": "running",
        "activity": _starting(event),
        "reason": "",
        "cause": "",
        "attempt": event["attempt"],
        "worker": sys.intern(event["worker"]),
        "session": f"{task.id}-{event['attempt']}",
    }


def _taken_over(task: TaskView, event: EventJson) -> dict[str, Any]:
    return {"worker": sys.intern(event["worker"]), "activity": _starting(event)}


def _starting(event: EventJson) -> Activity:
    """As its worker sees it at first; what is said of the attempt before is older than this."""
    return Activity("starting", "engine", "claim", event["at"])


def _started(task: TaskView, event: EventJson) -> dict[str, Any]:
    return {"started_at": event["at"], "state": "running", "worker": sys.intern(event["worker"])}


def _parked(task: TaskView, event: EventJson) -> dict[str, Any]:
    """Unroutable, or an attempt that ended without an outcome of its own."""
    return _ended("queued")(task, event) if event["attempt"] else _reasons(event)


def _reasons(event: EventJson) -> dict[str, Any]:
    data = event["data"]
    return {"reason": sys.intern(str(data.get("reason", ""))), "detail": str(data.get("detail") or "")[:TEXT]}


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
            changed["cost_source"] = sys.intern(str(data.get("cost_source") or data["source"]))
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
        str(data.get("text", ""))[:QUESTION],
        str(data.get("hash", "")),
        event["at"],
    )
    return {"waiting": asked}


CHANGES: Mapping[str, _Change] = {
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
    "lease.lost": _taken_over,
    "session.waiting": _asked,
    "session.answered": lambda task, event: {"waiting": None},
}
