"""The filter bar: live, honest about errors, completing, and undone by Escape."""

from __future__ import annotations

from types import MappingProxyType

import pytest
from textual import events
from textual.app import App, ComposeResult

from tui.filters import KEYS, parse
from tui.state import Fleet, RunView, TaskView
from tui.themes import THEMES
from tui.widgets.filter_bar import FilterBar
from tui.widgets.filter_words import offer
from tui.widgets.fleet_list import FleetList

TASKS = (
    TaskView("t1", name="api", agent="dev", lane="server", run="r1", state="running"),
    TaskView("t2", name="lint", agent="dev", lane="two words", run="r1", state="failed"),
    TaskView("t3", name="docs", agent="writer", worker="w1", state="failed"),
)
FLEET = Fleet(
    tasks=MappingProxyType({task.id: task for task in TASKS}),
    runs=MappingProxyType({"r1": RunView("r1", "add-login")}),
)


class Host(App[None]):
    """A list and its bar, wired as the main screen does it."""

    def compose(self) -> ComposeResult:
        yield FleetList(lambda: 0)
        yield FilterBar()

    def on_mount(self) -> None:
        for theme in THEMES:
            self.register_theme(theme)
        self.theme = "harbour"
        self.list.show(FLEET)
        self.bar.show(FLEET)
        self.list.focus()

    @property
    def list(self) -> FleetList:
        return self.query_one(FleetList)

    @property
    def bar(self) -> FilterBar:
        return self.query_one(FilterBar)

    def on_fleet_list_filter_asked(self, message: FleetList.FilterAsked) -> None:
        self.bar.open(message.text)

    def on_filter_bar_filtered(self, message: FilterBar.Filtered) -> None:
        self.list.filter_by(message.filter)

    def on_filter_bar_closed(self, message: FilterBar.Closed) -> None:
        del message
        self.list.focus()

    def tasks(self) -> set[str]:
        return {self.list.row_key(index) for index in range(self.list.row_count())} & FLEET.tasks.keys()

    def told(self) -> str:
        return str(self.bar.border_subtitle)


async def test_the_list_follows_while_one_types_and_enter_keeps_it() -> None:
    app = Host()
    async with app.run_test(size=(80, 24)) as pilot:
        assert not app.bar.display
        await pilot.press("slash")
        assert app.bar.display
        assert app.bar.has_focus
        await pilot.press(*"state:failed")
        assert app.tasks() == {"t2", "t3"}
        assert "2 of 3" in str(app.list.border_title)
        await pilot.press("enter")
        assert not app.bar.display
        assert app.list.has_focus
        assert app.tasks() == {"t2", "t3"}
        await pilot.press("slash")
        assert app.bar.value == "state:failed"


async def test_escape_brings_back_what_was() -> None:
    app = Host()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("slash", *"state:failed", "enter", "slash", "ctrl+u", *"state:running")
        assert app.tasks() == {"t1"}
        await pilot.press("escape")
        assert app.tasks() == {"t2", "t3"}
        assert app.list.has_focus


async def test_an_error_is_shown_and_the_other_terms_hold() -> None:
    app = Host()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("slash", *"state:failed")
        app.bar.value = "state:failed colour:red"
        await pilot.pause()
        assert app.bar.has_class("-wrong")
        assert "colour" in app.told()
        assert app.tasks() == {"t2", "t3"}
        app.export_screenshot()
        app.bar.value = "state:failed"
        await pilot.pause()
        assert not app.bar.has_class("-wrong")
        app.bar.value = "state:failed colour:red"
        await pilot.press("enter")
        assert app.list.filter.text.strip() == "state:failed"
        assert app.tasks() == {"t2", "t3"}


async def test_tab_goes_through_what_may_stand_there() -> None:
    app = Host()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("slash", "a", "g", "tab")
        assert app.bar.value == "agent:"
        assert app.told() == "dev  writer"
        await pilot.press("tab")
        assert app.bar.value == "agent:dev"
        assert app.tasks() == {"t1", "t2"}
        assert "writer" in app.told()
        await pilot.press("tab")
        assert app.bar.value == "agent:writer"
        assert app.tasks() == {"t3"}
        await pilot.press("shift+tab")
        assert app.bar.value == "agent:dev"
        await pilot.press("space", *"xyzzy:", "tab")
        assert "nothing to complete" in app.told()


async def test_leaving_by_the_mouse_keeps_and_an_unfocused_terminal_changes_nothing() -> None:
    app = Host()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("slash", *"state:failed")
        app.post_message(events.AppBlur())
        await pilot.pause()
        assert app.bar.display
        app.post_message(events.AppFocus())
        await pilot.pause()
        await pilot.click(FleetList, offset=(5, 5))
        assert not app.bar.display
        assert app.tasks() == {"t2", "t3"}


async def test_a_paste_brings_no_escape_sequence() -> None:
    app = Host()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("slash")
        app.bar.post_message(events.Paste("li\x1b[31m\u202en\x07t"))
        await pilot.pause()
        assert app.bar.value.isprintable()
        assert app.bar.value.startswith("li")


@pytest.mark.parametrize("size", [(1, 1), (20, 4), (60, 15), (200, 60)])
async def test_no_size_breaks_it(size: tuple[int, int]) -> None:
    app = Host()
    async with app.run_test(size=size) as pilot:
        await pilot.press("slash", *"colour:", "tab", "escape", "slash", *"xyz", "tab", "enter")
        assert not app.bar.display


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("ag", ["agent:"]),
        ("-ag", ["-agent:"]),
        ("agent:", ["agent:dev", "agent:writer"]),
        ("agent:W", ["agent:writer"]),
        ("agent:dev,w", ["agent:dev,writer"]),
        ("run:", ["run:add-login"]),
        ("lane:t", ['lane:"two words"']),
        ("state:fa", ["state:failed"]),
        ("state:q", ["state:queued"]),
        ("nothing:", []),
    ],
)
def test_offers_come_from_the_fleet(text: str, words: list[str]) -> None:
    assert list(offer(text, len(text), FLEET).words) == words


def test_every_key_is_offered_and_every_offer_is_legal() -> None:
    keys = offer("", 0, FLEET).words
    assert {key.rstrip(":") for key in keys} == set(KEYS)
    for key in keys:
        for word in offer(key, len(key), FLEET).words:
            assert parse(word)


def test_an_offer_is_for_the_word_at_the_cursor() -> None:
    made = offer("agent:d state:failed", 7, FLEET)
    assert (made.start, made.end, made.words) == (0, 7, ("agent:dev",))
