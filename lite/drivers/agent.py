"""The agent's process: started with real pipes in a session of its own, read by lines, ended with all it started."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Sequence

from lite.aio.tasks import Job, spawn
from lite.executors.local import processes
from lite.executors.local.processes import Seen
from providers.parsing import LineSplitter, Oversized, Tail

_CHUNK = 64 << 10
_DRAIN_SECONDS = 1.0  # for what is still in the pipes of a program that has ended; a child of it may keep them open
_TERMINATE_SECONDS = 1.0
_LEFTOVER_SECONDS = 0.2


class Gone(Exception):
    """The agent reads nothing more, or says nothing more."""


class Agent:
    """`tail` is the end of its stderr; all of that is passed through to ours."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.tail = Tail()
        self.exited: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._process = process
        self._lines: deque[bytes | Oversized] = deque()
        self._splitter = LineSplitter()
        self._known: dict[int, Seen] = {}  # what it has started, as far as it was seen
        self._stderr: Job | None = None
        self._waiting: Job | None = None

    @classmethod
    async def start(cls, command: Sequence[str], cwd: str) -> Agent:
        """Raises OSError, ValueError when it cannot be started."""
        pipe = subprocess.PIPE
        process = subprocess.Popen(  # noqa: ASYNC220 - nothing else runs yet
            command, stdin=pipe, stdout=pipe, stderr=pipe, cwd=cwd or None, start_new_session=True
        )
        agent = cls(process)
        await agent._connect()
        return agent

    @property
    def pid(self) -> int:
        return self._process.pid

    async def line(self) -> bytes | Oversized | None:
        """The next line of its stdout; None at its end."""
        while not self._lines:
            data = await self._out.read(_CHUNK)
            self._lines.extend(self._splitter.feed(data) if data else self._splitter.end())
            if not data and not self._lines:
                return None
        return self._lines.popleft()

    async def write(self, data: bytes) -> None:
        """Raises `Gone`."""
        if self._in.is_closing():
            raise Gone
        try:
            self._in.write(data)
            await self._in.drain()
        except OSError as error:
            raise Gone from error

    def close_input(self) -> None:
        """It is told nothing more, and may end."""
        self.look_around()
        self._in.close()

    async def wait(self, seconds: float, hurry: asyncio.Event | None = None) -> bool:
        """True once it has ended, False after that time or when there is a hurry."""
        waiting: set[asyncio.Future[object]] = {self.exited}  # type: ignore[arg-type]
        hurried = spawn(hurry.wait(), "driver.hurry") if hurry is not None else None
        if hurried is not None:
            waiting.add(hurried)
        try:
            await asyncio.wait(waiting, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if hurried is not None:
                hurried.cancel()
        return self.exited.done()

    async def last_words(self) -> None:
        """Once it has ended: what it said on stderr has been heard, unless something it left behind keeps that open."""
        if self._stderr is not None:
            await asyncio.wait({self._stderr}, timeout=_DRAIN_SECONDS)

    def look_around(self) -> None:
        """Remember what it has started: who it leaves behind has another parent afterwards."""
        for seen in processes.descendants(os.getpid()):
            self._known[seen.pid] = seen

    async def end(self, close_seconds: float, hurry: asyncio.Event) -> None:
        """Close its stdin, then terminate, then kill it; nothing it started is left. `hurry` skips the first wait."""
        self.close_input()
        if not await self.wait(close_seconds, hurry):
            self._signal_all(signal.SIGTERM)
            if not await self.wait(_TERMINATE_SECONDS):
                self._signal_all(signal.SIGKILL)
                await self.wait(_TERMINATE_SECONDS)
        if self._signal_all(signal.SIGTERM):
            await asyncio.sleep(_LEFTOVER_SECONDS)
            self._signal_all(signal.SIGKILL)
        if self._waiting is not None:
            self._waiting.cancel()
        await self.last_words()
        if self._stderr is not None:
            self._stderr.cancel()

    def _signal_all(self, signum: int) -> int:
        """How many of its processes were reached."""
        self.look_around()
        reached = 0
        for seen in self._known.values():
            now = processes.look(seen.pid)
            if now is not None and now.start == seen.start and not now.zombie:
                reached += processes.send(seen, signum)
        return reached

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        process = self._process
        self._out = asyncio.StreamReader()
        self._pipe, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(self._out), process.stdout)
        err = asyncio.StreamReader()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(err), process.stderr)
        transport, protocol = await loop.connect_write_pipe(asyncio.streams.FlowControlMixin, process.stdin)
        self._in = asyncio.StreamWriter(transport, protocol, None, loop)
        self._stderr = spawn(self._pass_stderr(err), "driver.stderr")
        self._waiting = spawn(self._after_exit(), "driver.exit")

        def reap() -> None:
            code = process.wait()
            loop.call_soon_threadsafe(self.exited.set_result, code)

        # A thread, not the loop's own watcher: that one waits for the pipes, which a child of the agent may hold open.
        threading.Thread(target=reap, daemon=True).start()

    async def _after_exit(self) -> None:
        await asyncio.wait({self.exited})
        await asyncio.sleep(_DRAIN_SECONDS)
        self._pipe.close()

    async def _pass_stderr(self, err: asyncio.StreamReader) -> None:
        while data := await err.read(_CHUNK):
            self.tail.feed(data)
            view = memoryview(data)
            while view:
                view = view[os.write(2, view) :]
