"""What every peer is asked: runs in the peer's own environment, where nothing of ours is installed.

`python on_PEER.py '{"url": ..., "counts": {"1": n, "10": n}, "singles": n}'` prints
`{"rates": {"1": tasks/s, "10": tasks/s}, "start": ms, "hop": ms}`. Worker and submitters share one process and one
event loop, as ours do. A hop is what the peer does fastest: the first task submits the next with its last line, before
its own result is stored; ours stores it first.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from typing import Protocol

PATIENCE = 60.0  # seconds, for everything


class Told:
    """The peer's tasks and hooks tell what has happened; the time of each is taken here."""

    def __init__(self) -> None:
        self.started_at = self.ended_at = 0.0
        self.ran = self.kept = 0
        self._awaited = 0
        self._reached = asyncio.Event()

    def started(self) -> None:
        """A no-op begins (and ends)."""
        self.started_at = time.perf_counter()
        self.ran += 1

    def ended(self) -> None:
        """The first of two has done its work."""
        self.ended_at = time.perf_counter()

    def stored(self) -> None:
        """A task's result is in the server."""
        self.kept += 1
        if self.kept == self._awaited:
            self._reached.set()

    def expect(self, more: int) -> None:
        self._awaited = self.kept + more
        self._reached.clear()

    async def all_stored(self) -> None:
        async with asyncio.timeout(PATIENCE):
            await self._reached.wait()


class Peer(Protocol):
    async def open(self) -> None:
        """The worker takes tasks from now on."""

    async def submit(self, task: str) -> None:
        """`noop`, or `first`: which submits a `noop` as the last thing it does."""


def main(peer: Callable[[str, Told], Peer]) -> None:
    asked = json.loads(sys.argv[1])
    counts = {int(submitters): count for submitters, count in asked["counts"].items()}
    asyncio.run(_all(peer, asked["url"], counts, asked["singles"]))


async def _all(make: Callable[[str, Told], Peer], url: str, counts: dict[int, int], singles: int) -> None:
    told = Told()
    peer = make(url, told)
    await peer.open()
    await _one(peer, told, "noop")  # connections, scripts and groups are made
    rates = {submitters: await _rate(peer, told, submitters, count) for submitters, count in counts.items()}
    starts = [await _one(peer, told, "noop") for _ in range(singles)]
    hops = [await _one(peer, told, "first") for _ in range(singles)]
    assert told.ran == 1 + sum(counts.values()) + 2 * singles, "tasks were lost, or run twice"
    print(json.dumps({"rates": rates, "start": statistics.median(starts), "hop": statistics.median(hops)}), flush=True)
    os._exit(0)  # none of them stops at once, and one at times not at all


async def _rate(peer: Peer, told: Told, submitters: int, count: int) -> float:
    async def submit() -> None:
        for _ in range(count // submitters):
            await peer.submit("noop")

    told.expect(count)
    begun = time.perf_counter()
    await asyncio.gather(*(submit() for _ in range(submitters)))
    await told.all_stored()
    return count / (time.perf_counter() - begun)


async def _one(peer: Peer, told: Told, task: str) -> float:
    """To the start of the no-op, in ms: from its submission, or from the end of the one before it."""
    told.expect(2 if task == "first" else 1)
    begun = time.perf_counter()
    await peer.submit(task)
    await told.all_stored()
    return 1000 * (told.started_at - (told.ended_at if task == "first" else begun))
