"""How people name tasks and runs: an id, a unique prefix of one, or `run/name`."""

from __future__ import annotations

from lite.errors import Ambiguous, NotFound
from lite.model.ids import ID
from lite.model.run import Run, RunQuery
from lite.model.task import Task, TaskQuery
from lite.ports import Backend

_SHOWN = 5


async def find_task(backend: Backend, ref: str) -> Task:
    """Raises `NotFound` or `Ambiguous` (which lists some that fit)."""
    if ID.match(ref):
        return await backend.get(ref)
    run_ref, slash, name = ref.partition("/")
    if slash:
        run = await find_run(backend, run_ref)
        found = await backend.tasks(TaskQuery(run=run.id, name=name))
        if not found:
            raise NotFound(f"run {run.spec.name} has no task {name!r}", hint=f"qd ls --run {run.id}")
        return found[0]
    if not ref:
        raise NotFound("an empty reference")
    fitting = await backend.tasks(TaskQuery(prefix=ref.lower(), limit=_SHOWN + 1))
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise Ambiguous(
            f"{ref!r} fits more than one task", hint="one of " + ", ".join(task.id for task in fitting[:_SHOWN])
        )
    named = await backend.tasks(TaskQuery(name=ref, newest=True, limit=2))
    if len(named) == 1:
        return named[0]
    if named:
        raise Ambiguous(f"more than one task is called {ref!r}", hint="use its id, or run/name")
    raise NotFound(f"no task {ref!r}", hint="qd ls lists them; a unique prefix of the id or run/name will do")


async def find_run(backend: Backend, ref: str) -> Run:
    """By id, unique prefix, or the newest of that name. Raises `NotFound` or `Ambiguous`."""
    if ref:
        exact = await backend.runs(RunQuery(ids=(ref,)))
        if exact:
            return exact[0]
        fitting = await backend.runs(RunQuery(prefix=ref.lower(), limit=_SHOWN + 1))
        if len(fitting) == 1:
            return fitting[0]
        named = await backend.runs(RunQuery(name=ref, newest=True, limit=1))
        if named:
            return named[0]
        if fitting:
            raise Ambiguous(
                f"{ref!r} fits more than one run", hint="one of " + ", ".join(run.id for run in fitting[:_SHOWN])
            )
    raise NotFound(f"no run {ref!r}", hint="qd runs lists them")
