"""The fleet bar: what it says, what it gives up when there is little room, and when it wakes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from types import MappingProxyType

import pytest
from rich.cells import cell_len
from textual.app import App, ComposeResult

from tui.state import EMPTY, Activity, Asked, Fleet, Link, SupervisorView, TaskView
from tui.themes import THEMES
from tui.widgets.header import FleetBar, bar_text
from tui.widgets.notice import STAYS, Notice

NOW = 1_700_000_000_000
SUPERVISOR = SupervisorView(pid=1, home="/srv/shop/.quarterdeck", backend="sqlite", slots=4)
API = TaskView(id="01api", name="api", state="running", waiting=Asked("q", "question", "Deploy?", "h", NOW - 125_000))
BUSY = (API, TaskView(id="01ui", state="running"), TaskView(id="01x", state="failed"), TaskView(id="01q"))


def fleet(*tasks: TaskView, **fields: object) -> Fleet:
    base = Fleet(link=Link.LIVE, supervisor=SUPERVISOR, tasks=MappingProxyType({task.id: task for task in tasks}))
    return replace(base, **fields)  # type: ignore[arg-type]


class Host(App[None]):
    """The clock stands at `self.at`."""

    def __init__(self) -> None:
        super().__init__()
        self.at = NOW
        self.drawn: list[str] = []

    def compose(self) -> ComposeResult:
        yield FleetBar(lambda: self.at)
        yield Notice(lambda: self.at)

    def on_mount(self) -> None:
        for theme in THEMES:
            self.register_theme(theme)
        self.theme = "harbour"

    @property
    def bar(self) -> FleetBar:
        return self.query_one(FleetBar)

    @property
    def notice(self) -> Notice:
        return self.query_one(Notice)

    def line(self) -> str:
        return "".join(segment.text for segment in self.bar.render_line(0))


def test_a_wide_bar_says_everything() -> None:
    text = bar_text(fleet(*BUSY), 120, NOW).plain
    assert text == "Quarterdeck  live  ? api asks 2m  ? 1 ✗ 1 ● 1 ○ 1  2/4 slots  /srv/shop  sqlite"


def test_the_most_important_stays_to_the_end() -> None:
    narrow = bar_text(fleet(*BUSY), 20, NOW).plain
    assert "? api" in narrow
    assert "2m" in narrow
    assert "sqlite" not in narrow
    medium = bar_text(fleet(*BUSY), 50, NOW).plain
    assert "? 1 ✗ 1 ● 1" in medium
    assert "sqlite" not in medium


@pytest.mark.parametrize("cols", [0, 1, 2, 3, 8, 20, 28, 40, 60, 80, 200])
@pytest.mark.parametrize("link", list(Link))
def test_it_never_is_wider_than_its_room(cols: int, link: Link) -> None:
    hostile = TaskView(
        id="01h", name="日本[bold]\x1b[31m\u202e\u200b" + "z" * 10_000, state="running", activity=Activity("waiting")
    )
    noisy = replace(
        SUPERVISOR, config_error="agents:\n\x1b]0;evil\x07 broken " * 99, home="/h" * 500, backend="b" * 300
    )
    text = bar_text(fleet(hostile, *BUSY, link=link, link_text="gone\x1b[2J " * 50, supervisor=noisy), cols, NOW).plain
    assert cell_len(text) <= cols
    assert text.isprintable()
    assert "\u202e" not in text


def test_a_lost_link_says_since_when_and_why() -> None:
    lost = fleet(*BUSY, link=Link.LOST, link_since=NOW - 12_000, link_text="connection refused")
    assert "supervisor lost 12s: connection refused" in bar_text(lost, 120, NOW).plain
    assert "lost 12s" in bar_text(lost, 24, NOW).plain


def test_a_broken_configuration_is_said_before_the_home() -> None:
    broken = replace(SUPERVISOR, config_error="quarterdeck.yaml:3:5: no such provider")
    text = bar_text(fleet(supervisor=broken), 70, NOW).plain
    assert "config: quarterdeck.yaml:3:5: no such provider" in text
    assert "config" in bar_text(fleet(supervisor=broken), 20, NOW).plain


def test_the_home_is_written_with_a_tilde(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/srv")
    assert "~/shop" in bar_text(fleet(), 80, NOW).plain
    monkeypatch.setenv("HOME", "/sr")
    assert "/srv/shop" in bar_text(fleet(), 80, NOW).plain


def test_colours_are_used_where_there_are_any() -> None:
    text = bar_text(fleet(*BUSY), 120, NOW, {"state-failed": "#ff0000", "state-waiting": "auto 60%"})
    colours = {str(text.plain[span.start : span.end]).strip(): str(span.style) for span in text.spans}
    assert colours["✗ 1"] == "#ff0000"
    assert not any("auto" in style for style in colours.values())


async def test_it_draws_only_what_reads_differently() -> None:
    app = Host()
    async with app.run_test(size=(80, 24)) as pilot:
        app.bar.show(fleet(*BUSY))
        await pilot.pause()
        assert "? api asks 2m" in app.line()
        for unchanged in (fleet(*BUSY), fleet(*BUSY, cursor=7)):
            app.bar.show(unchanged)
            assert not app.bar._repaint_required
        app.at += 60_000
        app.bar.tick()
        assert app.bar._repaint_required
        await pilot.pause()
        assert "? api asks 3m" in app.line()


async def test_it_wakes_for_an_age_and_never_without_one() -> None:
    app = Host()
    async with app.run_test(size=(80, 24)) as pilot:
        app.bar.show(fleet(BUSY[1], BUSY[3]))
        await pilot.pause()
        assert app.bar.next_change() is None
        app.bar.show(fleet(link=Link.LOST, link_since=NOW - 4_300))
        await pilot.pause()
        assert app.bar.next_change() == 700
        app.bar.show(fleet(API))
        wait = app.bar.next_change()
        assert wait is not None
        assert 55_000 <= wait < 55_000 + 15_000


@pytest.mark.parametrize("size", [(1, 1), (20, 3), (60, 15), (80, 24), (100, 30), (200, 60)])
async def test_no_size_and_no_theme_breaks_it(size: tuple[int, int]) -> None:
    app = Host()
    async with app.run_test(size=size) as pilot:
        app.bar.show(EMPTY)
        app.bar.show(fleet(*BUSY))
        for theme in [*(theme.name for theme in THEMES), "textual-light"]:
            app.theme = theme
            await pilot.pause()
        app.export_screenshot()


async def test_a_notice_is_told_once_and_leaves() -> None:
    app = Host()
    async with app.run_test(size=(80, 24)) as pilot:
        assert not app.notice.display
        assert app.notice.next_change() is None
        app.notice.show(replace(EMPTY, notice="[b]worker w1\x1b[31m is gone"))
        await pilot.pause()
        assert app.notice.display
        assert str(app.notice.render()) == "! [b]worker w1 is gone"
        assert app.notice.next_change() == STAYS
        app.at += STAYS
        app.notice.show(replace(EMPTY, notice="[b]worker w1\x1b[31m is gone"))
        assert not app.notice.display
        app.notice.show(replace(EMPTY, notice="configuration rejected"))
        await pilot.pause()
        await pilot.click(Notice)
        assert not app.notice.display


@pytest.fixture(autouse=True)
def _no_home(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("HOME", "/nowhere")
    return iter(())
