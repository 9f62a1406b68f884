"""Copying from a pod: its beginning, and a log whose beginning its node has thrown away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lite.aio.tasks import spawn
from lite.executors.kubernetes import bootstrap, bridge_copy
from lite.executors.kubernetes.bridge_copy import Copy
from lite.executors.kubernetes.bridge_face import Face
from lite.executors.kubernetes.bridge_http import Unreachable
from lite.executors.kubernetes.bridge_marks import Head
from lite.executors.kubernetes.pod_file import GO, SENT, write_file

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


# GO

READY, BEGUN = bootstrap.READY, bootstrap.begin(MARK)
PAYLOAD = b"GO, with all that belongs to it"


class Line:
    """A connection: when GO was sent over it (the loop's time)."""

    def __init__(self, *, cut: bool = False) -> None:
        self.sent: list[float] = []
        self.cut, self.closed = cut, False

    async def write(self, data: bytes) -> None:
        assert data == PAYLOAD
        self.sent.append(asyncio.get_running_loop().time())
        if self.cut:
            raise Unreachable("the connection was cut")

    async def close(self) -> None:
        self.closed = True


class Telling(Log):
    """One that says something else each time it is read; the last one for ever."""

    def __init__(self, *texts: bytes) -> None:
        super().__init__(texts[0])
        self.texts, self.read = list(texts), 0

    @asynccontextmanager
    async def stream(self, method: str, path: str) -> AsyncIterator[AsyncIterator[bytes]]:
        self.read += 1
        self.text = self.texts.pop(0) if len(self.texts) > 1 else self.texts[0]
        async with super().stream(method, path) as parts:
            yield parts


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> float:
    """For how long a GO may be on its way."""
    monkeypatch.setattr(bridge_copy, "_AGAIN_SECONDS", (0.001, 0.01))
    monkeypatch.setattr(bridge_copy, "_SENT_SECONDS", 0.3)
    write_file(str(tmp_path), GO, PAYLOAD)
    return 0.3


def copying(tmp_path: Path, log: Log) -> Copy:
    return Copy(str(tmp_path), log, Shown(0), lambda: True)  # type: ignore[arg-type]


async def let_go(copy: Copy, line: Line) -> None:
    head = await copy._read_log()
    async with asyncio.timeout(20):
        await copy._let_go(line, head)  # type: ignore[arg-type]


async def test_go_is_sent_once_however_late_its_effect_is_seen(tmp_path: Path, quick: float) -> None:
    log = Telling(b"", *[READY] * 60, READY + BEGUN)  # far longer than a GO may be on its way
    line = Line()
    started = asyncio.get_running_loop().time()
    await let_go(copying(tmp_path, log), line)
    assert asyncio.get_running_loop().time() - started > quick
    assert len(line.sent) == 1
    assert line.closed  # the log knew it before the line: what was said on it is read from the log
    assert log.read > 60


async def test_go_is_not_sent_before_it_is_asked_for(tmp_path: Path, quick: float) -> None:
    log = Telling(*[b""] * 20, BEGUN)
    line = Line()
    await let_go(copying(tmp_path, log), line)
    assert line.sent == []


async def test_asked_for_again_it_is_sent_again_once_the_first_cannot_be_on_its_way_any_more(
    tmp_path: Path, quick: float
) -> None:
    log = Telling(READY, *[READY * 2] * 60, READY * 2 + BEGUN)
    line = Line()
    await let_go(copying(tmp_path, log), line)
    first, second = line.sent
    assert second - first >= quick


async def test_who_comes_after_somebody_who_sent_it_waits_for_its_effect_first(tmp_path: Path, quick: float) -> None:
    write_file(str(tmp_path), SENT, b"")
    line, began = Line(), asyncio.get_running_loop().time()
    await let_go(copying(tmp_path, Telling(*[READY] * 5, READY + BEGUN)), line)
    assert line.sent == []  # it was on its way

    write_file(str(tmp_path), GO, PAYLOAD)
    await let_go(copying(tmp_path, Telling(*[READY] * 80, READY + BEGUN)), line)
    (sent,) = line.sent
    assert sent - began >= quick


@pytest.mark.parametrize("died", [False, True])
async def test_one_that_was_lost_with_its_connection_is_sent_over_the_next(
    tmp_path: Path, quick: float, died: bool
) -> None:
    """Also by the next bridge, should this one have died over it."""
    log = Telling(*[READY] * 200, READY + BEGUN)
    copy, lost, line = copying(tmp_path, log), Line(cut=True), Line()
    with pytest.raises(Unreachable):
        await let_go(copy, lost)
    await let_go(copying(tmp_path, log) if died else copy, line)
    assert len(lost.sent) == len(line.sent) == 1
    assert line.sent[0] - lost.sent[0] >= quick


async def test_what_is_heard_on_the_line_is_looked_up_at_once(
    tmp_path: Path, quick: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bridge_copy, "_AGAIN_SECONDS", (60.0,))
    log: Any = Telling(b"", READY, READY + BEGUN)
    copy, line = copying(tmp_path, log), Line()
    letting = spawn(copy._let_go(line, Head(MARK)))  # type: ignore[arg-type]
    for _ in range(3):
        copy._asked.set()
        await asyncio.sleep(0.01)
    async with asyncio.timeout(20):
        await letting
    assert len(line.sent) == 1
