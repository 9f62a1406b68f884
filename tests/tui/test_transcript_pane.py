"""A pane on an agent's headless session: its words as they come, fitted to the pane, and its raw output by a key."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import tui.transcripts as transcripts
from lite.terminal.emulator import plain
from tests.support.panes import (
    Alone,
    HandClock,
    PaneGateway,
    Spoken,
    eventually,
    holding,
    running,
    screen_text,
    shown,
)
from tui.scroll_pages import History
from tui.transcripts import TranscriptPages, Worded
from tui.viewing import Standing
from tui.widgets.terminal import TerminalPane

HEADLESS: dict[str, Any] = {"mode": "headless"}


def speaking() -> tuple[PaneGateway, Spoken]:
    gateway = PaneGateway()
    said = gateway.said["one"] = Spoken()
    return gateway, said


def pane_of(gateway: PaneGateway, clock: HandClock) -> TerminalPane:
    return TerminalPane(gateway, clock=clock)  # type: ignore[arg-type]


async def test_what_it_says_is_shown_as_it_comes() -> None:
    clock = HandClock()
    gateway, said = speaking()
    said.say("init", model="m-1")
    pane = pane_of(gateway, clock)
    app = Alone(pane)
    async with app.run_test(size=(42, 14)) as pilot:
        pane.show(running("one", **HEADLESS))
        await eventually(pilot, lambda: "● m-1" in shown(pane), clock)
        assert pane.standing is Standing.LIVE
        said.say("delta", "Words that \x1b[2Jwrap at the edge ")
        await eventually(pilot, lambda: "Words that wrap at the edge" in shown(pane), clock)
        said.say("delta", "of the pane.")
        said.say("message", "Words that \x1b[2Jwrap at the edge of the pane.")
        said.say("tool_use", "Bash", input={"command": "make"})
        await eventually(pilot, lambda: "▸ Bash  make" in shown(pane), clock)
        assert shown(pane)[2:4] == ["Words that wrap at the edge of the pane.", ""]
        assert "transcript" in screen_text(app)[-1]
        assert gateway.attached == []
        said.end()
        await eventually(pilot, lambda: pane.standing is Standing.ENDED, clock)
        pane.show(replace(running("one", **HEADLESS), state="failed", exit_code=3))
        assert "failed, exit 3" in screen_text(app)[-1]
    assert gateway.followers == 0


async def test_an_idle_pane_does_nothing() -> None:
    clock = HandClock()
    gateway, said = speaking()
    said.say("message", "hello")
    pane = pane_of(gateway, clock)
    async with Alone(pane).run_test(size=(42, 14)) as pilot:
        pane.show(running("one", **HEADLESS))
        await eventually(pilot, lambda: "hello" in shown(pane), clock)
        clock.advance(10)
        await pilot.pause()
        assert clock.armed == 0


async def test_the_raw_output_is_a_key_away_and_back(tmp_path: Path) -> None:
    clock = HandClock()
    async with holding(tmp_path, "one") as gateway:
        gateway.sessions["one"].print(b'{"type": "x"}\n')
        said = gateway.said["one"] = Spoken()
        said.say("message", "in words")
        pane = pane_of(gateway, clock)
        app = Alone(pane)
        async with app.run_test(size=(60, 12)) as pilot:
            pane.show(running("one", **HEADLESS))
            await eventually(pilot, lambda: "in words" in shown(pane), clock)
            pane.type_into()
            assert not pane.typing
            pane.toggle_raw()
            await eventually(pilot, lambda: '{"type": "x"}' in shown(pane), clock)
            assert "raw output" in screen_text(app)[-1]
            assert gateway.followers == 0
            pane.toggle_raw()
            await eventually(pilot, lambda: "in words" in shown(pane), clock)
            assert "in words" not in shown(pane)[1:]


async def test_a_headless_program_without_events_shows_what_it_prints(tmp_path: Path) -> None:
    clock = HandClock()
    async with holding(tmp_path, "one") as gateway:
        gateway.sessions["one"].print(b"plain\noutput\n")
        pane = pane_of(gateway, clock)
        app = Alone(pane)
        async with app.run_test(size=(60, 12)) as pilot:
            pane.show(running("one", **HEADLESS))
            await eventually(pilot, lambda: shown(pane)[:2] == ["plain", "output"], clock)
            assert "raw output" not in screen_text(app)[-1]
            pane.toggle_raw()
            await pilot.pause()
            assert shown(pane)[:2] == ["plain", "output"]


async def test_an_interactive_session_is_never_asked_for_a_transcript(tmp_path: Path) -> None:
    clock = HandClock()
    async with holding(tmp_path, "one") as gateway:
        gateway.sessions["one"].print(b"screen")
        gateway.said["one"] = Spoken()
        pane = pane_of(gateway, clock)
        async with Alone(pane).run_test(size=(60, 12)) as pilot:
            pane.show(running("one", mode="interactive"))
            await eventually(pilot, lambda: "screen" in shown(pane), clock)
            assert gateway.followers == 0


async def test_another_width_wraps_it_anew() -> None:
    clock = HandClock()
    gateway, said = speaking()
    said.say("message", "one two three four five six seven eight")
    pane = pane_of(gateway, clock)
    async with Alone(pane).run_test(size=(60, 12)) as pilot:
        pane.show(running("one", **HEADLESS))
        await eventually(pilot, lambda: shown(pane)[0].endswith("eight"), clock)
        await pilot.resize_terminal(22, 12)
        await eventually(pilot, lambda: shown(pane)[:2] == ["one two three four", "five six seven eight"], clock)
        assert gateway.followers == 1


async def test_an_ended_one_is_shown_from_what_is_kept() -> None:
    clock = HandClock()
    gateway, said = speaking()
    said.say("message", "the end")
    said.say("verdict", "", ok=True)
    pane = pane_of(gateway, clock)
    ended = replace(running("one", **HEADLESS), state="succeeded", exit_code=0)
    async with Alone(pane).run_test(size=(60, 12)) as pilot:
        pane.show(ended)
        await eventually(pilot, lambda: "✓ done" in shown(pane), clock)
        await eventually(pilot, lambda: pane.standing is Standing.ENDED, clock)
        assert gateway.followers == 0


async def test_the_connection_comes_back_without_saying_anything_twice() -> None:
    clock = HandClock()
    gateway, said = speaking()
    said.say("message", "first")
    pane = pane_of(gateway, clock)
    async with Alone(pane).run_test(size=(60, 12)) as pilot:
        pane.show(running("one", **HEADLESS))
        await eventually(pilot, lambda: "first" in shown(pane), clock)
        gateway.gone = True
        said.news.set()
        await eventually(pilot, lambda: pane.standing is Standing.LOST, clock)
        gateway.gone = False
        said.say("message", "second")
        pane.reconnect()
        await eventually(pilot, lambda: "second" in shown(pane), clock)
        assert shown(pane).count("first") == 1


async def test_looking_back_reaches_the_first_word() -> None:
    clock = HandClock()
    gateway, said = speaking()
    for number in range(3000):
        said.say("message", f"message {number} " + "x" * 300)
    assert len(said.data) > transcripts.TAIL
    pane = pane_of(gateway, clock)
    app = Alone(pane)
    async with app.run_test(size=(60, 12)) as pilot:
        pane.show(running("one", **HEADLESS))
        await eventually(pilot, lambda: any("message 2999" in line for line in shown(pane)), clock)
        await pilot.press("pageup")
        await eventually(
            pilot, lambda: pane.looking_back and any("message 2998" in line for line in shown(pane)), clock
        )
        await pilot.press("g")
        await eventually(pilot, lambda: shown(pane)[0] == "message 0", clock, turns=4000)
        await pilot.press("q")
        await eventually(pilot, lambda: any("message 2999" in line for line in shown(pane)), clock)


async def test_every_message_is_in_the_history_once() -> None:
    gateway, said = speaking()
    for number in range(4000):
        said.say("message", f"<{number}> " + "y" * 250)
    history = History(TranscriptPages(gateway), "one", (80, 24), cooked=True, words=lambda: Worded(80))  # type: ignore[arg-type]
    await history.open()
    while not history.complete:
        await history.reach(history.total)
    found = []
    for depth in range(history.total - 1, -1, -1):
        await history.reach(depth)
        row = history.row(depth)
        assert row is not None
        if plain(row).startswith("<"):
            found.append(int(plain(row)[1:].split(">")[0]))
    assert found == list(range(4000))


async def test_a_flood_of_words_leaves_the_newest_on_screen() -> None:
    clock = HandClock()
    gateway, said = speaking()
    pane = pane_of(gateway, clock)
    async with Alone(pane).run_test(size=(60, 12)) as pilot:
        pane.show(running("one", **HEADLESS))
        for number in range(2000):
            said.say("tool_result", f"{number}\n" + "\x1b]0;z\x07\u202e" * 50, ok=True)
        said.say("message", "last")
        await eventually(pilot, lambda: "last" in shown(pane), clock, turns=4000)
        link = pane._viewer.link
        assert link is not None
        assert not link.pending
