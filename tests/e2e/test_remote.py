"""Sessions of one machine through the supervisor of another: the same commands, every byte, and the truth when it is
gone. Two supervisors with real programs over one backend; what passes between them goes through a proxy that cuts."""

from __future__ import annotations

import asyncio
import contextlib
import json
import stat
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from lite.aio.tasks import spawn
from lite.errors import NotFound, PeerUnavailable, SessionRefused
from lite.ports import Backend
from lite.recordings.reader import Recording
from lite.terminal import packets
from lite.transcripts.layout import transcript_path
from lite.transcripts.lines import Lines
from tests.support.stations import SharedBackend, Station, directory_of, ended, running
from tui.calls import SocketGateway
from tui.sessions import Ended, Event, Fresh, Lost, Output, SessionLink

CAT = ("sh", "-c", 'stty -echo; echo ready; while read line; do echo "<$line>"; stty size; done')
FLOOD = ("sh", "-c", "stty -echo; echo ready; read x; head -c 800000 /dev/urandom | base64; echo done; read y; exit 3")


class Fleet:
    """A, which runs nothing, and B, which runs everything; people talk to A."""

    def __init__(self, backend: Backend, a: Station, b: Station) -> None:
        self.backend, self.a, self.b = backend, a, b

    async def started(self, *command: str) -> str:
        return await running(self.backend, await self.a.submit(*command))

    async def ask(self, what: Any, *args: Any, **options: Any) -> Any:
        """A call of the client to A, in a thread."""

        def call() -> Any:
            with self.a.client() as client:
                return getattr(client, what)(*args, **options)

        return await asyncio.to_thread(call)

    async def attach(self, session: str, *, control: bool = True, offset: int = packets.SAFE_MARK) -> Terminal:
        offer = await self.ask("attach", session, control=control)
        return await Terminal.open(offer["address"], control=control, offset=offset)


class Terminal:
    """A client's end of a session's socket."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self.writer = reader, writer
        self._decoder = packets.Decoder()
        self._found: list[packets.Packet] = []
        self.at: int | None = None
        self.begun = 0
        self.said = bytearray()  # every recorded byte since `begun`, whatever its stream
        self.others: list[packets.Packet] = []

    @classmethod
    async def open(cls, path: str, *, control: bool = True, offset: int = packets.SAFE_MARK) -> Terminal:
        made = cls(*await asyncio.open_unix_connection(path))
        made.writer.write(packets.hello(packets.CONTROL if control else packets.WATCH, 0, offset, 80, 24))
        return made

    async def next(self) -> packets.Packet | None:
        while not self._found:
            data = await self._reader.read(1 << 16)
            if not data:
                return None
            self._found = self._decoder.feed(data)
        return self._found.pop(0)

    async def until(self, *, text: bytes = b"", kind: int = 0) -> bytes:
        """Take packets until `text` was said or one of `kind` came: its payload. Fails on a byte too many or few."""
        async with asyncio.timeout(60):
            while True:
                if text and text in self.said:
                    return bytes(self.said)
                packet = await self.next()
                assert packet is not None, f"the connection ended: {self.others}"
                if packet[0] == packets.OUTPUT:
                    at, stream, data = packets.parse_output(packet[1])
                    if stream == packets.PREAMBLE:
                        continue
                    if self.at is None:
                        self.at = self.begun = at
                    assert at == self.at, f"{at} came where {self.at} was due"
                    self.at += len(data)
                    self.said += data
                else:
                    self.others.append(packet)
                    assert packet[0] != packets.GAP
                    if packet[0] == kind:
                        return packet[1]

    def type(self, data: bytes) -> None:
        self.writer.write(packets.encode(packets.INPUT, data))

    async def close(self) -> None:
        self.writer.close()
        with contextlib.suppress(OSError):
            await self.writer.wait_closed()


@pytest.fixture
async def fleet() -> AsyncIterator[Fleet]:
    backend = SharedBackend()
    async with Station("a", backend, "orchestrator") as a, Station("b", backend) as b:
        yield Fleet(backend, a, b)


def recorded(station: Station, session: str, since: int = 0) -> bytes:
    return b"".join(entry.data for entry in Recording(directory_of(station, session)).entries(since))


async def test_typing_and_resizing_reach_the_program_and_its_output_comes_back(fleet: Fleet) -> None:
    session = await fleet.started(*CAT)
    terminal = await fleet.attach(session)
    await terminal.until(text=b"ready\r\n")
    terminal.type(b"one\n")
    assert packets.parse_ack(await terminal.until(kind=packets.ACK)) == (True, "")
    await terminal.until(text=b"<one>\r\n24 80\r\n")
    terminal.writer.write(packets.resize(100, 30))
    terminal.type(b"two\n")
    await terminal.until(text=b"<two>\r\n30 100\r\n")
    assert bytes(terminal.said) == recorded(fleet.b, session, terminal.begun)
    terminal.writer.write(packets.encode(packets.INSPECT))
    assert packets.parse_info(await terminal.until(kind=packets.INFO))[3] == terminal.at
    assert await fleet.ask("send", session, b"three\n") == {"result": "delivered", "reason": ""}
    await terminal.until(text=b"<three>")
    terminal.type(b"\x04")
    assert json.loads(await terminal.until(kind=packets.EXIT))["exit_code"] == 0
    await terminal.close()


ACTOR = """steps:
- say: before
- ask: Go on?
- tool: Bash
  input: {command: make}
  result: made
