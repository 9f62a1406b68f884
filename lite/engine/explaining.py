"""Looks up the evidence that `rules.explain` judges by."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from lite.engine.context import Context
from lite.model.event import EventKind
from lite.model.session import Status
from lite.model.task import Reason, State, Task, TaskQuery
from lite.model.worker import Worker
from lite.rules.explain import Evidence, Explanation, explain
from lite.rules.filters import unfit

_OPEN = (State.QUEUED, State.RUNNING)
_PARKED = (Reason.PARKED, Reason.HELD)
_OTHER_ENDS = (EventKind.TASK_RETRYING, EventKind.TASK_REOPENED, EventKind.TASK_PARKED)
_PAGE = 1000


async def explain_task(context: Context, task: Task, status: Status | None) -> Explanation:
    backend = context.backend
    needs = await backend.tasks(TaskQuery(ids=task.spec.needs)) if task.spec.needs else ()
    cause = await backend.tasks(TaskQuery(ids=(task.cause,))) if task.cause else ()
    lane: Sequence[Task] = ()
    running: Sequence[Task] = ()
    if task.state is State.QUEUED:
        running = await backend.tasks(TaskQuery(states=(State.RUNNING,)))
        if task.spec.lane:
            companions = await backend.tasks(TaskQuery(run=task.spec.run, states=_OPEN))
            lane = [one for one in companions if one.spec.lane == task.spec.lane]
    booked: Sequence[Task] = ()
    teams: Mapping[tuple[str, str], int] = {}
    if task.state is State.QUEUED and task.spec.placed:
        booked = await backend.tasks(TaskQuery(assigned=True))
        teams = await backend.team_index()
    workers = await backend.workers()
    now = context.clock.now()
    return explain(
        task,
        Evidence(
            now=now,
            settings=context.settings,
            needs=needs,
            lane=lane,
            running=running,
            workers=workers,
            teams=teams,
            booked=Counter(one.assigned for one in booked),
            cause=cause[0] if cause else None,
            status=status,
            hold=context.gate.keeping(context.settings.agents.get(task.spec.agent), now, _where(task, workers, now)),
            parkings=await _parkings(context, task) if task.reason in _PARKED else 0,
        ),
    )


def _where(task: Task, workers: Sequence[Worker], now: int) -> set[str]:
    """The nodes it may run on, those of silent or cordoned workers only when there are no others."""
    serving = [one for one in workers if task.assigned in ("", one.id) and task.spec.agent in one.agents]
    fit = {one.node for one in serving if not any(unfit(task.spec, one, now))}
    return fit or {one.node for one in serving}


async def _parkings(context: Context, task: Task) -> int:
    """In a row, up to now. A log that was trimmed knows of fewer."""
    count, after = 0, 0
    while True:
        page = await context.backend.events(after, limit=_PAGE, task=task.id)
        for event in page:
            if event.kind is EventKind.TASK_PARKED and event.data.get("reason") in _PARKED:
                count += 1
            elif event.kind in _OTHER_ENDS and event.data.get("reason") != Reason.SHUTDOWN:
                count = 0
        if len(page) < _PAGE:
            return count
        after = page[-1].cursor
