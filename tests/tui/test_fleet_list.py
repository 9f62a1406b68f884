"""The fleet list: keys, mouse, marks, folds, steadiness under change, and what is drawn at which width."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from types import MappingProxyType

import pytest
from rich.cells import cell_len
from textual import events
from textual.app import App, ComposeResult
from textual.geometry import Offset
from textual.message import Message

from tui import filters
from tui.messages import RunOpened, TaskChosen, TaskOpened
from tui.state import EMPTY, Activity, Asked, Fleet, Link, RunView, SupervisorView, TaskView, WorkerView
from tui.themes import THEMES
from tui.widgets.fleet_list import FleetList
from tui.widgets.line_list import LineList

NOW = 1_700_000_000_000
M = 60_000
HOSTILE = "[bold]x\x1b[31m\u202e\u200b\u0301\u0301\u0301\u0301" + "z" * 10_000


def task(id: str, **fields: object) -> TaskView:
    return replace(TaskView(id=id, name=id, agent="dev"), **fields)  # type: ignore[arg-type]


PLAN = (
    task(
        "api",
        run="r1",
        state="running",
        lane="server",
        worker="w1",
        started_at=NOW - 200_000,
        waiting=Asked("q", "question", "Deploy to production?", "h", NOW - 125_000),
    ),
    task(
        "ui",
        run="r1",
        state="running",
        started_at=NOW - 32_000,
        activity=Activity("working", since=NOW - 4_000, text="Editing"),
    ),
    task("schema", run="r1", state="succeeded", started_at=NOW - 400_000, ended_at=NOW - 250_000),
    task("lint", run="r1", state="failed", reason="exit", detail="2", started_at=NOW - 9_000, ended_at=NOW - 4_200),
    task("check", run="r1", needs=("api", "ui")),
    task("old", run="r2", state="failed", reason="timeout"),
    task("new", run="r2", state="queued"),
)
RUNS = (
    RunView("r1", "add-login", created_at=NOW - 400_000),
    RunView("r2", "migrate", state="failed", created_at=NOW - 9 * M),
)


def fleet(tasks: Sequence[TaskView] = PLAN, runs: Sequence[RunView] = RUNS) -> Fleet:
    ordered = [replace(task, seq=seq) for seq, task in enumerate(tasks)]
    return Fleet(
        link=Link.LIVE,
        complete=True,
        supervisor=SupervisorView(slots=4),
        tasks=MappingProxyType({task.id: task for task in ordered}),
        runs=MappingProxyType({run.id: run for run in runs}),
        workers=MappingProxyType({"w1": WorkerView("w1", slots=4)}),
    )


def many(count: int) -> Fleet:
    return fleet([task(f"t{n:05}", run=f"run{n // 50:03}") for n in range(count)], ())


class Host(App[None]):
    """Remembers what the list says; the clock stands at `self.at`."""

    def __init__(self, start: Fleet = EMPTY) -> None:
        super().__init__()
        self.at = NOW
        self.start = start
        self.said: list[Message] = []

    def compose(self) -> ComposeResult:
        yield FleetList(lambda: self.at)

    def on_mount(self) -> None:
        for theme in THEMES:
            self.register_theme(theme)
        self.theme = "harbour"
        self.list.show(self.start)
        self.list.focus()

    @property
    def list(self) -> FleetList:
        return self.query_one(FleetList)

    def on_task_chosen(self, message: TaskChosen) -> None:
        self.said.append(message)

    def on_task_opened(self, message: TaskOpened) -> None:
        self.said.append(message)

    def on_line_list_sooner(self, message: LineList.Sooner) -> None:
        self.said.append(message)

    def on_run_opened(self, message: RunOpened) -> None:
        self.said.append(message)

    def on_fleet_list_filter_asked(self, message: FleetList.FilterAsked) -> None:
        self.said.append(message)

    def lines(self) -> list[str]:
        """What is in sight, without what is empty."""
        height = self.list.scrollable_content_region.height
        texts = ["".join(segment.text for segment in self.list.render_line(y)) for y in range(height)]
        return [text.rstrip() for text in texts if text.strip()]

    def line(self, start: str) -> str:
        return next(text for text in self.lines() if start in text)

    def on_screen(self) -> int:
        """Line in sight of the cursor."""
        return self.list.cursor - round(self.list.scroll_y)

    def heading(self) -> str:
        return str(self.list.border_title)


# what the lines say


async def test_tasks_stand_under_their_run_with_what_they_do() -> None:
    app = Host(fleet())
    async with app.run_test(size=(110, 24)) as pilot:
        await pilot.pause()
        heading = app.line("add-login")
        assert "▾ add-login 2/5 " in heading
        assert "?1 ×1" in heading.replace("✗", "×")
        assert heading.endswith("6m")
        api = app.line("api")
        assert "?W api" in api
        assert "asks: Deploy to production? 2m" in api
        assert "dev" in api
        assert "server" in api
        assert api.endswith("3m")
        assert "●R ui" in app.line(" ui ")
        assert "working: Editing 4s" in app.line(" ui ")
        assert "exit: 2" in app.line("✗F lint")
        assert app.line("lint").endswith("4.8s")
        assert "needs api, ui" in app.line("○Q check")
        assert app.line("✓S schema").endswith("2m30s")
        assert "timeout" in app.line("✗F old")


async def test_lanes_causes_and_times_to_come_are_told() -> None:
    tasks = [
        task("first", lane="a", state="running"),
        task("second", lane="a"),
        task("later", reason="retry", run_at=NOW + 42_000),
        task("broken", state="failed"),
        task("never", state="skipped", reason="need", cause="broken"),
        task("ending", state="running", cancel="user"),
        task("slow", state="running", activity=Activity("throttled", since=NOW - 2 * M)),
    ]
    app = Host(fleet(tasks, ()))
    async with app.run_test(size=(110, 24)) as pilot:
        await pilot.pause()
        assert "behind first" in app.line("second")
        assert "retry in 42s" in app.line("later")
        assert "need: broken failed" in app.line("never")
        assert "being cancelled" in app.line("ending")
        assert "◷T slow" in app.line("slow")
        assert "throttled 2m" in app.line("slow")


async def test_the_worker_is_told_when_there_are_several_or_it_is_another() -> None:
    app = Host(fleet())
    async with app.run_test(size=(140, 24)) as pilot:
        await pilot.pause()
        assert "w1" not in app.line("api")
        several = {"w1": WorkerView("w1"), "w2": WorkerView("w2")}
        app.list.show(replace(fleet(), workers=MappingProxyType(several)))
        assert "w1" in app.line("api")
        app.list.show(fleet())
        assert "w1" not in app.line("api")
        elsewhere = replace(fleet().supervisor, worker="the laptop itself")
        app.list.show(replace(fleet(), supervisor=elsewhere, workers=MappingProxyType({"w1": WorkerView("w1")})))
        assert "w1" in app.line("api")


async def test_narrow_lines_keep_badge_name_and_reason() -> None:
    app = Host(fleet())
    async with app.run_test(size=(30, 15)) as pilot:
        await pilot.pause()
        assert app.list.scrollable_content_region.width == 28
        assert app.line("api") == app.line("?W api")
        assert "asks: Depl" in app.line("api")
        assert app.line("api").endswith("… 2m")


@pytest.mark.parametrize("size", [(1, 1), (3, 3), (8, 4), (28, 10), (60, 15), (80, 24), (100, 30), (200, 60)])
async def test_no_size_breaks_it_and_every_line_fits(size: tuple[int, int]) -> None:
    tasks = [*PLAN, task("evil", name=HOSTILE, agent=HOSTILE, lane=HOSTILE, state="failed", detail=HOSTILE)]
    tasks += [task("wide", name="日本語のとても長いタスク名", run="r3"), task("", name="")]
    runs = [*RUNS, RunView("r3", HOSTILE)]
    app = Host(fleet(tasks, runs))
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        for key in ("j", "G", "space", "minus", "plus", "asterisk", "escape"):
            await pilot.press(key)
        width = app.list.scrollable_content_region.width
        for y in range(app.list.scrollable_content_region.height):
            strip = app.list.render_line(y)
            text = "".join(segment.text for segment in strip)
            assert cell_len(text) == width
            assert "\u202e" not in text
            assert "\x1b" not in text
        if width >= 28:
            badges = [text for text in app.lines() if "evil" not in text]
            assert badges
        app.export_screenshot()


async def test_hostile_names_are_text_not_markup() -> None:
    app = Host(fleet([task("evil", name=HOSTILE)], ()))
    async with app.run_test(size=(60, 15)) as pilot:
        await pilot.pause()
        assert "○Q [bold]x\ufffd\ufffd" in app.line("[bold]")


async def test_every_theme_and_no_colour_leave_it_readable(monkeypatch: pytest.MonkeyPatch) -> None:
    app = Host(fleet())
    async with app.run_test(size=(80, 24)) as pilot:
        for name in [*(theme.name for theme in THEMES), "textual-light"]:
            app.theme = name
            await pilot.pause()
            assert app.list.render_line(1)
    monkeypatch.setenv("NO_COLOR", "1")
    app = Host(fleet())
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        cursor = app.list.render_line(app.on_screen())
        assert any(segment.style is not None and segment.style.reverse for segment in cursor)


# the cursor


async def test_it_starts_on_a_task_and_says_so() -> None:
    app = Host(fleet())
    async with app.run_test() as pilot:
        await pilot.pause()
        assert app.list.chosen
        assert [message.task for message in app.said if isinstance(message, TaskChosen)] == [app.list.chosen]


@pytest.mark.parametrize(
    "keys", [("j", "k", "G", "g", "ctrl+d", "ctrl+u"), ("down", "up", "end", "home", "pagedown", "pageup")]
)
async def test_vim_and_arrow_keys_move_alike(keys: Sequence[str]) -> None:
    down, up, last, first, page_down, page_up = keys
    app = Host(many(200))
    async with app.run_test(size=(60, 20)) as pilot:
        await pilot.press(first)
        assert app.list.cursor == 0
        await pilot.press(down, down, up)
        assert app.list.cursor == 1
        await pilot.press(last)
        assert app.list.cursor == app.list.row_count() - 1
        await pilot.press(down)
        assert app.list.cursor == app.list.row_count() - 1
        assert 0 <= app.on_screen() < app.list.page
        await pilot.press(page_up)
        assert app.list.cursor == app.list.row_count() - app.list.page
        await pilot.press(first, page_down)
        assert app.list.cursor == app.list.page - 1


async def test_each_movement_says_once_which_task_is_chosen() -> None:
    app = Host(fleet())
    async with app.run_test() as pilot:
        await pilot.press("g", "G", "G")
        chosen = [message.task for message in app.said if isinstance(message, TaskChosen)]
        assert chosen[-1] == app.list.chosen
        assert all(one != other for one, other in pairwise(chosen))
        assert "" in chosen  # the heading at the top is no task


async def test_enter_opens_a_task_or_a_run() -> None:
    app = Host(fleet())
    async with app.run_test() as pilot:
        app.list.go_to("ui")
        await pilot.press("enter")
        opened = app.said[-1]
        assert isinstance(opened, TaskOpened)
        assert opened.task == "ui"
        await pilot.press("h", "enter")
        opened = app.said[-1]
        assert isinstance(opened, RunOpened)
        assert opened.run_id == "r1"


async def test_the_next_that_waits_or_failed_is_found_even_in_a_folded_run() -> None:
    app = Host(fleet())
    async with app.run_test() as pilot:
        app.list.go_to("new")
        await pilot.press("minus", "w")
        assert app.list.chosen == "api"
        await pilot.press("F")
        first = app.list.chosen
        await pilot.press("F")
        assert {first, app.list.chosen} == {"lint", "old"}
        await pilot.press("F")
        assert app.list.chosen == first


# steadiness


async def test_the_cursor_stays_on_its_task_and_its_line_when_rows_come_above() -> None:
    before = many(300)
    app = Host(before)
    async with app.run_test(size=(60, 20)) as pilot:
        app.list.go_to("t00120")
        await pilot.press("j", "j", "k")
        chosen, line, top = app.list.chosen, app.on_screen(), app.list.scroll_y
        app.list.show(fleet([*before.tasks.values(), *(task(f"a{n}", run="newest") for n in range(7))], ()))
        await pilot.pause()
        assert (app.list.chosen, app.on_screen()) == (chosen, line)
        assert app.list.scroll_y == top + 8
        assert app.list.render_line(line) is not None


async def test_the_cursor_takes_the_neighbours_place_when_its_task_is_gone() -> None:
    app = Host(many(40))
    async with app.run_test(size=(60, 20)) as pilot:
        await pilot.press("G")
        gone = app.list.chosen
        app.list.show(fleet([each for each in many(40).tasks.values() if each.id != gone], ()))
        await pilot.pause()
        assert app.list.chosen not in ("", gone)
        app.list.show(EMPTY)
        await pilot.pause()
        assert app.list.chosen == ""
        assert app.list.selected() == ()
        assert isinstance(app.said[-1], TaskChosen)
        await pilot.press("j", "k", "G", "g", "space", "enter", "V", "w", "h", "l", "asterisk", "ctrl+d", "shift+down")


async def test_only_lines_that_read_differently_are_drawn() -> None:
    app = Host(fleet())
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.pause()
        drawn: list[int] = []
        render = app.list.render_line
        app.list.render_line = lambda y: (drawn.append(y), render(y))[1]  # type: ignore[method-assign, func-returns-value]
        app.list.show(replace(fleet(), cursor=5, notice="x"))
        app.list.show(fleet())  # equal, but not the same objects
        app.list.tick()
        await pilot.pause()
        assert drawn == []
        changed = [replace(each, reason="parked") if each.id == "check" else each for each in PLAN]
        app.list.show(fleet(changed))
        await pilot.pause()
        assert len(set(drawn)) == 1
        assert "parked" in app.line("check")


async def test_ten_thousand_tasks_build_only_what_is_in_sight() -> None:
    app = Host(many(10_000))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("G", "ctrl+u", "g", "ctrl+d")
        assert len(app.list._built) < 400
        assert app.list.row_count() == 10_200


# ages


async def test_it_wakes_when_an_age_in_sight_changes_and_not_before() -> None:
    app = Host(fleet())
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.pause()
        assert app.list.next_change() == 1000
        app.at += 1000
        app.list.tick()
        await pilot.pause()
        assert app.line(" ui ").endswith("33s")


async def test_it_says_when_an_earlier_age_comes_into_sight() -> None:
    tasks = [task("last", run="oldest", state="running", started_at=NOW - 5_000), *many(100).tasks.values()]
    app = Host(fleet(tasks, ()))
    async with app.run_test(size=(60, 15)) as pilot:
        await pilot.press("g")
        assert app.list.next_change() is None
        app.list.go_to("last")
        await pilot.pause()
        assert any(isinstance(message, LineList.Sooner) for message in app.said)
        assert app.list.next_change() == 1000


async def test_many_old_sessions_wake_it_together() -> None:
    tasks = [task(f"t{n}", state="running", started_at=NOW - 5 * M - n * 1_371) for n in range(20)]
    app = Host(fleet(tasks, ()))
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.pause()
        wakes = 0
        while (wait := app.list.next_change()) is not None and app.at + wait <= NOW + M:
            app.at += wait
            app.list.tick()
            await pilot.pause()
            wakes += 1
        assert wakes <= 4


async def test_a_list_where_nothing_runs_never_wakes() -> None:
    over = [replace(each, state="succeeded", waiting=None, ended_at=NOW) for each in PLAN]
    app = Host(fleet([*over, task("parked", reason="parked")], [replace(run, ended_at=NOW) for run in RUNS]))
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.pause()
        assert app.list.next_change() is None


# marks


async def test_space_marks_and_moves_on() -> None:
    app = Host(fleet())
    async with app.run_test() as pilot:
        app.list.go_to("old")
        assert app.list.selected() == ("old",)
        assert app.list.marked == ()
        await pilot.press("space")
        assert app.list.marked == ("old",)
        assert app.list.chosen != "old"
        assert "◆" in app.line("old")
        assert "1 marked" in app.heading()
        app.list.go_to("old")
        await pilot.press("space")
        assert app.list.marked == ()


async def test_a_range_grows_and_shrinks_with_the_cursor() -> None:
    app = Host(many(40))
    async with app.run_test() as pilot:
        app.list.go_to("t00010")
        await pilot.press("V", "j", "j", "j", "k")
        assert app.list.marked == ("t00010", "t00011", "t00012")
        await pilot.press("V", "j", "j")
        assert app.list.marked == ("t00010", "t00011", "t00012")
        app.list.go_to("t00020")
        await pilot.press("shift+down", "shift+down", "shift+up", "shift+up", "shift+up")
        assert app.list.marked == ("t00010", "t00011", "t00012", "t00019", "t00020")


async def test_all_that_match_are_marked_in_folded_runs_too() -> None:
    app = Host(fleet())
    async with app.run_test() as pilot:
        app.list.filter_by(filters.parse("state:failed"))
        await pilot.press("minus", "asterisk")
        assert set(app.list.marked) == {"lint", "old"}
        await pilot.press("asterisk")
        assert app.list.marked == ()


async def test_escape_clears_marks_then_the_filter_then_goes_up() -> None:
    app = Host(fleet())
    async with app.run_test() as pilot:
        app.list.filter_by(filters.parse("state:failed"))
        app.list.go_to("lint")
        await pilot.press("space", "V", "escape")
        assert app.list.marked == ()
        assert "range" not in app.heading()
        assert app.list.filter.text == "state:failed"
        await pilot.press("escape")
        assert app.list.filter.text == ""
        above: list[str] = []
        app.bind("escape", "noted")
        app.action_noted = lambda: above.append("escape")  # type: ignore[attr-defined]
        await pilot.press("escape")
        assert above == ["escape"]


async def test_marks_are_honest_about_what_is_gone_and_what_is_hidden() -> None:
    app = Host(fleet())
    async with app.run_test(size=(80, 24)) as pilot:
        for each in ("lint", "old", "new"):
            app.list.go_to(each)
            await pilot.press("space")
        app.list.filter_by(filters.parse("state:failed"))
        await pilot.pause()
        assert "3 marked (1 hidden)" in app.heading()
        assert set(app.list.selected()) == {"lint", "old", "new"}
        app.list.show(fleet([each for each in PLAN if each.id != "lint"]))
        await pilot.pause()
        assert set(app.list.selected()) == {"old", "new"}
        assert "2 marked (1 hidden)" in app.heading()


# folds, filter, order


async def test_runs_fold_by_every_key() -> None:
    app = Host(fleet())
    async with app.run_test() as pilot:
        rows = app.list.row_count()
        app.list.go_to("check")
        await pilot.press("h")
        assert app.list.chosen == ""
        for fold, unfold in (("h", "l"), ("left", "right"), ("space", "space")):
            await pilot.press(fold)
            assert app.list.row_count() == rows - 5
            assert "▸ add-login" in app.line("add-login")
            await pilot.press(unfold)
            assert app.list.row_count() == rows
        app.list.go_to("check")
        await pilot.press("minus")
        assert app.list.row_count() == 2
        assert app.list.run_id == "r1"
        await pilot.press("plus")
        assert app.list.row_count() == rows


async def test_slash_asks_for_the_filter_and_the_title_counts() -> None:
    app = Host(fleet())
    async with app.run_test() as pilot:
        assert "7 tasks" in app.heading()
        app.list.filter_by(filters.parse("state:failed"))
        await pilot.press("slash")
        asked = app.said[-1]
        assert isinstance(asked, FleetList.FilterAsked)
        assert asked.text == "state:failed"
        assert "2 of 7" in app.heading()
        assert "state:failed" in str(app.list.border_subtitle)


async def test_going_to_a_task_drops_a_filter_that_hides_it() -> None:
    app = Host(fleet())
    async with app.run_test() as pilot:
        app.list.filter_by(filters.parse("state:failed"))
        await pilot.press("minus")
        assert app.list.go_to("schema")
        assert app.list.chosen == "schema"
        assert not app.list.go_to("nobody")


async def test_a_task_just_submitted_is_gone_to_when_it_comes_unless_one_moves() -> None:
    app = Host(fleet())
    async with app.run_test() as pilot:
        assert not app.list.go_to("late")
        app.list.show(fleet([*PLAN, task("late", run="r2")]))
        assert app.list.chosen == "late"
        assert not app.list.go_to_run("r9")
        runs = [*RUNS, RunView("r9", "fresh")]
        app.list.show(fleet([*PLAN, task("one", run="r9")], runs))
        assert (app.list.chosen, app.list.run_id) == ("", "r9")
        app.list.go_to("later")
        await pilot.press("j")
        chosen = app.list.chosen
        app.list.show(fleet([*PLAN, task("one", run="r9"), task("later", run="r2")], runs))
        assert app.list.chosen == chosen


async def test_the_order_is_shown_below_and_reversed() -> None:
    app = Host(fleet())
    async with app.run_test() as pilot:
        shown = {str(app.list.border_subtitle)}
        for key in ("O", "o", "O", "o"):
            chosen = app.list.chosen
            await pilot.press(key)
            shown.add(str(app.list.border_subtitle))
            assert app.list.chosen == chosen
        assert len(shown) == 5


# the mouse


async def click(app: Host, text: str, *, x: int = 8, times: int = 1, ctrl: bool = False, shift: bool = False) -> None:
    y = next(y for y, line in enumerate(app.lines()) if text in line)
    offset = app.list.content_region.offset + Offset(x, y)
    click = events.Click(
        app.list,
        x=offset.x - app.list.region.x,
        y=offset.y - app.list.region.y,
        delta_x=0,
        delta_y=0,
        button=1,
        shift=shift,
        meta=False,
        ctrl=ctrl,
        screen_x=offset.x,
        screen_y=offset.y,
        chain=times,
    )
    app.list.post_message(click)


async def test_the_mouse_chooses_opens_marks_and_folds() -> None:
    app = Host(fleet())
    async with app.run_test(size=(80, 24)) as pilot:
        await click(app, "schema")
        await pilot.pause()
        assert app.list.chosen == "schema"
        await click(app, "lint", ctrl=True)
        await pilot.pause()
        assert app.list.marked == ("lint",)
        await click(app, "lint", times=2)
        await pilot.pause()
        assert isinstance(app.said[-1], TaskOpened)
        app.list.clear_marks()
        await click(app, "old")
        await click(app, "new", shift=True)
        await pilot.pause()
        assert set(app.list.marked) == {"old", "new"}
        await click(app, "add-login", x=1)
        await pilot.pause()
        assert "▸ add-login" in app.line("add-login")
        await click(app, "migrate", times=2)
        await pilot.pause()
        assert isinstance(app.said[-1], RunOpened)


async def test_the_wheel_scrolls_and_leaves_the_cursor() -> None:
    app = Host(many(300))
    async with app.run_test(size=(60, 20)) as pilot:
        await pilot.pause()
        chosen = app.list.chosen
        app.list.action_scroll_down()
        await pilot.pause()
        app.list.scroll_to(y=100, animate=False)
        await pilot.pause()
        assert app.list.chosen == chosen
        assert app.list.scroll_y == 100
        app.list.show(fleet([*many(300).tasks.values(), task("more", run="run005")], ()))
        await pilot.pause()
        assert app.list.scroll_y == 100


async def test_the_cursor_is_on_what_is_most_urgent_until_somebody_takes_it() -> None:
    first = task("a", state="running", seq=1)
    app = Host(fleet([first]))
    async with app.run_test() as pilot:
        assert app.list.chosen == "a"
        ended, asking = replace(first, state="succeeded"), task("b", state="running", seq=2, waiting=PLAN[0].waiting)
        app.list.show(fleet([ended, asking]))
        assert app.list.chosen == "b"
        await pilot.press("j")
        assert app.list.chosen == "a"
        app.list.show(fleet([first, replace(asking, state="succeeded", waiting=None)]))
        assert app.list.chosen == "a"
