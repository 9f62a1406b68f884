"""Handing in a task: nothing typed is lost, what is wrong is said where it is, nothing is done twice."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from textual import events
from textual.pilot import Pilot
from textual.widgets import Input, OptionList, Select, Static, TextArea

from lite.errors import InvalidTask, NoSupervisor, NotFound, QuarterdeckError
from tests.support.dashboards import FakeGateway, agent_json, fleet, task
from tests.support.dialogs import OPEN, Host, hosted
from tests.support.panes import eventually
from tui.orders import Draft
from tui.screens.new_task import NewTask
from tui.state import RunView
from tui.widgets.field import Field
from tui.widgets.task_chooser import TaskChooser

FLEET = fleet(
    task("api", id="01a", run="r", doing="working"),
    task("ui", id="01b", run="r"),
    task("lint", id="01c"),
    task("old", id="01d", state="succeeded"),
    task("twin", id="01e"),
    task("twin", id="01f"),
    runs=[RunView("r", "login")],
)


def body_of(gateway: FakeGateway) -> dict[str, Any]:
    ((body,),) = gateway.made("submit")
    return {name: value for name, value in body.items() if name != "key"}


def shown_note(host: Host) -> str:
    note = host.dialog.query_one("#agent-note", Static)
    return str(note.render()) if note.display else ""


async def fill(host: Host, pilot: Pilot[None], **fields: str) -> None:
    for name, value in fields.items():
        host.dialog.query_one(f"#{name}", Input).value = value
    await pilot.pause()


async def test_only_editor_and_agent_are_seen_at_first() -> None:
    async with hosted(NewTask(FakeGateway(), FLEET), (60, 15)) as (host, pilot):
        assert "What is to be done?" in host.text
        assert "any agent" in host.text
        assert "timeout" not in host.text
        await pilot.press("ctrl+o")
        assert "name" in host.text
        assert host.dialog.query_one("#name").has_focus
        assert host.dialog.query_one(TextArea).region.height >= 3
        await pilot.press("ctrl+o")
        assert host.dialog.query_one(TextArea).has_focus
        assert "priority" not in host.text


@pytest.mark.parametrize("key", ["ctrl+s", "ctrl+enter"])
async def test_a_prompt_of_several_lines_is_handed_in(key: str) -> None:
    gateway = FakeGateway()
    async with hosted(NewTask(gateway, FLEET)) as (host, pilot):
        await pilot.press(*"Fix", "enter", *"it?", key)
        await eventually(pilot, lambda: host.result == "new")
        assert body_of(gateway) == {"prompt": "Fix\nit?"}


async def test_a_command_and_back_to_the_agent_chosen_before() -> None:
    gateway = FakeGateway()
    async with hosted(NewTask(gateway, FLEET)) as (host, pilot):
        await eventually(pilot, lambda: gateway.made("agents"))
        await pilot.pause()
        select = host.dialog.query_one("#agent", Select)
        select.value = "dev"
        await pilot.press("ctrl+t", *"make")
        assert "under sh -c" in host.text
        await pilot.press("ctrl+t")
        assert select.value == "dev"
        await pilot.press("ctrl+t", "ctrl+s")
        await eventually(pilot, lambda: host.result == "new")
        assert body_of(gateway) == {"command": "make"}
        assert isinstance(host.dialog, NewTask)
        assert host.dialog.draft == Draft(agent="dev", command=True)


async def test_an_agent_whose_program_is_missing_says_so() -> None:
    ready, missing = agent_json("dev"), agent_json("ann", problem="codex: not found on PATH")
    gateway = FakeGateway({"agents": [missing, ready, agent_json("shell", provider="shell")]})
    async with hosted(NewTask(gateway, FLEET)) as (host, pilot):
        select = host.dialog.query_one("#agent", Select)
        await eventually(pilot, lambda: len(select._options) == 4)
        assert [value for _, value in select._options][2:] == ["dev", "ann"]
        assert "codex: not found on PATH" in str(select._options[3][0])
        assert not shown_note(host)
        select.value = "ann"
        await eventually(pilot, lambda: "codex: not found" in shown_note(host))
        select.value = "dev"
        await eventually(pilot, lambda: not shown_note(host))


async def test_agents_that_cannot_be_asked_do_not_keep_one_from_writing() -> None:
    gateway = FakeGateway({"agents": NoSupervisor("nobody answers")})
    async with hosted(NewTask(gateway, FLEET, Draft(text="x", agent="dev"))) as (host, pilot):
        await eventually(pilot, lambda: "nobody answers" in host.text)
        await pilot.press("ctrl+s")
        await eventually(pilot, lambda: host.result == "new")
        assert body_of(gateway) == {"prompt": "x", "agent": "dev"}


async def test_every_field_goes_into_the_order(tmp_path: Path) -> None:
    gateway = FakeGateway()
    (tmp_path / "sub").mkdir()
    async with hosted(NewTask(gateway, FLEET, cwd=str(tmp_path))) as (host, pilot):
        await pilot.press(*"x", "ctrl+o")
        await fill(host, pilot, name="n", lane="l", touches="a/**, b", priority="-5", retries="2", cwd="sub")
        await fill(host, pilot, timeout="1h30m", idle_timeout="90s")
        host.dialog.query_one("#mode", Select).value = "headless"
        await pilot.press("ctrl+s")
        await eventually(pilot, lambda: host.result == "n")
        assert body_of(gateway) == {
            "prompt": "x",
            "name": "n",
            "lane": "l",
            "touches": ["a/**", "b"],
            "priority": -5,
            "retries": 2,
            "cwd": str(tmp_path / "sub"),
            "timeout_ms": 5_400_000,
            "idle_timeout_ms": 90_000,
            "mode": "headless",
        }


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("timeout", "soon", "is not a duration"),
        ("idle_timeout", "-5m", "negative"),
        ("priority", "101", "from -100 to 100"),
        ("retries", "x", "whole number"),
        ("touches", "'a", "quote"),
    ],
)
async def test_what_is_wrong_is_said_at_its_field_while_one_types(field: str, value: str, said: str) -> None:
    gateway = FakeGateway()
    async with hosted(NewTask(gateway, FLEET, Draft(text="x"))) as (host, pilot):
        await pilot.press("ctrl+o")
        host.dialog.query_one(f"#{field}").focus()
        await fill(host, pilot, **{field: value})
        place = host.dialog.query_one(f"#field-{field}", Field)
        assert said in place.problem
        assert said in host.text
        await fill(host, pilot, name="fine")  # another field does not hide it
        assert place.problem
        await pilot.press("ctrl+s")
        await eventually(pilot, lambda: host.dialog.query_one(f"#{field}").has_focus)
        assert gateway.made("submit") == []
        await fill(host, pilot, **{field: ""})
        assert not place.problem


async def test_a_quote_left_open_among_the_needs_is_said_there() -> None:
    gateway = FakeGateway()
    async with hosted(NewTask(gateway, FLEET, Draft(text="x", needs="'a"))) as (host, pilot):
        await pilot.press("ctrl+s")
        place = host.dialog.query_one("#field-needs", Field)
        await eventually(pilot, lambda: "quote" in place.problem)
        host.dialog.query_one(TaskChooser).input.value = "a"
        await pilot.pause()
        assert not place.problem
        assert gateway.made("submit") == []


@pytest.mark.parametrize(
    ("error", "field"),
    [
        (InvalidTask("no such thing", hint="try that", place="lane"), "lane"),
        (InvalidTask("no such thing", hint="try that", place="timeout_ms"), "timeout"),
        (NotFound("no such thing", hint="try that"), "needs"),
    ],
    ids=["lane", "timeout_ms", "needs"],
)
async def test_what_the_supervisor_refuses_is_said_at_its_field(error: QuarterdeckError, field: str) -> None:
    gateway = FakeGateway({"submit": error})
    draft = Draft(text="x", lane="l", needs="01zz", timeout="5m")
    async with hosted(NewTask(gateway, FLEET, draft), (60, 15)) as (host, pilot):
        assert "lane l · needs 01zz · timeout 5m" in host.text  # what is set is never hidden
        await pilot.press("ctrl+s")
        place = host.dialog.query_one(f"#field-{field}", Field)
        await eventually(pilot, lambda: place.problem and place.has_focus_within)
        await pilot.pause()
        assert "no such thing" in host.text
        assert "try that" in host.text
        assert host.dialog.query_one(TextArea).text == "x"


async def test_what_has_no_field_is_said_below_the_editor() -> None:
    gateway = FakeGateway({"submit": NoSupervisor("nobody answers", hint="qd up")})
    async with hosted(NewTask(gateway, FLEET, Draft(text="long words")), (60, 15)) as (host, pilot):
        await pilot.press("ctrl+s")
        await eventually(pilot, lambda: "nobody answers" in host.text)
        assert "qd up" in host.text
        assert "long words" in host.text
        assert host.dialog.query_one(TextArea).has_focus


async def test_an_empty_prompt_and_a_directory_that_is_not_there_are_refused(tmp_path: Path) -> None:
    gateway = FakeGateway()
    async with hosted(NewTask(gateway, FLEET, cwd=str(tmp_path))) as (host, pilot):
        await pilot.press("ctrl+s")
        await eventually(pilot, lambda: "nothing to do yet" in host.text)
        await pilot.press(*"x", "ctrl+o")
        await fill(host, pilot, cwd="nowhere")
        await pilot.press("ctrl+s")
        await eventually(pilot, lambda: "no such directory" in host.text)
        assert gateway.made("submit") == []


async def test_the_draft_outlives_escape() -> None:
    gateway = FakeGateway()
    dialog = NewTask(gateway, FLEET)
    async with hosted(dialog) as (host, pilot):
        await pilot.press(*"half a", "enter", *"thought", "ctrl+o", "tab", *"server", "escape")
        await pilot.pause()
        assert host.result == ""
        assert (dialog.draft.text, dialog.draft.lane) == ("half a\nthought", "server")
    async with hosted(NewTask(gateway, FLEET, dialog.draft)) as (host, pilot):
        assert host.dialog.query_one(TextArea).text == "half a\nthought"
        assert "lane server" in host.text
        await pilot.press(*"!")
        assert host.dialog.query_one(TextArea).text == "half a\nthought!"
        assert gateway.made("submit") == []


async def test_going_to_a_field_does_not_offer_its_text_to_the_next_key() -> None:
    async with hosted(NewTask(FakeGateway(), FLEET, Draft(text="x", name="na", lane="la"))) as (host, pilot):
        await pilot.press("ctrl+o", "z", "tab", "z")
        assert [host.dialog.query_one(f"#{name}", Input).value for name in ("name", "lane")] == ["naz", "laz"]


@pytest.mark.parametrize("field", ["#text", "#lane"])
async def test_what_is_pasted_brings_no_escape_sequences_and_hides_nothing(field: str) -> None:
    async with hosted(NewTask(FakeGateway(), FLEET)) as (host, pilot):
        await pilot.press("ctrl+o")
        body = host.dialog.query_one(field)
        body.focus()
        await pilot.pause()
        host.post_message(events.Paste("a\x1b]0;owned\x07b\x1b[31mc\u202ed"))
        await pilot.pause()
        assert isinstance(body, TextArea | Input)
        assert (body.text if isinstance(body, TextArea) else body.value) == "abc\ufffdd"
        assert "\x1b" not in host.text


async def test_twice_pressed_it_is_handed_in_once() -> None:
    gateway = FakeGateway()
    async with hosted(NewTask(gateway, FLEET, Draft(text="x"))) as (host, pilot):
        await eventually(pilot, lambda: gateway.made("agents"))
        gateway.hold = asyncio.Event()
        await pilot.press("ctrl+s", "ctrl+s", "ctrl+s")
        gateway.hold.set()
        await eventually(pilot, lambda: host.result == "new")
        assert len(gateway.made("submit")) == 1


async def test_an_order_whose_answer_was_lost_is_repeated_with_its_key() -> None:
    gateway = FakeGateway({"submit": NoSupervisor("the connection broke")})
    async with hosted(NewTask(gateway, FLEET, Draft(text="x"))) as (host, pilot):
        for count in (1, 2):
            await pilot.press("ctrl+s")
            await eventually(pilot, lambda count=count: len(gateway.made("submit")) == count and not busy(host))
        await pilot.press(*"y", "ctrl+s")
        await eventually(pilot, lambda: len(gateway.made("submit")) == 3)
        first, second, third = (body["key"] for (body,) in gateway.made("submit"))
        assert first == second != third
        assert first


def busy(host: Host) -> bool:
    assert isinstance(host.dialog, NewTask)
    return host.dialog._sending


async def test_leaving_before_the_answer_is_told() -> None:
    gateway = FakeGateway()
    async with hosted(NewTask(gateway, FLEET, Draft(text="x"))) as (host, pilot):
        await eventually(pilot, lambda: gateway.made("agents"))
        gateway.hold = asyncio.Event()
        await pilot.press("ctrl+s", "escape")
        await pilot.pause()
        assert host.result == ""
        assert any("may have been made" in text for text in host.told)
        assert isinstance(host.dialog, NewTask)
        assert host.dialog.draft.text == "x"


class TestNeeds:
    def options(self, host: Host) -> list[str]:
        listing = host.dialog.query_one(TaskChooser).query_one(OptionList)
        return [str(option.prompt) for option in listing.options] if listing.display else []

    async def open(self, host: Host, pilot: Pilot[None]) -> None:
        await pilot.press("ctrl+o")
        host.dialog.query_one(TaskChooser).input.focus()
        await pilot.pause()

    async def test_open_tasks_are_found_by_their_letters_and_taken(self) -> None:
        gateway = FakeGateway()
        async with hosted(NewTask(gateway, FLEET, Draft(text="x")), (60, 15)) as (host, pilot):
            await self.open(host, pilot)
            assert len(self.options(host)) == 5  # not the one that has ended
            await pilot.press(*"lgi/ap")
            assert ["login/api" in option for option in self.options(host)] == [True]
            await pilot.press("enter", *"l")
            assert not any("login/api" in option for option in self.options(host))
            await pilot.press("down", "up", *"int", "enter")
            chooser = host.dialog.query_one(TaskChooser)
            assert chooser.value == "login/api, lint, "
            assert host.result is OPEN
            await pilot.press("ctrl+s")
            await eventually(pilot, lambda: host.result == "new")
            assert body_of(gateway)["needs"] == ["01a", "01c"]

    async def test_twins_are_told_apart_by_their_ids(self) -> None:
        gateway = FakeGateway()
        async with hosted(NewTask(gateway, FLEET, Draft(text="x"))) as (host, pilot):
            await self.open(host, pilot)
            await pilot.press(*"twin")
            assert [option.split()[2:4] for option in self.options(host)] == [["twin", "01f"], ["twin", "01e"]]
            await pilot.press("down", "enter", "ctrl+s")
            await eventually(pilot, lambda: host.result == "new")
            assert body_of(gateway)["needs"] == ["01e"]

    async def test_a_click_takes_one_and_what_is_unknown_is_left_to_the_supervisor(self) -> None:
        gateway = FakeGateway()
        async with hosted(NewTask(gateway, FLEET, Draft(text="x", needs="other/run, ")), (100, 40)) as (host, pilot):
            await self.open(host, pilot)
            await pilot.press(*"ui")
            await pilot.click("TaskChooser OptionList", offset=(4, 0))
            assert host.dialog.query_one(TaskChooser).value == "other/run, login/ui, "
            await pilot.press("ctrl+s")
            await eventually(pilot, lambda: host.result == "new")
            assert body_of(gateway)["needs"] == ["other/run", "01b"]

    async def test_what_was_taken_keeps_its_meaning_when_the_fleet_changes(self) -> None:
        gateway = FakeGateway()
        dialog = NewTask(gateway, FLEET, Draft(text="x"))
        async with hosted(dialog) as (host, pilot):
            await self.open(host, pilot)
            await pilot.press(*"lint", "enter")
            dialog.show(fleet(task("lint", id="01c", state="succeeded"), task("lint", id="02c"), task("new", id="03")))
            await pilot.press(*"new", "enter", "ctrl+s")
            await eventually(pilot, lambda: host.result == "new")
            assert body_of(gateway)["needs"] == ["01c", "03"]


async def test_what_was_typed_before_the_last_key_is_in_it_however_busy_the_machine() -> None:
    gateway = FakeGateway()
    async with hosted(NewTask(gateway, FLEET)) as (host, pilot):
        await eventually(pilot, lambda: gateway.made("agents"))
        for key in "typed ahead":
            host.post_message(events.Key("space" if key == " " else key, key))
        host.post_message(events.Key("ctrl+s", None))
        await eventually(pilot, lambda: host.result == "new")
        assert body_of(gateway) == {"prompt": "typed ahead"}
