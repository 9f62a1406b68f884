"""Recovers what dead workers left: takes over their leases, re-adopts sessions that live on, ends attempts that do not.

Only positive evidence condemns: with one supervisor per home, whoever holds the home's lock knows that every other
worker registered there is dead. Elsewhere a lease must have expired, and stay expired for one more lease length on this
machine's monotonic clock (a laptop that slept is not a dead worker).
"""

from __future__ import annotations

import logging

from lite.aio.probe import hit
from lite.aio.service import Service
from lite.engine.context import Context
from lite.engine.dispatcher import Dispatcher
from lite.engine.sessions import Sessions
from lite.errors import LeaseLost
from lite.model.task import Lease, State, Task, TaskQuery

log = logging.getLogger(__name__)


class Rescuer:
    """`alone`: no other worker can be alive on this backend."""

    def __init__(self, context: Context, sessions: Sessions, dispatcher: Dispatcher, *, alone: bool) -> None:
        self._context = context
        self._sessions = sessions
        self._dispatcher = dispatcher
        self._alone = alone
        self._seen: dict[tuple[str, int], float] = {}  # (task, token) -> monotonic time first seen expired
        self.rescued = 0
        self.service = Service("recover", self._loop)

    async def sweep(self) -> int:
        """Take over every lease that can be; returns how many."""
        context = self._context
        running = await context.backend.tasks(TaskQuery(states=(State.RUNNING,)))
        taken = 0
        for task in running:
            lease = task.lease
            if lease is None or self._running_here(lease) or not self._condemned(task, lease):
                continue
            try:
                claim = await context.backend.rescue(
                    lease, context.worker, now=context.clock.now(), ttl_ms=context.settings.lease_ms
                )
            except LeaseLost:
                continue
            hit("rescuer.taken", task=task.id)
            self._dispatcher.run(claim, adopted=True)
            taken += 1
        if self._alone:
            await self._forget_dead_workers()
        self.rescued += taken
        return taken

    def _running_here(self, lease: Lease) -> bool:
        return lease.worker == self._context.worker and self._sessions.of_task(lease.task) is not None

    def _condemned(self, task: Task, lease: Lease) -> bool:
        if self._alone and lease.worker != self._context.worker:
            return True  # one of ours may just be on its way from the claim to its runner
        key = (task.id, lease.token)
        if lease.expires_at > self._context.clock.now():
            self._seen.pop(key, None)
            return False
        first = self._seen.setdefault(key, self._context.clock.monotonic())
        return self._context.clock.monotonic() - first >= self._context.settings.lease_ms / 1000

    async def _forget_dead_workers(self) -> None:
        for worker in await self._context.backend.workers():
            if worker.id != self._context.worker:
                await self._context.backend.deregister(worker.id, now=self._context.clock.now(), reason="lost")

    async def _loop(self) -> None:
        while True:
            await self._context.clock.sleep(self._context.settings.lease_ms / 1000)
            taken = await self.sweep()
            if taken:
                log.warning("took over %d leases", taken)
