"""Typing into a pane: every key but one is the program's, the size is the pane's, a refusal is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.pilot import Pilot
from textual.widgets import Input

from lite.terminal import packets
from tests.support.panes import Alone, HandClock, Held, PaneGateway, eventually, holding, running, screen_text, shown
from tui.viewing import Standing
from tui.widgets.terminal import TerminalPane


class Greedy(Alone):
    """An app that wants keys for itself, some with priority."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+q", "grab('ctrl+q')", priority=True),
        Binding("ctrl+p", "grab('ctrl+p')", priority=True),
        Binding("tab", "grab('tab')", priority=True),
        Binding("q,z,question_mark,escape", "grab('key')"),
    ]

    def __init__(self, widget: TerminalPane) -> None:
        super().__init__(widget)
        self.grabbed: list[str] = []

    def compose(self) -> ComposeResult:
        yield self.widget
        yield Input()

    def action_grab(self, key: str) -> None:
        self.grabbed.append(key)


async def _typing(pilot: Pilot[Any], pane: TerminalPane, held: Held, clock: HandClock) -> None:
    pane.show(running(held.name))
    await eventually(pilot, lambda: pane.standing is Standing.LIVE and len(held.clients) == 1, clock)
    pane.focus()
    pane.type_into()
    await eventually(pilot, lambda: held.hellos[-1][0] == packets.CONTROL and pane._viewer.link.live, clock)  # type: ignore[union-attr]


async def test_every_key_but_the_leave_key_goes_to_the_program(tmp_path: Path) -> None:
    clock = HandClock()
    async with holding(tmp_path, "one") as gateway:
        held = gateway.sessions["one"]
        pane = TerminalPane(gateway, clock=clock)  # type: ignore[arg-type]
        app = Greedy(pane)
        async with app.run_test(size=(60, 20)) as pilot:
            await _typing(pilot, pane, held, clock)
            assert "ctrl-] leaves" in "".join(screen_text(app))
            keys = ["h", "i", "q", "ctrl+q", "ctrl+p", "tab", "shift+tab", "escape", "question_mark", "ctrl+c", "enter"]
            await pilot.press(*keys, "up", "ctrl+z", "G", "slash")
            wanted = b"hiq\x11\x10\t\x1b[Z\x1b?\x03\r\x1b[A\x1aG/"
            await eventually(pilot, lambda: held.typed == wanted, clock)
            assert app.grabbed == []
            assert pane.has_focus
            await pilot.press("ctrl+right_square_bracket")
            await eventually(pilot, lambda: not pane.typing and held.hellos[-1][0] == packets.WATCH, clock)
            await pilot.press("ctrl+q", "z", "tab")
            assert app.grabbed == ["ctrl+q", "key", "tab"]
            assert held.typed == wanted


async def test_the_session_takes_the_panes_size_and_nothing_is_drawn_twice(tmp_path: Path) -> None:
    clock = HandClock()
    async with holding(tmp_path, "one", cols=120, rows=40) as gateway:
        held = gateway.sessions["one"]
        held.print(b"once\r\n")
        pane = TerminalPane(gateway, clock=clock)  # type: ignore[arg-type]
        async with Alone(pane).run_test(size=(62, 17)) as pilot:
            await _typing(pilot, pane, held, clock)
            await eventually(pilot, lambda: pane._viewer.picture.screen_size == (60, 15), clock)
            assert held.hellos[-1] == (packets.CONTROL, len(b"once\r\n"), 60, 15)
            assert shown(pane)[:2] == ["once", ""]
            await pilot.resize_terminal(82, 27)
            await eventually(pilot, lambda: held.sizes == [(80, 25)], clock)
            pane.leave()
            await eventually(pilot, lambda: held.hellos[-1][0] == packets.WATCH, clock)
            await pilot.resize_terminal(50, 20)
            clock.advance(5)
            await pilot.pause()
            assert held.sizes == [(80, 25)], "a watcher resized the session"


async def test_what_is_typed_before_the_connection_stands_is_not_lost(tmp_path: Path) -> None:
    clock = HandClock()
    async with holding(tmp_path, "one") as gateway:
        held = gateway.sessions["one"]
        pane = TerminalPane(gateway, clock=clock)  # type: ignore[arg-type]
        async with Alone(pane).run_test(size=(60, 20)) as pilot:
            pane.show(running("one"))
            await eventually(pilot, lambda: pane.standing is Standing.LIVE, clock)
            pane.type_into()
            for char in "quick":
                pane.post_message(events.Key(char, char))
            await eventually(pilot, lambda: held.typed == b"quick", clock)


