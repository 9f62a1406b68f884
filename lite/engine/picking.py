"""Which executor of this worker starts an attempt: what placement chose, the strategy, or the configuration."""

from __future__ import annotations

from lite.engine.context import Context
from lite.engine.registry import machine_load
from lite.model.task import Task
from lite.rules.pick import PODS, Picked, pick

_PAGE = 200  # events of one task; the end of its last attempt is among the newest


async def pick_executor(context: Context, task: Task) -> Picked:
    """Raises `BackendError`."""
    pods = context.executors.get(PODS)
    problem = "not configured here" if pods is None else pods.capabilities().problem
    before = await _ended_before(context, task) if task.attempt > 1 else ""
    return pick(
        task.spec.strategy,
        context.settings.executor,
        task.assigned_why,
        pods=pods is not None,
        problem=problem,
        load=machine_load(),
        before=before,
    )


async def _ended_before(context: Context, task: Task) -> str:
    """The reason its last attempt ended with."""
    reason, after = "", 0
    while events := await context.backend.events(after, limit=_PAGE, task=task.id):
        for event in events:
            if event.kind == "task.retrying":
                reason = str(event.data.get("reason") or "")
        after = events[-1].cursor
    return reason
