"""One look at what has to be placed: takes back assignments that lead nowhere, then assigns what waits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace

from lite.engine.context import Context
from lite.model.task import Assignment, State, Task, TaskQuery, TaskSpec
from lite.model.worker import Worker, WorkerState
from lite.rules.filters import unfit
from lite.rules.fleet import Fleet
from lite.rules.place import Placement, place
from lite.rules.touches import overlap

_PAGE = 200  # tasks
_PAGES = 5  # read in one look; what is behind them comes with the next

Assign = Callable[[Task, Assignment], Awaitable[bool]]


@dataclass(frozen=True, slots=True)
class Looked:
    """What a look came to. `pending`: something waits that time alone may change, so look again after a while.
    `skip`: where the next look goes on, when this one did not come to the end (0: it did)."""

    placed: int = 0
    moved: int = 0
    pending: bool = False
    skip: int = 0


async def look(context: Context, assign: Assign, skip: int = 0) -> Looked:
    """Read what is needed, assign by `assign`. The best `_PAGE` tasks are always looked at, then those from `skip` on,
    so that many which fit nowhere do not hide the others for ever."""
    backend, now = context.backend, context.clock.now()
    first = await backend.unplaced(now=now, limit=_PAGE)
    booked = await backend.tasks(TaskQuery(assigned=True))
    if not first and not booked:
        return Looked()
    # In this order: what is claimed meanwhile counts twice rather than not at all.
    workers = await backend.workers()
    return await _Look(context, assign, now, booked, workers, await backend.team_index()).go(first, skip)


class _Look:
    def __init__(
        self,
        context: Context,
        assign: Assign,
        now: int,
        booked: Sequence[Task],
        workers: Sequence[Worker],
        teams: Mapping[tuple[str, str], int],
    ) -> None:
        self._context = context
        self._assign = assign
        self._queued = list(booked)  # assigned, not yet claimed
        self._teams = Counter(teams)
        self._booked = Counter(task.assigned for task in booked)
        self._fleet = Fleet(now, [self._able(worker, now) for worker in workers], self._teams, self._booked)
        self._hopeless: set[Hashable] = set()
        self._running: Sequence[Task] | None = None

    def _able(self, worker: Worker, now: int) -> Worker:
        """It serves no agent that is not logged in there."""
        agents = self._context.settings.agents
        holds = {name: self._context.gate.on(agents.get(name), now, worker.node) for name in worker.agents}
        return replace(worker, agents=tuple(name for name, hold in holds.items() if hold is None or not hold.local))

    async def go(self, first: Sequence[Task], skip: int) -> Looked:
        moved = await self._review()
        placed, page, pages = 0, first, 1
        at = max(skip, _PAGE)  # of the next page, had nothing been placed
        while True:
            for task in page:
                placed += await self._place(task)
            if len(page) < _PAGE or not self._any_free():
                return Looked(placed, moved, bool(first or self._queued))
            if pages == _PAGES:
                return Looked(placed, moved, True, at - placed)
            page = await self._context.backend.unplaced(now=self._fleet.now, limit=_PAGE, skip=at - placed)
            pages, at = pages + 1, at + len(page)

    async def _review(self) -> int:
        """Take back what was assigned to a worker that does not take it; move what was assigned to a full one and
        fits elsewhere (others took the slot, or two orchestrators counted on it)."""
        moved = 0
        workers = {worker.id: worker for worker in self._fleet.workers}
        for task in sorted(self._queued, key=lambda one: (one.spec.priority, -one.seq)):  # the worst first
            worker = workers.get(task.assigned)
            why = ", ".join(unfit(task.spec, worker, self._fleet.now)) if worker is not None else "it has left"
            if why:
                taken = f"taken back from worker {task.assigned}: {why}"
                moved += await self._move(task, Assignment(worker="", before=task.assigned, why=taken))
            elif worker is not None and self._fleet.free(worker) < 0:
                other = place(task.spec, self._fleet.without(task))
                if other.worker is not None and other.worker != task.assigned:
                    moved += await self._move(task, self._assignment(task, other))
        return moved

    async def _place(self, task: Task) -> bool:
        key = _requirements(task.spec)
        if key in self._hopeless or await self._held(task.spec):
            return False
        chosen = place(task.spec, self._fleet)
        if chosen.worker is None:
            self._hopeless.add(key)  # places only become fewer during a look
            return False
        return await self._move(task, self._assignment(task, chosen))

    def _assignment(self, task: Task, chosen: Placement) -> Assignment:
        seen = self._fleet.seen(task.spec.team) if task.spec.affinity != "none" else None
        return Assignment(worker=chosen.worker, why=chosen.why, before=task.assigned, seen=seen)

    async def _move(self, task: Task, assignment: Assignment) -> bool:
        """Assign it, and count on it; refused, all stays as it was."""
        if not await self._assign(task, assignment):
            return False
        team, to = task.spec.team, assignment.worker or ""
        for worker, by in ((task.assigned, -1), (to, 1)):
            if worker:
                self._booked[worker] += by
                if team:
                    self._teams[worker, team] += by
        if not task.assigned:
            self._queued.append(task)
        elif not to:
            self._queued.remove(task)
        return True

    async def _held(self, spec: TaskSpec) -> bool:
        """Its agent's cap or what others touch would keep it from being claimed: a slot booked for it stays empty."""
        agent = self._context.settings.agents.get(spec.agent)
        cap = agent.slots if agent is not None else None
        if cap is None and not spec.touches:
            return False
        if self._running is None:
            self._running = await self._context.backend.tasks(TaskQuery(states=(State.RUNNING,)))
        live = {task.id: task.spec for task in (*self._queued, *self._running)}.values()
        if cap is not None and sum(one.agent == spec.agent for one in live) >= cap:
            return True
        return any(overlap(spec.touches, one.touches) for one in live)

    def _any_free(self) -> bool:
        fleet = self._fleet
        return any(
            fleet.free(worker) > 0 and not worker.cordoned and worker.state(fleet.now) is not WorkerState.UNHEALTHY
            for worker in fleet.workers
        )


def _requirements(spec: TaskSpec) -> Hashable:
    """Equal for tasks that fit on the same workers."""
    return spec.agent, spec.strategy, spec.team, spec.affinity, tuple(sorted(spec.selector.items()))
