"""What a session prints reaches the outer terminal as cells and as nothing else."""

from __future__ import annotations

import random
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len
from rich.style import Style as RichStyle

from lite.terminal.emulator import PLAIN, Run, Style
from tests.support.panes import Alone, HandClock, eventually, holding, running, screen_text, shown
from tui.state import Activity, Asked
from tui.viewing import Standing
from tui.widgets.terminal import TerminalPane
from tui.widgets.terminal_lines import Painter, cut, laid_over

CORPUS: dict[str, bytes] = {
    "OSC 52 writes the clipboard": b"\x1b]52;c;aGVsbG8=\x07",
    "OSC 8 links": b"\x1b]8;;file:///etc/passwd\x1b\\click\x1b]8;;\x1b\\ \x1b]8;;https://example.org\x07web\x1b]8;;\x07",
    "titles": b"\x1b]0;[bold]x[/bold]\x1b[31m\xe2\x80\xae\x07\x1b]2;" + b"t" * 10_000 + b"\x07",
    "device and application strings": b"\x1bP+q544e\x1b\\\x1b_Ga=T;AAAA\x1b\\\x1b^private\x1b\\\x1bXstart\x1b\\",
    "queries": b"\x1b[c\x1b[>c\x1b[6n\x1b[?u\x1b]10;?\x07\x1b]4;1;?\x07\x1b[14t\x1b[21t",
    "iTerm and notification sequences": b"\x1b]1337;File=inline=1:AAAA\x07\x1b]9;note\x07\x1b]777;notify;a;b\x07",
    "C1 controls": b"\x9b31m\x9d0;title\x9c\x90q\x9c \xc2\x9b2J\xc2\x9d0;x\xc2\x9c",
    "bidi and zero width": "a\u202eevil\u202c b\u200bc\u200d \u2066x\u2069 \ufeff \u00ad".encode(),
    "wide, joined and combining": "日本語 👩‍👩‍👧‍👦 🇩🇪 ❤️ e\u0301\u0301\u0301 ﷽ \u1160\uffa0".encode(),
    "invalid UTF-8": bytes(range(128, 256)) * 3,
    "all bytes": bytes(range(256)),
    "markup": b"[bold red]x[/] [@click=app.bell]y[/] $error {{x}}",
    "unfinished": b"text \x1b[31",
    "unfinished string": b"\x1b]0;never ends " + b"x" * 100_000,
    "colours that do not exist": b"\x1b[38;2;999;999;999mx\x1b[38;5;999my\x1b[48:2::1:2:3mz\x1b[m",
    "a style for every cell": b"".join(b"\x1b[38;2;%d;%d;%dmx" % (n % 256, n // 256, 7) for n in range(6000)),
    "modes of the outer terminal": b"\x1b[?1049h\x1b[?25l\x1b[?1000h\x1b[?2004h\x1b[>31u\x1b[?1049l\x1b7\x1b8\x1bc",
    "scroll regions and huge numbers": b"\x1b[5;10r\x1b[999999999A\x1b[4294967295;99999H\x1b[2147483647Sx\x1b[1000000@",
    "repeat": b"x\x1b[2147483647b\x1b[65535Z",
}


def assert_only_cells(lines: list[str], width: int) -> None:
    for line in lines:
        assert cell_len(line) == width, f"{line!r} is {cell_len(line)} cells wide"
        for char in line:
            assert unicodedata.category(char) not in ("Cc", "Cf", "Cs", "Zl", "Zp"), f"{char!r} in {line!r}"


def written(app: Any) -> list[tuple[str, RichStyle | None, Any]]:
    return [segment for strip in app.screen._compositor.render_strips() for segment in strip]


@pytest.mark.parametrize("name", list(CORPUS))
async def test_nothing_but_cells(tmp_path: Path, name: str) -> None:
    clock = HandClock()
    async with holding(tmp_path, "one", cols=40, rows=12) as gateway:
        held = gateway.sessions["one"]
        pane = TerminalPane(gateway, clock=clock)  # type: ignore[arg-type]
        app = Alone(pane)
        async with app.run_test(size=(50, 16)) as pilot:
            pane.show(running("one"))
            held.print(CORPUS[name])
            held.print(b"\x1b\\\x1b[m\r\n\x1b[?25h")
            await eventually(pilot, lambda: pane._viewer.link and pane._viewer.link.offset == held.end, clock)
            clock.advance(1)
            await pilot.pause()
            assert pane.standing is Standing.LIVE
            assert_only_cells(screen_text(app), 50)
            for text, style, control in written(app):
                assert not control
                assert style is None or style.link is None, text
            assert app.copied == []
            assert app.clipboard == ""
            assert held.typed == b"", "a query was answered twice"


async def test_random_bytes(tmp_path: Path) -> None:
    clock = HandClock()
    rng = random.Random(3)
    pieces = [*CORPUS.values(), b"\x1b[", b"\x1b]", b"\r\n", b"\t", b"\x1b[?2026h", b"\x1b[?2026l", "漢".encode()]
    async with holding(tmp_path, "one", cols=40, rows=12) as gateway:
        held = gateway.sessions["one"]
        pane = TerminalPane(gateway, clock=clock)  # type: ignore[arg-type]
        app = Alone(pane)
        async with app.run_test(size=(30, 10)) as pilot:
            pane.show(running("one"))
            for _ in range(60):
                piece = rng.choice(pieces)[:3000]
                at = rng.randrange(len(piece) + 1)
                held.print(piece[:at] + rng.randbytes(rng.randrange(30)))
                if rng.random() < 0.1:
                    held.resize(rng.randrange(1, 300), rng.randrange(1, 100))
                clock.advance(0.05)
                await pilot.pause()
                assert_only_cells(screen_text(app), 30)
            await eventually(pilot, lambda: pane._viewer.link and pane._viewer.link.offset == held.end, clock)


async def test_names_and_questions(tmp_path: Path) -> None:
    clock = HandClock()
    evil = "[bold]x[/bold]\x1b[31m\x1b]52;c;aGk=\x07\u202eabc\u200b\n\t" + "y" * 10_000
    async with holding(tmp_path, "one") as gateway:
        pane = TerminalPane(gateway, clock=clock)  # type: ignore[arg-type]
        app = Alone(pane)
        async with app.run_test(size=(70, 10)) as pilot:
            for task in (
                running(evil, "one", waiting=Asked("1", evil, evil, "", 0)),
                running(evil, "one", activity=Activity("waiting", evil, evil, 0, evil)),
                running(evil, "one", detail=evil, reason=evil),
            ):
                pane.show(task)
                await eventually(pilot, lambda: "[bold]x" in screen_text(app)[0], clock)
                assert_only_cells(screen_text(app), 70)
            held = gateway.sessions["one"]
            held.refuse = evil
            pane.focus()
            pane.type_into()
            await pilot.press("x")
            await eventually(pilot, lambda: "not taken" in screen_text(app)[-1], clock)
            assert_only_cells(screen_text(app), 70)
            held.exit(b'{"exit_code": 1, "message": "\\u001b[31mbad\\u202e\\n"}')
            await eventually(pilot, lambda: pane.standing is Standing.ENDED, clock)
            await eventually(pilot, lambda: "ended: exit 1" in screen_text(app)[-1])
            assert_only_cells(screen_text(app), 70)


async def test_what_is_copied_has_no_controls(tmp_path: Path) -> None:
    clock = HandClock()
    async with holding(tmp_path, "one", cols=40, rows=12) as gateway:
        held = gateway.sessions["one"]
        pane = TerminalPane(gateway, clock=clock)  # type: ignore[arg-type]
        app = Alone(pane)
        async with app.run_test(size=(50, 16)) as pilot:
            pane.show(running("one"))
            held.print(b"".join(CORPUS[name] + b"\x1b\\\r\n" for name in CORPUS if not name.startswith("unfinished")))
            await eventually(pilot, lambda: pane._viewer.link and pane._viewer.link.offset == held.end, clock)
            pane.focus()
            await pilot.press("pageup")
            await eventually(pilot, lambda: pane.looking_back, clock)
            await pilot.press("g", "v", "G", "y")
            await eventually(pilot, lambda: app.copied)
            assert_only_cells(screen_text(app), 50)
            for line in app.copied[0].split("\n"):
                assert all(unicodedata.category(char) not in ("Cc", "Cf", "Cs") for char in line), line


async def test_ten_megabytes_without_a_line_end(tmp_path: Path) -> None:
    clock = HandClock()
    async with holding(tmp_path, "one", cols=40, rows=12) as gateway:
        held = gateway.sessions["one"]
        pane = TerminalPane(gateway, clock=clock)  # type: ignore[arg-type]
        async with Alone(pane).run_test(size=(50, 16)) as pilot:
            pane.show(running("one"))
            held.print(b"x" * (10 << 20) + b"!")
            await eventually(
                pilot, lambda: pane._viewer.link and pane._viewer.link.offset == held.end, clock, turns=4000
            )
            await eventually(pilot, lambda: any(line.endswith("!") for line in shown(pane)), clock)


def test_strips_are_as_wide_as_asked_whatever_the_run() -> None:
    painter = Painter()
    painter.use(RichStyle())
    runs = [
        Run("ascii", PLAIN, 5),
        Run("日本", Style(fg=1), 4),
        Run("lies", PLAIN, 9),
        Run("日", PLAIN, 1),
        Run("e\u0301", Style(hidden=True), 1),
        Run("link", Style(link="https://example.org"), 4),
    ]
    for width in range(1, 40):
        for first in range(12):
            strip = painter.strip(tuple(runs), width, first=first)
            assert cell_len(strip.text) == width
            for begin in range(0, width, 3):
                over = laid_over(strip, [(begin, begin + 2, RichStyle(reverse=True)), (0, 1, RichStyle(bold=True))])
                assert cell_len(over.text) == width
            assert all(segment.style is None or segment.style.link is None for segment in strip)
    assert "e" not in painter.strip((runs[4],), 3).text


def test_cutting_never_tears_a_wide_character() -> None:
    assert cut("a日b本c", 1, 3) == "日"
    assert cut("a日b本c", 2, 5) == " b "
    assert cut("e\u0301x", 0, 1) == "e\u0301"
    assert cut("plain", 1, 3) == "la"
