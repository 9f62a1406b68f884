"""The whole dashboard by its keys: what each does, at every size, with whatever names."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from textual.command import CommandList, CommandPalette
from textual.pilot import Pilot
from textual.widgets import Input, TextArea

from lite.errors import IllegalState, PlanInvalid
from tests.support.dashboards import NOW, FakeGateway, fleet, large, task
from tests.support.opened import dashboard, main_screen, opened, text_of
from tests.support.panes import eventually
from tui.app import Dashboard
from tui.entry import farewell
from tui.screens.confirm import Confirm
from tui.screens.explain import Explain
from tui.screens.help import Help
from tui.screens.new_task import NewTask
from tui.screens.plans import PlanPicker
from tui.screens.send import Send
from tui.settings import Settings, SettingsInvalid
from tui.state import EMPTY, Fleet, Link
from tui.widgets.filter_bar import FilterBar
from tui.widgets.fleet_list import FleetList
from tui.widgets.grid import TerminalGrid
from tui.widgets.key_bar import KeyBar
from tui.widgets.terminal import TerminalPane

SIZES = [(60, 15), (80, 24), (100, 30), (200, 60), (1, 1), (400, 120), (17, 3)]
HOSTILE = "[bold red]x[/]\x1b[31m\x1b]0;owned\x07\u202egnp.exe\u200b" + "w" * 3000


def some() -> Fleet:
    return fleet(
        task("api", run="login", asks="Deploy?"),
        task("ui", run="login", doing="working"),
        task("lint", run="login", state="failed", reason="exit", exit_code=2),
        task("check", run="login", needs=("api", "ui")),
        task("done", state="succeeded", exit_code=0),
    )


@pytest.fixture
def gateway() -> FakeGateway:
    return FakeGateway()


class TestLooking:
    @pytest.mark.parametrize("size", SIZES, ids=str)
    async def test_no_size_and_no_name_breaks_it(self, tmp_path: Path, size: tuple[int, int]) -> None:
        known = fleet(
            replace(task("a", run="r", asks=HOSTILE), name=HOSTILE),
            replace(
                task("b", state="failed"), name=HOSTILE, agent=HOSTILE, lane=HOSTILE, prompt=HOSTILE, detail=HOSTILE
            ),
            *some().tasks.values(),
        )
        app = dashboard(tmp_path, known)
        async with opened(app, size) as pilot:
            for key in ("j", "j", "enter", "escape", "v", "escape", "e", "escape", "question_mark", "escape"):
                await pilot.press(key)
            for width, height in ((1, 1), (300, 5), (5, 90), size):
                await pilot.resize_terminal(width, height)
            shown = text_of(app)
            assert not [char for char in shown if char != "\n" and not char.isprintable()]
            assert "\u202e" not in shown

    async def test_wide_screens_show_list_and_terminal(self, tmp_path: Path) -> None:
        app = dashboard(tmp_path, some())
        async with opened(app, (140, 40)):
            shown = text_of(app)
            assert "Quarterdeck" in shown
            assert "Deploy?" in shown
            assert app.screen.query_one(TerminalPane).display
            assert app.screen.query_one(TerminalPane).region.width > 60

    async def test_narrow_screens_show_one_and_keys_change_between(self, tmp_path: Path) -> None:
        app = dashboard(tmp_path, some())
        async with opened(app, (80, 24)) as pilot:
            pane, listing = app.screen.query_one(TerminalPane), app.screen.query_one(FleetList)
            assert (pane.region.width, listing.region.width) == (0, 80)
            main_screen(app).go_to("ui")
            await pilot.press("enter")
            await eventually(pilot, lambda: (pane.region.width, listing.region.width) == (80, 0))
            await pilot.press("escape")
            await eventually(pilot, lambda: (pane.region.width, listing.region.width) == (0, 80))

    async def test_ten_thousand_tasks(self, tmp_path: Path) -> None:
        app = dashboard(tmp_path, large(10_000))
        async with opened(app) as pilot:
            listing = app.screen.query_one(FleetList)
            await pilot.press("G", "g", "ctrl+d", "slash", *"state:failed", "enter")
            assert listing.filter.text == "state:failed"

    async def test_a_lost_supervisor_is_said_and_everything_stays(self, tmp_path: Path) -> None:
        app = dashboard(tmp_path, some())
        async with opened(app) as pilot:
            lost = replace(some(), link=Link.LOST, link_text="no supervisor answers", link_since=NOW - 5000)
            app.deliver(lost)
            await pilot.pause()
            shown = text_of(app)
            assert "lost" in shown
            assert "lint" in shown
            app.deliver(some())
            await pilot.pause()
            assert "lost" not in text_of(app)

    async def test_the_grid_shows_and_leaves(self, tmp_path: Path) -> None:
        app = dashboard(tmp_path, some())
        async with opened(app) as pilot:
            await pilot.press("v")
            await pilot.pause()
            grid = app.screen.query_one(TerminalGrid)
            assert grid.display
            assert not app.screen.query_one(FleetList).region.width
            await pilot.press("escape")
            await pilot.pause()
            assert not grid.display
            assert app.screen.query_one(FleetList).has_focus

    async def test_the_filter_bar_filters_while_one_types(self, tmp_path: Path) -> None:
        app = dashboard(tmp_path, some())
        async with opened(app) as pilot:
            await pilot.press("slash", *"is:waiting")
            assert "lint" not in text_of(app)
            await pilot.press("escape")
            await pilot.pause()
            assert "lint" in text_of(app)
            assert not app.screen.query_one(FilterBar).display


class TestDoing:
    async def choose(self, pilot: Pilot[None], app: Dashboard, name: str) -> None:
        main_screen(app).go_to(name)
        await pilot.pause()

    async def test_cancel_asks_and_n_means_no(self, tmp_path: Path, gateway: FakeGateway) -> None:
        app = dashboard(tmp_path, some(), gateway)
        async with opened(app) as pilot:
            await self.choose(pilot, app, "ui")
            await pilot.press("c")
            assert isinstance(app.screen, Confirm)
            assert "cancel 1 task (running)" in text_of(app)
            await pilot.press("enter")  # the button that says no has the focus
            assert gateway.made("cancel") == []
            await pilot.press("c", "y")
            await pilot.pause()
            assert gateway.made("cancel") == [("ui",)]

    async def test_bulk_counts_what_it_touches(self, tmp_path: Path, gateway: FakeGateway) -> None:
        app = dashboard(tmp_path, some(), gateway)
        async with opened(app) as pilot:
            await pilot.press("asterisk", "c")
            assert "cancel 3 tasks (1 waiting, 1 running, 1 queued)" in text_of(app)
            await pilot.press("y")
            await pilot.pause()
            assert sorted(gateway.made("cancel")) == [("api",), ("check",), ("ui",)]
            assert app.screen.query_one(FleetList).marked == ()

    async def test_what_is_refused_is_told_and_the_rest_is_done(self, tmp_path: Path, gateway: FakeGateway) -> None:
        def cancel(name: str) -> object:
            return IllegalState("it has just ended") if name == "ui" else {}

        gateway.answers["cancel"] = cancel
        app = dashboard(tmp_path, some(), gateway)
        async with opened(app) as pilot:
            await pilot.press("asterisk", "c", "y")
            await pilot.pause()
            assert len(gateway.made("cancel")) == 3
            told = [note.message for note in app._notifications]
            assert any("it has just ended" in text for text in told), told
            assert any("2 tasks cancelled" in text for text in told), told

    async def test_retry_one_asks_nothing(self, tmp_path: Path, gateway: FakeGateway) -> None:
        app = dashboard(tmp_path, some(), gateway)
        async with opened(app) as pilot:
            await self.choose(pilot, app, "lint")
            await pilot.press("r")
            await pilot.pause()
            assert gateway.made("retry") == [("lint",)]
            await self.choose(pilot, app, "ui")
            await pilot.press("r")
            await pilot.pause()
            assert gateway.made("retry") == [("lint",)]

    async def test_a_new_task_is_handed_in_and_gone_to(self, tmp_path: Path, gateway: FakeGateway) -> None:
        app = dashboard(tmp_path, some(), gateway)
        async with opened(app) as pilot:
            await pilot.press("n")
            assert isinstance(app.screen, NewTask)
            await pilot.press(*"Fix it", "enter", *"now")
            await pilot.press("ctrl+s")
            await pilot.pause()
            (body,) = gateway.made("submit")[0]
            assert body["prompt"] == "Fix it\nnow"
            assert app.screen is main_screen(app)

    async def test_a_refused_task_loses_no_word_and_a_draft_is_kept(self, tmp_path: Path, gateway: FakeGateway) -> None:
        gateway.answers["submit"] = IllegalState("not now", hint="later", place="prompt")
        app = dashboard(tmp_path, some(), gateway)
        async with opened(app) as pilot:
            await pilot.press("n", *"abc", "ctrl+s")
            await pilot.pause()
            assert "not now" in text_of(app)
            assert app.screen.query_one(TextArea).text == "abc"
            await pilot.press("escape")
            await pilot.press("n")
            assert app.screen.query_one(TextArea).text == "abc"

    async def test_fields_are_checked_while_typed(self, tmp_path: Path, gateway: FakeGateway) -> None:
        app = dashboard(tmp_path, some(), gateway)
        async with opened(app) as pilot:
            await pilot.press("n", *"abc", "ctrl+o")
            app.screen.query_one("#timeout", Input).value = "soon"
            await pilot.pause()
            assert "is not a duration" in text_of(app)
            await pilot.press("ctrl+s")
            assert gateway.made("submit") == []
            app.screen.query_one("#timeout", Input).value = "5m"
            app.screen.query_one("#touches", Input).value = "src/**, 'a b'"
            await pilot.press("ctrl+s")
            await pilot.pause()
            (body,) = gateway.made("submit")[0]
            assert (body["timeout_ms"], body["touches"]) == (300_000, ["src/**", "a b"])

    async def test_a_plan_is_tried_and_run(self, tmp_path: Path, gateway: FakeGateway) -> None:
        (tmp_path / "plans").mkdir()
        (tmp_path / "plans" / "one.yaml").write_text("name: one\ntasks:\n  a: {command: 'true'}\n")
        (tmp_path / "other.yaml").write_text("not: a plan\n")
        app = dashboard(tmp_path, some(), gateway)
        async with opened(app) as pilot:
            await pilot.press("p")
            assert isinstance(app.screen, PlanPicker)
            await eventually(pilot, lambda: "plans/one.yaml" in text_of(app), turns=4000)
            assert "other.yaml" not in text_of(app)
            await eventually(pilot, lambda: [call[3] for call in gateway.made("plan")] == [True], turns=4000)
            await pilot.press("enter")
            await eventually(pilot, lambda: app.screen is main_screen(app), turns=4000)
            assert [call[3] for call in gateway.made("plan")] == [True, False]

    async def test_a_broken_plan_says_where(self, tmp_path: Path, gateway: FakeGateway) -> None:
        gateway.answers["plan"] = PlanInvalid("unknown key 'comand'", hint="did you mean command?", place="p.yaml:3:5")
        (tmp_path / "p.yaml").write_text("tasks:\n  a: {comand: x}\n")
        app = dashboard(tmp_path, some(), gateway)
        async with opened(app) as pilot:
            await pilot.press("p")
            await eventually(pilot, lambda: "p.yaml:3:5" in text_of(app), turns=4000)
            assert "did you mean command?" in text_of(app)

    async def test_send_types_and_says_what_happened(self, tmp_path: Path, gateway: FakeGateway) -> None:
        known = some()
        waiting = known.tasks["api"].waiting
        assert waiting is not None
        asked = {"id": waiting.id, "kind": waiting.kind, "text": waiting.text, "hash": waiting.hash}
        gateway.answers["task"] = {"waiting": asked}
        app = dashboard(tmp_path, known, gateway)
        async with opened(app) as pilot:
            await self.choose(pilot, app, "api")
            await pilot.press("s")
            assert isinstance(app.screen, Send)
            assert "Deploy?" in text_of(app)
            await pilot.press(*"yes", "enter")
            await pilot.pause()
            assert gateway.made("send") == [("api", "yes\r")]

    async def test_a_question_that_changed_is_not_answered(self, tmp_path: Path, gateway: FakeGateway) -> None:
        gateway.answers["task"] = {"waiting": {"id": "q2", "kind": "approval", "text": "rm -rf?", "hash": "other"}}
        app = dashboard(tmp_path, some(), gateway)
        async with opened(app) as pilot:
            await self.choose(pilot, app, "api")
            await pilot.press("s", *"yes", "enter")
            await pilot.pause()
            assert gateway.made("send") == []
            assert "it asks something else now" in text_of(app)
            assert "rm -rf?" in text_of(app)
            assert app.screen.query_one(TextArea).text == "yes"

    async def test_explain_tells_and_follows(self, tmp_path: Path, gateway: FakeGateway) -> None:
        app = dashboard(tmp_path, some(), gateway)
        async with opened(app) as pilot:
            await self.choose(pilot, app, "check")
            await pilot.press("e")
            await pilot.pause()
            assert isinstance(app.screen, Explain)
            assert "all slots are taken" in text_of(app)
            gateway.answers["explain"] = {"summary": "it runs", "facts": [], "hint": "", "task": "check"}
            later = {**some().tasks, "check": task("check", run="login", doing="working")}
            app.deliver(replace(some(), tasks=later))
            await eventually(pilot, lambda: "it runs" in text_of(app))


class TestComfort:
    async def test_help_lists_every_binding_with_its_id(self, tmp_path: Path) -> None:
        from tui.keymap import catalogue

        app = dashboard(tmp_path, some(), settings=Settings(path=str(tmp_path / "d.yaml")))
        async with opened(app, (120, 400)) as pilot:
            await pilot.press("question_mark")
            assert isinstance(app.screen, Help)
            shown = text_of(app)
            for keys in catalogue().values():
                for key in keys:
                    assert key.id in shown, key
            await pilot.press("W")
            assert (tmp_path / "d.yaml").read_text().count("fleet.filter") == 1

    async def test_every_binding_has_an_id_and_a_description(self) -> None:
        from importlib import import_module

        from textual.binding import Binding

        from tui.keymap import AREAS

        for _, places in AREAS.values():
            for place in places:
                module, _, name = place.partition(":")
                for binding in getattr(import_module(module), name).__dict__.get("BINDINGS", ()):
                    assert isinstance(binding, Binding), place
                    assert binding.id, (place, binding.key)
                    assert binding.description, (place, binding.key)

    async def test_ids_are_unique(self) -> None:
        from tui.keymap import catalogue

        ids = [key.id for keys in catalogue().values() for key in keys]
        assert len(ids) == len(set(ids))

    async def run_command(self, pilot: Pilot[None], app: Dashboard, key: str, text: str) -> None:
        await pilot.press(key)
        await eventually(pilot, lambda: isinstance(app.screen, CommandPalette))
        await pilot.press(*text)
        found = app.screen.query_one(CommandList)
        await eventually(pilot, lambda: found.option_count and found.highlighted is not None, turns=4000)
        await pilot.press("enter")

    @pytest.mark.parametrize("key", ["ctrl+p", "colon"])
    async def test_the_palette_runs_actions_and_finds_tasks(
        self, tmp_path: Path, gateway: FakeGateway, key: str
    ) -> None:
        app = dashboard(tmp_path, some(), gateway)
        async with opened(app) as pilot:
            await self.run_command(pilot, app, key, "lint")
            await eventually(pilot, lambda: main_screen(app).query_one(FleetList).chosen == "lint")
            await self.run_command(pilot, app, key, "explain")
            await eventually(pilot, lambda: isinstance(app.screen, Explain))

    async def test_a_keymap_changes_keys(self, tmp_path: Path, gateway: FakeGateway) -> None:
        settings = Settings(keys={"deck.explain": "x", "nobody.knows": "y"}, path="d.yaml")
        app = dashboard(tmp_path, some(), gateway, settings)
        async with opened(app) as pilot:
            await eventually(pilot, lambda: any("nobody.knows" in note.message for note in app._notifications))
            await pilot.press("e")
            assert not isinstance(app.screen, Explain)
            await pilot.press("x")
            assert isinstance(app.screen, Explain)

    async def test_wrong_settings_are_told_and_do_no_harm(self, tmp_path: Path) -> None:
        wrong = SettingsInvalid("mouse must be true or false", place="d.yaml:3:1")
        app = dashboard(tmp_path, some(), settings=Settings(theme="mud", problems=(wrong,)))
        async with opened(app):
            told = [note.message for note in app._notifications]
            assert any("d.yaml:3:1" in text for text in told)
            assert any("mud" in text for text in told)

    async def test_a_theme_is_remembered(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
        app = dashboard(tmp_path, some())
        async with opened(app):
            app.choose_theme("signal")
        assert json.loads((tmp_path / "state" / "quarterdeck" / "dashboard.json").read_text())["theme"] == "signal"
        again = dashboard(tmp_path, some())
        async with opened(again):
            assert again.theme == "signal"
            assert again.theme_variables["state-failed"] == "#d55e00"
            assert again.screen.query_one(KeyBar).styles.background.hex.lower() == "#232935"

    @pytest.mark.parametrize("theme", ["harbour", "chart", "beacon", "signal"])
    async def test_every_theme_has_every_colour(self, tmp_path: Path, theme: str) -> None:
        from tui.badges import BADGES

        app = dashboard(tmp_path, some())
        async with opened(app):
            app.theme = theme
            assert {badge.role for badge in BADGES.values()} <= set(app.theme_variables)

    async def test_no_color_leaves_no_colour(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("NO_COLOR", "1")
        app = dashboard(tmp_path, some())
        async with opened(app):
            assert app.environ["NO_COLOR"] == "1"  # for what we start
            assert app.no_color
            assert "● R" in text_of(app) or "●R" in text_of(app)

    async def test_the_footer_shows_the_main_keys(self, tmp_path: Path) -> None:
        app = dashboard(tmp_path, some())
        async with opened(app, (180, 30)):
            assert app.screen.query_one(KeyBar).display
            for word in ("Help", "Palette", "Attach", "Filter"):
                assert word in text_of(app), word


class TestLeaving:
    async def test_q_leaves_and_the_feed_is_closed(self, tmp_path: Path) -> None:
        app = dashboard(tmp_path, some())
        async with opened(app) as pilot:
            await pilot.press("q")
        assert app._follower.closed  # type: ignore[attr-defined]
        assert app.return_code == 0

    def test_the_farewell_says_what_goes_on(self) -> None:
        text = farewell(some(), "/p/.quarterdeck")
        assert "2 running, 1 queued" in text
        assert "waiting for you: api" in text
        assert "qd down" in text
        assert "nothing to do" in farewell(EMPTY, "/p")

    def test_the_farewell_is_harmless(self) -> None:
        text = farewell(fleet(replace(task("a", asks="x"), name=HOSTILE)), "/p\x1b[2J")
        assert "\x1b" not in text
