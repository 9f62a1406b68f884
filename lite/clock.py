"""The real clock and a virtual one for tests and simulations. A leaf."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import time


class SystemClock:
    """Wall and monotonic time of this machine."""

    def now(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class VirtualClock:
    """Time that moves only by `advance`; sleepers wake in order of their time."""

    def __init__(self, now: int = 1_700_000_000_000) -> None:
        self._start = now
        self._elapsed = 0.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._counter = itertools.count()

    def __repr__(self) -> str:
        return f"<VirtualClock +{self._elapsed:.3f}s, {len(self._sleepers)} asleep>"

    def now(self) -> int:
        return self._start + round(self._elapsed * 1000)

    def monotonic(self) -> float:
        return self._elapsed

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._elapsed + seconds, next(self._counter), future))
        await future

    async def advance(self, seconds: float) -> None:
        """Let `seconds` pass, waking sleepers at their times and letting the loop run after each."""
        await _settle()  # jobs just spawned fall asleep now, not when the time has passed
        end = self._elapsed + seconds
        while self._sleepers and self._sleepers[0][0] <= end:
            at, _, future = heapq.heappop(self._sleepers)
            self._elapsed = max(self._elapsed, at)
            if not future.done():
                future.set_result(None)
            await _settle()
        self._elapsed = end
        await _settle()


async def _settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)
