"""A terminal pane against a holder in the same loop: what is drawn, when, and what it never does."""

from __future__ import annotations

from pathlib import Path

import pytest

from lite.terminal import packets
from tests.support.panes import Alone, HandClock, PaneGateway, eventually, holding, running, screen_text, shown
from tui.viewing import Standing
from tui.widgets.terminal import TerminalPane


def pane_of(gateway: PaneGateway, clock: HandClock) -> TerminalPane:
    return TerminalPane(gateway, clock=clock)  # type: ignore[arg-type]


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
