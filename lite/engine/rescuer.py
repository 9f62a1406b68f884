"""Recovers what dead workers left: takes over their leases, re-adopts sessions that live on, ends attempts that do not.

Only positive evidence condemns. Whoever holds a home's lock knows that no other process of this home is alive: what its
worker left is adopted at the start, at once. Elsewhere, and for workers that came over HTTP, a lease must have expired,
and stay expired for one more lease length on this machine's monotonic clock (a laptop that slept is not a dead worker).
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence

from lite.aio.probe import hit
from lite.aio.service import Service
from lite.engine.context import Context
from lite.engine.dispatcher import Dispatcher
from lite.engine.sessions import Sessions
from lite.engine.silence import Silence
from lite.errors import BackendError, LeaseLost
from lite.model.task import Claim, Lease, Outcome, OutcomeKind, Reason, State, Task, TaskQuery
from lite.model.worker import WorkerState
from lite.rules.retry import backoff

log = logging.getLogger(__name__)

_ADOPTED_WITHIN = 3  # lease lengths of silence, where another worker can go on with what runs
_FORGET_AFTER = 4  # lease lengths of silence
_MARGIN_SECONDS = 0.05  # a worker's heartbeat and the renewal of its leases are not quite one moment
_AGAIN_SECONDS = 1.0  # to an outcome that could not be recorded
_LONGEST_BACKOFF_SECONDS = 2.0


class Rescuer:
    """`alone`: no other worker of this backend can be alive but those that speak through our API. A worker looks after
    its own leases, and those of sessions it can adopt; who has the role of an orchestrator looks after everybody's, and
    forgets workers that are gone.
    """

    def __init__(self, context: Context, sessions: Sessions, dispatcher: Dispatcher, *, alone: bool) -> None:
        self._context = context
        self._sessions = sessions
        self._dispatcher = dispatcher
        self._alone = alone
        self._leases = Silence()  # expired ones, by task
        self._workers = Silence()
        self._due: float | None = None  # monotonic: when the next worker's leases will have expired if it stays silent
        self._owed: list[Claim] = []  # taken over, their outcome not recorded yet
        self.rescued = 0
        self.forgotten = 0
        self.service = Service("recover", self._loop, longest=_LONGEST_BACKOFF_SECONDS, sleep=context.clock.sleep)

    def __repr__(self) -> str:
        return f"<Rescuer {self.rescued} rescued, {self._leases!r}>"

    async def adopt(self) -> int:
        """At the start, before anything is claimed: take over every lease that has no living process behind it, ours
        from before and (alone) everybody's but of workers over HTTP; returns how many."""
        backend, me = self._context.backend, self._context.worker
        if not self._alone:
            return await self._take(await backend.tasks(TaskQuery(states=(State.RUNNING,), worker=me)))
        others = [one for one in await backend.workers() if one.id != me]
        elsewhere = {one.id for one in others if one.over_http}
        running = await backend.tasks(TaskQuery(states=(State.RUNNING,)))
        taken = await self._take([task for task in running if task.worker not in elsewhere])
        for worker in others:
            if not worker.over_http:
                await backend.deregister(worker.id, now=self._context.clock.now(), reason="lost")
        return taken

    async def sweep(self) -> int:
        """Take over the leases that have been expired for long enough; returns how many. However slowly the backend
        answers: silence begins when we have heard of it, and has lasted until the moment we ask again."""
        context = self._context
        now, at = context.clock.now(), context.clock.monotonic()
        try:
            await self._record_lost()
            query = TaskQuery(states=(State.RUNNING,), worker=self._whose(), lease_before=now)
            expired = [task for task in await context.backend.tasks(query) if not self._runs_here(task)]
            self._leases.look({task.id: task.lease for task in expired}, context.clock.monotonic())
            enough = self._lease_seconds()
            silent = [one for one in expired if self._leases.lasted(one.id, at) >= enough]
            taken = await self._take(await self._left_to_us(silent, at))
            if context.role != "worker":
                await self._look_after_workers(now, at)
        except BackendError:
            self._leases.forget()  # whoever could not reach it either had no chance to renew
            self._workers.forget()
            self._due = None
            raise
        return taken

    def _whose(self) -> str:
        """The worker whose leases we look after; "" for everybody's."""
        context = self._context
        if context.role != "worker" or any(one.capabilities().adopt for one in context.executors.values()):
            return ""
        return context.worker

    async def _left_to_us(self, tasks: Sequence[Task], at: float) -> Sequence[Task]:
        """Who can go on with what runs comes first; everybody else could but queue it again."""
        if not tasks:
            return tasks
        context = self._context
        now = context.clock.now()
        able = [
            one for one in await context.backend.workers() if one.state(now) in (WorkerState.IDLE, WorkerState.BUSY)
        ]
        late = _ADOPTED_WITHIN * self._lease_seconds()

        def ours(task: Task) -> bool:
            name, executor = task.handle.partition(":")[0], context.split_handle(task.handle)[0]
            adopts = executor is not None and executor.capabilities().adopt
            adopters = {one.id for one in able if adopts and name in one.executors and one.id != task.worker}
            if context.worker in adopters or context.worker == task.worker:
                return True
            return context.role != "worker" and (not adopters or self._leases.lasted(task.id, at) >= late)

        return [task for task in tasks if ours(task)]

    async def _take(self, tasks: Iterable[Task]) -> int:
        taken = 0
        for task in tasks:
            if task.lease is not None and not self._runs_here(task):
                taken += await self._take_over(task, task.lease)
        return taken

    async def _take_over(self, task: Task, lease: Lease) -> bool:
        context = self._context
        ttl = context.settings.lease_ms
        try:
            async with self._dispatcher.taking:
                claim = await context.backend.rescue(lease, context.worker, now=context.clock.now(), ttl_ms=ttl)
                hit("rescuer.taken", task=task.id)
                if context.role == "orchestrator":
                    self._owed.append(claim)
                else:
                    self._dispatcher.run(claim, adopted=True)
        except LeaseLost:
            return False  # somebody else was first, or it has ended
        except BackendError:
            self._dispatcher.doubt()
            raise
        log.warning("%s: taken over from %s", task.id, lease.worker)
        self.rescued += 1
        await self._record_lost()
        return True

    async def _record_lost(self) -> None:
        """Where no sessions are, what was taken over can only be queued again."""
        context = self._context
        while self._owed:
            claim = self._owed[0]
            outcome = Outcome(OutcomeKind.UNEXECUTABLE, Reason.LOST, "its worker is gone")
            count = claim.task.faults + 1
            delay = backoff(count, context.settings.retry, context.random.uniform(-1, 1))
            try:
                await context.backend.finish(claim.lease, outcome, now=context.clock.now(), delay_ms=delay)
            except LeaseLost:
                pass  # we were silent for too long ourselves
            self._owed.pop(0)

    def _runs_here(self, task: Task) -> bool:
        runner = self._sessions.of_task(task.id)
        return runner is not None and task.lease is not None and runner.lease.token == task.lease.token

    async def _look_after_workers(self, now: int, at: float) -> None:
        """Forget those that have been silent for long and hold nothing, so that what waits for them goes elsewhere."""
        context = self._context
        workers = [one for one in await context.backend.workers() if one.id != context.worker]
        self._workers.look({one.id: one.heartbeat_at for one in workers}, context.clock.monotonic())
        left = [one.heartbeat_at + one.ttl_ms - now for one in workers if one.running]
        self._due = min((at + one / 1000 + _MARGIN_SECONDS for one in left if one >= 0), default=None)
        for one in workers:
            limit = _FORGET_AFTER * max(one.ttl_ms / 1000, self._lease_seconds())
            if not one.running and self._workers.lasted(one.id, at) >= limit:
                log.warning("worker %s was silent for %.0f s; forgotten", one.id, self._workers.lasted(one.id, at))
                await context.backend.deregister(one.id, now=context.clock.now(), reason="lost")
                self.forgotten += 1

    def _pause(self) -> float:
        """Seconds to the next moment at which a sweep can find something: once per lease length at the least."""
        at = self._context.clock.monotonic()
        pauses = [self._lease_seconds()]
        if (condemned := self._leases.soonest(self._lease_seconds(), at)) is not None:
            pauses.append(condemned)
        if self._due is not None:
            pauses.append(self._due - at)
        if self._owed:
            pauses.append(_AGAIN_SECONDS)
        return max(min(pauses), _MARGIN_SECONDS)

    def _lease_seconds(self) -> float:
        return self._context.settings.lease_ms / 1000

    async def _loop(self) -> None:
        while True:
            await self._context.clock.sleep(self._pause())
            await self.sweep()
