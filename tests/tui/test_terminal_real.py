"""Panes on real sessions: a supervisor, a holder, a shell, vim."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from lite.api.client import Client
from lite.recordings.reader import Chunk, Recording
from lite.transcripts.reader import transcript_size
from tests.support.fleet import Fleet
from tests.support.panes import Alone, screen_text, shown
from tests.support.programs import needs
from tui.state import TaskView
from tui.viewing import Standing
from tui.widgets.terminal import TerminalPane

pytestmark = pytest.mark.slow


class RealGateway:
    """The part of the gateway that panes use, over a real supervisor."""

    def __init__(self, fleet: Fleet) -> None:
        self._socket = str(fleet.home.socket)
        self._home = fleet.home

    async def attach(self, session: str, *, control: bool) -> Any:
        def ask() -> Any:
            with Client(self._socket) as client:
                return client.attach(session, control=control)

        return await asyncio.to_thread(ask)

    async def recording(self, session: str, offset: int, limit: int) -> Sequence[Chunk]:
        return await asyncio.to_thread(Recording(self._home.session(session)).read, offset, limit)

    async def recording_end(self, session: str) -> tuple[int, int]:
        recording = Recording(self._home.session(session))
        return recording.start(), recording.end()

    async def transcript_end(self, session: str) -> int | None:
        return transcript_size(self._home.session(session))


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    with Fleet(tmp_path / "p") as fleet:
        assert fleet.up() == "ready"
        yield fleet


async def look(pilot: Pilot[Any], condition: Callable[[], object], seconds: float = 60.0) -> None:
    """Foreign processes have no event to wait on."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "\n".join(screen_text(pilot.app))
        await pilot.pause(0.01)


def view(fleet: Fleet, task: str) -> TaskView:
    told = fleet.client.task(task)
    return TaskView(
        id=told["id"],
        name=told["name"],
        state=told["state"],
        mode=told["mode"],
        session=told["session"],
        exit_code=told["exit_code"],
        signal=told["signal"],
    )


async def started(pilot: Pilot[Any], fleet: Fleet, *argv: str) -> str:
    fleet.qd("submit", "--", *argv)
    task = str(fleet.tasks()[-1]["id"])
    await look(pilot, lambda: fleet.client.task(task)["state"] == "running")
    return task


async def test_a_shell_typed_into_resized_scrolled_back_and_ended(fleet: Fleet) -> None:
    pane = TerminalPane(RealGateway(fleet))  # type: ignore[arg-type]
    app = Alone(pane)
    async with app.run_test(size=(72, 22)) as pilot:
        task = await started(pilot, fleet, "env", "PS1=ready: ", "sh")
        pane.show(view(fleet, task))
        await look(pilot, lambda: any("ready:" in line for line in shown(pane)))
        assert "120×40" in screen_text(app)[-1]
        pane.focus()
        pane.type_into()
        await pilot.press(*"echo hi $((40+2))", "enter")
        await look(pilot, lambda: "hi 42" in shown(pane))
        await pilot.press(*"stty size", "enter")
        await look(pilot, lambda: "20 70" in shown(pane))
        await pilot.resize_terminal(92, 32)
        await look(pilot, lambda: pane._viewer.picture.screen_size == (90, 30))
        await pilot.press(*"stty size; seq 1 500", "enter")
        await look(pilot, lambda: "500" in shown(pane))
        await pilot.press("ctrl+right_square_bracket")
        await look(pilot, lambda: not pane.typing and pane.standing is Standing.LIVE)
        await pilot.press("slash", *"30 90", "enter")
        await look(pilot, lambda: "30 90" in shown(pane))
        await pilot.press("y")
        await look(pilot, lambda: app.copied == ["30 90"])
        await pilot.press("q")
        await look(pilot, lambda: "500" in shown(pane))
        pane.type_into()
        await pilot.press(*"exit 3", "enter")
        await look(pilot, lambda: pane.standing is Standing.ENDED)
        assert "exit 3" in screen_text(app)[-1]
        assert "500" in shown(pane), "the last screen stays"
        fleet.wait()
        other = TerminalPane(RealGateway(fleet))  # type: ignore[arg-type]
        await app.mount(other)
        other.show(view(fleet, task))
        await look(pilot, lambda: other.standing is Standing.ENDED and any("exit 3" in line for line in shown(other)))
        assert other.remarks()[0] == "ended: failed, exit 3"