- say: after
"""


async def test_what_an_agent_elsewhere_says_is_followed_over_cuts(fleet: Fleet) -> None:
    session = await running(fleet.backend, await fleet.a.submit_prompt(ACTOR))
    lines, said, asked = Lines(), [], asyncio.Event()
    loop = asyncio.get_running_loop()

    def follow() -> None:
        with fleet.a.client() as client:
            for _, data in client.transcript(session, follow=True):
                said.extend(lines.feed(data))
                if any(one.kind == "needs_user" for one in said):
                    loop.call_soon_threadsafe(asked.set)

    following = spawn(asyncio.to_thread(follow), "follow")
    async with asyncio.timeout(60):
        await asked.wait()
        fleet.b.proxy.cut()
        assert (await fleet.ask("session", session))["transcript"] > 0
        await fleet.ask("send", session, b"yes\n")
        await following
    kept = Lines().feed(transcript_path(directory_of(fleet.b, session)).read_bytes())
    assert said == kept
    assert [one.text for one in said if one.kind in ("message", "tool_use")][-2:] == ["Bash", "after"]
    assert said[-1].kind == "verdict"
    gateway = SocketGateway(fleet.a.home)
    try:
        size = await gateway.transcript_end(session)
        assert size == transcript_path(directory_of(fleet.b, session)).stat().st_size
        assert Lines().feed(await gateway.transcript(session, 0, 1 << 20)) == kept
        followed = [data async for data in gateway.follow_transcript(session, 0)]
        assert Lines().feed(b"".join(followed)) == kept
    finally:
        gateway.close()


async def test_a_watcher_elsewhere_cannot_type(fleet: Fleet) -> None:
    session = await fleet.started(*CAT)
    terminal = await fleet.attach(session, control=False)
    terminal.type(b"one\n")
    accepted, reason = packets.parse_ack(await terminal.until(kind=packets.ACK))
    assert (accepted, reason) == (False, "watchers cannot type")
    await terminal.close()


async def test_cut_again_and_again_in_a_megabyte_not_a_byte_is_lost_or_doubled(fleet: Fleet) -> None:
    session = await fleet.started(*FLOOD)
    terminal = await fleet.attach(session, offset=0)
    await terminal.until(text=b"ready\r\n")
    fleet.b.proxy.cut_after = [300_000, 200_000, 100_000, 1]
    terminal.type(b"\n")
    await terminal.until(text=b"done\r\n")
    assert fleet.b.proxy.cuts == 4
    assert len(terminal.said) > 1_000_000
    assert bytes(terminal.said) == recorded(fleet.b, session)
    terminal.type(b"\n")
    assert json.loads(await terminal.until(kind=packets.EXIT))["exit_code"] == 3
    await terminal.close()


async def test_what_ended_while_out_of_reach_is_told_to_its_last_byte(fleet: Fleet) -> None:
    task = await fleet.a.submit(*FLOOD)
    session = await running(fleet.backend, task)
    terminal = await fleet.attach(session)
    await terminal.until(text=b"ready\r\n")
    proxy = fleet.b.proxy
    proxy.refusing = True
    proxy.cut()
    await proxy.was_tried.wait()
    terminal.type(b"unheard\n")
    accepted, reason = packets.parse_ack(await terminal.until(kind=packets.ACK))
    assert not accepted
    assert "not connected" in reason
    assert (await fleet.b.operations.send(session, b"\n\n")).result == "delivered"
    await ended(fleet.backend, task)
    proxy.refusing = False
    await terminal.until(kind=packets.EXIT)
    assert bytes(terminal.said) == recorded(fleet.b, session, terminal.begun)
    assert b"unheard" not in terminal.said
    await terminal.close()


async def test_a_followed_recording_goes_on_over_cuts_and_ends_with_the_session(fleet: Fleet) -> None:
    session = await fleet.started(*FLOOD)
    fleet.b.proxy.cut_after = [100_000, 400_000]
    said = bytearray()

    def follow() -> None:
        with fleet.a.client() as client:
            for at, _, data in client.recording(session, follow=True):
                assert at == len(said)
                said.extend(data)

    following = spawn(asyncio.to_thread(follow))
    assert (await fleet.ask("send", session, b"\n\n"))["result"] == "delivered"
    async with asyncio.timeout(60):
        await following
    assert fleet.b.proxy.cuts == 2
    assert bytes(said) == recorded(fleet.b, session)


async def test_an_ended_session_is_read_where_it_ran(fleet: Fleet) -> None:
    task = await fleet.a.submit("sh", "-c", "seq 3000")
    session = await ended(fleet.backend, task)
    kept = recorded(fleet.b, session)
    said = await asyncio.to_thread(lambda: [data for _, _, data in _all(fleet.a, session)])
    assert b"".join(said) == kept
    part = await asyncio.to_thread(lambda: [data for _, _, data in _all(fleet.a, session, len(kept) - 10)])
    assert b"".join(part) == kept[-10:]
    casts = [await asyncio.to_thread(_cast, station, session) for station in (fleet.a, fleet.b)]
    assert casts[0] == casts[1] != b""
    seen = await fleet.ask("call", "GET", f"/v1/sessions/{session}")
    assert (seen["alive"], seen["start"], seen["offset"]) == (False, 0, len(kept))
    with pytest.raises(SessionRefused) as refused:
        await fleet.ask("attach", session)
    assert session in refused.value.hint
    assert (await fleet.ask("send", session, b"x"))["result"] == "refused"


def _all(station: Station, session: str, offset: int = 0) -> list[tuple[int, int, bytes]]:
    with station.client() as client:
        return list(client.recording(session, offset))


def _cast(station: Station, session: str) -> bytes:
    with station.client() as client:
        return b"".join(client.cast(session))


async def test_a_machine_that_is_gone_is_said_to_be_not_available(fleet: Fleet) -> None:
    session = await fleet.started(*CAT)
    terminal = await fleet.attach(session)
    await terminal.until(text=b"ready\r\n")
    await fleet.b.silence()
    begun = asyncio.get_running_loop().time()
    refusal = (await terminal.until(kind=packets.REFUSED)).decode()
    assert refusal.startswith("not available: worker b cannot be reached since 20")
    assert await terminal.next() is None
    await terminal.close()
    for what, args in (("attach", ()), ("send", (b"x",)), ("cast", ())):
        with pytest.raises(PeerUnavailable) as gone:
            await asyncio.to_thread(_consumed, fleet.a, what, session, *args)
        assert gone.value.message.startswith("not available: worker b cannot be reached since 20")
        assert gone.value.hint
    for follow in (False, True):
        with pytest.raises(PeerUnavailable):
            await asyncio.to_thread(_consumed, fleet.a, "recording", session, follow=follow)
    assert (await fleet.ask("explain", session.rpartition("-")[0]))["state"] == "running"
    assert asyncio.get_running_loop().time() - begun < 20


def _consumed(station: Station, what: str, *args: Any, **options: Any) -> Any:
    with station.client() as client:
        answered = getattr(client, what)(*args, **options)
        return answered if isinstance(answered, dict) else list(answered)


async def test_a_machine_that_has_left_is_said_to_have(fleet: Fleet) -> None:
    session = await ended(fleet.backend, await fleet.a.submit("true"))
    await fleet.backend.deregister("b", now=1)
    with pytest.raises(PeerUnavailable) as gone:
        await asyncio.to_thread(_all, fleet.a, session)
    assert gone.value.message == "not available: worker b has left the fleet"


async def test_what_never_was_is_not_found(fleet: Fleet) -> None:
    task = await fleet.a.submit("true")
    await ended(fleet.backend, task)
    for session in (f"{task.id}-2", f"{task.id}-0", f"{task.id}-01", "x-1", "..", f"../{task.id}-1"):
        with pytest.raises(NotFound):
            await asyncio.to_thread(_all, fleet.a, session)
        with pytest.raises(NotFound):
            await fleet.ask("attach", session)


async def test_explain_asks_the_machine_that_knows(fleet: Fleet) -> None:
    asks = r"printf '\033]7501;state=blocked:kind=permission:msg=U3VyZT8=\033\\'; read x"
    session = await fleet.started("sh", "-c", asks)
    terminal = await fleet.attach(session)
    await terminal.until(kind=packets.STATUS)
    told = await fleet.ask("explain", session.rpartition("-")[0])
    assert "it says: Sure?" in told["facts"]
    await terminal.close()


def _telling(unlink: Any, done: asyncio.Event) -> Any:
    def told(path: Path, **options: Any) -> None:
        unlink(path, **options)
        done.set()

    return told


async def test_the_way_to_a_session_is_for_this_user_only_and_goes_with_its_clients(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = await fleet.started(*CAT)
    path = Path((await fleet.ask("attach", session))["address"])
    assert (stat.S_IMODE(path.stat().st_mode), stat.S_IMODE(path.parent.stat().st_mode)) == (0o600, 0o700)
    assert path.is_relative_to(fleet.a.home.root)
    first, second = await Terminal.open(str(path)), await fleet.attach(session, control=False)
    await first.until(text=b"ready\r\n")
    await second.until(text=b"ready\r\n")
    await first.close()
    second.writer.write(packets.encode(packets.INSPECT))
    await second.until(kind=packets.INFO)
    assert path.is_socket()
    gone = asyncio.Event()
    monkeypatch.setattr(Path, "unlink", _telling(Path.unlink, gone))
    await second.close()
    await asyncio.wait_for(gone.wait(), 30)
    assert not path.exists()


async def test_a_pane_of_the_dashboard_shows_it(fleet: Fleet) -> None:
    session = await fleet.started(*CAT)
    gateway = SocketGateway(fleet.a.home)
    arrived = asyncio.Event()
    link = SessionLink(gateway, session, arrived=arrived.set, refused=lambda _: None)
    link.open(control=True, size=(70, 20))
    said, seen = b"", list[Event]()
    typed = False
    async with asyncio.timeout(60):
        while b"<one>\r\n20 70" not in said:
            await arrived.wait()
            arrived.clear()
            while (event := link.take()) is not None:
                seen.append(event)
                assert not isinstance(event, Lost | Ended), event
                said += event.data if isinstance(event, Output) else b""
            if b"ready" in said and not typed:
                typed = True
                link.send(b"one\n")
    assert isinstance(seen[0], Fresh)
    await link.close()
    start, end = await gateway.recording_end(session)
    assert (start, end) == (0, len(recorded(fleet.b, session)))
    chunks = await gateway.recording(session, 0, 1 << 20)
    assert b"".join(data for _, _, data in chunks) == recorded(fleet.b, session)
    gateway.close()


async def test_the_command_line_is_the_same(fleet: Fleet) -> None:
    session = await fleet.started("sh", "-c", "stty -echo; echo ready; read x; echo got $x")
    task = session.rpartition("-")[0]

    async def qd(*words: str) -> str:
        command = (sys.executable, "-m", "lite", "--home", str(fleet.a.home.root), *words)
        made = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        async with asyncio.timeout(60):
            said, _ = await made.communicate()
        return f"{made.returncode} {said.decode()}"

    following = spawn(qd("logs", "-f", task))
    assert await qd("send", task, "hello") == "0 delivered\n"
    assert await following == "0 ready\ngot hello\n"
    assert await qd("logs", task) == "0 ready\ngot hello\n"
    await fleet.b.silence()
    told = await qd("logs", task)
    assert told.startswith("1 ")
    assert "not available: worker b cannot be reached since 20" in told
