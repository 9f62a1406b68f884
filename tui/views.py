"""From the supervisor's messages to what the dashboard keeps of them: strings that repeat once, long ones begun."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from tui.state import NO_ACTIVITY, Activity, Asked, RunView, SupervisorView, TaskView, WorkerView

if TYPE_CHECKING:
    from lite.api.messages import RunJson, StatusJson, TaskJson, WorkerJson

TEXT = 300  # characters kept of a prompt, a command, a detail
QUESTION = 4000  # of what a session asks


def task_view(row: TaskJson, cursor: int = 0) -> TaskView:
    """`cursor`: the newest one known before the row was read."""
    asked = row["waiting"]
    since = row["activity_since"]
    return TaskView(
        id=sys.intern(row["id"]),
        run=sys.intern(row["run"]),
        name=sys.intern(row["name"]),
        seq=row["seq"],
        agent=sys.intern(row["agent"]),
        provider=sys.intern(row["provider"]),
        mode=sys.intern(row["mode"]),
        state=sys.intern(row["state"]),
        reason=sys.intern(row["reason"]),
        detail=row["detail"][:TEXT],
        cause=sys.intern(row["cause"]),
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
        else Asked(
            asked["id"], asked["kind"], asked["text"][:QUESTION], asked["hash"], since or row["started_at"] or 0
        ),
        attempt=row["attempt"],
        failures=row["failures"],
        faults=row["faults"],
        retries=row["retries"],
        lane=sys.intern(row["lane"]),
        needs=tuple(map(sys.intern, row["needs"])),
        touches=tuple(map(sys.intern, row["touches"])),
        priority=row["priority"],
        prompt=row["prompt"][:TEXT],
        command=" ".join(row["command"])[:TEXT] or row["url"][:TEXT],
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
        cursor=cursor,
    )


def run_view(run: RunJson, cursor: int = 0) -> RunView:
    return RunView(
        sys.intern(run["id"]),
        run["name"],
        run["source"],
        sys.intern(run["state"]),
        run["created_at"],
        run["ended_at"],
        cursor,
    )


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
        backend=status["backend"].partition(" ")[0],
        slots=status["slots"],
        worker=status["worker"],
        config_error=status["config_error"],
        stopping=status["stopping"],
    )
