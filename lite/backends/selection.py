"""Which rows: submissions against what is stored, and queries as plain predicates (SQL re-expresses the latter)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from lite.errors import InvalidTask, NotFound
from lite.model.run import Run, RunQuery, Submission
from lite.model.task import Reason, State, Task, TaskQuery, TaskSpec

Row = TypeVar("Row")


def resolve(
    submission: Submission, find: Callable[[TaskSpec], str], stored: Callable[[str], bool]
) -> tuple[dict[str, str], list[TaskSpec]]:
    """The id that stands for each spec that is not to be created, and the specs that are.

    `find` gives the stored task of the same id or key ("": none), `stored` tells whether an id is there. Raises
    `InvalidTask` for a spec of another run than the submission's, `NotFound` for an unknown need.
    """
    run = submission.run.id if submission.run else ""
    stands: dict[str, str] = {}
    fresh: dict[str, TaskSpec] = {}
    keys: dict[str, str] = {}
    for spec in submission.tasks:
        if spec.run != run:
            raise InvalidTask(f"task {spec.id} belongs to run {spec.run!r}, not to {run!r}", place="run")
        known = (spec.id if spec.id in fresh else "") or find(spec) or keys.get(spec.key, "")
        if known:
            if known != spec.id:
                stands[spec.id] = known
            continue
        fresh[spec.id] = spec
        if spec.key:
            keys[spec.key] = spec.id
    for spec in fresh.values():
        for need in spec.needs:
            if need not in fresh and need not in stands and not stored(need):
                raise NotFound(f"task {spec.name} needs {need}, which does not exist", place="needs")
    return stands, list(fresh.values())


def matches(task: Task, query: TaskQuery) -> bool:
    """But for `newest` and `limit`."""
    spec = task.spec
    return (
        (not query.ids or spec.id in query.ids)
        and spec.id.startswith(query.prefix)
        and (query.run is None or spec.run == query.run)
        and (not query.name or spec.name == query.name)
        and (not query.states or task.state in query.states)
        and (not query.agent or spec.agent == query.agent)
        and (not query.worker or task.worker == query.worker)
        and (query.lease_before is None or (task.lease is not None and task.lease.expires_at < query.lease_before))
        and (not query.assigned or (task.state is State.QUEUED and task.assigned != ""))
        and (not query.dead or (task.state is State.FAILED and task.reason == Reason.POISON))
        and task.seq > query.after_seq
    )


def select_tasks(tasks: Iterable[Task], query: TaskQuery) -> list[Task]:
    """`tasks` come in order of submission."""
    return _cut([task for task in tasks if matches(task, query)], query.newest, query.limit)


def select_runs(runs: Iterable[Run], query: RunQuery) -> list[Run]:
    """`runs` come in order of submission."""
    found = [
        run
        for run in runs
        if (not query.ids or run.id in query.ids)
        and run.id.startswith(query.prefix)
        and (not query.name or run.spec.name == query.name)
        and (not query.states or run.state in query.states)
    ]
    return _cut(found, query.newest, query.limit)


def _cut(rows: list[Row], newest: bool, limit: int | None) -> list[Row]:
    if limit is None:
        return rows
    return rows[max(len(rows) - limit, 0) :] if newest else rows[:limit]
