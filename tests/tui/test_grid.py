"""Several panes at once: which, where, how many; only those on the page are awake."""

from __future__ import annotations

from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from lite.terminal import packets
from tests.support.panes import Alone, HandClock, PaneGateway, eventually, holding, running, screen_text, shown
from tui.state import Asked, Fleet, TaskView
from tui.viewing import Standing
from tui.widgets.grid import TerminalGrid
from tui.widgets.grid_layout import COUNTS, MIN_HEIGHT, MIN_WIDTH, in_order, shape_for, smallest_for

NAMES = [f"s{number}" for number in range(12)]


def fleet_of(*tasks: TaskView) -> Fleet:
    return Fleet(tasks=MappingProxyType({task.id: task for task in tasks}))


def tasks_of(count: int) -> list[TaskView]:
    return [running(NAMES[number], seq=number) for number in range(count)]


def grid_of(gateway: PaneGateway, clock: HandClock) -> TerminalGrid:
    return TerminalGrid(gateway, clock=clock)  # type: ignore[arg-type]


def names(grid: TerminalGrid) -> list[str]:
    return [pane.shown_task.name if pane.shown_task else "" for pane in grid.panes]


def live(gateway: PaneGateway) -> set[str]:
    return {name for name, held in gateway.sessions.items() if held.clients}


@pytest.mark.parametrize(
    ("count", "size", "columns", "rows"),
    [
        (9, (200, 60), 3, 3),
        (9, (100, 30), 3, 3),
        (9, (80, 24), 2, 3),
        (4, (80, 24), 2, 2),
        (9, (60, 15), 1, 2),
        (2, (60, 15), 1, 2),
        (2, (200, 30), 2, 1),
        (2, (80, 80), 1, 2),
        (9, (1, 1), 1, 1),
        (6, (400, 120), 3, 2),
    ],
)
def test_shapes(count: int, size: tuple[int, int], columns: int, rows: int) -> None:
    assert shape_for(count, *size) == (columns, rows)


def test_no_pane_is_too_small_to_read() -> None:
    for width in range(1, 260, 7):
        for height in range(1, 80, 3):
            for count in COUNTS:
                shape = shape_for(count, width, height)
                assert shape.panes <= count
                if shape.panes > 1:
                    assert width // shape.columns >= MIN_WIDTH
                    assert height // shape.rows >= MIN_HEIGHT


def test_those_that_ask_come_first_and_what_has_no_session_does_not_come() -> None:
    asked = Asked("1", "question", "?", "", 50)
    tasks = [
        running("a", seq=1),
        running("b", seq=2, waiting=asked),
        TaskView(id="01c", name="c", state="succeeded", session="c", seq=3),
        TaskView(id="01d", name="d", state="queued", seq=4),
        running("e", seq=5, waiting=Asked("2", "question", "?", "", 20)),
        TaskView(id="01f", name="f", state="running", seq=6),
    ]
    assert in_order(tasks) == ["01e", "01b", "01a"]
    assert [smallest_for(count) for count in (0, 1, 2, 3, 5, 7, 40)] == [1, 1, 2, 4, 6, 9, 9]


async def test_shows_each_session_in_its_pane_and_wakes_no_other(tmp_path: Path) -> None:
    clock = HandClock()
    async with holding(tmp_path, *NAMES) as gateway:
        for name in NAMES:
            gateway.sessions[name].print(f"I am {name}".encode())
        grid = grid_of(gateway, clock)
        app = Alone(grid)
        async with app.run_test(size=(120, 40)) as pilot:
            grid.show(fleet_of(*tasks_of(12)))
            await pilot.pause()
            assert live(gateway) == set(), "asleep until told"
            grid.wake()
            await eventually(pilot, lambda: live(gateway) == set(NAMES[:9]), clock)
            await eventually(pilot, lambda: all("I am s" in shown(pane)[0] for pane in grid.panes), clock)
            assert [shown(pane)[0] for pane in grid.panes] == [f"I am {name}" for name in NAMES[:9]]
            assert "1–9 of 12" in screen_text(app)[-1]
            grid.focus()
            await pilot.press("right_square_bracket")
            await eventually(pilot, lambda: live(gateway) == set(NAMES[9:]), clock)
            assert names(grid) == NAMES[9:]
            await pilot.press("left_square_bracket")
            await eventually(pilot, lambda: live(gateway) == set(NAMES[:9]), clock)
            grid.hibernate()
            await eventually(pilot, lambda: live(gateway) == set(), clock)
            assert {hello[0] for held in gateway.sessions.values() for hello in held.hellos} == {packets.WATCH}


