"""Other workers' sessions over their control API: the right words to a good one, and none too many to a bad one."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from lite.aio.tasks import spawn
from lite.api.headers import HERE_ONLY
from lite.api.server.listen import ApiServer, bind_tcp
from lite.clock import SystemClock, VirtualClock
from lite.engine.questions import Answer as Given
from lite.errors import NotFound, PeerUnavailable, QuarterdeckError, SessionRefused
from lite.model.session import Activity, Inspection, Status
from lite.model.task import State, Task, TaskSpec
from lite.model.worker import Worker
from lite.peers import calls, http_peers
from lite.peers.http_peers import HttpPeers
from lite.ports import TerminalStream
from lite.recordings.writer import Writer
from lite.terminal import packets
from lite.transcripts.layout import transcript_path
from tests.api.stub_operations import FakeStream, StubOperations
from tests.peers.rogue import Answer, frame, http, rogue, says, silent, talks
from tests.support.cutting import Cutter

TOKEN = "secret-of-w"
SESSION = "01jd8zzzzzzzzzzzzzzzzzzzzz-1"
WELCOME = packets.welcome(7, 80, 24, 0, 0, packets.RUNNING)


class Peer:
    """A stub of a worker behind a proxy that cuts."""

    def __init__(self, operations: StubOperations, proxy: Cutter) -> None:
        self.operations, self.proxy = operations, proxy
        self.worker = Worker("w", "node", 1, address=f"http://127.0.0.1:{proxy.port}", token=TOKEN)


@pytest.fixture
async def peer(tmp_path: Path) -> AsyncIterator[Peer]:
    operations = StubOperations(tmp_path)
    with tempfile.TemporaryDirectory(prefix="qd-peer-") as directory:
        operations.relay_directory = Path(directory)
        outer = bind_tcp("127.0.0.1", 0)
        async with Cutter(outer.getsockname()[1]) as proxy:
            operations.token, operations.address = TOKEN, f"http://127.0.0.1:{proxy.port}"
            server = ApiServer([outer], operations)  # type: ignore[arg-type]
            serving = spawn(server.serve(), "peer")
            await server.started.wait()
            yield Peer(operations, proxy)
            async with asyncio.timeout(30):
                await server.stop()
                await serving


@pytest.fixture
def peers() -> HttpPeers:
    return HttpPeers(SystemClock(), patience=1.0)


async def taken(stream: TerminalStream) -> packets.Packet | None:
    async with asyncio.timeout(20):
        return await stream.read()


def decoded(encoded: bytes) -> packets.Packet:
    return encoded[0], encoded[5:]


# asking


async def test_inspect_asks_for_what_is_there_only(peer: Peer, peers: HttpPeers) -> None:
    status = Status(Activity.WAITING, "terminal", "osc7501", 5, "Sure?")
    seen = Inspection(True, 7, 1, 2, 9, status, 80, 24, 3)
    peer.operations.inspections[SESSION] = seen
    assert await peers.inspect(peer.worker, SESSION) == seen
    assert peer.operations.asked_here == [True]
    with pytest.raises(NotFound):
        await peers.inspect(peer.worker, "other-1")


async def test_send_brings_exactly_these_bytes(peer: Peer, peers: HttpPeers) -> None:
    spec = TaskSpec(id=SESSION, name="t", agent="shell", provider="shell")
    peer.operations.table[SESSION] = Task(spec, seq=1, state=State.RUNNING)
    data = bytes(range(256))
    assert await peers.send(peer.worker, SESSION, data) == (True, "")
    assert ("send", data) in peer.operations.calls
    peer.operations.table[SESSION] = Task(spec, seq=1, state=State.FAILED)
    assert await peers.send(peer.worker, SESSION, data) == (False, "the task is not running")


async def test_an_answer_goes_to_the_question_it_was_meant_for(peer: Peer, peers: HttpPeers) -> None:
    said = {"id": "q1", "decision": "answer", "text": "port \u00fc 80", "hash": "h1"}
    assert await peers.answer(peer.worker, SESSION, said) == ("delivered", "")
    assert peer.operations.calls == [("answer", (SESSION, Given("q1", "answer", "port \u00fc 80", "h1")))]
    refused = await peers.answer(peer.worker, SESSION, {**said, "id": "q2"})
    assert refused == ("refused", "it asks something else now")


@pytest.mark.parametrize("token", ["", "wrong", "a\r\nb: c", "ünicode"])
async def test_a_wrong_token(peer: Peer, peers: HttpPeers, token: str) -> None:
    worker = replace(peer.worker, token=token)
    with pytest.raises(PeerUnavailable) as refused:
        await peers.inspect(worker, SESSION)
    assert "token" in refused.value.message
    assert TOKEN not in str(refused.value)
    with pytest.raises(PeerUnavailable):
        await peers.attach(worker, SESSION, control=True)


@pytest.mark.parametrize(
    "address",
    [
        "",
        "host:1",
        "https://h:1",
        "http://h",
        "http://:1",
        "http://h:99999",
        "http://u@h:1",
        "http://h:1/x",
        "http://[x:1",
    ],
)
async def test_an_address_that_leads_nowhere(peers: HttpPeers, address: str) -> None:
    worker = Worker("w", "node", 1, address=address, token=TOKEN)
    with pytest.raises(PeerUnavailable) as missing:
        await peers.inspect(worker, SESSION)
    assert missing.value.message.startswith("not available: worker w ")
    assert ("--listen" in missing.value.hint) == (address == "")


async def test_since_when_it_cannot_be_reached() -> None:
    clock = VirtualClock(1_700_000_000_000)
    peers = HttpPeers(clock)
    with bind_tcp("127.0.0.1", 0) as closed:
        worker = Worker("w", "node", 1, address=f"http://127.0.0.1:{closed.getsockname()[1]}", token=TOKEN)
    for _ in range(2):
        with pytest.raises(PeerUnavailable) as gone:
            await peers.inspect(worker, SESSION)
        assert gone.value.message.startswith(
            "not available: worker w cannot be reached since 2023-11-14 22:13:20 UTC ("
        )
        await clock.advance(60)


# attaching


async def test_packets_go_both_ways(peer: Peer, peers: HttpPeers) -> None:
    far = peer.operations.streams[SESSION] = FakeStream()
    far.feed(WELCOME)
    far.feed(packets.output(0, packets.OUT, b"hi"))
    stream = await peers.attach(peer.worker, SESSION, control=True, offset=0)
    assert ("attach", (SESSION, True, False)) in peer.operations.calls
    assert peer.operations.asked_here == [True]
    assert far.offset == 0
    assert [await taken(stream), await taken(stream)] == [
        decoded(WELCOME),
        decoded(packets.output(0, packets.OUT, b"hi")),
    ]
    await stream.write((packets.INPUT, b"x"))
    await stream.write(decoded(packets.resize(90, 30)))
    await stream.write((packets.SIGNAL, b"\x09"))
    assert await taken(stream) == decoded(packets.ack(False, "only its own worker signals or stops a session"))
    far.feed(packets.ack(True))
    assert await taken(stream) == decoded(packets.ack(True))
    assert far.written == [(packets.INPUT, b"x"), decoded(packets.resize(90, 30))]
    far.feed(packets.encode(packets.EXIT, b"{}"))
    assert await taken(stream) == (packets.EXIT, b"{}")
    assert await taken(stream) is None
    await stream.aclose()


async def test_a_refusal_is_told_as_it_is(peer: Peer, peers: HttpPeers) -> None:
    with pytest.raises(SessionRefused) as refused:
        await peers.attach(peer.worker, SESSION, control=True)
    assert (refused.value.message, refused.value.hint) == ("the task is not running yet", "qd explain")


async def test_it_goes_on_at_the_offset_with_the_size_and_answers_for_what_was_typed(
    peer: Peer, peers: HttpPeers
) -> None:
    first = peer.operations.streams[SESSION] = FakeStream()
    first.feed(WELCOME)
    first.feed(packets.output(0, packets.OUT, b"0123"))
    stream = await peers.attach(peer.worker, SESSION, control=True)
    assert await taken(stream) == decoded(WELCOME)
    assert await taken(stream) == decoded(packets.output(0, packets.OUT, b"0123"))
    await stream.write(decoded(packets.resize(90, 30)))
    await stream.write((packets.INPUT, b"typed"))
    async with asyncio.timeout(20):
        while (packets.INPUT, b"typed") not in first.written:
            first.wrote.clear()
            await first.wrote.wait()
    second = peer.operations.streams[SESSION] = FakeStream()
    second.feed(packets.welcome(7, 90, 30, 0, 6, packets.RUNNING))
    second.feed(packets.output(2, packets.OUT, b"2345"))  # some of it again
    second.feed(packets.gap(6, 9))
    second.feed(packets.output(9, packets.OUT, b"9"))
    peer.proxy.cut()
    kind, payload = await taken(stream) or (0, b"")
    assert kind == packets.ACK
    assert packets.parse_ack(payload) == (False, "the connection broke: it may or may not have been typed")
    assert [await taken(stream) for _ in range(3)] == [
        decoded(packets.output(4, packets.OUT, b"45")),
        decoded(packets.gap(6, 9)),
        decoded(packets.output(9, packets.OUT, b"9")),
    ]
    assert second.offset == 4
    async with asyncio.timeout(20):
        await second.wrote.wait()
    assert second.written == [decoded(packets.resize(90, 30))]
    await stream.aclose()


async def test_typing_while_apart_is_refused_at_once_and_nothing_is_kept(peer: Peer, peers: HttpPeers) -> None:
    first = peer.operations.streams[SESSION] = FakeStream()
    first.feed(WELCOME)
    stream = await peers.attach(peer.worker, SESSION, control=True)
    assert await taken(stream) == decoded(WELCOME)
    peer.proxy.refusing = True
    peer.proxy.cut()
    async with asyncio.timeout(20):
        await peer.proxy.was_tried.wait()
    await stream.write((packets.INPUT, b"lost"))
    await stream.write(decoded(packets.resize(50, 20)))
    await stream.write((packets.INSPECT, b""))
    kind, payload = await taken(stream) or (0, b"")
    assert (kind, packets.parse_ack(payload)[0]) == (packets.ACK, False)
    second = peer.operations.streams[SESSION] = FakeStream()
    second.feed(WELCOME)
    second.feed(packets.output(0, packets.OUT, b"back"))
    peer.proxy.refusing = False
    assert await taken(stream) == decoded(packets.output(0, packets.OUT, b"back"))
    async with asyncio.timeout(20):
        while len(second.written) < 2:
            second.wrote.clear()
            await second.wrote.wait()
    assert second.written == [decoded(packets.resize(50, 20)), (packets.INSPECT, b"")]
    await stream.aclose()


async def test_out_of_reach_for_longer_than_patience(peer: Peer, peers: HttpPeers) -> None:
    far = peer.operations.streams[SESSION] = FakeStream()
    far.feed(WELCOME)
    stream = await peers.attach(peer.worker, SESSION, control=True)
    assert await taken(stream) == decoded(WELCOME)
    peer.proxy.refusing = True
    begun = time.monotonic()
    peer.proxy.cut()
    with pytest.raises(PeerUnavailable) as gone:
        await taken(stream)
    assert 0.9 < time.monotonic() - begun < 10
    assert gone.value.message.startswith("not available: worker w cannot be reached since ")
    assert await taken(stream) is None
    await stream.aclose()


async def test_a_reader_that_stops_stops_the_peer_and_loses_nothing(peer: Peer, peers: HttpPeers) -> None:
    far = peer.operations.streams[SESSION] = FakeStream()
    far.feed(WELCOME)
    block, count = bytes(1 << 16), 400
    for number in range(count):
        far.feed(packets.output(number << 16, packets.OUT, block))
    far.feed(packets.encode(packets.EXIT, b"{}"))
    stream = await peers.attach(peer.worker, SESSION, control=False)
    assert await taken(stream) == decoded(WELCOME)
    await stream.write((packets.INSPECT, b""))
    async with asyncio.timeout(20):
        await far.wrote.wait()  # the other way is open all the time
    assert far._queue.qsize() > 0
    at = 0
    while (packet := await taken(stream)) is not None and packet[0] == packets.OUTPUT:
        offset, _, data = packets.parse_output(packet[1])
        assert offset == at
        at += len(data)
    assert at == count << 16
    assert packet == (packets.EXIT, b"{}")
    await stream.aclose()


# recordings


@pytest.fixture
def recorded(tmp_path: Path) -> bytes:
    directory = tmp_path / SESSION
    directory.mkdir()
    writer = Writer(str(directory), cols=80, rows=24, cap_bytes=1 << 30)
    said = b"".join(b"line %d\n" % number for number in range(40_000))
    for begin in range(0, len(said), 50_000):
        writer.append(packets.OUT, said[begin : begin + 50_000], begin)
    writer.close()
    return said


async def test_a_recording_over_cuts(peer: Peer, peers: HttpPeers, recorded: bytes) -> None:
    peer.proxy.cut_after = [100_000, 5_000, 200_000]
    said = b""
    async for kind, payload in peers.recording(peer.worker, SESSION, 10, follow=False):
        assert kind == packets.OUTPUT
        at, _, data = packets.parse_output(payload)
        assert at == len(said) + 10
        said += data
    assert said == recorded[10:]
    assert peer.proxy.cuts == 3
    assert set(peer.operations.asked_here) == {True}


async def test_a_followed_recording_ends_with_exit(peer: Peer, peers: HttpPeers, recorded: bytes) -> None:
    found = [packet async for packet in peers.recording(peer.worker, SESSION, 0, follow=True)]
    assert found[-1] == (packets.EXIT, b"")
    assert b"".join(packets.parse_output(payload)[2] for _, payload in found[:-1]) == recorded


async def test_a_transcript_over_cuts(peer: Peer, peers: HttpPeers, tmp_path: Path) -> None:
    (tmp_path / SESSION).mkdir()
    said = b"".join(b'{"kind": "message", "text": "%d"}\n' % number for number in range(20_000))
    transcript_path(tmp_path / SESSION).write_bytes(said)
    peer.proxy.cut_after = [100_000, 5_000, 200_000]
    found = b""
    async for kind, payload in peers.transcript(peer.worker, SESSION, 35, follow=True):
        if kind == packets.EXIT:
            break
        at, _, data = packets.parse_output(payload)
        assert at == len(found) + 35
        found += data
    assert found == said[35:]
    assert peer.proxy.cuts == 3
    with pytest.raises(NotFound):
        _ = [packet async for packet in peers.transcript(peer.worker, "x-1", 0, follow=False)]


async def test_a_cast(peer: Peer, peers: HttpPeers, recorded: bytes) -> None:
    made = b"".join([piece async for piece in peers.cast(peer.worker, SESSION, 2)])
    assert made.startswith(b'{"version": 2')
    with pytest.raises(NotFound):
        _ = [piece async for piece in peers.cast(peer.worker, "x-1", 3)]


async def test_no_recording_there(peer: Peer, peers: HttpPeers) -> None:
    with pytest.raises(NotFound):
        _ = [packet async for packet in peers.recording(peer.worker, SESSION, 0, follow=True)]


# what is no worker


async def every_verb(peers: HttpPeers, worker: Worker, *, casts: bool = True) -> list[QuarterdeckError]:
    """What each of them raises."""

    async def attach() -> None:
        await (await peers.attach(worker, SESSION, control=True)).aclose()

    async def recording() -> None:
        _ = [packet async for packet in peers.recording(worker, SESSION, 0, follow=True)]

    async def cast() -> None:
        _ = [piece async for piece in peers.cast(worker, SESSION, 3)]

    errors = []
    verbs = [peers.inspect(worker, SESSION), peers.send(worker, SESSION, b"x"), attach(), recording()]
    for verb in [*verbs, cast()] if casts else verbs:
        with pytest.raises(QuarterdeckError) as raised:
            async with asyncio.timeout(20):
                await verb
        errors.append(raised.value)
    return errors


BAD: dict[str, Answer] = {
    "no HTTP": says(0, b""),
    "not JSON": says(200, b"{nonsense"),
    "another kind of JSON": says(200, b'["x"]'),
    "deep JSON": says(200, b"[" * 100_000),
    "a huge answer": says(200, b" " * (1 << 20)),
    "a huge error": says(500, b" " * (1 << 20)),
    "a redirect": says(307, b"", "Location: http://127.0.0.1:1/elsewhere"),
    "an error that is none": says(418, b"short and stout"),
    "another success": says(204, b""),
    "a bomb": says(200, b"\x1f\x8b" + bytes(100), "Content-Encoding: gzip"),
}


BAD_200 = ("not JSON", "another kind of JSON", "deep JSON", "a huge answer", "a bomb")


@pytest.mark.parametrize("what", BAD)
async def test_what_answers_no_worker_would_give(peers: HttpPeers, what: str) -> None:
    async with rogue(BAD[what]) as bad:
        worker = Worker("w", "node", 1, address=bad.address, token=TOKEN)
        # what a 200 brings as a cast goes into a file unseen
        errors = await every_verb(peers, worker, casts=what not in BAD_200)
        assert all(head.count(TOKEN) == 1 for head in bad.heads)
    unavailable = (
        errors[:-1] if what in ("not JSON", "another kind of JSON", "deep JSON", "a huge answer", "a bomb") else errors
    )
    for error in unavailable:
        assert isinstance(error, PeerUnavailable)
        assert error.message.startswith("not available: ")
        assert len(str(error)) < 1000


async def test_words_of_a_peer_are_cut_and_cannot_draw(peers: HttpPeers) -> None:
    told = b'{"error": {"code": "refused", "message": "\\u001b[2J%s", "hint": "a\\nb"}}' % (b"x" * 10_000)
    async with rogue(says(409, told)) as bad:
        with pytest.raises(SessionRefused) as refused:
            await peers.inspect(Worker("w", "node", 1, address=bad.address, token=TOKEN), SESSION)
    assert refused.value.message.startswith("[2Jxxx")
    assert len(refused.value.message) == 400
    assert refused.value.hint == "a b"


async def test_errors_that_mean_something_to_us_only_are_not_taken_over(peers: HttpPeers) -> None:
    async with rogue(says(409, b'{"error": {"code": "lease-lost", "message": "stop at once"}}')) as bad:
        with pytest.raises(PeerUnavailable) as raised:
            await peers.inspect(Worker("w", "node", 1, address=bad.address, token=TOKEN), SESSION)
    assert raised.value.message == "not available: worker w says: stop at once"


async def test_who_never_answers(peers: HttpPeers, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_ANSWER_SECONDS", "_SEND_SECONDS", "_SILENCE"):
        monkeypatch.setattr(http_peers, name, 0.2)
    async with rogue(silent) as bad:
        errors = await every_verb(peers, Worker("w", "node", 1, address=bad.address, token=TOKEN))
    assert all("cannot be reached since" in error.message for error in errors), errors
    assert all(HERE_ONLY in head for head in bad.heads)


async def watched(peers: HttpPeers, worker: Worker) -> None:
    """Attached to until the end."""
    async with asyncio.timeout(20):
        stream = await peers.attach(worker, SESSION, control=True)
        try:
            while await stream.read() is not None:
                pass
        finally:
            await stream.aclose()


FRAMES = {
    "text": (frame(b"hello", 1),),
    "half a packet": (frame(b"\x82\0\0"),),
    "two packets": (frame(WELCOME + WELCOME),),
    "no WELCOME first": (frame(packets.output(0, packets.OUT, b"x")),),
    "a huge frame": (frame(b"x" * 100, length=1 << 30),),
    "no WebSocket": (b"\xff\xff\xff\xff\xff\xff\xff\xff",),
    "a masked frame": (b"\x82\x85\0\0\0\0hello",),
    "a second WELCOME": (frame(WELCOME), frame(WELCOME)),
    "a client's packet": (frame(WELCOME), frame(packets.encode(packets.STOP, b"\0\0\0\0"))),
    "a huge frame later": (frame(WELCOME), frame(b"x" * 100, length=1 << 30)),
    "no WebSocket later": (frame(WELCOME), b"\xff\xff\xff\xff\xff\xff\xff\xff"),
    "wrong output": (frame(WELCOME), frame(packets.encode(packets.OUTPUT, b"short"))),
}


@pytest.mark.parametrize("what", FRAMES)
async def test_a_websocket_that_talks_nonsense_is_left_at_once(peers: HttpPeers, what: str) -> None:
    async with rogue(talks(*FRAMES[what])) as bad:
        worker = Worker("w", "node", 1, address=bad.address, token=TOKEN)
        with pytest.raises(PeerUnavailable) as raised:
            await watched(peers, worker)
        assert "does not speak as one of ours" in raised.value.message
        assert len(bad.heads) == 2, "it was asked again"


async def test_a_websocket_that_never_greets(peers: HttpPeers) -> None:
    async with rogue(talks()) as bad:
        with pytest.raises(PeerUnavailable):
            async with asyncio.timeout(20):
                await peers.attach(Worker("w", "node", 1, address=bad.address, token=TOKEN), SESSION, control=True)


async def test_who_greets_and_hangs_up_again_and_again_is_given_up(peers: HttpPeers) -> None:
    async with rogue(talks(frame(WELCOME), stays=False)) as bad:
        stream = await peers.attach(Worker("w", "node", 1, address=bad.address, token=TOKEN), SESSION, control=True)
        assert await taken(stream) == decoded(WELCOME)
        with pytest.raises(PeerUnavailable):
            await taken(stream)
        await stream.aclose()
        assert 4 <= len(bad.heads) <= 20


async def test_a_websocket_that_sends_elsewhere_is_not_followed(peers: HttpPeers) -> None:
    async def answer(head: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if head.startswith("POST"):
            await talks()(head, reader, writer)
        else:
            writer.write(http(302, b"", "Location: /elsewhere"))

    async with rogue(answer) as bad:
        with pytest.raises(PeerUnavailable):
            await peers.attach(Worker("w", "node", 1, address=bad.address, token=TOKEN), SESSION, control=True)
        assert len(bad.heads) == 2


async def test_the_list_of_the_silent_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "_MOST_SILENT", 3)
    asked = calls.Calls(VirtualClock())
    for number in range(9):
        asked.unreachable(Worker(f"w{number}", "n", 1), "why")
    assert repr(asked) == "<Calls, 3 silent>"
