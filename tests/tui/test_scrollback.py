"""Looking back through a recording: every line once and in its place, found, marked and copied."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

import tui.scroll_pages as scroll_pages
from lite.terminal import packets
from lite.terminal.emulator import plain
from tests.support.panes import Alone, HandClock, Held, PaneGateway, eventually, holding, running, screen_text, shown
from tui.scroll_pages import History
from tui.viewing import Standing
from tui.widgets.terminal import TerminalPane
from tui.widgets.terminal_marks import Marked, Place


def recorded(*parts: bytes | tuple[int, bytes], size: tuple[int, int] = (80, 24)) -> PaneGateway:
    gateway = PaneGateway()
    held = gateway.sessions["one"] = Held("one", Path("nowhere"), *size)
    for part in parts:
        stream, data = part if isinstance(part, tuple) else (packets.OUT, part)
        held.print(data, stream)
    return gateway


def history_of(gateway: PaneGateway, **others: Any) -> History:
    return History(gateway, "one", (80, 24), **others)  # type: ignore[arg-type]


async def every_line(history: History) -> list[str]:
    """From the top."""
    await history.open()
    while not history.complete:
        await history.reach(history.total)
    found = []
    for depth in range(history.total - 1, -1, -1):
        assert await history.reach(depth)
        row = history.row(depth)
        assert row is not None
        found.append(plain(row))
    while found and not found[-1]:
        found.pop()
    return found


LINES = [f"line {number} " + "x" * (number % 50) for number in range(60_000)]


async def test_every_line_is_there_once_whatever_the_page() -> None:
    data = "".join(line + "\r\n" for line in LINES).encode()
    rng = random.Random(7)
    parts, at = [], 0
    while at < len(data):
        step = rng.randrange(1, 20_000)
        parts.append(data[at : at + step])
        at += step
    history = history_of(recorded(*parts))
    assert await every_line(history) == [line.rstrip() for line in LINES]
    assert len(history._pages) > 3


async def test_a_line_keeps_its_depth_when_older_pages_come() -> None:
    history = history_of(recorded("".join(line + "\r\n" for line in LINES).encode()))
    await history.open()
    depth = next(depth for depth in range(history.total) if (history.row(depth) or ()))
    before = history.row(depth)
    known = history.total
    assert not history.complete
    await history.reach(known + 100)
    assert history.total > known
    assert history.row(depth) == before


async def test_pages_that_were_forgotten_are_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scroll_pages, "KEPT", 2)
    monkeypatch.setattr(scroll_pages, "WINDOW", 64 << 10)
    history = history_of(recorded("".join(line + "\r\n" for line in LINES).encode()))
    found = await every_line(history)
    assert found == [line.rstrip() for line in LINES]
    assert len(history._kept) <= 2
    assert history.row(3) is not None or await history.reach(3)


async def test_the_newest_page_begins_where_the_pane_did() -> None:
    gateway = recorded(b"before\r\n", b"\x1b[31mred\r\n", b"and on\r\n")
    history = history_of(gateway, begun=len(b"before\r\n"), preamble=b"\x1b[1m")
    assert await every_line(history) == ["before", "red", "and on"]
    page = history._pages[0]
    assert (page.begin, page.preamble) == (len(b"before\r\n"), b"\x1b[1m")


async def test_clearing_the_history_does_not_clear_ours() -> None:
    data = b"".join(b"old %d\r\n" % number for number in range(100)) + b"\x1b[3Jnew\r\n"
    found = await every_line(history_of(recorded(data)))
    assert found[0] == "old 0"
    assert "new" in found


async def test_a_full_screen_program_leaves_its_last_frame_and_what_was_before_it() -> None:
    frames = b"".join(b"\x1b[H\x1b[2Jframe %d" % number for number in range(50))
    found = await every_line(history_of(recorded(b"$ vim\r\n", b"\x1b[?1049h" + frames)))
    assert found[0] == "$ vim"
    assert "frame 49" in found
    assert "frame 3" not in found
    ended = await every_line(history_of(recorded(b"$ vim\r\n", b"\x1b[?1049h" + frames + b"\x1b[?1049l$ done\r\n")))
    assert ended == ["$ vim", "$ done"]


async def test_a_page_that_begins_inside_a_full_screen_program(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scroll_pages, "WINDOW", 4096)
    frames = b"".join(b"\x1b[H\x1b[2Jframe %d\r\nsecond\r\n" % number for number in range(2000))
    data = b"begin\r\n\x1b[?1049h" + frames + b"\x1b[?1049lend\r\n"
    found = await every_line(history_of(recorded(data)))
    assert found == ["begin", "end"]


async def test_sizes_are_followed_and_gaps_survived() -> None:
    small, usual = (packets.RESIZED, bytes([0, 20, 0, 5])), (packets.RESIZED, bytes([0, 80, 0, 24]))
    gateway = recorded(small, b"a" * 30 + b"\r\n", usual, b"b" * 60)
    assert "b" * 60 in await every_line(history_of(gateway))
    held = gateway.sessions["one"]
    held.entries[1:2] = []
    assert "b" * 60 in await every_line(history_of(gateway))
    assert await every_line(history_of(recorded())) == []


async def test_one_line_of_ten_megabytes() -> None:
    history = history_of(recorded(b"x" * (10 << 20) + b"\r\nend\r\n"))
    await history.open()
    row = history.row(1) or history.row(0)
    assert row is not None
    match = await history.find("end", -1, older=True)
    assert match is not None
    assert await history.find("no such thing", -1, older=True) is None


async def test_searching_walks_the_whole_recording_both_ways() -> None:
    data = "".join(f"{line}{' NEEDLE' if number % 20_000 == 5 else ''}\r\n" for number, line in enumerate(LINES))
    history = history_of(recorded(data.encode()))
    await history.open()
    found, depth = [], -1
    while (match := await history.find("needle", depth, older=True)) is not None:
        depth = match.depth
        assert await history.reach(depth)
        text = plain(history.row(depth) or ())
        assert text[match.begin : match.end] == "NEEDLE"
        found.append(int(text.split()[1]))
    assert found == [40_005, 20_005, 5]
    back = await history.find("needle", depth, older=False)
    assert back is not None
    assert back.depth < depth
    assert await history.find("Needle", -1, older=True) is None, "a capital letter asks for exactly that"
    assert await history.find(".*", -1, older=True) is None, "not a pattern"


def test_marks_are_cut_by_cells() -> None:
    marked = Marked(Place(5, 2), Place(3, 4))
    assert marked.cells_of(3, 10) == (4, 10)
    assert marked.cells_of(4, 10) == (0, 10)
    assert marked.cells_of(5, 10) == (0, 3)
    assert marked.cells_of(6, 10) is None


# in a pane


async def _pane(tmp_path: Path, pilot: Any, pane: TerminalPane, gateway: PaneGateway, clock: HandClock) -> Held:
    held = gateway.sessions["one"]
    held.print("".join(f"line {number}\r\n" for number in range(200)).encode())
    pane.show(running("one"))
    await eventually(pilot, lambda: "line 199" in shown(pane), clock)
    pane.focus()
    await pilot.pause()
    return held


async def test_paging_back_and_forth_by_keys(tmp_path: Path) -> None:
    clock = HandClock()
    async with holding(tmp_path, "one") as gateway:
        pane = TerminalPane(gateway, clock=clock)  # type: ignore[arg-type]
        app = Alone(pane)
        async with app.run_test(size=(80, 22)) as pilot:
            held = await _pane(tmp_path, pilot, pane, gateway, clock)
            await pilot.press("pageup")
            await eventually(pilot, lambda: pane.looking_back and "line 199" not in shown(pane), clock)
            assert "line" in screen_text(app)[-1]
            held.print(b"news\r\n")
            clock.advance(1)
            await pilot.pause()
            assert "news" not in shown(pane), "looking back, nothing moves"
            await pilot.press("g")
            await eventually(pilot, lambda: shown(pane)[0] == "line 0")
            assert "line 0 of" in screen_text(app)[-1] or "line 1 of" in screen_text(app)[-1]
            await pilot.press("j", "j", "down", "k")
            assert shown(pane)[0] == "line 0"
            await pilot.press("G")
            await eventually(pilot, lambda: "line 199" in shown(pane))
            assert not held.typed
            await pilot.press("q")
            await eventually(pilot, lambda: "news" in shown(pane), clock)
            assert not pane.looking_back


async def test_searching_by_keys(tmp_path: Path) -> None:
    clock = HandClock()
    async with holding(tmp_path, "one") as gateway:
        pane = TerminalPane(gateway, clock=clock)  # type: ignore[arg-type]
        app = Alone(pane)
        async with app.run_test(size=(80, 22)) as pilot:
            await _pane(tmp_path, pilot, pane, gateway, clock)
            await pilot.press("slash", "L", "backspace", *"line", "space", "7")
            assert "/line 7" in screen_text(app)[-1]
            await pilot.press("enter")
            await eventually(pilot, lambda: "line 79" in shown(pane))
            for wanted in ("line 78", "line 77"):
                await pilot.press("n")
                await eventually(
                    pilot, lambda wanted=wanted: plain(pane._back.history.row(-pane._back.at.line)) == wanted
                )
            await pilot.press("N")
            await eventually(pilot, lambda: plain(pane._back.history.row(-pane._back.at.line)) == "line 78")  # type: ignore[union-attr,arg-type]
            y = shown(pane).index("line 78")
            assert [segment.text for segment in pane.render_line(y) if segment.style and segment.style.underline]
            await pilot.press("slash", *"nowhere", "enter")
            await eventually(pilot, lambda: "not found above: nowhere" in screen_text(app)[-1])
            await pilot.press("slash", "x", "escape")
            assert pane.looking_back


async def test_marking_and_copying_by_keys(tmp_path: Path) -> None:
    clock = HandClock()
    async with holding(tmp_path, "one") as gateway:
        pane = TerminalPane(gateway, clock=clock)  # type: ignore[arg-type]
        app = Alone(pane)
        async with app.run_test(size=(80, 22)) as pilot:
            await _pane(tmp_path, pilot, pane, gateway, clock)
            await pilot.press("slash", *"line 150", "enter")
            await eventually(pilot, lambda: "line 150" in shown(pane))
            await pilot.press("y")
            await eventually(pilot, lambda: app.copied == ["line 150"])
            await pilot.press("0", "v", "j", "j", "dollar_sign")
            assert "y copies" in screen_text(app)[-1]
            await pilot.press("y")
            await eventually(pilot, lambda: app.copied[1:] == ["line 150\nline 151\nline 152"])
            assert any("3 lines copied" in str(each.message) for each in app._notifications)


async def test_copying_with_the_mouse(tmp_path: Path) -> None:
    clock = HandClock()
    async with holding(tmp_path, "one") as gateway:
        pane = TerminalPane(gateway, clock=clock)  # type: ignore[arg-type]
        app = Alone(pane)
        async with app.run_test(size=(80, 22)) as pilot:
            held = await _pane(tmp_path, pilot, pane, gateway, clock)
            y = shown(pane).index("line 190")
            await pilot.mouse_down(pane, offset=(1 + 5, 1 + y))
            held.print(b"moves on\r\n" * 5)
            await pilot.hover(pane, offset=(1 + 3, 1 + y + 1))
            clock.advance(1)
            await pilot.mouse_up(pane, offset=(1 + 3, 1 + y + 1))
            await eventually(pilot, lambda: app.copied)
            assert app.copied == ["190\nline"]
            await eventually(pilot, lambda: "moves on" in shown(pane), clock)
            await pilot.click(pane, offset=(4, 4))
            assert len(app.copied) == 1


async def test_the_wheel_looks_back_and_returns(tmp_path: Path) -> None:
    clock = HandClock()
    async with holding(tmp_path, "one") as gateway:
        pane = TerminalPane(gateway, clock=clock)  # type: ignore[arg-type]
        async with Alone(pane).run_test(size=(80, 22)) as pilot:
            await _pane(tmp_path, pilot, pane, gateway, clock)
            await pilot._post_mouse_events([_wheel("MouseScrollUp")], pane, (5, 5), button=0)
            await eventually(pilot, lambda: pane.looking_back)
            assert "line 199" not in shown(pane)
            for _ in range(4):
                await pilot._post_mouse_events([_wheel("MouseScrollDown")], pane, (5, 5), button=0)
            await eventually(pilot, lambda: not pane.looking_back, clock)


def _wheel(name: str) -> Any:
    import textual.events

    return getattr(textual.events, name)


async def test_a_full_screen_program_says_what_there_is(tmp_path: Path) -> None:
    clock = HandClock()
    async with holding(tmp_path, "one") as gateway:
        pane = TerminalPane(gateway, clock=clock)  # type: ignore[arg-type]
        app = Alone(pane)
        async with app.run_test(size=(100, 22)) as pilot:
            held = await _pane(tmp_path, pilot, pane, gateway, clock)
            held.print(b"\x1b[?1049h\x1b[Hthe editor")
            await eventually(pilot, lambda: shown(pane)[0] == "the editor", clock)
            await pilot.press("pageup")
            await eventually(pilot, lambda: "line 199" in shown(pane))
            assert "only the last frame" in screen_text(app)[-1]
            await pilot.press("q")
            await eventually(pilot, lambda: shown(pane)[0] == "the editor", clock)


async def test_without_a_supervisor_there_is_no_history_and_no_crash(tmp_path: Path) -> None:
    clock = HandClock()
    async with holding(tmp_path, "one") as gateway:
        pane = TerminalPane(gateway, clock=clock)  # type: ignore[arg-type]
        app = Alone(pane)
        async with app.run_test(size=(80, 22)) as pilot:
            await _pane(tmp_path, pilot, pane, gateway, clock)
            gateway.gone = True
            await pilot.press("pageup")
            await eventually(pilot, lambda: any("nobody answers" in str(each.message) for each in app._notifications))
            assert not pane.looking_back
            assert pane.standing is Standing.LIVE
