"""Sessions of other workers through our API: the sockets that lead to them, their recordings, a look at them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import stat
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path

import httpx
import pytest

from lite.api.client import Client
from lite.api.headers import HERE_ONLY
from lite.api.server import listen, relay_socket
from lite.errors import NotFound, PeerUnavailable
from lite.model.session import Activity, Inspection, Status
from lite.terminal import packets
from tests.api.conftest import served
from tests.api.stub_operations import FakeStream, StubOperations

SESSION = "01jd8zzzzzzzzzzzzzzzzzzzzz-1"
GONE = PeerUnavailable("not available: worker w-9 cannot be reached", hint="qd workers")


class RemoteRecording:
    """What another worker keeps: packets, then perhaps an error."""

    start = 5

    def __init__(self, *found: bytes, error: Exception | None = None) -> None:
        self.asked: list[tuple[int, bool]] = []
        self.closed = asyncio.Event()
        self._found = found
        self._error = error

    async def play(self, offset: int, *, follow: bool) -> AsyncGenerator[packets.Packet, None]:
        self.asked.append((offset, follow))
        try:
            for encoded in self._found:
                yield encoded[0], encoded[5:]
            if self._error is not None:
                raise self._error
        finally:
            self.closed.set()

    async def cast(self, version: int) -> AsyncGenerator[bytes, None]:
        yield b'{"version": %d}\n' % version


@pytest.fixture
async def elsewhere(socket_path: str, operations: StubOperations) -> AsyncIterator[StubOperations]:
    operations.elsewhere = "w-9"
    operations.streams[SESSION] = FakeStream()
    async with served(socket_path, operations):
        yield operations


async def offered(socket_path: str) -> Path:
    def ask() -> str:
        with Client(socket_path) as client:
            return client.attach(SESSION)["address"]

    return Path(await asyncio.to_thread(ask))


async def opened(path: Path, greeting: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_unix_connection(str(path))
    writer.write(greeting)
    return reader, writer


async def all_of(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(20):
        with contextlib.suppress(ConnectionError):
            return await reader.read()
    return b""


async def test_packets_pass_as_they_are_in_both_directions(elsewhere: StubOperations, socket_path: str) -> None:
    path, far = await offered(socket_path), elsewhere.streams[SESSION]
    reader, writer = await opened(path, packets.hello(packets.CONTROL, 0, 17, 90, 30))
    said = packets.welcome(1, 90, 30, 0, 20, 1) + packets.output(17, packets.OUT, b"abc") + packets.encode(packets.EXIT)
    for kind, payload in packets.Decoder().feed(said):
        far.feed(packets.encode(kind, payload))
    typed = packets.encode(packets.INPUT, b"x" * 100_000) + packets.resize(80, 24) + packets.encode(packets.INSPECT)
    writer.write(typed)
    async with asyncio.timeout(20):
        while len(far.written) < 4:
            far.wrote.clear()
            await far.wrote.wait()
        assert await reader.readexactly(len(said)) == said
    assert far.written[0] == (packets.RESIZE, packets.resize(90, 30)[5:])
    assert far.written[1:] == packets.Decoder().feed(typed)
    assert ("open_remote", ("w-9", SESSION, True, 17)) in elsewhere.calls
    far.feed(None)
    assert await all_of(reader) == b""
    assert far.closed
    writer.close()


@pytest.mark.parametrize(("offset", "asked"), [(packets.SAFE_MARK, None), (packets.END, packets.END), (0, 0)])
async def test_a_watcher_leaves_the_size_alone(
    elsewhere: StubOperations, socket_path: str, offset: int, asked: int | None
) -> None:
    far = elsewhere.streams[SESSION]
    reader, writer = await opened(await offered(socket_path), packets.hello(packets.WATCH, 0, offset))
    far.feed(None)
    assert await all_of(reader) == b""
    assert elsewhere.calls[-1] == ("open_remote", ("w-9", SESSION, False, asked))
    assert far.written == []
    writer.close()


async def test_a_worker_out_of_reach_is_said_to_be(elsewhere: StubOperations, socket_path: str) -> None:
    path = await offered(socket_path)
    elsewhere.fail = GONE
    reader, writer = await opened(path, packets.hello(packets.WATCH))
    assert await all_of(reader) == packets.encode(packets.REFUSED, GONE.message.encode())
    writer.close()


async def test_a_supervisor_is_not_let_in(elsewhere: StubOperations, socket_path: str) -> None:
    for role in (packets.SUPERVISE, packets.QUIET, 9):
        reader, writer = await opened(await offered(socket_path), packets.hello(role, 1 << 40))
        ((kind, _),) = packets.Decoder().feed(await all_of(reader))
        assert kind == packets.REFUSED
        writer.close()
    assert all(name != "open_remote" for name, _ in elsewhere.calls)


@pytest.mark.parametrize(
    "greeting", [b"GET / HTTP/1.1\r\n\r\n", packets.encode(packets.INPUT, b"x"), packets.encode(packets.HELLO, b"x")]
)
async def test_who_does_not_greet_is_dropped(elsewhere: StubOperations, socket_path: str, greeting: bytes) -> None:
    reader, writer = await opened(await offered(socket_path), greeting)
    assert await all_of(reader) == b""
    writer.close()
    assert all(name != "open_remote" for name, _ in elsewhere.calls)


async def test_a_broken_packet_ends_that_client_only(elsewhere: StubOperations, socket_path: str) -> None:
    path = await offered(socket_path)
    reader, writer = await opened(path, packets.hello(packets.CONTROL))
    writer.write(packets.encode(packets.INPUT, b"x") + b"\xff\xff\xff\xff\xff")
    assert await all_of(reader) == b""
    writer.close()
    again = await offered(socket_path)
    reader, writer = await opened(again, packets.hello(packets.WATCH))
    elsewhere.streams[SESSION].feed(packets.output(0, packets.OUT, b"hi"))
    async with asyncio.timeout(20):
        assert await reader.readexactly(16) == packets.output(0, packets.OUT, b"hi")
    writer.close()


async def test_the_socket_is_ours_alone_and_refuses_others(
    elsewhere: StubOperations, socket_path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = await offered(socket_path)
    assert (stat.S_IMODE(path.stat().st_mode), stat.S_IMODE(path.parent.stat().st_mode)) == (0o600, 0o700)
    monkeypatch.setattr(listen, "peer_uid", lambda _sock: os.getuid() + 1)
    reader, writer = await opened(path, packets.hello(packets.CONTROL))
    assert await all_of(reader) == b""
    writer.close()
    assert all(name != "open_remote" for name, _ in elsewhere.calls)


async def test_an_offer_nobody_takes_up_ends(
    elsewhere: StubOperations, socket_path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay_socket, "OFFER_SECONDS", 0.0)
    gone = asyncio.Event()
    shut = relay_socket._RelaySocket._shut

    def told(one: relay_socket._RelaySocket) -> None:
        shut(one)
        gone.set()

    monkeypatch.setattr(relay_socket._RelaySocket, "_shut", told)
    path = await offered(socket_path)
    await asyncio.wait_for(gone.wait(), 20)
    assert not path.exists()
    monkeypatch.setattr(relay_socket, "OFFER_SECONDS", 30.0)
    assert (await offered(socket_path)).is_socket()


async def test_sockets_go_with_the_server_and_stale_ones_at_the_next_start(
    socket_path: str, operations: StubOperations
) -> None:
    operations.elsewhere = "w-9"
    operations.streams[SESSION] = FakeStream()
    async with served(socket_path, operations):
        path = await offered(socket_path)
        reader, writer = await opened(path, packets.hello(packets.WATCH))
        assert path.is_socket()
    assert await all_of(reader) == b""
    writer.close()
    assert not path.exists()
    stale = path.with_name("stale.sock")
    listen.bind(str(stale)).close()
    async with served(socket_path, operations):
        assert not stale.exists()


async def test_a_session_that_is_here_keeps_its_own_socket(socket_path: str, operations: StubOperations) -> None:
    operations.streams[SESSION] = FakeStream()
    async with served(socket_path, operations):
        assert await offered(socket_path) == Path("/h/s/x.sock")


# recordings and looks


async def test_a_recording_elsewhere_in_both_forms(http: httpx.AsyncClient, operations: StubOperations) -> None:
    far = RemoteRecording(
        packets.gap(2, 5), packets.output(5, packets.OUT, b"out"), packets.output(8, packets.ERR, b"err")
    )
    operations.remote_recordings[SESSION] = far
    where = f"/v1/sessions/{SESSION}/recording"
    raw = await http.get(where, params={"offset": 2})
    assert (raw.content, raw.headers["x-offset"]) == (b"outerr", "5")
    assert (await http.get(where, params={"stream": "err"})).content == b"err"
    framed = await http.get(where, params={"offset": 7, "follow": "true", "format": "packets"})
    assert [kind for kind, _ in packets.Decoder().feed(framed.content)] == [packets.GAP, packets.OUTPUT, packets.OUTPUT]
    assert framed.headers["x-offset"] == "7"
    assert far.asked == [(2, False), (0, False), (7, True)]
    assert (await http.get(f"/v1/sessions/{SESSION}/cast", params={"version": "2"})).content == b'{"version": 2}\n'


async def test_a_recording_that_breaks_off_is_broken_off(
    socket_path: str, operations: StubOperations, caplog: pytest.LogCaptureFixture
) -> None:
    """An answer that looked complete would be a lie."""
    far = RemoteRecording(packets.output(5, packets.OUT, b"out"), error=GONE)
    operations.remote_recordings[SESSION] = far
    async with served(socket_path, operations):
        transport = httpx.AsyncHTTPTransport(uds=socket_path)
        async with httpx.AsyncClient(transport=transport, base_url="http://qd") as client:
            with pytest.raises(httpx.TransportError):
                await client.get(f"/v1/sessions/{SESSION}/recording", timeout=20)
    assert "Traceback" not in caplog.text
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


async def test_who_stops_reading_ends_the_reading_elsewhere(socket_path: str, operations: StubOperations) -> None:
    blocks = [packets.output(number << 16, packets.OUT, bytes(1 << 16)) for number in range(1000)]
    far = operations.remote_recordings[SESSION] = RemoteRecording(*blocks)

    def look() -> None:
        with Client(socket_path) as client:
            found = client.recording(SESSION)
            next(found)
            found.close()

    async with served(socket_path, operations):
        await asyncio.to_thread(look)
        await asyncio.wait_for(far.closed.wait(), 20)


async def test_a_look(http: httpx.AsyncClient, operations: StubOperations) -> None:
    status = Status(Activity.WAITING, "terminal", "osc7501", 5, "Sure?" * 10_000)
    operations.inspections[SESSION] = Inspection(True, 7, 1, 2, 9, status, 80, 24, 3)
    told = (await http.get(f"/v1/sessions/{SESSION}")).json()
    assert len(told.pop("text")) == 4000
    assert told == {
        "session": SESSION,
        "alive": True,
        "pid": 7,
        "started_at": 1,
        "last_output_at": 2,
        "start": 3,
        "transcript": None,
        "offset": 9,
        "cols": 80,
        "rows": 24,
        "activity": "waiting",
        "source": "terminal",
        "rule": "osc7501",
        "since": 5,
    }
    assert (await http.get("/v1/sessions/x-1")).json()["error"]["code"] == NotFound.code


async def test_another_worker_asks_for_what_is_here_only(http: httpx.AsyncClient, operations: StubOperations) -> None:
    operations.inspections[SESSION] = Inspection(True)
    operations.streams[SESSION] = FakeStream()
    operations.remote_recordings[SESSION] = RemoteRecording()
    for headers in ({HERE_ONLY: "1"}, {}):
        for path in ("", "/recording", "/cast"):
            assert (await http.get(f"/v1/sessions/{SESSION}{path}", headers=headers)).status_code == 200
        assert (await http.post(f"/v1/sessions/{SESSION}/attach", headers=headers)).status_code == 200
    assert operations.asked_here == [True] * 4 + [False] * 4
