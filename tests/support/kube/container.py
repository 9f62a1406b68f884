"""One container: a real local process under a shim, its terminal or pipes, its log, and who is attached to it."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import pty
import socket
import struct
import subprocess
import sys
import termios
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from lite.aio.tasks import Job, Jobs, spawn
from tests.support.kube import descriptors, times
from tests.support.kube.crilog import LogWriter
from tests.support.kube.leftovers import MARKER, sweep

STDOUT, STDERR = 1, 2  # as channels of an attach
_NAMES = {STDOUT: "stdout", STDERR: "stderr"}
_SHIM = Path(__file__).with_name("shim.py")

Sink = Callable[[int, bytes], Awaitable[None]]  # channel, data; may wait as long as its reader is slow


@dataclass(frozen=True, slots=True)
class Plan:
    argv: list[str]
    env: Mapping[str, str]
    cwd: str
    tty: bool
    stdin: bool
    stdin_once: bool
    mark: str  # in the environment of all its processes; nobody else's begins so


class StartFailed(Exception):
    """The program could not be executed."""


class Container:
    """`start`, then `wait` for how it ended. Everything it started is gone by then, and its log is complete."""

    def __init__(self, plan: Plan, log: Path, on_log: Callable[[], None]) -> None:
        log.parent.mkdir(parents=True, exist_ok=True)
        self.plan = plan
        self.log = LogWriter(log, times.nanoseconds)
        self.pid = 0
        self.size = (0, 0)  # rows, columns last asked for
        self.attached: dict[object, Sink] = {}
        self.ended = asyncio.Event()  # no more output will come
        self._on_log = on_log
        self._input = -1
        self._outputs: dict[int, int] = {}  # channel -> descriptor
        self._shim: subprocess.Popen[bytes] | None = None
        self._control, self._far = socket.socketpair()
        self._heard = bytearray()
        self._pumps = Jobs("container output")
        self._typing = asyncio.Lock()
        self._said: asyncio.Queue[dict[str, object]] = asyncio.Queue()
        self._listening: Job | None = None
        self._closing = asyncio.Lock()

    def __repr__(self) -> str:
        return f"<Container pid {self.pid}, {'ended' if self.ended.is_set() else 'running'}, {self.plan.argv[:2]}>"

    async def start(self) -> None:
        """Raises `StartFailed`; then there is nothing to wait for."""
        theirs = self._streams()
        self._shim = subprocess.Popen(
            [sys.executable, "-I", "-S", str(_SHIM), str(self._far.fileno())],
            pass_fds=[*theirs, self._far.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._far.close()
        for fd in set(theirs):
            os.close(fd)
        launch = {
            "argv": self.plan.argv,
            "env": dict(self.plan.env) | {MARKER: self.plan.mark},
            "cwd": self.plan.cwd,
            "tty": self.plan.tty,
        }
        self._control.sendall(json.dumps(launch | {"fds": theirs}).encode() + b"\n")
        self._control.setblocking(False)
        for channel, fd in self._outputs.items():
            self._pumps.spawn(self._pump(channel, fd), f"container {_NAMES[channel]}")
        word = await self._hear()
        if "pid" not in word:
            await self.aclose()
            raise StartFailed(str(word.get("error", "the shim is gone")))
        self.pid = int(str(word["pid"]))
        self._listening = spawn(self._listen(), "container shim")

    async def wait(self) -> int:
        """The raw wait status of PID 1; as if killed when its shim vanished."""
        assert self._listening is not None
        status = int(await asyncio.shield(self._listening))
        await self.aclose()
        return status

    async def aclose(self) -> None:
        """Kills everything, if it still runs; returns when it is gone."""
        async with self._closing:
            if self.ended.is_set():
                return
            self._control.setblocking(False)
            with contextlib.suppress(OSError):
                self._control.shutdown(socket.SHUT_RDWR)
            if self._listening is not None:
                await asyncio.shield(self._listening)
            if self._shim is not None and await asyncio.to_thread(self._shim.wait) != 0:
                await asyncio.to_thread(sweep, self.plan.mark)
            await self._pumps.join()
            self._control.close()
            self._far.close()
            for fd in {self._input, *self._outputs.values()} - {-1}:
                os.close(fd)
            self._input = -1
            self._outputs = {}
            self.log.close()
            self.ended.set()
            self._on_log()

    def terminate(self) -> None:
        self._order("term")

    def kill(self) -> None:
        """PID 1 and all that came of it."""
        self._order("kill")

    async def kill_child(self) -> bool:
        """The youngest process under PID 1. False when there is none."""
        self._order("child")
        return bool((await self._said.get())["child"])

    async def type(self, data: bytes) -> None:
        """Into its stdin; lost when that is closed, as there."""
        async with self._typing:
            if self._input >= 0:
                with contextlib.suppress(OSError):
                    await descriptors.write(self._input, data)

    def close_stdin(self) -> None:
        if self._input >= 0 and not self.plan.tty:
            os.close(self._input)
            self._input = -1

    def resize(self, rows: int, columns: int) -> None:
        self.size = (rows, columns)
        if self.plan.tty and self._input >= 0:
            fcntl.ioctl(self._input, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def _streams(self) -> list[int]:
        """Keeps ours; those of the program (0, 1, 2)."""
        if self.plan.tty:
            master, slave = pty.openpty()
            os.set_blocking(master, False)
            self._input = master
            self._outputs = {STDOUT: master}
            return [slave, slave, slave]
        if self.plan.stdin:
            there, self._input = os.pipe()
            os.set_blocking(self._input, False)
        else:
            there = os.open(os.devnull, os.O_RDONLY)
        out, out_there = os.pipe()
        err, err_there = os.pipe()
        os.set_blocking(out, False)
        os.set_blocking(err, False)
        self._outputs = {STDOUT: out, STDERR: err}
        return [there, out_there, err_there]

    async def _pump(self, channel: int, fd: int) -> None:
        while data := await descriptors.read(fd):
            self.log.feed(_NAMES[channel], data)
            self._on_log()
            for key, sink in list(self.attached.items()):
                try:
                    await sink(channel, data)
                except OSError:
                    self.attached.pop(key, None)
        self.log.end(_NAMES[channel])
        self._on_log()

    async def _listen(self) -> int:
        while True:
            word = await self._hear()
            if "exit" in word:
                return int(str(word["exit"]))
            if not word:
                return 9
            self._said.put_nowait(word)

    async def _hear(self) -> dict[str, object]:
        """Empty when the shim is gone."""
        loop = asyncio.get_running_loop()
        while b"\n" not in self._heard:
            try:
                data = await loop.sock_recv(self._control, 65_536)
            except OSError:
                return {}
            if not data:
                return {}
            self._heard += data
        line, _, rest = bytes(self._heard).partition(b"\n")
        self._heard[:] = rest
        return dict(json.loads(line))

    def _order(self, word: str) -> None:
        with contextlib.suppress(OSError):
            self._control.send(json.dumps({word: True}).encode() + b"\n")
