"""Sessions on a real nursery, for tests: made, attached, looked at from outside."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lite.executors.local.executor import LocalExecutor
from lite.executors.local.handle import Handle, parse_handle
from lite.home import Home
from lite.model.session import Activity, SessionRequest
from lite.model.task import Outcome
from lite.ports import TerminalStream
from lite.recordings.reader import Recording
from lite.terminal import packets
from providers.base import Launch

SECONDS = 30.0
PATH = f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin"


class Desk:
    """One home, as many executors as supervisors come and go."""

    def __init__(self, root: Path) -> None:
        self.home = Home(root / "home")
        self.root = root
        self.executors: list[LocalExecutor] = []
        self.count = 0

    async def executor(self) -> LocalExecutor:
        made = LocalExecutor(self.home)
        self.executors.append(made)
        await made.open()
        return made

    async def run(self, *argv: str, executor: LocalExecutor | None = None, **fields: Any) -> tuple[LocalExecutor, str]:
        """Start a program; `fields` go to the request or, those it does not know, to the launch."""
        executor = executor or (self.executors[-1] if self.executors else await self.executor())
        handle = await executor.start(self.request(*argv, **fields), _ignore)
        return executor, handle

    def request(self, *argv: str, **fields: Any) -> SessionRequest:
        self.count += 1
        own = {name: fields.pop(name) for name in list(fields) if name in SessionRequest.__dataclass_fields__}
        task = own.pop("task", f"task{self.count}")
        env = {"PATH": PATH, "TERM": "xterm-256color", "LANG": "C.UTF-8", **own.pop("env", {})}
        return SessionRequest(
            task=task,
            attempt=own.pop("attempt", 1),
            token=own.pop("token", 1),
            launch=Launch(argv=argv, **fields),
            cwd=own.pop("cwd", str(self.root)),
            env=env,
            directory=own.pop("directory", str(self.home.session(f"{task}-1"))),
            **own,
        )

    def nursery(self) -> int | None:
        """Its pid, found as the process that holds the lock on its file."""
        for entry in Path("/proc").iterdir():
            try:
                ours = entry.name.isdigit() and str(self.home.root).encode() in (entry / "cmdline").read_bytes()
                if ours and (entry / "comm").read_text() == "qd-nursery\n":
                    return int(entry.name)
            except OSError:
                continue
        return None

    async def close(self) -> None:
        """Let go of everything; nothing may be left."""
        for executor in self.executors:
            await executor.close()
        await until(lambda: not self.survivors(), explain=lambda: f"left: {self.survivors()}\n{self.log()}")

    def survivors(self) -> list[int]:
        return [pid for pid in _pids() if alive(pid) and _has(pid, f"QD_HOME={self.home.root}")]

    def kill_all(self) -> None:
        for pid in self.survivors():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass

    def log(self) -> str:
        return self.home.nursery_log.read_text() if self.home.nursery_log.exists() else ""


async def _ignore(_handle: str) -> None:
    pass


def recording(handle: str) -> Recording:
    return Recording(parse_handle(handle).directory)


def holder_of(handle: str) -> int:
    parsed: Handle = parse_handle(handle)
    return parsed.pid


def recorded(handle: str, *streams: int) -> bytes:
    """All bytes kept of these streams (default: the program's output)."""
    wanted = streams or (packets.OUT, packets.ERR)
    return b"".join(entry.data for entry in recording(handle).entries() if entry.stream in wanted)


async def ended(executor: LocalExecutor, handle: str, seconds: float = SECONDS) -> Outcome:
    return await asyncio.wait_for(executor.wait(handle), seconds)


async def finish(executor: LocalExecutor, handle: str) -> Outcome:
    await executor.stop(handle, grace_ms=0)
    return await ended(executor, handle)


async def read_until(
    stream: TerminalStream, text: bytes, streams: tuple[int, ...] = (packets.OUT, packets.ERR)
) -> bytes:
    """Output up to and with `text`."""
    got = b""
    async with asyncio.timeout(SECONDS):
        while text not in got:
            packet = await stream.read()
            assert packet is not None, f"ended before {text!r} came: {got[-2000:]!r}"
            if packet[0] == packets.OUTPUT:
                _, source, data = packets.parse_output(packet[1])
                if source in streams:
                    got += data
    return got


async def read_kind(stream: TerminalStream, kind: int) -> bytes:
    """The payload of the next packet of this kind."""
    async with asyncio.timeout(SECONDS):
        while (packet := await stream.read()) is not None:
            if packet[0] == kind:
                return packet[1]
    raise AssertionError(f"ended before a packet of kind {kind:#x}")


async def read_all(stream: TerminalStream) -> tuple[bytes, list[tuple[int, int]], bytes]:
    """(output from the first byte on, gaps, exit.json); fails on a jump or an overlap that is no gap."""
    got, gaps, at, exit_json = b"", [], None, b""
    async with asyncio.timeout(SECONDS):
        while (packet := await stream.read()) is not None:
            kind, payload = packet
            if kind == packets.OUTPUT:
                offset, source, data = packets.parse_output(payload)
                if source == packets.PREAMBLE:
                    continue
                assert at is None or offset == at, f"offset {offset} after {at}"
                at = offset + len(data)
                if source in (packets.OUT, packets.ERR):
                    got += data
            elif kind == packets.GAP:
                begin, end = packets.parse_gap(payload)
                assert at is None or begin == at
                at = end
                gaps.append((begin, end))
            elif kind == packets.EXIT:
                exit_json = payload
    return got, gaps, exit_json


async def acked(stream: TerminalStream, data: bytes) -> tuple[bool, str]:
    await stream.write((packets.INPUT, data))
    return packets.parse_ack(await read_kind(stream, packets.ACK))


async def activity(executor: LocalExecutor, handle: str, wanted: Activity) -> str:
    """Wait until the session says so; the text it gave."""
    said: asyncio.Queue[Any] = asyncio.Queue()
    executor.watch_status(handle, said.put_nowait)
    async with asyncio.timeout(SECONDS):
        while True:
            status = await said.get()
            if status.activity is wanted:
                return str(status.text)


async def until(condition: Callable[[], object], seconds: float = SECONDS, explain: Callable[[], str] = str) -> None:
    """Foreign processes tell nobody when they change: look until true."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {explain()}"
        await asyncio.sleep(0.01)


async def pid_in(path: Path) -> int:
    await until(lambda: path.exists() and path.read_text().endswith("\n"), explain=lambda: f"nothing in {path}")
    return int(path.read_text())


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except OSError:
        return False


def _pids() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def _has(pid: int, mark: str) -> bool:
    try:
        return mark.encode() in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return False
