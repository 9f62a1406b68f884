"""What holds for every dialog, and the question before what cannot be taken back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from textual.app import ComposeResult
from textual.widgets import Static

from lite.errors import NoSupervisor
from tests.support.dashboards import FakeGateway, agent_json, fleet, now, task, task_json
from tests.support.dialogs import HOSTILE, OPEN, hosted
from tui.orders import Draft
from tui.screens.confirm import Confirm
from tui.screens.dialog import Dialog, Problem
from tui.screens.explain import Explain
from tui.screens.new_task import NewTask
from tui.screens.plans import PlanPicker
from tui.screens.send import Send
from tui.state import RunView

SIZES = [(60, 15), (80, 24), (100, 30), (200, 60), (1, 1), (9, 4)]

PASTED = HOSTILE.replace("\u200d", "")  # a joiner of one's own is one's own


def evil() -> Any:
    asking = task("a", run="r", asks=HOSTILE, needs=("b",), prompt=HOSTILE, lane=HOSTILE, detail=HOSTILE)
    return fleet(
        replace(asking, name=HOSTILE, agent=HOSTILE, worker=HOSTILE, touches=(HOSTILE,), cost_source=HOSTILE),
        replace(task("b"), name=HOSTILE, lane=HOSTILE, command=HOSTILE),
        runs=[RunView("r", HOSTILE)],
    )


def gateway_of(known: Any) -> FakeGateway:
    said = {"task": "a", "state": "running", "code": "x", "summary": HOSTILE, "facts": [HOSTILE], "hint": HOSTILE}
    row = task_json(known.tasks["a"]) | {"rule": HOSTILE, "cwd": HOSTILE, "output": HOSTILE, "command": [HOSTILE]}
    plan = {"run": None, "created": False, "tasks": [row]}
    agents = [agent_json(HOSTILE, problem=HOSTILE, roles=[HOSTILE])]
    gateway = FakeGateway({"explain": said, "task": row, "plan": plan, "agents": agents})
    gateway.answers["submit"] = gateway.answers["send"] = NoSupervisor(HOSTILE, hint=HOSTILE, place=HOSTILE)
    return gateway


KINDS: dict[str, tuple[Callable[[FakeGateway, Any, Path], Dialog[Any]], list[str]]] = {
    "confirm": (lambda gateway, known, folder: Confirm(HOSTILE, [HOSTILE] * 30, yes=HOSTILE), ["right", "j"]),
    "send": (lambda gateway, known, folder: Send(gateway, known.tasks["a"]), ["y", "ctrl+j", "enter"]),
    "explain": (lambda gateway, known, folder: Explain(gateway, known, "a", now=now), ["j", "G", "y"]),
    "new": (
        lambda gateway, known, folder: NewTask(gateway, known, Draft(text=PASTED, agent=HOSTILE, lane=PASTED)),
        ["ctrl+o", "tab", "tab", "x", "ctrl+t", "ctrl+s"],
    ),
    "plans": (lambda gateway, known, folder: PlanPicker(gateway, folder), ["down", "ctrl+t", "x", "pagedown"]),
}


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("kind", KINDS)
async def test_no_size_and_no_text_breaks_it(tmp_path: Path, kind: str, size: tuple[int, int]) -> None:
    (tmp_path / "x\u202e[b]y.yaml").write_text(f"tasks:\n  # {HOSTILE}\n")
    known = evil()
    make, keys = KINDS[kind]
    async with hosted(make(gateway_of(known), known, tmp_path), size) as (host, pilot):
        for key in keys:
            await pilot.press(key)
        for width, height in ((1, 1), (300, 5), (5, 90), (60, 15), size):
            await pilot.resize_terminal(width, height)
            shown = host.text
            assert not [char for char in shown if char != "\n" and not char.isprintable()]
            assert "\u202e" not in shown
        show = getattr(host.dialog, "show", None)
        if show is not None:
            show(evil())
            show(fleet())
        await pilot.press("escape")
        await pilot.pause()
        assert host.result is not OPEN


@pytest.mark.parametrize("kind", ["send", "new", "plans"])
async def test_what_is_typed_is_text_and_no_command(tmp_path: Path, kind: str) -> None:
    known = fleet(task("a", asks="Sure?"))
    make, _ = KINDS[kind]
    dialog = make(FakeGateway(), known, tmp_path) if kind != "new" else NewTask(FakeGateway(), known)
    async with hosted(dialog) as (host, pilot):
        await pilot.press("q", "question_mark", "colon", "y", "n", "e", "j", "slash", "left_square_bracket")
        assert "q?:ynej/[" in host.text
        assert host.result is OPEN


@pytest.mark.parametrize("kind", KINDS)
async def test_a_click_on_its_key_closes_it(tmp_path: Path, kind: str) -> None:
    known = fleet(task("a", asks="Sure?"))
    make, _ = KINDS[kind]
    async with hosted(make(FakeGateway(), known, tmp_path)) as (host, pilot):
        await pilot.click("KeyBar", offset=(74, 0))
        await pilot.pause()
        assert host.result is not OPEN


class TestConfirm:
    @pytest.mark.parametrize(
        ("keys", "answer"),
        [
            (["enter"], False),
            (["y"], True),
            (["n"], False),
            (["escape"], False),
            (["right", "enter"], True),
            (["l", "h", "enter"], False),
            (["tab", "enter"], True),
            (["Y"], OPEN),
            (["x", "space"], OPEN),
        ],
        ids=str,
    )
    async def test_only_a_clear_yes_is_yes(self, keys: list[str], answer: object) -> None:
        async with hosted(Confirm("cancel 12 tasks?", ["3 running"], yes="cancel")) as (host, pilot):
            await pilot.press(*keys)
            await pilot.pause()
            assert host.result is answer

    @pytest.mark.parametrize(("button", "answer"), [("#yes", True), ("#no", False)])
    async def test_buttons(self, button: str, answer: bool) -> None:
        async with hosted(Confirm("sure?"), (60, 15)) as (host, pilot):
            await pilot.click(button)
            await pilot.pause()
            assert host.result is answer

    async def test_many_lines_leave_question_and_buttons_in_sight(self) -> None:
        lines = [f"task-{number}" for number in range(40)]
        async with hosted(Confirm("cancel 40 tasks?", lines, yes="cancel"), (60, 15)) as (host, pilot):
            for word in ("cancel 40 tasks?", "task-0", "No (n)", "cancel (y)"):
                assert word in host.text, word
            await pilot.press(*["j"] * 40)
            assert "task-39" in host.text
            assert "No (n)" in host.text


class Slow(Dialog[None]):
    """Its job goes on at the moment its children have gone and it has not."""

    CSS_PATH = None
    went: asyncio.Event
    looked = False

    def compose(self) -> ComposeResult:
        yield Problem()
        yield Last(self)

    def on_mount(self) -> None:
        self.went = asyncio.Event()
        self.run_worker(self._look())

    async def _look(self) -> None:
        await self.went.wait()
        self.looked = True
        self.calm()


class Last(Static):
    def __init__(self, dialog: Slow) -> None:
        super().__init__()
        self.dialog = dialog

    async def on_unmount(self) -> None:
        self.dialog.went.set()
        await asyncio.sleep(0)


async def test_a_job_under_way_does_not_outlive_what_it_draws_on() -> None:
    dialog = Slow()
    async with hosted(dialog) as (host, pilot):
        host.pop_screen()
        await pilot.pause()
    assert dialog.went.is_set()
    assert not dialog.looked
