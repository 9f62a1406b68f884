"""Who waits: for the event log to grow, and for work to be offered. Blocking reads on connections of their own."""

from __future__ import annotations

import asyncio
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
_LOOK_SECONDS = 2.5  # between two looks for what a dead consumer took, or should have waited for
_BUSY_SECONDS = 0.005  # how much later another machine's event may be heard of while ours follow one another
_BLOCK_MS = 3_000  # shorter than an answer may take
_PAUSES = (0.05, 0.2, 1.0, 2.0)
Offer = tuple[str, str, str]  # the stream's name after the prefix, the entry, the task ("": any)


class Follower:
    """Knows the newest cursor, and lets those wait who want a newer one. Reads only while somebody waits, and while the
    answers to our own verbs bring newer cursors anyway, only now and then."""

    def __init__(self, link: Link, prefix: str, place: str) -> None:
        self.cursor = 0
        self._link = link
        self._stream = f"{prefix}:events"
        self._place = place
        self._waiters: set[asyncio.Future[None]] = set()
        self._wanted = asyncio.Event()
        self._job: Job | None = None
        self._advanced = 0.0  # monotonic seconds

    def advance(self, cursor: int) -> None:
        """Somebody has heard of `cursor`."""
        if cursor > self.cursor:
            self.cursor = cursor
            self._advanced = asyncio.get_running_loop().time()
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
            self._wanted.set()
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
            if not self._waiters:
                self._wanted.clear()
                await self._wanted.wait()
            known = self.cursor
            if asyncio.get_running_loop().time() - self._advanced < _BUSY_SECONDS:
                await asyncio.sleep(_BUSY_SECONDS)
                if self.cursor > known or not self._waiters:
                    continue  # told already
            try:
                read = ("XREAD", "COUNT", 1, "BLOCK", _BLOCK_MS, "STREAMS", self._stream, f"{known}-0")
                if await self._link.ask(*read) and self.cursor == known:
                    newest = await self._link.ask("XREVRANGE", self._stream, "+", "-", "COUNT", 1)
                    self.advance(int(newest[0][0].partition(b"-")[0]))
                failed = 0
            except Exception as error:
                if not passing(error):
                    hit("redis.follow-failed", error=error)
                await asyncio.sleep(_PAUSES[min(failed, len(_PAUSES) - 1)])
                failed += 1


class Offers:
    """Work offered to workers of this process. An offer taken is answered by the worker's next claim, which passes on
    what it does not take."""

    def __init__(
        self,
        link: Callable[[], Link],
        prefix: str,
        place: str,
        hand_back: Callable[[str, Sequence[Offer]], Awaitable[None]],
    ) -> None:
        """`link` makes a connection: each worker waits on its own."""
        self._link = link
        self._prefix = prefix
        self._place = place
        self._hand_back = hand_back
        self._workers: dict[str, _Mailbox] = {}
        self._jobs = Jobs("redis offers")

    def take(self, worker: str) -> list[Offer]:
        """What the claim that begins now has to answer."""
        box = self._box(worker)
        taken, box.taken = box.taken, []
        return taken

    def keep(self, worker: str, offers: Sequence[Offer]) -> None:
        """The claim failed: the next one has to."""
        self._box(worker).taken[:0] = offers

    def answered(self, worker: str, closed: bool) -> None:
        """`closed`: it may take nothing for now."""
        self._box(worker).closed = closed

    async def wait(self, worker: str, agents: Collection[str]) -> None:
        """Until there is an offer, or another reason to claim. Raises `BackendError` when nobody answers."""
        box = self._box(worker)
        streams = [f"wake.{worker}"]
        if not box.closed:
            streams += [f"triggers.{agent}" for agent in agents]
        try:
            async with box.asking:
                while not box.taken and not await box.read(streams):
                    pass
        except asyncio.CancelledError:
            box.groups.clear()
            self._jobs.spawn(self._let_go(box, streams), "hand back")
            raise
        except Exception as error:
            box.groups.clear()
            raise mapped(error, self._place) from error

    async def forget(self, worker: str) -> None:
        """It was deregistered: its connection goes, unless it waits on it all the same."""
        box = self._workers.get(worker)
        if box is not None and not box.asking.locked():
            del self._workers[worker]
            await box.link.drop()

    async def close(self) -> None:
        await self._jobs.cancel()
        for box in self._workers.values():
            await box.link.drop()

    def _box(self, worker: str) -> _Mailbox:
        if worker not in self._workers:
            self._workers[worker] = _Mailbox(self._link(), self._prefix, worker)
        return self._workers[worker]

    async def _let_go(self, box: _Mailbox, streams: list[str]) -> None:
        """The wait was given up; what had come just then is for somebody else."""
        try:
            async with box.asking:
                await box.make_groups(streams)
                await box.pending(streams)
            offers = self.take(box.worker)
            if offers:
                await self._hand_back(box.worker, offers)
        except Exception as error:  # it is found as abandoned
            hit("redis.not-handed-back", error=error)


