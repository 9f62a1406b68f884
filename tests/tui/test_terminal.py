"""A terminal pane against a holder in the same loop: what is drawn, how it stands, what it says on its border."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lite.terminal import packets
from tests.support.panes import Alone, HandClock, PaneGateway, eventually, holding, running, screen_text, shown
from tui.state import Asked, TaskView
from tui.themes import THEMES
from tui.viewing import Standing
from tui.widgets.terminal import TerminalPane


def pane_of(gateway: PaneGateway, clock: HandClock, **others: Any) -> TerminalPane:
    return TerminalPane(gateway, clock=clock, **others)  # type: ignore[arg-type]


async def test_shows_what_the_session_prints(tmp_path: Path) -> None:
    clock = HandClock()
    async with holding(tmp_path, "one") as gateway:
        held = gateway.sessions["one"]
        held.print(b"hello\r\n\x1b[31mred\x1b[0m")
        pane = pane_of(gateway, clock)
        app = Alone(pane)
        async with app.run_test(size=(40, 12)) as pilot:
            pane.show(running("one"))
            await eventually(pilot, lambda: "red" in shown(pane)[1], clock)
            assert shown(pane)[0] == "hello"
            assert held.hellos == [(packets.WATCH, packets.SAFE_MARK, 0, 0)]
            held.print(b"\r\nmore")
            await eventually(pilot, lambda: "more" in shown(pane)[2], clock)
            assert "●R one" in screen_text(app)[0]
            assert pane.standing is Standing.LIVE


async def test_begins_at_the_safe_mark_with_the_modes_in_force_there(tmp_path: Path) -> None:
    clock = HandClock()
    async with holding(tmp_path, "one") as gateway:
        held = gateway.sessions["one"]
        held.print(b"old and gone")
        held.mark = (held.end, b"\x1b[?2004h")
        held.print(b"new")
        pane = pane_of(gateway, clock)
        async with Alone(pane).run_test(size=(40, 12)) as pilot:
            pane.show(running("one"))
            await eventually(pilot, lambda: shown(pane)[0] == "new", clock)
            assert pane._viewer.picture.modes.bracketed_paste


async def test_a_larger_session_is_cut_at_the_cursor_and_never_resized(tmp_path: Path) -> None:
    clock = HandClock()
    async with holding(tmp_path, "one", cols=120, rows=40) as gateway:
        held = gateway.sessions["one"]
        held.print(b"".join(b"line %d\r\n" % number for number in range(30)) + b"$ ")
        pane = pane_of(gateway, clock)
        app = Alone(pane)
        async with app.run_test(size=(60, 12)) as pilot:
            pane.show(running("one"))
            await eventually(pilot, lambda: "line 29" in shown(pane), clock)
            assert shown(pane)[-1] == "$"
            assert shown(pane)[0] == "line 21"
            assert "120×40" in screen_text(app)[-1]
            assert held.sizes == []
            assert [hello[0] for hello in held.hellos] == [packets.WATCH]
            held.print(b"\x1b[H")
            await eventually(pilot, lambda: shown(pane)[0] == "line 0", clock)


async def test_a_smaller_session_leaves_the_rest_blank(tmp_path: Path) -> None:
    clock = HandClock()
    async with holding(tmp_path, "one", cols=10, rows=3) as gateway:
        gateway.sessions["one"].print(b"0123456789abc\r\nx\r\ny")
        pane = pane_of(gateway, clock)
        async with Alone(pane).run_test(size=(60, 20)) as pilot:
            pane.show(running("one"))
            await eventually(pilot, lambda: shown(pane)[2] == "y", clock)
            assert shown(pane)[:4] == ["abc", "x", "y", ""]
            gateway.sessions["one"].resize(30, 5)
            gateway.sessions["one"].print(b"\r\n" + b"z" * 20)
            await eventually(pilot, lambda: "z" * 20 in shown(pane), clock)


async def test_an_ended_session_is_replayed_from_its_recording(tmp_path: Path) -> None:
    clock = HandClock()
    async with holding(tmp_path, "one") as gateway:
        held = gateway.sessions["one"]
        held.print(b"the last words")
        held.exit()
        pane = pane_of(gateway, clock)
        app = Alone(pane)
        async with app.run_test(size=(60, 12)) as pilot:
            pane.show(TaskView(id="01", name="one", state="failed", session="one", exit_code=3))
            await eventually(pilot, lambda: pane.standing is Standing.ENDED, clock)
            await eventually(pilot, lambda: shown(pane)[0] == "the last words", clock)
            assert "failed, exit 3" in screen_text(app)[-1]
            assert "✗F one" in screen_text(app)[0]


async def test_only_the_end_of_a_long_recording_is_replayed(tmp_path: Path) -> None:
    clock = HandClock()
    async with holding(tmp_path, "one", rows=5) as gateway:
        held = gateway.sessions["one"]
        for number in range(40_000):
            held.print(b"this is line number %d of the output\r\n" % number)
        pane = pane_of(gateway, clock)
        async with Alone(pane).run_test(size=(60, 7)) as pilot:
            pane.show(TaskView(id="01", name="one", state="succeeded", session="one", exit_code=0))
            await eventually(pilot, lambda: pane.standing is Standing.ENDED, clock)
            await eventually(pilot, lambda: "this is line number 39999 of the output" in shown(pane), clock)
            assert min(offset for offset, _ in gateway.reads) >= held.end - (1 << 20)


async def test_the_end_of_a_watched_session_stays_on_screen(tmp_path: Path) -> None:
    clock = HandClock()
    async with holding(tmp_path, "one") as gateway:
        held = gateway.sessions["one"]
        held.print(b"working")
        pane = pane_of(gateway, clock)
        app = Alone(pane)
        async with app.run_test(size=(60, 12)) as pilot:
            pane.show(running("one"))
            await eventually(pilot, lambda: shown(pane)[0] == "working", clock)
            held.exit(b'{"v": 1, "kind": "exited", "exit_code": null, "signal": 9}')
            await eventually(pilot, lambda: pane.standing is Standing.ENDED, clock)
            assert shown(pane)[0] == "working"
            await eventually(pilot, lambda: "killed by signal 9" in screen_text(app)[-1])
            pane.show(TaskView(id="01one", name="one", state="failed", session="one", signal=9))
            await eventually(pilot, lambda: "failed, killed by signal 9" in screen_text(app)[-1])
            assert shown(pane)[0] == "working"


async def test_a_lost_connection_goes_on_at_its_offset(tmp_path: Path) -> None:
    clock = HandClock()
    async with holding(tmp_path, "one") as gateway:
        held = gateway.sessions["one"]
        held.print(b"before")
        pane = pane_of(gateway, clock)
        app = Alone(pane)
        async with app.run_test(size=(60, 12)) as pilot:
            pane.show(running("one"))
            await eventually(pilot, lambda: shown(pane)[0] == "before", clock)
            held.clients[0].transport.abort()
            await eventually(pilot, lambda: pane.standing is Standing.LOST, clock)
            assert "not connected" in screen_text(app)[-1]
            held.print(b" after")
            pane.reconnect()
            await eventually(pilot, lambda: shown(pane)[0] == "before after", clock)
            assert held.hellos[-1] == (packets.WATCH, len(b"before"), 0, 0)
            assert pane.standing is Standing.LIVE


async def test_without_a_supervisor_it_says_so_and_tries_again_when_told(tmp_path: Path) -> None:
    clock = HandClock()
    async with holding(tmp_path, "one") as gateway:
        gateway.sessions["one"].print(b"here")
        gateway.gone = True
        pane = pane_of(gateway, clock)
        app = Alone(pane)
        async with app.run_test(size=(60, 12)) as pilot:
            pane.show(running("one"))
            await eventually(pilot, lambda: pane.standing is Standing.LOST, clock)
            assert "nobody answers" in screen_text(app)[-1]
            gateway.gone = False
            pane.reconnect()
            await eventually(pilot, lambda: shown(pane)[0] == "here", clock)


async def test_asleep_it_parses_nothing_and_wakes_at_the_mark(tmp_path: Path) -> None:
    clock = HandClock()
    async with holding(tmp_path, "one") as gateway:
        held = gateway.sessions["one"]
        held.print(b"one")
        pane = pane_of(gateway, clock)
        async with Alone(pane).run_test(size=(60, 12)) as pilot:
            pane.show(running("one"))
            await eventually(pilot, lambda: shown(pane)[0] == "one", clock)
            pane.hibernate()
            await eventually(pilot, lambda: not held.clients)
            held.print(b" two")
            await pilot.pause()
            clock.advance(1)
            assert shown(pane)[0] == "one"
            assert clock.armed == 0
            pane.wake()
            await eventually(pilot, lambda: shown(pane)[0] == "one two", clock)
            assert held.hellos[-1][1] == packets.SAFE_MARK


async def test_hidden_it_hangs_up_by_itself(tmp_path: Path) -> None:
    clock = HandClock()
    async with holding(tmp_path, "one") as gateway:
        held = gateway.sessions["one"]
        held.print(b"one")
        pane = pane_of(gateway, clock)
        async with Alone(pane).run_test(size=(60, 12)) as pilot:
            pane.show(running("one"))
            await eventually(pilot, lambda: shown(pane)[0] == "one", clock)
            pane.display = False
            await eventually(pilot, lambda: not held.clients, clock)
            pane.display = True
            await eventually(pilot, lambda: held.clients, clock)


async def test_another_task_takes_the_pane_over(tmp_path: Path) -> None:
    clock = HandClock()
    async with holding(tmp_path, "one", "two") as gateway:
        gateway.sessions["one"].print(b"first")
        gateway.sessions["two"].print(b"second")
        pane = pane_of(gateway, clock)
        app = Alone(pane)
        async with app.run_test(size=(60, 12)) as pilot:
            pane.show(running("one"))
            await eventually(pilot, lambda: shown(pane)[0] == "first", clock)
            pane.show(running("two"))
            await eventually(pilot, lambda: shown(pane)[0] == "second", clock)
            await eventually(pilot, lambda: not gateway.sessions["one"].clients)
            pane.show(None)
            await eventually(pilot, lambda: any("no task is chosen" in line for line in screen_text(app)))
            pane.show(TaskView(id="01", name="three", state="queued", reason="needs", detail="waits for two"))
            await eventually(pilot, lambda: any("queued: waits for two" in line for line in screen_text(app)))


async def test_the_title_says_who_waits(tmp_path: Path) -> None:
    clock = HandClock()
    async with holding(tmp_path, "one") as gateway:
        held = gateway.sessions["one"]
        held.print(b"\x1b]2;vim notes.txt\x07hello")
        pane = pane_of(gateway, clock)
        app = Alone(pane)
        async with app.run_test(size=(100, 12)) as pilot:
            pane.show(running("one"))
            await eventually(pilot, lambda: "vim notes.txt" in screen_text(app)[0], clock)
            asked = Asked("1", "approval", "run [bold]tests[/bold]?\x1b[31m", "h", 0)
            pane.show(running("one", waiting=asked))
            await eventually(pilot, lambda: "? approval: run [bold]tests[/bold]?" in screen_text(app)[0])
            assert "?W one" in screen_text(app)[0]


@pytest.mark.parametrize("theme", [theme.name for theme in THEMES])
async def test_every_theme(tmp_path: Path, theme: str) -> None:
    clock = HandClock()
    async with holding(tmp_path, "one") as gateway:
        gateway.sessions["one"].print(b"\x1b[1;31mred\x1b[0m \x1b[38;2;1;2;3mtrue\x1b[0m \x1b[7mback")
        pane = pane_of(gateway, clock)
        async with Alone(pane, theme).run_test(size=(60, 15)) as pilot:
            pane.show(running("one"))
            await eventually(pilot, lambda: shown(pane)[0] == "red true back", clock)


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (3, 3), (60, 15), (80, 24), (100, 30), (200, 60)])
async def test_any_size_will_do(tmp_path: Path, size: tuple[int, int]) -> None:
    clock = HandClock()
    async with holding(tmp_path, "one") as gateway:
        held = gateway.sessions["one"]
        pane = pane_of(gateway, clock)
        app = Alone(pane)
        async with app.run_test(size=size) as pilot:
            pane.show(running("one"))
            await eventually(pilot, lambda: pane.standing is Standing.LIVE, clock)
            held.print("wide 日本語 text ".encode() * 40)
            await eventually(pilot, lambda: pane._viewer.picture.rows or not pane.size, clock)
            await pilot.pause()
            assert len(screen_text(app)) == size[1]


async def test_a_storm_of_resizes(tmp_path: Path) -> None:
    clock = HandClock()
    async with holding(tmp_path, "one") as gateway:
        held = gateway.sessions["one"]
        pane = pane_of(gateway, clock)
        app = Alone(pane)
        async with app.run_test(size=(80, 24)) as pilot:
            pane.show(running("one"))
            await eventually(pilot, lambda: pane.standing is Standing.LIVE, clock)
            pane.type_into()
            await eventually(pilot, lambda: held.hellos[-1][0] == packets.CONTROL, clock)
            sizes = [(1, 1), (200, 60), (3, 2), (60, 15), (400, 120), (80, 24), (2, 50), (70, 20)]
            for cols, rows in sizes:
                held.print(b"text\r\n" * 5)
                await pilot.resize_terminal(cols, rows)
            await eventually(pilot, lambda: held.sizes and held.sizes[-1] == (68, 18), clock)
            assert len(held.sizes) < len(sizes)
            await eventually(pilot, lambda: shown(pane)[0] == "text", clock)


async def test_a_theme_changed_meanwhile_is_drawn_and_a_quiet_pane_is_not_drawn_again(tmp_path: Path) -> None:
    clock = HandClock()
    async with holding(tmp_path, "one", "two") as gateway:
        quiet, busy = pane_of(gateway, clock), pane_of(gateway, clock)
        app = Alone(quiet)
        async with app.run_test(size=(60, 20)) as pilot:
            await app.mount(busy)
            for pane, name in ((quiet, "one"), (busy, "two")):
                pane.show(running(name))
                gateway.sessions[name].print(b"\x1b[34mblue")
                await eventually(pilot, lambda pane=pane: shown(pane)[0] == "blue", clock)
            await pilot.pause()
            drawn: list[int] = []
            once = quiet._styles_cache.render_line
            quiet._styles_cache.render_line = lambda *given: drawn.append(given[1]) or once(*given)  # type: ignore[method-assign,func-returns-value]
            gateway.sessions["two"].print(b" and more")
            await eventually(pilot, lambda: "blue and more" in "".join(screen_text(app)), clock)
            assert drawn == []
            before = quiet.render_line(0)
            app.theme = "chart"
            await eventually(pilot, lambda: quiet.render_line(0) != before)
            await pilot.pause()
            assert "blue" in "".join(screen_text(app))
            colours = {style.color.name for _, style, _ in quiet.render_line(0) if style and style.color}
            assert "#1f4fbf" in colours, colours


async def test_readable_without_colours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    clock = HandClock()
    async with holding(tmp_path, "one") as gateway:
        gateway.sessions["one"].print(b"\x1b[31;44mred on blue")
        pane = pane_of(gateway, clock)
        app = Alone(pane)
        async with app.run_test(size=(60, 12)) as pilot:
            pane.show(running("one", waiting=Asked("1", "question", "which?", "", 0)))
            await eventually(pilot, lambda: shown(pane)[0] == "red on blue", clock)
            assert "?W one ? question: which?" in screen_text(app)[0]


async def test_mounted_hidden_it_waits_to_be_seen(tmp_path: Path) -> None:
    clock = HandClock()
    async with holding(tmp_path, "one") as gateway:
        pane = pane_of(gateway, clock)
        pane.display = False
        async with Alone(pane).run_test(size=(60, 12)) as pilot:
            pane.show(running("one"))
            await pilot.pause()
            assert gateway.attached == []
            pane.display = True
            await eventually(pilot, lambda: gateway.sessions["one"].clients, clock)
