"""What a peer says is judged before anybody sees it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lite.aio.tasks import spawn
from lite.clock import VirtualClock
from lite.model.session import Activity, Inspection, Status
from lite.peers.judging import Cursor, Nonsense, checked, inspection, one_packet, sent, ticket
from lite.peers.patience import Patience
from lite.terminal import packets

TEXT = bytes(range(200))


def out(offset: int, data: bytes, stream: int = packets.OUT) -> tuple[int, bytes]:
    return packets.OUTPUT, packets.output(offset, stream, data)[5:]


def gap(start: int, end: int) -> tuple[int, bytes]:
    return packets.GAP, packets.gap(start, end)[5:]


@given(
    st.lists(st.tuples(st.integers(0, 180), st.integers(0, 60), st.booleans()), max_size=30),
    st.integers(0, 100),
)
def test_whatever_comes_again_or_is_left_out_each_byte_is_accounted_for_once(
    said: list[tuple[int, int, bool]], begin: int
) -> None:
    cursor = Cursor(begin)
    at = begin
    for offset, length, is_gap in said:
        end = min(offset + length, len(TEXT))
        given = gap(offset, end) if is_gap else out(offset, TEXT[offset:end])
        for kind, payload in cursor.take(*given):
            if kind == packets.GAP:
                start, until = packets.parse_gap(payload)
                assert start == at < until
                at = until
            else:
                start, _, data = packets.parse_output(payload)
                assert start == at
                assert data == TEXT[start : start + len(data)] != b""
                at += len(data)
        assert cursor.at == at


def test_a_fresh_attach_takes_its_place_from_the_peer() -> None:
    fresh = Cursor(packets.SAFE_MARK)
    preamble = out(50, b"\x1b[?25l", packets.PREAMBLE)
    assert fresh.take(*preamble) == [preamble]
    assert fresh.at == 50
    assert fresh.take(*preamble) == []  # another connection's
    assert fresh.take(*out(50, b"ab")) == [out(50, b"ab")]
    assert fresh.at == 52


@pytest.mark.parametrize(("asked", "there"), [(packets.END, 70), (90, 70), (30, 30), (packets.SAFE_MARK, -1)])
def test_the_first_welcome_says_where_it_really_begins(asked: int, there: int) -> None:
    cursor = Cursor(asked)
    cursor.first(packets.welcome(1, 80, 24, 10, 70, packets.RUNNING)[5:])
    assert cursor.at == there


def test_a_later_welcome_takes_nothing_back() -> None:
    cursor = Cursor(90)
    cursor.welcome(packets.welcome(1, 80, 24, 0, 70, packets.RUNNING)[5:])
    assert cursor.at == 90
    assert cursor.take(*out(70, b"x" * 25)) == [out(90, b"xxxxx")]


WRONG: list[tuple[int, bytes]] = [
    (packets.OUTPUT, b"short"),
    out(0, b"x", 9),
    out(1 << 60, b"x"),
    (packets.GAP, b"short"),
    gap(9, 3),
    gap(0, 1 << 60),
    (packets.ACK, b""),
    (packets.ACK, b"\1" + b"x" * 5000),
    (packets.INFO, b"x"),
    (packets.STATUS, b"x"),
    (packets.STATUS, b"x" * 70_000),
    (packets.EXIT, b"x" * 70_000),
    (packets.REFUSED, b"x" * 5000),
    (packets.STARTED, b""),
    (packets.HELLO, b""),
    (packets.STOP, b"\0\0\0\0"),
    (0x00, b""),
    (0xFF, b""),
]


@pytest.mark.parametrize("packet", WRONG, ids=lambda packet: f"{packet[0]:02x}-{len(packet[1])}")
def test_what_no_session_says_is_nonsense(packet: tuple[int, bytes]) -> None:
    with pytest.raises(Nonsense):
        Cursor(0).take(*packet)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        packets.welcome(1, 80, 24, 10, 9, 1)[5:],
        packets.welcome(1, 80, 24, 0, 1 << 60, 1)[5:],
        b"\x00\x00" + packets.welcome(1, 80, 24, 0, 0, 1)[7:],
        b"\xff\xff" + packets.welcome(1, 80, 24, 0, 0, 1)[7:],
    ],
)
def test_a_welcome_that_is_none(payload: bytes) -> None:
    with pytest.raises(Nonsense):
        Cursor(0).welcome(payload)


def test_what_sessions_do_say_passes() -> None:
    for encoded in (
        packets.status(5, "working", "terminal", "title", "text"),
        packets.ack(False, "why"),
        packets.info(True, 1, 2, 3, 4, 5),
        packets.started(1, 2),
        packets.encode(packets.EXIT, b"{}"),
        packets.encode(packets.REFUSED, b"no"),
    ):
        checked(encoded[0], encoded[5:])
        assert Cursor(0).take(encoded[0], encoded[5:]) == [(encoded[0], encoded[5:])]


@pytest.mark.parametrize(
    "message", ["text", b"", b"\x82", b"\x82\0\0\0\2x", b"\x82\0\0\0\1xy", b"\x82\xff\xff\xff\xff"]
)
def test_a_message_is_one_whole_packet(message: bytes | str) -> None:
    with pytest.raises(Nonsense):
        one_packet(message)
    assert one_packet(b"\x82\0\0\0\1x") == (0x82, b"x")


GOOD: dict[str, Any] = {
    "session": "s",
    "alive": True,
    "pid": 7,
    "started_at": 1,
    "last_output_at": None,
    "start": 3,
    "offset": 9,
    "cols": 80,
    "rows": 24,
    "activity": "waiting",
    "source": "terminal",
    "rule": "osc7501",
    "since": 5,
    "text": "Sure?",
}


def test_an_inspection() -> None:
    status = Status(Activity.WAITING, "terminal", "osc7501", 5, "Sure?")
    assert inspection(GOOD) == Inspection(True, 7, 1, None, 9, status, 80, 24, 3)
    assert inspection(GOOD | {"activity": ""}).status is None


@pytest.mark.parametrize(
    "change",
    [
        {"alive": 1},
        {"alive": None},
        {"pid": -1},
        {"pid": True},
        {"offset": 2},
        {"offset": 1 << 60},
        {"offset": 9.0},
        {"cols": 1 << 16},
        {"started_at": "yesterday"},
        {"activity": "dancing"},
        {"activity": None},
        {"source": "x" * 50},
        {"text": "x" * 5000},
        {"since": None},
    ],
)
def test_an_inspection_that_is_none(change: dict[str, Any]) -> None:
    with pytest.raises(Nonsense):
        inspection(GOOD | change)


@pytest.mark.parametrize("told", [None, [], "x", 1, {}, {"result": 1, "reason": ""}, {"ticket": ""}, {"ticket": "a b"}])
def test_answers_that_are_none(told: Any) -> None:
    for read in (inspection, sent, ticket):
        with pytest.raises(Nonsense):
            read(told)
    assert ticket({"ticket": "aZ09-_"}) == "aZ09-_"
    assert sent({"result": "delivered", "reason": ""}) == (True, "")
    assert sent({"result": "refused", "reason": "why"}) == (False, "why")


async def waits(clock: VirtualClock, patience: Patience) -> list[float]:
    """The times at which it tries, until it gives up."""
    times = []

    async def wait() -> None:
        while await patience.wait():
            times.append(round(clock.monotonic(), 3))

    job = spawn(wait())
    while not job.done():
        await clock.advance(0.05)
    return times


async def test_patience_pauses_longer_and_longer_and_ends() -> None:
    clock = VirtualClock()
    patience = Patience(clock, 5.0)
    times = await waits(clock, patience)
    assert times == [0.1, 0.3, 0.7, 1.5, 2.5, 3.5, 4.5, 5.0]
    assert not await patience.wait()


async def test_who_connects_and_breaks_off_without_a_word_uses_patience_up() -> None:
    clock = VirtualClock()
    patience = Patience(clock, 5.0)
    await waits(clock, patience)
    patience.connected()
    assert not await patience.wait()


@pytest.mark.parametrize("how", ["output", "it held for long"])
async def test_patience_is_new_after_a_good_connection(how: str) -> None:
    clock = VirtualClock()
    patience = Patience(clock, 5.0)
    await waits(clock, patience)
    patience.connected()
    if how == "output":
        patience.rewarded()
    else:
        await clock.advance(5.1)
    assert len(await waits(clock, patience)) == 8
