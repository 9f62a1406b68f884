"""Output of sessions: from the recording, live after it, and over the WebSocket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, unix_connect
from websockets.exceptions import ConnectionClosed

from lite.aio.tasks import spawn
from lite.api.client import Client
from lite.api.server import streams as streams_module
from lite.model.event import EventKind
from lite.model.order import Order
from lite.model.session import Activity, Status
from lite.model.task import State
from lite.recordings.writer import Writer
from lite.terminal import packets
from tests.api.conftest import served
from tests.api.stub_operations import FakeStream, StubOperations

OUT, ERR = packets.OUT, packets.ERR
EXIT = packets.encode(packets.EXIT, b"{}")


@pytest.fixture
async def session(operations: StubOperations) -> str:
    """Of a running task, with nothing recorded yet."""
    task, _ = await operations.submit(Order())
    await operations.become(task.id, EventKind.TASK_STARTED, state=State.RUNNING, attempt=1)
    return f"{task.id}-1"


async def end(operations: StubOperations, session: str) -> None:
    operations.streams.pop(session, None)
    await operations.become(session.partition("-")[0], EventKind.TASK_SUCCEEDED, state=State.SUCCEEDED)


def record(directory: Path, session: str, *parts: tuple[int, bytes]) -> int:
    """Append; returns the end."""
    (directory / session).mkdir(exist_ok=True)
    writer = Writer(str(directory / session), cols=80, rows=24, cap_bytes=1 << 20)
    for at, (stream, data) in enumerate(parts):
        writer.append(stream, data, 1000 + at)
    writer.close()
    return writer.end


def frames(body: bytes) -> list[Any]:
    found: list[Any] = []
    for kind, payload in packets.Decoder().feed(body):
        found.append(packets.parse_output(payload) if kind == packets.OUTPUT else kind)
    return found


class TestRecorded:
    async def test_plain_bytes_by_stream_and_offset(
        self, http: httpx.AsyncClient, tmp_path: Path, session: str
    ) -> None:
        record(tmp_path, session, (OUT, b"one\n"), (ERR, b"bad\n"), (packets.RESIZED, b"\0\1\0\2"), (OUT, b"\xfftwo"))
        path = f"/v1/sessions/{session}/recording"
        whole = await http.get(path)
        assert (whole.content, whole.headers["x-offset"]) == (b"one\nbad\n\xfftwo", "0")
        assert (await http.get(f"{path}?stream=err")).content == b"bad\n"
        later = await http.get(f"{path}?offset=6&stream=out")
        assert (later.content, later.headers["x-offset"]) == (b"\xfftwo", "6")

    async def test_packets_carry_offsets_and_streams(
        self, http: httpx.AsyncClient, tmp_path: Path, session: str
    ) -> None:
        record(tmp_path, session, (OUT, b"one"), (ERR, b"bad"))
        answered = await http.get(f"/v1/sessions/{session}/recording?format=packets&offset=1")
        assert frames(answered.content) == [(1, OUT, b"ne"), (3, ERR, b"bad")]

    async def test_what_is_not_kept_is_a_gap(self, http: httpx.AsyncClient, tmp_path: Path, session: str) -> None:
        record(tmp_path, session, (OUT, b"abc"), (OUT, b"def"))
        folder = next((tmp_path / session).iterdir())
        for file in folder.iterdir():
            file.rename(folder / file.name.replace("0000.", "0010."))
        answered = await http.get(f"/v1/sessions/{session}/recording?format=packets")
        (kind, payload), *_ = packets.Decoder().feed(answered.content)
        assert (kind, packets.parse_gap(payload)) == (packets.GAP, (0, 10))
        assert (await http.get(f"/v1/sessions/{session}/recording")).headers["x-offset"] == "10"

    @pytest.mark.parametrize("name", ["none-1", "..", "a%2F..", "%2Fetc"])
    async def test_unknown_sessions(self, http: httpx.AsyncClient, name: str) -> None:
        for tail in ("recording", "cast"):
            answered = await http.get(f"/v1/sessions/{name}/{tail}")
            assert (answered.status_code, answered.json()["error"]["code"]) == (404, "not-found")

    async def test_cast(self, http: httpx.AsyncClient, tmp_path: Path, session: str) -> None:
        record(tmp_path, session, (OUT, b"caf\xc3"), (OUT, b"\xa9"))
        (tmp_path / session / "exit.json").write_text('{"exit_code": 3}')
        answered = await http.get(f"/v1/sessions/{session}/cast")
        head, *events = [json.loads(line) for line in answered.text.splitlines()]
        assert (head["version"], head["term"]) == (3, {"cols": 80, "rows": 24})
        assert "".join(event[2] for event in events if event[1] == "o") == "café"
        assert events[-1][1:] == ["x", "3"]
        second = await http.get(f"/v1/sessions/{session}/cast?version=2")
        assert json.loads(second.text.splitlines()[0])["version"] == 2


class TestFollowing:
    async def test_no_gap_and_no_duplicate_between_recording_and_live(
        self, socket_path: str, operations: StubOperations, tmp_path: Path, session: str
    ) -> None:
        written = record(tmp_path, session, (OUT, b"abc"))
        stream = operations.streams[session] = FakeStream()
        stream.feed(packets.output(1, OUT, b"bcde"))  # what the holder sends overlaps what was read
        stream.feed(packets.output(5, ERR, b"f"))
        stream.feed(packets.status(1, "working", "holder", "launch"))
        got: list[tuple[int, int, bytes]] = []

        def follow() -> None:
            with Client(socket_path) as client:
                got.extend(client.recording(session, follow=True))

        async with served(socket_path, operations):
            following = spawn(asyncio.to_thread(follow), "follow")
            await asyncio.wait_for(stream.opened.wait(), 30)
            assert stream.offset == written
            record(tmp_path, session, (OUT, b"de"), (ERR, b"f"), (OUT, b"last"))
            await end(operations, session)
            stream.feed(EXIT)
            await asyncio.wait_for(following, 30)
        assert b"".join(data for _, _, data in got) == b"abcdef" + b"last"
        assert [at for at, _, _ in got] == [0, 3, 5, 6]
        assert stream.closed

    async def test_a_session_that_is_about_to_start_is_waited_for(
        self, http: httpx.AsyncClient, operations: StubOperations, tmp_path: Path, session: str
    ) -> None:
        (tmp_path / session).mkdir()
        asked = spawn(http.get(f"/v1/sessions/{session}/recording?follow=true"), "follow")
        await asyncio.sleep(0)
        record(tmp_path, session, (OUT, b"late"))
        await end(operations, session)
        assert (await asyncio.wait_for(asked, 30)).content == b"late"

    async def test_an_ended_session_ends_the_answer(
        self, http: httpx.AsyncClient, operations: StubOperations, tmp_path: Path, session: str
    ) -> None:
        record(tmp_path, session, (OUT, b"x"))
        await end(operations, session)
        answered = await http.get(f"/v1/sessions/{session}/recording?follow=true&format=packets")
        assert frames(answered.content) == [(0, OUT, b"x"), packets.EXIT]

    async def test_a_restart_of_the_supervisor_is_not_noticed(
        self, socket_path: str, operations: StubOperations, tmp_path: Path, session: str
    ) -> None:
        record(tmp_path, session, (OUT, b"abc"))
        operations.streams[session] = FakeStream()
        got: list[bytes] = []

        def follow() -> None:
            with Client(socket_path) as client:
                for _, _, data in client.recording(session, follow=True):
                    got.append(data)

        async with served(socket_path, operations):
            following = spawn(asyncio.to_thread(follow), "follow")
            await asyncio.wait_for(operations.streams[session].opened.wait(), 30)
        record(tmp_path, session, (OUT, b"def"))
        await end(operations, session)
        async with served(socket_path, operations):
            await asyncio.wait_for(following, 30)
        assert b"".join(got) == b"abcdef"

    async def test_silence_carries_heartbeats(
        self,
        socket_path: str,
        operations: StubOperations,
        tmp_path: Path,
        session: str,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(streams_module, "HEARTBEAT_SECONDS", 0.05)
        (tmp_path / session).mkdir()
        operations.streams[session] = FakeStream()
        async with served(socket_path, operations):
            for path in (f"/v1/sessions/{session}/recording?follow=true&format=packets", "/v1/activities/stream"):
                reader, writer = await asyncio.open_unix_connection(socket_path)
                writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
                await reader.readuntil(b"\r\n\r\n")
                for _ in range(2):
                    size = int(await asyncio.wait_for(reader.readline(), 30), 16)
                    assert (await reader.readexactly(size + 2))[:-2] in (b"\n", packets.gap(0, 0))
                writer.close()


async def test_a_reader_that_stops_reading_is_dropped_and_stops_nobody(
    socket_path: str, operations: StubOperations, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams_module, "SEND_SECONDS", 0.3)
    gone = asyncio.Event()
    big = "x" * 65536

    async def endless() -> AsyncIterator[tuple[str, Any]]:
        try:
            while True:
                yield "t", Status(Activity.WORKING, "terminal", "title", 1, big)
                await asyncio.sleep(0)
        finally:
            gone.set()

    monkeypatch.setattr(operations, "activities", endless)
    async with served(socket_path, operations):
        reader, writer = await asyncio.open_unix_connection(socket_path, limit=1024)
        writer.write(b"GET /v1/activities/stream HTTP/1.1\r\nHost: x\r\n\r\n")
        while not gone.is_set():
            with Client(socket_path) as other:
                assert (await asyncio.to_thread(other.health))["ok"]
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await reader.readexactly(1 << 30)
        writer.close()


@asynccontextmanager
async def attached(path: str, session: str, ticket: str = "secret", **hello: int) -> AsyncIterator[ClientConnection]:
    where = f"ws://qd/v1/sessions/{session}/stream?ticket={ticket}"
    async with unix_connect(path, where, compression=None) as connection:
        await connection.send(packets.hello(packets.CONTROL, **hello))
        yield connection


class TestSocket:
    @pytest.fixture
    async def stream(self, operations: StubOperations, session: str) -> FakeStream:
        operations.streams[session] = FakeStream()
        await operations.attach(session, control=True, local=False)
        return operations.streams[session]

    async def test_packets_both_ways(
        self, socket_path: str, operations: StubOperations, session: str, stream: FakeStream
    ) -> None:
        hello = {"offset": 7, "cols": 90, "rows": 30}
        async with served(socket_path, operations), attached(socket_path, session, **hello) as connection:
            stream.feed(packets.output(7, OUT, b"hi"))
            assert await connection.recv() == packets.output(7, OUT, b"hi")
            await connection.send(packets.encode(packets.INPUT, b"\x1b[A"))
            async with asyncio.timeout(30):
                while len(stream.written) < 2:
                    stream.wrote.clear()
                    await stream.wrote.wait()
            stream.feed(EXIT)
            stream.feed(None)
            assert await connection.recv() == EXIT
            with pytest.raises(ConnectionClosed) as closed:
                await connection.recv()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1000
        assert stream.offset == 7
        assert stream.written == [(packets.RESIZE, packets.resize(90, 30)[5:]), (packets.INPUT, b"\x1b[A")]
        assert stream.closed

    async def test_a_ticket_serves_once(
        self, socket_path: str, operations: StubOperations, session: str, stream: FakeStream
    ) -> None:
        async with served(socket_path, operations), attached(socket_path, session):
            stream.feed(packets.output(0, OUT, b"x"))
            async with attached(socket_path, session) as second:
                refused = await second.recv()
                assert refused == packets.encode(packets.REFUSED, b"this ticket is not valid")
                with pytest.raises(ConnectionClosed):
                    await second.recv()
        assert stream.offset is None

    @pytest.mark.parametrize(
        "message",
        [
            b"",
            b"\x02",
            packets.encode(packets.GO),
            packets.encode(packets.INPUT, b"a") * 2,
            "text",
            b"\x02\xff\xff\xff\xff",
        ],
    )
    async def test_what_is_not_for_clients_ends_the_connection(
        self, socket_path: str, operations: StubOperations, session: str, stream: FakeStream, message: bytes
    ) -> None:
        async with served(socket_path, operations), attached(socket_path, session) as connection:
            await connection.send(message)
            assert (await connection.recv())[0] == packets.REFUSED  # type: ignore[comparison-overlap]
            with pytest.raises(ConnectionClosed) as closed:
                await connection.recv()
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1008
        assert stream.written == []
        assert stream.closed

    async def test_a_client_that_goes_lets_go_of_the_session(
        self, socket_path: str, operations: StubOperations, session: str, stream: FakeStream
    ) -> None:
        async with served(socket_path, operations) as server:
            async with attached(socket_path, session) as connection:
                stream.feed(packets.output(0, OUT, b"x"))
                await connection.recv()
            await server.stop()
        assert stream.closed

    async def test_stopping_says_goodbye(
        self, socket_path: str, operations: StubOperations, session: str, stream: FakeStream
    ) -> None:
        async with served(socket_path, operations) as server, attached(socket_path, session) as connection:
            stream.feed(packets.output(0, OUT, b"x"))
            await connection.recv()
            await server.stop()
            with pytest.raises(ConnectionClosed) as closed:
                await connection.recv()
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code in (1001, 1012)

    async def test_a_watcher_that_stops_reading_is_dropped(
        self,
        socket_path: str,
        operations: StubOperations,
        session: str,
        stream: FakeStream,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(streams_module, "SEND_SECONDS", 0.3)
        for _ in range(200):
            stream.feed(packets.output(0, OUT, bytes(65536)))
        async with served(socket_path, operations):
            where = f"ws://qd/v1/sessions/{session}/stream?ticket=secret"
            async with unix_connect(socket_path, where, compression=None, max_queue=1) as connection:
                await connection.send(packets.hello(packets.WATCH))
                async with asyncio.timeout(30):
                    while not stream.closed:
                        await asyncio.to_thread(_health, socket_path)


def _health(path: str) -> None:
    with Client(path) as client:
        client.health()


async def test_activity_is_streamed(socket_path: str, operations: StubOperations) -> None:
    from tests.api.stub_operations import WORKING

    got: list[Any] = []

    def first(take: Callable[[Any], None]) -> None:
        with Client(socket_path) as client:
            for changes in client.activities():
                for change in changes:
                    take(change)
                    return

    async with served(socket_path, operations):
        operations.activity.put_nowait(("t", WORKING))
        await asyncio.wait_for(asyncio.to_thread(first, got.append), 30)
    assert got == [{"task": "t", "activity": "working", "source": "terminal", "rule": "title", "since": 11, "text": ""}]
