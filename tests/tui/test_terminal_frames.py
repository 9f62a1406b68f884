"""When panes parse and draw: shared fairly, coalesced, never waking without data. Time is turned by hand."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

from lite.terminal import packets
from lite.terminal.emulators import make_emulator
from tests.support.panes import Alone, HandClock, eventually, holding, running, shown
from tui.pacing import FOCUSED, SLICE, UNFOCUSED, Frames, Turns
from tui.sessions import HIGH, SKIP, Lost, Output, SessionLink
from tui.viewing import HOLD, Standing, Viewer
from tui.widgets.terminal import TerminalPane


class Slow:
    """Something to parse, a millisecond a piece."""

    def __init__(self, clock: HandClock, pieces: int) -> None:
        self.clock = clock
        self.left = pieces
        self.parsed = 0

    def parse(self, deadline: float) -> bool:
        while self.left and self.clock.time < deadline:
            self.clock.time += 0.001
            self.left -= 1
            self.parsed += 1
        return self.left > 0


def test_nine_floods_get_equal_turns_and_leave_half_of_the_time() -> None:
    clock = HandClock()
    turns = Turns(clock)
    floods = [Slow(clock, 10_000) for _ in range(9)]
    begun = clock.time
    for flood in floods:
        turns.want(flood.parse)
        assert clock.time - begun <= SLICE + 0.0011, "one call of the loop parsed for longer than a slice"
    for _ in range(400):
        before = clock.time
        at = min(when for when, _, armed in clock._due if not armed.cancelled)
        assert at - before >= SLICE * 0.9, "the loop was not given back"
        parsed = sum(flood.parsed for flood in floods)
        clock.advance(at - before)
        assert sum(flood.parsed for flood in floods) - parsed <= 5
    counts = [flood.parsed for flood in floods]
    assert max(counts) - min(counts) <= 2 * SLICE / 0.001
    assert sum(counts) / ((clock.time - begun) / 0.001) <= 0.6


def test_what_arrives_at_leisure_is_parsed_at_once() -> None:
    clock = HandClock()
    turns = Turns(clock)
    small = Slow(clock, 1)
    turns.want(small.parse)
    assert small.parsed == 1
    assert clock.armed == 0


def test_dropped_work_is_not_done() -> None:
    clock = HandClock()
    turns = Turns(clock)
    first, second = Slow(clock, 50), Slow(clock, 50)
    turns.want(first.parse)
    turns.want(second.parse)
    turns.drop(second.parse)
    clock.advance(10)
    assert (first.parsed, second.parsed) == (50, 0)


def test_frames_are_coalesced_on_a_common_beat() -> None:
    clock = HandClock()
    drawn: list[list[float]] = [[], []]

    def drawer(number: int) -> Frames:
        def draw() -> bool:
            drawn[number].append(clock.time)
            return True

        return Frames(clock, draw)

    panes = [drawer(0), drawer(1)]
    for step in range(1000):
        for pane in panes if step % 3 else panes[:1]:
            pane.want()
        clock.advance(0.001)
    for times in drawn:
        assert 9 <= len(times) <= 12
        assert all(later - earlier >= UNFOCUSED / 2 for earlier, later in itertools.pairwise(times))
    assert set(drawn[0][2:-1]) <= set(drawn[1]), "they do not share their updates of the screen"


def test_focused_frames_come_three_times_as_often_and_stop_with_the_data() -> None:
    clock = HandClock()
    drawn: list[float] = []
    frames = Frames(clock, lambda: drawn.append(clock.time) is None)
    frames.interval = FOCUSED
    for _ in range(1000):
        frames.want()
        clock.advance(0.001)
    assert 27 <= len(drawn) <= 33
    clock.advance(1)
    assert len(drawn) <= 34
    assert not frames.armed
    assert clock.armed == 0


class _Seen:
    """A viewer whose frames are counted."""

    def __init__(self, gateway: Any, clock: HandClock) -> None:
        self.frames: list[str] = []
        self.viewer = Viewer(
            gateway,
            clock=clock,
            turns=Turns(clock),
            make=make_emulator,
            draw=self._draw,
            changed=lambda: None,
        )

    def _draw(self) -> None:
        self.viewer.picture.look(80, 24)
        rows = self.viewer.picture.rows
        self.frames.append("".join(run.text for run in rows[0]).rstrip() if rows else "")


async def _viewing(pilot: Any, gateway: Any, clock: HandClock) -> _Seen:
    seen = _Seen(gateway, clock)
    seen.viewer.show(running("one"))
    seen.viewer.wake()
    await eventually(pilot, lambda: seen.viewer.standing is Standing.LIVE, clock)
    clock.advance(1)
    seen.frames.clear()
    return seen


async def test_a_synchronized_frame_is_held_until_it_ends(tmp_path: Path) -> None:
    clock = HandClock()
    async with holding(tmp_path, "one") as gateway, Alone(TerminalPane(gateway)).run_test() as pilot:  # type: ignore[arg-type]
        held = gateway.sessions["one"]
        seen = await _viewing(pilot, gateway, clock)
        held.print(b"\x1b[?2026h\x1b[H\x1b[2Jhalf")
        await eventually(pilot, lambda: seen.viewer.link is not None and seen.viewer.link.offset == held.end)
        clock.advance(HOLD * 0.6)
        assert seen.frames == []
        held.print(b" and whole\x1b[?2026l\x1b[?2026h\x1b[H\x1b[2Jnext")
        await eventually(pilot, lambda: seen.viewer.link is not None and seen.viewer.link.offset == held.end)
        assert seen.frames == ["half and whole"], "the finished frame is shown although the next has begun"
        await seen.viewer.aclose()


async def test_a_frame_that_never_ends_is_shown_in_time(tmp_path: Path) -> None:
    clock = HandClock()
    async with holding(tmp_path, "one") as gateway, Alone(TerminalPane(gateway)).run_test() as pilot:  # type: ignore[arg-type]
        held = gateway.sessions["one"]
        seen = await _viewing(pilot, gateway, clock)
        held.print(b"\x1b[?2026hstuck")
        await eventually(pilot, lambda: seen.viewer.link is not None and seen.viewer.link.offset == held.end)
        clock.advance(HOLD * 0.9)
        assert seen.frames == []
        clock.advance(HOLD * 0.2)
        assert seen.frames == ["stuck"]
        clock.advance(5)
        assert clock.armed == 0
        await seen.viewer.aclose()


async def test_a_flood_stops_the_reading_and_loses_nothing(tmp_path: Path) -> None:
    async with holding(tmp_path, "one") as gateway, Alone(TerminalPane(gateway)).run_test() as pilot:  # type: ignore[arg-type]
        held = gateway.sessions["one"]
        data = b"".join(b"%07d\n" % number for number in range(500_000))
        held.print(data)
        link = SessionLink(gateway, "one", arrived=lambda: None, refused=lambda _: None)  # type: ignore[arg-type]
        link.open(fresh=True)
        await eventually(pilot, lambda: link.waiting > HIGH)
        for _ in range(20):
            await pilot.pause()
        assert link.waiting < HIGH + (1 << 19), "it goes on reading what nobody takes"
        found = bytearray()
        while len(found) < len(data):
            event = link.take()
            if event is None:
                await pilot.pause()
            elif isinstance(event, Output):
                if len(event.data) > 1000:
                    link.put_back(event.data[1000:])
                    event = Output(event.data[:1000])
                found += event.data
                assert link.offset == len(found)
        assert bytes(found) == data
        await link.close()


async def test_far_behind_it_goes_on_from_the_present(tmp_path: Path) -> None:
    async with holding(tmp_path, "one") as gateway, Alone(TerminalPane(gateway)).run_test() as pilot:  # type: ignore[arg-type]
        held = gateway.sessions["one"]
        link = SessionLink(gateway, "one", arrived=lambda: None, refused=lambda _: None)  # type: ignore[arg-type]
        link.open(control=True, size=(70, 20), fresh=True)
        await eventually(pilot, lambda: link.live)
        held.print(b"x" * (HIGH + (1 << 20)))
        await eventually(pilot, lambda: link.waiting > HIGH)
        held.end += SKIP  # which the holder has recorded meanwhile, and sends at our pace
        held.mark = (held.end, b"")
        held.entries.append((held.end, packets.OUT, b"the present"))
        held.end += len(b"the present")
        found = b""
        for _ in range(2000):
            event = link.take()
            if event is None:
                await pilot.pause()
            elif isinstance(event, Output):
                found = event.data
            if found == b"the present":
                break
        assert found == b"the present"
        assert held.hellos[1:] == [(packets.CONTROL, packets.SAFE_MARK, 70, 20)]
        await link.close()


async def test_the_session_is_reached_again_without_a_supervisor(tmp_path: Path) -> None:
    async with holding(tmp_path, "one") as gateway, Alone(TerminalPane(gateway)).run_test() as pilot:  # type: ignore[arg-type]
        held = gateway.sessions["one"]
        link = SessionLink(gateway, "one", arrived=lambda: None, refused=lambda _: None)  # type: ignore[arg-type]
        link.open(fresh=True)
        await eventually(pilot, lambda: link.live)
        gateway.gone = True
        link.open(control=True, size=(70, 20))
        link.send(b"typed")
        await eventually(pilot, lambda: held.typed == b"typed")
        await link.close()


async def test_nonsense_from_a_socket_is_an_end_and_no_crash(tmp_path: Path) -> None:
    async with holding(tmp_path, "one") as gateway, Alone(TerminalPane(gateway)).run_test() as pilot:  # type: ignore[arg-type]
        held = gateway.sessions["one"]
        events: list[object] = []
        link = SessionLink(gateway, "one", arrived=lambda: None, refused=lambda _: None)  # type: ignore[arg-type]
        for nonsense in (
            b"\x82\xff\xff\xff\xff",
            packets.encode(packets.OUTPUT, b"x"),
            packets.encode(packets.WELCOME, b""),
            packets.encode(packets.ACK, b""),
            packets.encode(0x77, b"unknown kinds are passed over") + packets.encode(packets.GAP, b"short"),
        ):
            events.clear()
            link.open(fresh=True)
            await eventually(pilot, lambda: link.live)
            held.clients[-1].write(nonsense)
            for _ in range(50):
                await pilot.pause()
                if (event := link.take()) is not None:
                    events.append(event)
                if any(isinstance(each, Lost) for each in events):
                    break
            assert any(isinstance(each, Lost) for each in events), nonsense
        await link.close()


async def test_an_idle_pane_arms_nothing_and_redraws_nothing(tmp_path: Path) -> None:
    clock = HandClock()
    async with holding(tmp_path, "one") as gateway:
        pane = TerminalPane(gateway, clock=clock)  # type: ignore[arg-type]
        async with Alone(pane).run_test(size=(60, 12)) as pilot:
            pane.show(running("one"))
            gateway.sessions["one"].print(b"still")
            await eventually(pilot, lambda: shown(pane)[0] == "still", clock)
            clock.advance(5)
            drawn = pane._viewer.picture.look
            calls: list[int] = []
            pane._viewer.picture.look = lambda *size: calls.append(1) or drawn(*size)  # type: ignore[method-assign,func-returns-value]
            clock.advance(60)
            await pilot.pause()
            assert clock.armed == 0
            assert calls == []


async def test_only_changed_lines_are_drawn_again(tmp_path: Path) -> None:
    clock = HandClock()
    async with holding(tmp_path, "one") as gateway:
        held = gateway.sessions["one"]
        pane = TerminalPane(gateway, clock=clock)  # type: ignore[arg-type]
        async with Alone(pane).run_test(size=(60, 22)) as pilot:
            pane.show(running("one"))
            held.print(b"".join(b"line %d\r\n" % number for number in range(15)))
            await eventually(pilot, lambda: shown(pane)[14] == "line 14", clock)
            drawn: list[int] = []
            line = pane._line
            pane._line = lambda y, size: drawn.append(y) or line(y, size)  # type: ignore[method-assign,func-returns-value]
            held.print(b"\x1b[3;1Hthree\x1b[8;1Height")
            await eventually(pilot, lambda: shown(pane)[7] == "eight7", clock)
            assert set(drawn) <= {2, 7, 15}


async def test_the_focus_makes_the_pace(tmp_path: Path) -> None:
    async with holding(tmp_path, "one") as gateway:
        pane = TerminalPane(gateway)  # type: ignore[arg-type]
        app = Alone(pane)
        async with app.run_test() as pilot:
            pane.show(running("one"))
            pane.focus()
            await pilot.pause()
            assert pane._viewer.frames.interval == FOCUSED
            app.set_focus(None)
            await pilot.pause()
            assert pane._viewer.frames.interval == UNFOCUSED
