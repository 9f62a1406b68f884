"""Holds an attempt to its lease: where another worker may take it over, nothing of it may run any longer than that."""

from __future__ import annotations

import logging

from lite.engine.context import Context
from lite.errors import ExecutorError
from lite.model.task import Lease
from lite.ports import Executor

log = logging.getLogger(__name__)

_EARLY_SECONDS = 0.05  # who ends the program knows why; that it ends by itself is for when nobody does

_LEAST_SECONDS = 0.001  # no clock moves by what is left of a difference of floats


class Fence:
    """Counts on this machine's monotonic clock, from the moment at which the lease or its renewal was asked for: when
    the answer came says nothing of how much of it is left."""

    def __init__(self, context: Context, lease: Lease) -> None:
        self._clock = context.clock
        granted = min(lease.expires_at - self._clock.now(), context.settings.lease_ms)
        self._until = self._clock.monotonic() + granted / 1000

    def __repr__(self) -> str:
        return f"<Fence {self._left():.3f} s>"

    def extend(self, until: float) -> None:
        """The lease was renewed until then (monotonic seconds). Answers may overtake one another."""
        self._until = max(self._until, until)

    async def run_out(self) -> None:
        """Return when the lease is about to run out."""
        while (left := self._left() - _EARLY_SECONDS) > 0:
            await self._clock.sleep(max(left, _LEAST_SECONDS))

    async def tell(self, executor: Executor, handle: str) -> None:
        """Have the session end with the lease, whatever becomes of us."""
        await self._keep(executor, handle, max(int(self._left() * 1000), 0))

    async def cut(self, executor: Executor, handle: str) -> None:
        """Have the session end now."""
        await self._keep(executor, handle, 0)

    async def _keep(self, executor: Executor, handle: str, ttl_ms: int) -> None:
        try:
            await executor.keep(handle, ttl_ms)
        except ExecutorError as error:
            log.info("%s", error)  # it is gone: waiting for it tells how

    def _left(self) -> float:
        return self._until - self._clock.monotonic()
