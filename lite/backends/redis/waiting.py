"""Who waits: for the event log to grow, and for work to be offered. Blocking reads on connections of their own."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Any

from redis.exceptions import ResponseError

from lite.aio.probe import hit
from lite.aio.tasks import Job, Jobs, spawn
from lite.backends.redis.connection import Link
from lite.backends.redis.failures import mapped, passing
from lite.errors import BackendError

GROUP = "executor-group"
ABANDONED_MS = 30_000  # an offer taken and not answered by a claim for this long goes to whoever looks
_BLOCK_MS = 3_000  # shorter than an answer may take
_PAUSES = (0.05, 0.2, 1.0, 2.0)
Offer = tuple[str, str, str]  # the stream's name after the prefix, the entry, the task ("": any)


class Follower:
    """Knows the newest cursor, and lets those wait who want a newer one. Reads only while somebody waits."""

    def __init__(self, link: Link, prefix: str, place: str) -> None:
        self.cursor = 0
        self._link = link
        self._stream = f"{prefix}:events"
        self._place = place
        self._waiters: set[asyncio.Future[None]] = set()
        self._job: Job | None = None

    def advance(self, cursor: int) -> None:
        """Somebody has heard of `cursor`."""
        if cursor > self.cursor:
            self.cursor = cursor
            for waiter in self._waiters:
                if not waiter.done():
                    waiter.set_result(None)

    async def beyond(self, after: int) -> None:
        """Until there is a cursor greater than `after`."""
        while self.cursor <= after:
            if self._job is None:
                self._job = spawn(self._follow(), "redis events")
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.add(waiter)
            try:
                await waiter
            finally:
                self._waiters.discard(waiter)

    async def close(self) -> None:
        job, self._job = self._job, None
        if job is not None:
            job.cancel()
            await asyncio.gather(job, return_exceptions=True)
        await self._link.drop()
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_exception(BackendError("the backend was closed", place=self._place))

    async def _follow(self) -> None:
        failed = 0
        while True:
            try:
                read = ("XREAD", "COUNT", 1, "BLOCK", _BLOCK_MS, "STREAMS", self._stream, f"{self.cursor}-0")
                if await self._link.ask(*read):
                    newest = await self._link.ask("XREVRANGE", self._stream, "+", "-", "COUNT", 1)
                    self.advance(int(newest[0][0].partition(b"-")[0]))
                failed = 0
            except Exception as error:
                if not passing(error):
                    hit("redis.follow-failed", error=error)
                await asyncio.sleep(_PAUSES[min(failed, len(_PAUSES) - 1)])
                failed += 1


class Offers:
    """Work offered to workers of this process, from the trigger streams of their agents and their own wake-up stream.
    An offer taken is answered by the worker's next claim, which passes on what it does not take."""

    def __init__(
        self, link: Link, prefix: str, place: str, hand_back: Callable[[str, Sequence[Offer]], Awaitable[None]]
    ) -> None:
        self._link = link
        self._prefix = prefix
        self._place = place
        self._hand_back = hand_back
        self._taken: defaultdict[str, list[Offer]] = defaultdict(list)
        self._closed: set[str] = set()  # workers that may take nothing
        self._jobs = Jobs("redis offers")
        self._groups: set[str] = set()
        self._asking = asyncio.Lock()  # the connection takes one question at a time

    def take(self, worker: str) -> list[Offer]:
        """What the claim that begins now has to answer."""
        return self._taken.pop(worker, [])

    def keep(self, worker: str, offers: Sequence[Offer]) -> None:
        """The claim failed: the next one has to."""
        self._taken[worker] = [*offers, *self._taken.pop(worker, [])]

    def answered(self, worker: str, closed: bool) -> None:
        if closed:
            self._closed.add(worker)
        else:
            self._closed.discard(worker)

    async def wait(self, worker: str, agents: Collection[str]) -> None:
        """Until there is an offer. Raises `BackendError` when the server cannot be reached."""
        streams = [f"wake.{worker}"]
        if worker not in self._closed:
            streams += [f"triggers.{agent}" for agent in agents]
        try:
            async with self._asking:
                while not self._taken.get(worker):
                    await self._read(worker, streams)
        except asyncio.CancelledError:
            self._groups.clear()
            self._jobs.spawn(self._let_go(worker, streams), "hand back")
            raise
        except Exception as error:
            self._groups.clear()
            raise mapped(error, self._place) from error

    async def close(self) -> None:
        await self._jobs.cancel()
        await self._link.drop()

    async def _read(self, worker: str, streams: list[str]) -> None:
        if not self._groups.issuperset(streams):
            await self._make_groups(streams)
            if await self._pending(worker, streams):
                return
        if await self._abandoned(worker, streams):
            return
        keys = [f"{self._prefix}:{stream}" for stream in streams]
        read = ("XREADGROUP", "GROUP", GROUP, worker, "COUNT", 1, "BLOCK", _BLOCK_MS, "STREAMS", *keys)
        try:
            self._note(worker, await self._link.ask(*read, *[">"] * len(keys)))
        except ResponseError as error:
            if not str(error).startswith(("NOGROUP", "UNBLOCKED")):
                raise
            self._groups.clear()  # the server lost them, or the worker was deregistered meanwhile

    async def _make_groups(self, streams: list[str]) -> None:
        for stream in streams:
            try:
                await self._link.ask("XGROUP", "CREATE", f"{self._prefix}:{stream}", GROUP, "0", "MKSTREAM")
            except ResponseError as error:
                if not str(error).startswith("BUSYGROUP"):
                    raise
        self._groups.update(streams)

    async def _pending(self, worker: str, streams: list[str]) -> bool:
        """What this very worker took before it was cut off."""
        keys = [f"{self._prefix}:{stream}" for stream in streams]
        read = ("XREADGROUP", "GROUP", GROUP, worker, "COUNT", 100, "STREAMS", *keys)
        return self._note(worker, await self._link.ask(*read, *["0"] * len(keys)))

    async def _abandoned(self, worker: str, streams: list[str]) -> bool:
        """What a dead consumer took."""
        found = False
        for stream in streams:
            claim = ("XAUTOCLAIM", f"{self._prefix}:{stream}", GROUP, worker, ABANDONED_MS, "0-0", "COUNT", 100)
            try:
                _, entries, *_ = await self._link.ask(*claim)
            except ResponseError as error:
                if not str(error).startswith("NOGROUP"):
                    raise
                self._groups.discard(stream)
                continue
            found |= self._note(worker, [(f"{self._prefix}:{stream}".encode(), entries)])
        return found

    def _note(self, worker: str, answer: Any) -> bool:
        found = False
        items = answer.items() if isinstance(answer, dict) else answer or ()
        for key, entries in items:
            stream = key.decode().removeprefix(f"{self._prefix}:")
            for entry, fields in entries:
                # one that was deleted meanwhile has no fields; it still has to be acknowledged
                task = fields[fields.index(b"task") + 1].decode() if fields and b"task" in fields else ""
                self._taken[worker].append((stream, entry.decode(), task))
                found = True
        return found

    async def _let_go(self, worker: str, streams: list[str]) -> None:
        """The wait was given up; what had come just then is for somebody else."""
        try:
            async with self._asking:
                await self._make_groups(streams)
                await self._pending(worker, streams)
            offers = self.take(worker)
            if offers:
                await self._hand_back(worker, offers)
        except Exception as error:  # it is found as abandoned
            hit("redis.not-handed-back", error=error)