async def test_the_supervisor_may_die_under_a_pane(fleet: Fleet) -> None:
    pane = TerminalPane(RealGateway(fleet))  # type: ignore[arg-type]
    app = Alone(pane)
    async with app.run_test(size=(72, 22)) as pilot:
        task = await started(pilot, fleet, "cat")
        pane.show(view(fleet, task))
        await look(pilot, lambda: pane.standing is Standing.LIVE)
        pane.type_into()
        await pilot.press(*"before", "enter")
        await look(pilot, lambda: shown(pane).count("before") == 2)
        fleet.kill()
        await pilot.press(*"meanwhile", "enter")
        await look(pilot, lambda: shown(pane).count("meanwhile") == 2)
        assert fleet.up() == "ready"
        pane.reconnect()
        await pilot.press("ctrl+d")
        await look(pilot, lambda: pane.standing is Standing.ENDED)
        assert "exit 0" in screen_text(app)[-1]


@needs("vim")
async def test_vim_typed_into(fleet: Fleet) -> None:
    file = fleet.project / "notes.txt"
    pane = TerminalPane(RealGateway(fleet))  # type: ignore[arg-type]
    app = Alone(pane)
    async with app.run_test(size=(72, 22)) as pilot:
        task = await started(pilot, fleet, "vim", "-u", "NONE", "-N", str(file))
        pane.show(view(fleet, task))
        await look(pilot, lambda: any(line.startswith("~") for line in shown(pane)))
        pane.type_into()
        await look(pilot, lambda: pane._viewer.picture.screen_size == (70, 20))
        await pilot.press("i", *"first", "enter", *"zecond", "escape", "0", "r", "s")
        await look(pilot, lambda: shown(pane)[:2] == ["first", "second"])
        await pilot.press("up", "o", *"between", "escape", *":wq", "enter")
        await look(pilot, lambda: pane.standing is Standing.ENDED)
        assert file.read_text() == "first\nbetween\nsecond\n"


async def test_a_headless_task_reads_like_a_terminal(fleet: Fleet) -> None:
    pane = TerminalPane(RealGateway(fleet))  # type: ignore[arg-type]
    async with Alone(pane).run_test(size=(72, 22)) as pilot:
        fleet.qd("submit", "--mode", "headless", "--", "printf", r"one\ntwo\nthree\n")
        fleet.wait()
        pane.show(view(fleet, str(fleet.tasks()[-1]["id"])))
        await look(pilot, lambda: shown(pane)[:3] == ["one", "two", "three"])


async def test_floods_leave_the_loop_alive(fleet: Fleet) -> None:
    """Programs as fast as they can: keys are still answered and no turn of the loop is long."""
    from tui.pacing import LoopClock, Turns

    clock = LoopClock()
    turns = Turns(clock)
    panes = [TerminalPane(RealGateway(fleet), clock=clock, turns=turns) for _ in range(3)]  # type: ignore[arg-type]
    app = Alone(panes[0])
    async with app.run_test(size=(100, 60)) as pilot:
        for pane in panes[1:]:
            await app.mount(pane)
        for pane in panes:
            task = await started(pilot, fleet, "sh", "-c", "while :; do seq 1 100000; done")
            pane.show(view(fleet, task))
        await look(pilot, lambda: all(pane.standing is Standing.LIVE and shown(pane)[0] for pane in panes))
        longest = 0.0
        for _ in range(40):
            before = time.perf_counter()
            await asyncio.sleep(0)
            longest = max(longest, time.perf_counter() - before)
        waiting = max(pane._viewer.link.waiting for pane in panes if pane._viewer.link is not None)
        assert waiting < 1 << 20
        assert longest < 1.0, f"the loop stood still for {longest:.3f} s"
