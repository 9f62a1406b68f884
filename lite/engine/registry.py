"""This worker's place in the fleet: registered, heartbeating, its leases renewed, deregistered at the end."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable
from dataclasses import replace

from lite import __version__
from lite.aio.probe import hit
from lite.aio.service import Service
from lite.engine.bounded import within
from lite.engine.context import Context
from lite.engine.sessions import Sessions
from lite.errors import BackendError, NotFound
from lite.model.session import ExecutorCapabilities
from lite.model.worker import Worker

log = logging.getLogger(__name__)

_TRIES = 6  # that fit into one lease, each waiting for its answer to the last
_LEAVE_SECONDS = 5.0


def machine_load() -> float:
    """Of the last minute, per processor; 0 where the system does not tell."""
    try:
        return round(os.getloadavg()[0] / (os.cpu_count() or 1), 2)
    except (OSError, AttributeError):
        return 0.0


class Registry:
    """Heartbeat and lease renewal in one beat, so that a worker that is alive keeps what it has. `on_join` is called
    when the backend was told who we are: at the start, after it had forgotten us, after a change of settings."""

    def __init__(
        self,
        context: Context,
        sessions: Sessions,
        on_join: Callable[[], None] = lambda: None,
    ) -> None:
        self._context = context
        self._sessions = sessions
        self._on_join = on_join
        self.load: Callable[[], float] = machine_load
        self._told = self._me()  # what the backend was told last
        self.late = 0  # beats that failed, for the metrics
        pause = context.settings.heartbeat_ms / 1000
        self.service = Service("health", self._loop, longest=pause, sleep=context.clock.sleep)

    async def join(self) -> Worker:
        me = self._me()
        row = await self._context.backend.register(replace(me, load=self.load()), now=self._context.clock.now())
        self._told = me
        self._on_join()
        return row

    async def leave(self, reason: str) -> None:
        """Raises `BackendError` or `TimeoutError`."""
        context = self._context
        asked = context.backend.deregister(context.worker, now=context.clock.now(), reason=reason)
        await within(context.clock, _LEAVE_SECONDS, asked)

    async def beat(self) -> None:
        """One heartbeat, and all leases renewed together; neither waits for the other."""
        for answer in await asyncio.gather(self._show_up(), self._renew(), return_exceptions=True):
            if isinstance(answer, BaseException):
                raise answer

    async def _show_up(self) -> None:
        context = self._context
        if self._me() != self._told:
            await self.join()
            return
        try:
            await context.backend.heartbeat(context.worker, now=context.clock.now(), load=self.load())
        except NotFound:
            log.warning("the fleet had forgotten worker %s; registering again", context.worker)
            await self.join()

    async def _renew(self) -> None:
        context = self._context
        leases = self._sessions.leases()
        if not leases:
            return
        ttl = context.settings.lease_ms
        until = context.clock.monotonic() + ttl / 1000  # however late the answer comes
        renewals = await context.backend.renew(leases, now=context.clock.now(), ttl_ms=ttl)
        for renewal in renewals:
            runner = self._sessions.of_task(renewal.lease.task)
            if runner is not None and runner.lease.token == renewal.lease.token:
                runner.renewed(renewal, until)
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
            address=context.address,
            version=__version__,
            ttl_ms=context.settings.lease_ms,
            executors=tuple(name for name, one in context.executors.items() if _offers(one.capabilities())),
            token=context.token,
        )

    async def _loop(self) -> None:
        """Whatever happens to one beat, the next tries begin early enough for the leases to live on."""
        context, clock = self._context, self._context.clock
        due = clock.monotonic() + self._interval()
        failed = 0
        while True:
            await clock.sleep(due - clock.monotonic())
            begun = clock.monotonic()
            lease = context.settings.lease_ms / 1000
            try:
                await within(clock, lease / _TRIES, self.beat())
            except (BackendError, TimeoutError) as error:
                self.late += 1
                if not failed:
                    log.warning("heartbeat failed: %s", error)
                pause = min(lease / 100 * 2 ** min(failed, 10), lease / _TRIES / 2)
                failed += 1
                due = clock.monotonic() + pause * context.random.uniform(0.5, 1)
            else:
                if failed:
                    log.warning("heartbeat is back after %d failures", failed)
                failed = 0
                due = begun + self._interval()

    def _interval(self) -> float:
        """Seconds; whatever the settings say, a lease outlives two beats."""
        settings = self._context.settings
        return min(settings.heartbeat_ms, settings.lease_ms / 3) / 1000


def _offers(can: ExecutorCapabilities) -> bool:
    """May an orchestrator choose it? Calls without a program run wherever the task is."""
    return (can.terminal or can.signals) and not can.problem
