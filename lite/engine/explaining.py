"""Looks up the evidence that `rules.explain` judges by."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from lite.engine.context import Context
from lite.model.session import Status
from lite.model.task import State, Task, TaskQuery
from lite.rules.explain import Evidence, Explanation, explain

_OPEN = (State.QUEUED, State.RUNNING)


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
    return explain(
        task,
        Evidence(
            now=context.clock.now(),
            settings=context.settings,
            needs=needs,
            lane=lane,
            running=running,
            workers=workers,
            teams=teams,
            booked=Counter(one.assigned for one in booked),
            cause=cause[0] if cause else None,
            status=status,
        ),
    )
