"""Copying from a pod whose node has thrown away the beginning of its log."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace

from lite.executors.kubernetes import bootstrap
from lite.executors.kubernetes.bridge_copy import Copy
from lite.executors.kubernetes.bridge_face import Face

MARK = bootstrap.new_mark()


class Log:
    """An API whose log is `text`."""

    def __init__(self, text: bytes, *, begun: bool = False) -> None:
        self.text = text
        self.pod = SimpleNamespace(mark=MARK, tty=True, container="agent", begun=begun)

    def path(self, tail: str = "") -> str:
        return tail

    @asynccontextmanager
    async def stream(self, _method: str, _path: str) -> AsyncIterator[AsyncIterator[bytes]]:
        async def parts() -> AsyncIterator[bytes]:
            yield self.text

        yield parts()


class Shown(Face):
    def __init__(self, passed: int) -> None:
        self.shown, self._passed = b"", passed

    def passed(self) -> tuple[int, int]:
        return self._passed, 0

    def write(self, descriptor: int, data: bytes) -> None:
        self.shown += data


async def aligned(tmp_path: Path, log: bytes) -> tuple[Copy, Shown]:
    """After "one" was recorded, the connection cut, and "three" came over the next one."""
    face = Shown(len(b"one\n"))
    copy = Copy(str(tmp_path), Log(log), face, lambda: True)  # type: ignore[arg-type]
    copy._splice.attach()
    copy._pass(1, copy._splice.attached(b"three\r\n"))
    copy._lines.set()
    async with asyncio.timeout(10):
        await copy._align()
    return copy, face


async def test_what_was_missed_comes_out_of_the_log(tmp_path: Path) -> None:
    copy, face = await aligned(tmp_path, bootstrap.begin(MARK) + b"one\ntwo\nthree\n")
    assert (face.shown, copy.whole) == (b"two\r\nthree\r\n", True)


async def test_where_the_log_has_lost_its_beginning_it_goes_on_and_says_so(tmp_path: Path) -> None:
    copy, face = await aligned(tmp_path, b"two\nthree\n")
    assert (face.shown, copy.whole) == (b"three\r\n", False)


async def test_who_takes_it_over_gets_what_the_node_has_left_and_gets_it_once(tmp_path: Path) -> None:
    face = Shown(0)
    copy = Copy(str(tmp_path), Log(b"two\nthree\n", begun=True), face, lambda: True)  # type: ignore[arg-type]
    assert await copy.drain()
    assert await copy.drain()
    assert (face.shown, copy.whole) == (b"two\r\nthree\r\n", False)


async def test_who_takes_it_over_reads_a_whole_log_from_its_first_byte(tmp_path: Path) -> None:
    face = Shown(0)
    log = Log(bootstrap.READY + bootstrap.begin(MARK) + b"one\ntwo\n", begun=True)
    copy = Copy(str(tmp_path), log, face, lambda: True)  # type: ignore[arg-type]
    assert await copy.drain()
    assert (face.shown, copy.whole) == (b"one\r\ntwo\r\n", True)
