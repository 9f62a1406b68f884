"""Copying between the bridge's own terminal and the container, over as many connections as it takes."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable

from lite.aio.tasks import Jobs
from lite.executors.kubernetes.bridge_attach import ERROR, STDERR, STDOUT, Attached, attach
from lite.executors.kubernetes.bridge_face import Face
from lite.executors.kubernetes.bridge_http import Api, Refused, Unreachable
from lite.executors.kubernetes.bridge_marks import Head, Tail
from lite.executors.kubernetes.bridge_splice import Splice
from lite.executors.kubernetes.pod_file import GO, SENT, STDIN, read_file, remove_file, write_file

log = logging.getLogger(__name__)

_PATIENCE_SECONDS = 1.0  # for the middle of a line that nobody finishes
_SENT_SECONDS = 5.0  # in which a GO that was sent shows an effect
_LAG_SECONDS = 0.05  # of the log behind the attach stream
_AGAIN_SECONDS = (0.1, 0.25, 0.5, 1.0, 2.0)  # between readings of the log


class Copy:
    """`converse` is one connection, `drain` what is left when the container has ended. `began` is set by the program's
    first moment. `may`: is the container ours to talk to, at this moment."""

    def __init__(self, directory: str, api: Api, face: Face, may: Callable[[], bool]) -> None:
        self._directory, self._api, self._face, self._may = directory, api, face, may
        self.began = asyncio.Event()
        self.typed: asyncio.Queue[bytes] = asyncio.Queue(1)
        passed, held = face.passed()
        self._splice = Splice(terminal=api.pod.tty, passed=passed, held=held)
        self._tail = Tail(api.pod.mark)
        self._lines = asyncio.Event()  # something is held that the log may help with
        self._attached: Attached | None = None
        self._unsent = b""
        self.whole = True  # nothing of the output was missed
        self._asked = asyncio.Event()
        self._go_at = 0.0  # when GO may be sent (loop's time): one that was sent before may still be on its way
        self._fresh = not passed
        if passed or api.pod.begun:
            self.began.set()

    @property
    def output(self) -> bytes | None:
        """What the program wrote to its output file."""
        return self._tail.end.output if self._tail.end is not None else None

    @property
    def code(self) -> int | None:
        """What the bootstrap said the program ended with."""
        return self._tail.end.code if self._tail.end is not None else None

    async def converse(self) -> None:
        """One connection, until it ends. Raises `Unreachable`, `Refused`."""
        head = await self._read_log()
        self._splice.attach()
        jobs = Jobs("copy")
        try:
            async with attach(self._api, self._may) as attached:
                self._attached = attached
                if self.began.is_set():
                    self._resume(jobs, attached)
                else:
                    jobs.spawn(self._let_go(attached, head), "go")
                await self._receive(jobs, attached)
        finally:
            self._attached = None
            await jobs.cancel()
            self._splice.cut()

    async def resize(self) -> None:
        """Tell the container our size."""
        if self._attached is not None and self._api.pod.tty and self.began.is_set():
            await self._attached.resize(*self._face.size())

    async def drain(self) -> bool:
        """What the log still has of a container that has ended. False: it cannot be had."""
        for pause in (*_AGAIN_SECONDS, 4.0, 8.0):
            try:
                self.whole = (await self._read_log()).begun and self.whole
                return True
            except (Unreachable, Refused) as error:
                log.debug("log: %s", error)
                if isinstance(error, Refused) and error.status == 404:
                    pause = min(pause, 1.0)
            await asyncio.sleep(pause)
        return False

    def finish(self) -> None:
        """Nothing more comes."""
        self._write(1, self._tail.rest())

    # the beginning

    async def _let_go(self, attached: Attached, head: Head) -> None:
        """Send GO when it is asked for, once over this connection unless it is asked for again. How often it was, the
        log tells; the line only that it is worth a look: what is said on both is still said once, and a GO too many
        would be typed into the program. One that was sent over a connection that was cut may be lost, or be late."""
        loop, answered = asyncio.get_running_loop(), 0
        if read_file(self._directory, SENT) is not None and not self._go_at:
            self._go_at = loop.time() + _SENT_SECONDS
        pauses = iter(_AGAIN_SECONDS)
        while True:
            pause = next(pauses, _AGAIN_SECONDS[-1])
            if head.ready > answered:
                wait = self._go_at - loop.time()
                if wait <= 0:
                    answered, pause = head.ready, _AGAIN_SECONDS[-1]
                    await self._go(attached)
                else:
                    pause = min(pause, wait)
            try:
                async with asyncio.timeout(pause):
                    await self._asked.wait()
            except TimeoutError:
                pass
            self._asked.clear()
            if self.began.is_set():
                return
            try:
                head = await self._read_log()
            except (Unreachable, Refused) as error:
                log.debug("log: %s", error)
            if self.began.is_set():  # the log knew it before the line
                await attached.close()
                return

    async def _go(self, attached: Attached) -> None:
        payload = read_file(self._directory, GO)
        if payload is None:
            return
        write_file(self._directory, SENT, b"")
        self._go_at = asyncio.get_running_loop().time() + _SENT_SECONDS
        await attached.write(payload)

    async def _begin(self, jobs: Jobs, attached: Attached) -> None:
        self.began.set()
        remove_file(self._directory, GO)
        first = read_file(self._directory, STDIN)
        if first is not None:
            remove_file(self._directory, STDIN)
            self._unsent = first + self._unsent
        if self._api.pod.tty:
            await attached.resize(*self._face.size())
        jobs.spawn(self._type(attached), "input")

    def _resume(self, jobs: Jobs, attached: Attached) -> None:
        jobs.spawn(self._begin(jobs, attached), "begin")
        jobs.spawn(self._align(), "align")

    # output

    async def _receive(self, jobs: Jobs, attached: Attached) -> None:
        head: Head | None = None if self.began.is_set() else Head(self._api.pod.mark)
        async for channel, data in attached.messages():
            if head is not None and self.began.is_set():
                return
            if channel == ERROR:  # the last word: the container has ended, or this connection was refused
                self._told(data)
                return
            if channel not in (STDOUT, STDERR):
                continue
            if head is None:
                self._pass(channel, self._splice.attached(data))
                if self._splice.held:
                    self._lines.set()
                if self._splice.overflown:
                    return
                continue
            first = head.feed(data)
            if head.begun:
                head = None
                self._splice.begin()
                await self._begin(jobs, attached)
                self._pass(channel, self._splice.attached(first))
            elif head.ready:
                head.ready = 0
                self._asked.set()

    def _told(self, data: bytes) -> None:
        try:
            status = json.loads(data)
        except ValueError:
            return
        if isinstance(status, dict) and status.get("status") == "Failure":
            log.info("attach: %s", status.get("message"))

    async def _align(self) -> None:
        """Find the place of the attach stream in the log, once it has said something."""
        splice, pauses = self._splice, iter(_AGAIN_SECONDS)
        while not splice.live:
            await self._lines.wait()
            self._lines.clear()
            if not splice.lines_held:
                try:
                    async with asyncio.timeout(_PATIENCE_SECONDS):
                        while not splice.lines_held:
                            await self._lines.wait()
                            self._lines.clear()
                except TimeoutError:
                    if self._api.pod.tty:
                        self._pass(STDOUT, splice.assume())
                        return
                    continue
            await asyncio.sleep(_LAG_SECONDS)
            held = splice.held
            try:
                head = await self._read_log()
            except (Unreachable, Refused) as error:
                log.debug("log: %s", error)
            else:
                self._pass(STDOUT, splice.end_log(held))
                if not head.begun:  # its beginning was rotated away: what was missed cannot be told any more
                    self.whole = False
                    self._pass(STDOUT, splice.assume())
            if not splice.live:
                await asyncio.sleep(next(pauses, _AGAIN_SECONDS[-1]))
                self._lines.set()

    async def _read_log(self) -> Head:
        """The whole log as it is now; what of it is new is passed on. Raises `Unreachable`, `Refused`."""
        head = Head(self._api.pod.mark)
        self._splice.begin_log()
        async with self._api.stream("GET", self._api.path(f"/log?container={self._api.pod.container}")) as parts:
            async for part in parts:
                text = head.feed(part)
                if text:
                    self._pass(STDOUT, self._splice.log(text))
        if head.begun and not self.began.is_set():
            self.began.set()
            remove_file(self._directory, GO)
        if not head.begun and self._api.pod.begun and self._fresh:
            await self._take_rest()
        self._fresh = False
        return head

    async def _take_rest(self) -> None:
        """The first we see of a log whose beginning is gone: what is left of it."""
        self.whole = False
        self._splice.begin_log()
        async with self._api.stream("GET", self._api.path(f"/log?container={self._api.pod.container}")) as parts:
            async for part in parts:
                self._pass(STDOUT, self._splice.log(part))

    def _pass(self, channel: int, data: bytes) -> None:
        if data:
            self._write(2 if channel == STDERR else 1, self._tail.feed(data) if channel == STDOUT else data)

    def _write(self, descriptor: int, data: bytes) -> None:
        if data:
            self._face.write(descriptor, data)

    # input

    async def _type(self, attached: Attached) -> None:
        while True:
            if not self._unsent:
                self._unsent = await self.typed.get()
            data, self._unsent = self._unsent, b""
            try:
                await attached.write(data)
            except Unreachable:
                self._unsent = data
                return
