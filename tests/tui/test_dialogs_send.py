"""An answer goes to the question that was read, once, and what became of it is told."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from textual import events
from textual.widgets import TextArea

from lite.errors import NoSupervisor
from tests.support.dashboards import NOW, FakeGateway, fleet, task, task_json
from tests.support.dialogs import OPEN, hosted
from tests.support.panes import eventually
from tui.screens.send import Send
from tui.state import Asked, TaskView

ASKING = task("api", asks="Deploy?")
OTHER = replace(ASKING, waiting=Asked("q2", "approval", "rm -rf build?", "other", NOW))
QUIET = task("api", doing="working")


def gateway_of(now_is: TaskView, **answers: Any) -> FakeGateway:
    return FakeGateway({"task": task_json(now_is), **answers})


async def test_it_is_typed_with_enter_after_it_and_told() -> None:
    gateway = gateway_of(ASKING)
    async with hosted(Send(gateway, ASKING)) as (host, pilot):
        assert "question: Deploy?" in host.text
        await pilot.press(*"yes", "ctrl+j", *"all", "enter")
        await eventually(pilot, lambda: host.result is True)
        assert gateway.made("send") == [("api", "yes\nall\r")]
        assert host.told == ["delivered to api"]


async def test_queued_is_told_with_its_reason() -> None:
    gateway = gateway_of(QUIET, send={"result": "queued", "reason": "the turn goes on"})
    async with hosted(Send(gateway, QUIET)) as (host, pilot):
        assert "asks nothing now" in host.text
        await pilot.press(*"hi", "enter")
        await eventually(pilot, lambda: host.result is True)
        assert host.told == ["queued to api: the turn goes on"]


@pytest.mark.parametrize(
    "answer", [{"result": "refused", "reason": "the session has ended"}, NoSupervisor("the session has ended")]
)
async def test_refused_is_told_and_every_word_stays(answer: Any) -> None:
    gateway = gateway_of(ASKING, send=answer)
    async with hosted(Send(gateway, ASKING), (60, 15)) as (host, pilot):
        await pilot.press(*"yes", "enter")
        await eventually(pilot, lambda: "the session has ended" in host.text)
        assert host.dialog.query_one(TextArea).text == "yes"
        assert host.result is OPEN
        gateway.answers["send"] = {"result": "delivered", "reason": ""}
        await pilot.press("enter")
        await eventually(pilot, lambda: host.result is True)


async def test_a_question_that_changed_in_the_feed_takes_an_enter_to_be_read() -> None:
    gateway = gateway_of(OTHER)
    dialog = Send(gateway, ASKING)
    async with hosted(dialog) as (host, pilot):
        await pilot.press(*"y")
        dialog.show(fleet(OTHER))
        await pilot.press("enter")
        assert "rm -rf build?" in host.text
        assert "Deploy?" not in host.text
        assert "question has changed" in host.text
        assert gateway.made("send") == []
        await pilot.press("enter")
        await eventually(pilot, lambda: host.result is True)
        assert gateway.made("send") == [("api", "y\r")]


@pytest.mark.parametrize("seen", [ASKING, QUIET], ids=["another", "a first"])
async def test_a_question_that_changed_before_the_feed_knew_is_not_answered(seen: TaskView) -> None:
    gateway = gateway_of(OTHER)
    dialog = Send(gateway, seen)
    async with hosted(dialog) as (host, pilot):
        await pilot.press(*"y", "enter")
        await eventually(pilot, lambda: "rm -rf build?" in host.text)
        assert "nothing was sent" in host.text
        dialog.show(fleet(replace(seen, cost_usd=1.0)))  # the feed is behind: not a change of the question
        await pilot.pause()
        assert "rm -rf build?" in host.text
        dialog.show(fleet(OTHER))
        await pilot.press("enter")
        await eventually(pilot, lambda: host.result is True)
        assert gateway.made("send") == [("api", "y\r")]


async def test_a_question_that_was_answered_meanwhile_is_not_answered_again() -> None:
    gateway = gateway_of(QUIET)
    async with hosted(Send(gateway, ASKING)) as (host, pilot):
        await pilot.press(*"y", "enter")
        await eventually(pilot, lambda: "does not ask that any more" in host.text)
        assert gateway.made("send") == []


async def test_a_question_that_changes_while_it_is_compared_is_not_answered() -> None:
    gateway = gateway_of(ASKING)
    gateway.hold = asyncio.Event()
    dialog = Send(gateway, ASKING)
    async with hosted(dialog) as (host, pilot):
        await pilot.press(*"y", "enter")
        dialog.show(fleet(OTHER))
        gateway.answers["task"] = task_json(OTHER)
        gateway.hold.set()
        await eventually(pilot, lambda: not dialog._sending)
        assert gateway.made("send") == []
        assert "rm -rf build?" in host.text


async def test_enter_twice_sends_once() -> None:
    gateway = gateway_of(ASKING)
    gateway.hold = asyncio.Event()
    async with hosted(Send(gateway, ASKING)) as (host, pilot):
        await pilot.press(*"y", "enter", "enter", "enter")
        gateway.hold.set()
        await eventually(pilot, lambda: host.result is True)
        assert len(gateway.made("send")) == 1


async def test_what_is_pasted_brings_no_escape_sequences() -> None:
    gateway = gateway_of(ASKING)
    async with hosted(Send(gateway, ASKING)) as (host, pilot):
        host.post_message(events.Paste("a\x1b[201~\x03b\tc\nd"))
        await pilot.pause()
        await pilot.press("enter")
        await eventually(pilot, lambda: host.result is True)
        ((_, sent),) = gateway.made("send")
        assert sent == "ab\tc\nd\r"


async def test_a_long_question_scrolls_and_the_answer_stays_in_sight() -> None:
    long = task("api", asks="\n".join(f"line {number}" for number in range(50)))
    async with hosted(Send(gateway_of(long), long), (60, 15)) as (host, pilot):
        await pilot.press(*"typed")
        assert "line 0" in host.text
        await pilot.press(*["pagedown"] * 12)
        assert "line 49" in host.text
        assert "typed" in host.text


async def test_the_end_of_the_task_and_leaving_before_an_answer_are_told() -> None:
    gateway = gateway_of(ASKING)
    gateway.hold = asyncio.Event()
    dialog = Send(gateway, ASKING)
    async with hosted(dialog) as (host, pilot):
        dialog.show(fleet(task("api", state="failed")))
        await pilot.pause()
        assert "it is failed now" in host.text
        dialog.show(fleet())  # gone from the fleet altogether
        await pilot.press("enter", "enter", "escape")
        await pilot.pause()
        assert host.result is False
        assert any("closed before" in text for text in host.told)


@pytest.mark.parametrize(
    ("typed", "given"),
    [("y", ("allow", "")), ("no use the copy", ("deny", "use the copy")), ("n", ("deny", ""))],
)
async def test_an_approval_with_a_name_is_answered_by_its_name(typed: str, given: tuple[str, str]) -> None:
    row = task_json(OTHER)
    row["waiting"]["verbs"] = ["approve", "deny"]
    gateway = FakeGateway({"task": row})
    async with hosted(Send(gateway, OTHER)) as (host, pilot):
        await pilot.press(*("space" if key == " " else key for key in typed), "enter")
        await eventually(pilot, lambda: host.result is True)
        assert gateway.made("answer") == [("api", "q2", *given, "other")]
        assert gateway.made("send") == []


async def test_what_is_neither_yes_nor_no_approves_nothing() -> None:
    row = task_json(OTHER)
    row["waiting"]["verbs"] = ["approve", "deny"]
    gateway = FakeGateway({"task": row})
    async with hosted(Send(gateway, OTHER)) as (host, pilot):
        await pilot.press(*"ok", "enter")
        await eventually(pilot, lambda: "type y, or n" in host.text)
        assert gateway.made("answer") == gateway.made("send") == []
