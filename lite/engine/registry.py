"""This worker's place in the fleet: registered, heartbeating, its leases renewed, deregistered at the end."""

from __future__ import annotations

import asyncio
import logging
import os

from lite import __version__
from lite.aio.probe import hit
from lite.aio.service import Service
from lite.engine.context import Context
from lite.engine.sessions import Sessions
from lite.errors import BackendError, NotFound
from lite.model.worker import Worker

log = logging.getLogger(__name__)


class Registry:
    """Heartbeat and lease renewal in one beat, so that a worker that is alive keeps what it has."""

    def __init__(self, context: Context, sessions: Sessions) -> None:
        self._context = context
        self._sessions = sessions
        self.late = 0  # beats that failed, for the metrics
        self.service = Service("health", self._loop)

    async def join(self) -> Worker:
        return await self._context.backend.register(self._me(), now=self._context.clock.now())

    async def leave(self, reason: str) -> None:
        await self._context.backend.deregister(self._context.worker, now=self._context.clock.now(), reason=reason)

    async def beat(self) -> None:
        """One heartbeat, and all leases renewed together."""
        context = self._context
        try:
            await context.backend.heartbeat(context.worker, now=context.clock.now())
        except NotFound:
            await self.join()
        leases = self._sessions.leases()
        if not leases:
            return
        renewals = await context.backend.renew(leases, now=context.clock.now(), ttl_ms=context.settings.lease_ms)
        for renewal in renewals:
            runner = self._sessions.of_task(renewal.lease.task)
            if runner is not None and runner.lease.token == renewal.lease.token:
                runner.renewed(renewal)
        hit("registry.beat", leases=len(leases))

    def _me(self) -> Worker:
        context = self._context
        return Worker(
            id=context.worker,
            node=context.node,
            slots=context.settings.slots,
            agents=tuple(context.settings.agents),
            labels={"node": context.node, **context.settings.labels},
            pid=os.getpid(),
            version=__version__,
            ttl_ms=context.settings.lease_ms,
        )

    async def _loop(self) -> None:
        while True:
            await self._context.clock.sleep(self._context.settings.heartbeat_ms / 1000)
            try:
                async with asyncio.timeout(self._context.settings.lease_ms / 1000):
                    await self.beat()
            except (BackendError, TimeoutError) as error:
                self.late += 1
                log.warning("heartbeat failed: %s", error or "timed out")