async def test_an_ended_session_stays_until_the_page_is_turned(tmp_path: Path) -> None:
    clock = HandClock()
    async with holding(tmp_path, *NAMES) as gateway:
        grid = grid_of(gateway, clock)
        app = Alone(grid)
        async with app.run_test(size=(120, 40)) as pilot:
            tasks = tasks_of(3)
            grid.show(fleet_of(*tasks))
            grid.wake()
            await eventually(pilot, lambda: len(live(gateway)) == 3, clock)
            before = grid.panes
            gateway.sessions["s1"].print(b"bye")
            gateway.sessions["s1"].exit()
            await eventually(pilot, lambda: before[1].standing is Standing.ENDED, clock)
            tasks[1] = TaskView(id="01s1", name="s1", state="succeeded", session="s1", seq=1, exit_code=0)
            grid.show(fleet_of(*tasks, running("s3", seq=3)))
            await eventually(pilot, lambda: "s3" in live(gateway), clock)
            assert names(grid) == ["s0", "s1", "s2", "s3"]
            assert grid.panes[:3] == before, "a pane was given to another task"
            assert shown(before[1])[0] == "bye"
            grid.focus()
            await pilot.press("2")
            assert names(grid) == ["s0", "s1"]
            await pilot.press("right_square_bracket")
            assert names(grid) == ["s2", "s3"]
            await pilot.press("left_square_bracket")
            assert names(grid) == ["s0", "s2"]


async def test_the_focus_moves_by_keys_and_mouse(tmp_path: Path) -> None:
    clock = HandClock()
    async with holding(tmp_path, *NAMES) as gateway:
        grid = grid_of(gateway, clock)
        async with Alone(grid).run_test(size=(120, 40)) as pilot:
            grid.show(fleet_of(*tasks_of(4)))
            grid.wake()
            grid.focus()
            await pilot.pause()
            assert grid.focused_task == "01s0"
            for key, there in [
                ("l", "s1"), ("l", "s1"), ("j", "s3"), ("h", "s2"), ("k", "s0"), ("right", "s1"), ("down", "s3"),
                ("left", "s2"), ("up", "s0"), ("tab", "s1"), ("tab", "s2"), ("shift+tab", "s1"), ("shift+tab", "s0"),
                ("shift+tab", "s3"),
            ]:  # fmt: skip
                await pilot.press(key)
                await pilot.pause()
                assert grid.focused_task == f"01{there}", key
            await pilot.click(grid.panes[1], offset=(5, 5))
            assert grid.focused_task == "01s1"


async def test_zoom_and_back(tmp_path: Path) -> None:
    clock = HandClock()
    async with holding(tmp_path, *NAMES) as gateway:
        grid = grid_of(gateway, clock)
        app = Alone(grid)
        async with app.run_test(size=(120, 40)) as pilot:
            grid.show(fleet_of(*tasks_of(4)))
            grid.wake()
            grid.focus()
            await pilot.press("l", "z")
            await eventually(pilot, lambda: live(gateway) == {"s1"}, clock)
            assert names(grid) == ["s1"]
            assert grid.panes[0].outer_size.width == 120
            assert grid.panes[0].has_focus
            await pilot.press("right_square_bracket")
            await eventually(pilot, lambda: names(grid) == ["s2"], clock)
            await pilot.press("z")
            await eventually(pilot, lambda: len(live(gateway)) == 4, clock)
            assert names(grid) == NAMES[:4]
            assert grid.focused_task == "01s2"


async def test_typing_into_the_focused_pane_takes_the_grids_keys(tmp_path: Path) -> None:
    clock = HandClock()
    async with holding(tmp_path, *NAMES) as gateway:
        grid = grid_of(gateway, clock)
        async with Alone(grid).run_test(size=(120, 40)) as pilot:
            grid.show(fleet_of(*tasks_of(4)))
            grid.wake()
            grid.focus()
            await eventually(pilot, lambda: len(live(gateway)) == 4, clock)
            await pilot.press("l", "i")
            await pilot.press("h", "z", "tab", "right_square_bracket", "9")
            held = gateway.sessions["s1"]
            await eventually(pilot, lambda: held.typed == b"hz\t]9", clock)
            assert held.hellos[-1][0] == packets.CONTROL
            assert all(gateway.sessions[name].hellos[-1][0] == packets.WATCH for name in ("s0", "s2", "s3"))
            await pilot.press("ctrl+right_square_bracket", "h")
            assert grid.focused_task == "01s0"