async def test_modes_are_honoured(tmp_path: Path) -> None:
    clock = HandClock()
    async with holding(tmp_path, "one") as gateway:
        held = gateway.sessions["one"]
        held.print(b"\x1b[?1h\x1b[?2004h\x1b[?1004h\x1b[?1000h\x1b[?1006h")
        pane = TerminalPane(gateway, clock=clock)  # type: ignore[arg-type]
        async with Greedy(pane).run_test(size=(60, 20)) as pilot:
            await _typing(pilot, pane, held, clock)
            await pilot.press("up")
            await eventually(pilot, lambda: held.typed.endswith(b"\x1bOA"), clock)
            pane.post_message(events.Paste("two\nlines\x1b[201~rm -rf\n"))
            await eventually(pilot, lambda: held.typed.endswith(b"\x1b[201~"), clock)
            assert held.typed.count(b"\x1b[201~") == 1
            await pilot.mouse_down(pane, offset=(5, 3))
            await pilot.mouse_up(pane, offset=(5, 3))
            await eventually(pilot, lambda: held.typed.endswith(b"\x1b[<0;5;3M\x1b[<0;5;3m"), clock)
            pane.leave()
            await eventually(pilot, lambda: not pane.typing, clock)


async def test_the_mouse_stays_ours_when_the_program_did_not_ask(tmp_path: Path) -> None:
    clock = HandClock()
    async with holding(tmp_path, "one") as gateway:
        held = gateway.sessions["one"]
        pane = TerminalPane(gateway, clock=clock)  # type: ignore[arg-type]
        async with Greedy(pane).run_test(size=(60, 20)) as pilot:
            await _typing(pilot, pane, held, clock)
            await pilot.click(pane, offset=(5, 3))
            await pilot.press("x")
            await eventually(pilot, lambda: held.typed == b"x", clock)


async def test_a_refusal_is_told(tmp_path: Path) -> None:
    clock = HandClock()
    async with holding(tmp_path, "one") as gateway:
        held = gateway.sessions["one"]
        held.refuse = "the program reads no input"
        pane = TerminalPane(gateway, clock=clock)  # type: ignore[arg-type]
        app = Alone(pane)
        async with app.run_test(size=(80, 20)) as pilot:
            await _typing(pilot, pane, held, clock)
            await pilot.press("x")
            await eventually(pilot, lambda: "not taken: the program reads no input" in screen_text(app)[-1], clock)
            held.refuse = ""
            await pilot.press("y")
            await eventually(pilot, lambda: "not taken" not in screen_text(app)[-1], clock)
            pane.post_message(events.Paste("x" * (3 << 20)))
            await eventually(pilot, lambda: "so much at once" in screen_text(app)[-1], clock)
            assert held.typed == b"y"


async def test_typing_into_what_does_not_run_is_refused_with_the_reason(tmp_path: Path) -> None:
    clock = HandClock()
    async with holding(tmp_path, "one") as gateway:
        held = gateway.sessions["one"]
        held.exit()
        pane = TerminalPane(gateway, clock=clock)  # type: ignore[arg-type]
        app = Alone(pane)
        async with app.run_test(size=(80, 20)) as pilot:
            pane.show(None)
            pane.type_into()
            assert not pane.typing
            pane.show(running("one"))
            await eventually(pilot, lambda: pane.standing is Standing.LOST, clock)
            pane.type_into()
            assert not pane.typing
            await eventually(pilot, lambda: any("has ended" in str(each.message) for each in app._notifications))


async def test_the_end_of_the_program_gives_the_keys_back(tmp_path: Path) -> None:
    clock = HandClock()
    async with holding(tmp_path, "one") as gateway:
        held = gateway.sessions["one"]
        pane = TerminalPane(gateway, clock=clock)  # type: ignore[arg-type]
        app = Greedy(pane)
        async with app.run_test(size=(80, 20)) as pilot:
            await _typing(pilot, pane, held, clock)
            held.exit()
            await eventually(pilot, lambda: not pane.typing, clock)
            await pilot.press("z")
            assert app.grabbed == ["key"]
            assert "ended: exit 0" in "".join(screen_text(app))


async def test_going_elsewhere_with_the_mouse_leaves_but_another_window_does_not(tmp_path: Path) -> None:
    clock = HandClock()
    async with holding(tmp_path, "one") as gateway:
        held = gateway.sessions["one"]
        pane = TerminalPane(gateway, clock=clock)  # type: ignore[arg-type]
        app = Greedy(pane)
        async with app.run_test(size=(80, 20)) as pilot:
            await _typing(pilot, pane, held, clock)
            app.post_message(events.AppBlur())
            await eventually(pilot, lambda: not pane.has_focus)
            assert pane.typing
            app.post_message(events.AppFocus())
            await eventually(pilot, lambda: pane.has_focus)
            assert pane.typing
            app.query_one(Input).focus()
            await eventually(pilot, lambda: not pane.typing, clock)


async def test_another_leave_key() -> None:
    gateway: Any = PaneGateway()
    for name, keys in {
        "ctrl-]": ["ctrl+right_square_bracket"],
        "ctrl-q": ["ctrl+q"],
        "^\\": ["ctrl+backslash"],
        "ctrl-space": ["ctrl+space", "ctrl+@"],
        "C-_": ["ctrl+underscore"],
    }.items():
        typist = TerminalPane(gateway, leave_key=name)._typist
        assert all(typist.leaves(key) for key in keys), name
        assert not typist.leaves("ctrl+c")