class _Mailbox:
    """The streams of one worker: the triggers of its agents, and its own wake-ups."""

    def __init__(self, link: Link, prefix: str, worker: str) -> None:
        self.link = link
        self.worker = worker
        self.taken: list[Offer] = []
        self.closed = False
        self.groups: set[str] = set()
        self.asking = asyncio.Lock()  # the connection takes one question at a time
        self._prefix = prefix
        self._next_look = 0.0  # monotonic

    async def read(self, streams: list[str]) -> bool:
        """One turn; True when a claim is worth while though nothing was offered."""
        if not self.groups.issuperset(streams):
            await self.make_groups(streams)
            if await self.pending(streams):
                return True
        now = asyncio.get_running_loop().time()
        if now >= self._next_look:
            self._next_look = now + _LOOK_SECONDS
            if await self._abandoned(streams) or await self._overdue():
                return True
        keys = [f"{self._prefix}:{stream}" for stream in streams]
        read = ("XREADGROUP", "GROUP", GROUP, self.worker, "COUNT", 1, "BLOCK", _BLOCK_MS, "STREAMS", *keys)
        try:
            self._note(await self.link.ask(*read, *[">"] * len(keys)))
        except ResponseError as error:
            if not str(error).startswith(("NOGROUP", "UNBLOCKED")):
                raise
            self.groups.clear()  # the server lost them, or the worker was deregistered meanwhile
        return False

    async def make_groups(self, streams: list[str]) -> None:
        for stream in streams:
            try:
                await self.link.ask("XGROUP", "CREATE", f"{self._prefix}:{stream}", GROUP, "0", "MKSTREAM")
            except ResponseError as error:
                if not str(error).startswith("BUSYGROUP"):
                    raise
        self.groups.update(streams)

    async def pending(self, streams: list[str]) -> bool:
        """What this very worker took before it was cut off."""
        keys = [f"{self._prefix}:{stream}" for stream in streams]
        read = ("XREADGROUP", "GROUP", GROUP, self.worker, "COUNT", 100, "STREAMS", *keys)
        return self._note(await self.link.ask(*read, *["0"] * len(keys)))

    async def _abandoned(self, streams: list[str]) -> bool:
        """What a dead consumer took."""
        found = False
        for stream in streams:
            claim = ("XAUTOCLAIM", f"{self._prefix}:{stream}", GROUP, self.worker, ABANDONED_MS, "0-0", "COUNT", 100)
            try:
                _, entries, *_ = await self.link.ask(*claim)
            except ResponseError as error:
                if not str(error).startswith("NOGROUP"):
                    raise
                self.groups.discard(stream)
                continue
            found |= self._note([(f"{self._prefix}:{stream}".encode(), entries)])
        return found

    async def _overdue(self) -> bool:
        """Is something delayed due that nobody promoted? Who was told to wait for it may be gone."""
        time = await self.link.ask("TIME")
        now = int(time[0]) * 1000
        return bool(await self.link.ask("ZRANGEBYSCORE", f"{self._prefix}:delayed", "-inf", now, "LIMIT", 0, 1))

    def _note(self, answer: Any) -> bool:
        found = False
        items = answer.items() if isinstance(answer, dict) else answer or ()
        for key, entries in items:
            stream = key.decode().removeprefix(f"{self._prefix}:")
            for entry, fields in entries:
                # one that was deleted meanwhile has no fields; it still has to be acknowledged
                task = fields[fields.index(b"task") + 1].decode() if fields and b"task" in fields else ""
                self.taken.append((stream, entry.decode(), task))
                found = True
        return found
