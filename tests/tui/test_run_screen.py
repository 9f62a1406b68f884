"""The run view by its keys."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import pytest

from tests.support.dashboards import NOW, FakeGateway, event_json, fleet, large, task
from tests.support.opened import dashboard, main_screen, opened, text_of
from tests.support.panes import eventually
from tui.screens.explain import Explain
from tui.screens.run import RunScreen
from tui.state import EMPTY, Fleet
from tui.widgets.dag import Dag
from tui.widgets.fleet_list import FleetList

SIZES = [(60, 15), (80, 24), (100, 30), (200, 60), (1, 1)]
HOSTILE = "[bold]x\x1b[31m\u202e\u200b" + "z" * 5000


def run() -> Fleet:
    return fleet(
        task("repo", run="r", state="succeeded"),
        task("api", run="r", needs=("repo",), lane="server", asks="Migrate?"),
        task("ui", run="r", needs=("repo",), doing="working"),
        task("check", run="r", needs=("api", "ui"), lane="server"),
        task("other", run="q"),
    )


def gateway() -> FakeGateway:
    made = FakeGateway()
    made.logs["r"] = [
        event_json(1, "task.claimed", "api", attempt=1, run="r", worker="w1"),
        event_json(2, "task.started", "api", attempt=1, run="r", worker="w1"),
    ]
    return made


async def test_enter_on_a_run_opens_it_and_escape_closes_it(tmp_path: Path) -> None:
    app = dashboard(tmp_path, run(), gateway())
    async with opened(app) as pilot:
        main_screen(app).query_one(FleetList).go_to_run("r")
        await pilot.press("enter")
        assert isinstance(app.screen, RunScreen)
        shown = text_of(app)
        assert all(name in shown for name in ("repo", "api", "ui", "check"))
        assert "other" not in shown
        assert "─" in shown
        await pilot.press("escape")
        assert not isinstance(app.screen, RunScreen)


async def test_the_cursor_walks_the_graph_and_enter_goes_to_the_task(tmp_path: Path) -> None:
    app = dashboard(tmp_path, run(), gateway())
    async with opened(app) as pilot:
        main_screen(app).go_to("ui")
        await pilot.press("d")
        dag = app.screen.query_one(Dag)
        assert dag.chosen == "api"  # it waits for a person
        await pilot.press("l")
        assert dag.chosen == "check"
        await pilot.press("h", "h")
        assert dag.chosen == "repo"
        await pilot.press("enter")
        await pilot.pause()
        assert main_screen(app).query_one(FleetList).chosen == "repo"


async def test_states_are_live(tmp_path: Path) -> None:
    app = dashboard(tmp_path, run(), gateway())
    async with opened(app) as pilot:
        main_screen(app).go_to("ui")
        await pilot.press("d")
        assert "○Q check" in text_of(app)
        later = dict(run().tasks) | {"check": task("check", run="r", needs=("api", "ui"), doing="working")}
        app.deliver(replace(run(), tasks=MappingProxyType(later)))
        await pilot.pause()
        assert "●R check" in text_of(app)


async def test_the_timeline_and_its_detail(tmp_path: Path) -> None:
    app = dashboard(tmp_path, run(), gateway())
    async with opened(app) as pilot:
        main_screen(app).go_to("ui")
        await pilot.press("d", "2")
        await eventually(pilot, lambda: "attempt 1" in text_of(app))
        shown = text_of(app)
        assert "server" in shown
        assert "on w1" in shown
        await pilot.press("plus", "minus", "0", "l", "h", "j", "k")


async def test_why_each_waiting_task_waits(tmp_path: Path) -> None:
    made = gateway()
    app = dashboard(tmp_path, run(), made)
    async with opened(app) as pilot:
        main_screen(app).go_to("ui")
        await pilot.press("d", "3")
        await eventually(pilot, lambda: "all slots are taken" in text_of(app))
        await eventually(pilot, lambda: ("check",) in made.made("explain"))
        await eventually(pilot, lambda: text_of(app).count("all slots are taken") == 2)  # none is left out
        await pilot.press("j", "k", "e")
        assert isinstance(app.screen, Explain)


async def test_cancel_from_here_asks(tmp_path: Path) -> None:
    made = gateway()
    app = dashboard(tmp_path, run(), made)
    async with opened(app) as pilot:
        main_screen(app).go_to("ui")
        await pilot.press("d", "c")
        await eventually(pilot, lambda: "cancel 1 task" in text_of(app))
        await pilot.press("y")
        await eventually(pilot, lambda: made.made("cancel") == [("api",)])


@pytest.mark.parametrize("size", SIZES, ids=str)
async def test_no_size_and_no_plan_breaks_it(tmp_path: Path, size: tuple[int, int]) -> None:
    circle = [
        replace(task("a", run="r", needs=("c", "gone")), name=HOSTILE),
        replace(task("b", run="r", needs=("a", "b"), lane="x", asks=HOSTILE), name=HOSTILE),
        task("c", run="r", needs=("b",), lane="x"),
    ]
    app = dashboard(tmp_path, fleet(*circle), gateway())
    async with opened(app, size) as pilot:
        main_screen(app).go_to("a")
        await pilot.press("d", *"hjkl", "2", *"hjkl", "3", *"jk")
        for width, height in ((1, 1), (300, 4), size):
            await pilot.resize_terminal(width, height)
        assert not [char for char in text_of(app) if char != "\n" and not char.isprintable()]
        app.deliver(EMPTY)
        await pilot.pause()


async def test_a_run_of_thousands(tmp_path: Path) -> None:
    app = dashboard(tmp_path, large(2_000, per_run=2_000), gateway())
    async with opened(app) as pilot:
        first = next(iter(app.fleet.tasks))
        main_screen(app).go_to(first)
        await pilot.press("d", "j", "l", "2", "3")
        assert isinstance(app.screen, RunScreen)


async def _busy(folder: Path, made: FakeGateway, verb: str, key: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The fleet changes ten times while one answer is awaited; what is on show in the end."""
    monkeypatch.setattr("tui.screens.run._PAUSE", 0.001)
    app = dashboard(folder, run(), made)
    async with opened(app) as pilot:
        main_screen(app).go_to("ui")
        await pilot.press("d", key)
        await eventually(pilot, lambda: bool(made.made(verb)))
        await eventually(pilot, lambda: not app.screen.workers)
        made.hold = asyncio.Event()
        before = len(made.made(verb))
        for number in range(1, 11):
            later = dict(run().tasks) | {"check": task("check", run="r", needs=("api", "ui"), priority=number)}
            app.deliver(replace(run(), tasks=MappingProxyType(later)))
            await pilot.pause()
        assert len(made.made(verb)) <= before + 1  # never two at once
        held = text_of(app)
        made.hold.set()
        await eventually(pilot, lambda: not app.screen.workers and len(made.made(verb)) > before + 1)
        return held


