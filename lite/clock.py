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


class SharedClock:
    """This machine's clock, its wall time corrected by what a server that all workers share says it is, so that all
    judge leases by one time. Of the server's answers the quickest tell best; older ones count for less and less."""

    _FADING = 1.01  # what an answer's round trip is taken to have grown by when the next one comes

    def __init__(self) -> None:
        self._own = SystemClock()
        self._measured: float | None = None  # round trip (s) of the answer `_ahead` was taken from
        self._ahead = 0

    def __repr__(self) -> str:
        return f"<SharedClock {self._ahead:+d} ms>"

    def heard(self, server_ms: int, round_trip: float) -> None:
        """The server's wall time (ms), in an answer that took `round_trip` seconds and has just come."""
        if self._measured is None or round_trip <= self._measured:
            self._measured = round_trip
            self._ahead = round(server_ms + round_trip * 500 - self._own.now())
        else:
            self._measured *= self._FADING

    def now(self) -> int:
        return self._own.now() + self._ahead

    def monotonic(self) -> float:
        return self._own.monotonic()

    async def sleep(self, seconds: float) -> None:
        await self._own.sleep(seconds)