async def test_looking_back_takes_the_arrows_until_it_ends(tmp_path: Path) -> None:
    clock = HandClock()
    async with holding(tmp_path, *NAMES) as gateway:
        gateway.sessions["s0"].print("".join(f"line {number}\r\n" for number in range(100)).encode())
        grid = grid_of(gateway, clock)
        async with Alone(grid).run_test(size=(120, 40)) as pilot:
            grid.show(fleet_of(*tasks_of(4)))
            grid.wake()
            grid.focus()
            pane = grid.panes[0]
            await eventually(pilot, lambda: "line 99" in shown(pane), clock)
            await pilot.press("pageup")
            await eventually(pilot, lambda: pane.looking_back, clock)
            await pilot.press("j", "k", "down", "l")
            assert grid.focused_task == "01s0"
            await pilot.press("q", "j")
            assert grid.focused_task == "01s2"


async def test_who_asks_elsewhere_is_told(tmp_path: Path) -> None:
    clock = HandClock()
    async with holding(tmp_path, *NAMES) as gateway:
        grid = grid_of(gateway, clock)
        app = Alone(grid)
        async with app.run_test(size=(120, 40)) as pilot:
            tasks = tasks_of(12)
            grid.show(fleet_of(*tasks))
            grid.wake()
            await pilot.pause()
            tasks[11] = running("s11", seq=11, waiting=Asked("1", "question", "which?", "", 5))
            grid.show(fleet_of(*tasks))
            await eventually(pilot, lambda: "1 on other pages waits for you" in screen_text(app)[-1], clock)
            assert names(grid)[0] == "s0", "nothing moves under somebody's eyes"
            grid.focus()
            await pilot.press("o")
            await eventually(pilot, lambda: names(grid)[0] == "s11", clock)


async def test_reconnects_all(tmp_path: Path) -> None:
    clock = HandClock()
    async with holding(tmp_path, *NAMES) as gateway:
        grid = grid_of(gateway, clock)
        async with Alone(grid).run_test(size=(120, 40)) as pilot:
            gateway.gone = True
            grid.show(fleet_of(*tasks_of(4)))
            grid.wake()
            await eventually(pilot, lambda: all(pane.standing is Standing.LOST for pane in grid.panes), clock)
            gateway.gone = False
            grid.reconnect()
            await eventually(pilot, lambda: all(pane.standing is Standing.LIVE for pane in grid.panes), clock)


@pytest.mark.parametrize("size", [(1, 1), (60, 15), (80, 24), (100, 30), (200, 60)])
async def test_any_size_and_a_storm_of_them(tmp_path: Path, size: tuple[int, int]) -> None:
    clock = HandClock()
    async with holding(tmp_path, *NAMES) as gateway:
        grid = grid_of(gateway, clock)
        app = Alone(grid)
        async with app.run_test(size=size) as pilot:
            grid.show(fleet_of(*tasks_of(9)))
            grid.wake()
            await pilot.pause()
            if size == (60, 15):
                assert len(grid.panes) == 2
            for cols, rows in [(1, 1), (400, 120), (3, 30), (60, 15), size]:
                for held in gateway.sessions.values():
                    held.print(b"text\r\n")
                await pilot.resize_terminal(cols, rows)
                clock.advance(0.2)
            await pilot.press("z", "9", "tab", "right_square_bracket")
            await pilot.pause()
            assert len(screen_text(app)) == size[1]


async def test_an_empty_grid_says_so(tmp_path: Path) -> None:
    gateway: Any = PaneGateway()
    grid = grid_of(gateway, HandClock())
    app = Alone(grid)
    async with app.run_test(size=(80, 24)) as pilot:
        grid.show(fleet_of())
        grid.wake()
        grid.focus()
        await pilot.press("h", "tab", "z", "right_square_bracket", "9", "o", "i")
        assert grid.focused_task == ""
        assert "nothing runs" in screen_text(app)[-1]