async def test_the_log_is_read_once_more_after_many_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = gateway()
    await _busy(tmp_path, made, "events", "2", monkeypatch)
    assert len(made.made("events")) <= 5


async def test_reasons_stay_until_they_are_told_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held = await _busy(tmp_path, gateway(), "explain", "3", monkeypatch)
    assert "all slots are taken" in held


async def test_axis_names_and_detail_stay_when_the_timeline_scrolls(tmp_path: Path) -> None:
    tasks = [task(f"t{number:02}", run="r", state="succeeded") for number in range(40)]
    made = FakeGateway()
    made.logs["r"] = [
        event_json(
            number + 1, "task.claimed", each.id, attempt=1, run="r", worker="w1", at=NOW - 600_000 + number * 9_000
        )
        for number, each in enumerate(tasks)
    ]
    app = dashboard(tmp_path, fleet(*tasks), made)
    async with opened(app, (80, 20)) as pilot:
        main_screen(app).go_to("t00")
        await pilot.press("d", "2")
        await eventually(pilot, lambda: "attempt 1" in text_of(app))
        await pilot.press("plus", "plus", *"j" * 39)
        rows = text_of(app).splitlines()
        assert any("│0" in row or "m00s" in row for row in rows[:4])
        assert [row for row in rows if row.strip().startswith("t39  ") and "attempt 1" in row]
        assert [row for row in rows if row.strip().startswith("t38")]
        assert "t00" not in text_of(app)
        await pilot.press("0", "plus", "plus", "plus")  # it comes along when the bars are stretched
        await pilot.pause()
        assert "│0 " not in text_of(app)


async def test_every_reason_in_sight_is_asked_for_though_nothing_moves(tmp_path: Path) -> None:
    app = dashboard(tmp_path, fleet(*(task(f"t{number}", run="r") for number in range(60))), gateway())
    async with opened(app, (100, 30)) as pilot:
        main_screen(app).go_to("t0")
        await pilot.press("d", "3")
        await eventually(pilot, lambda: text_of(app).count("all slots are taken") == text_of(app).count("○Q") > 20)
