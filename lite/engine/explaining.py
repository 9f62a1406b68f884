"""Looks up the evidence that `rules.explain` judges by."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from lite.engine.context import Context
from lite.model.session import Status
from lite.model.task import State, Task, TaskQuery
from lite.model.worker import Worker
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
            index=team_index(workers, running),
            cause=cause[0] if cause else None,
            status=status,
        ),
    )


def team_index(workers: Iterable[Worker], running: Iterable[Task]) -> Counter[tuple[str, str]]:
    """Tasks per (node, team) that run, or are assigned to run, there."""
    nodes = {worker.id: worker.node for worker in workers}
    return Counter((nodes.get(task.worker or task.assigned, ""), task.spec.team) for task in running if task.spec.team)
