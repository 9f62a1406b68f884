"""A plan is run only as it was previewed, only clean, and only once."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import DataTable, Input, OptionList

from lite.errors import NoSupervisor, PlanInvalid
from tests.support.dashboards import FakeGateway, task, task_json
from tests.support.dialogs import OPEN, Host, hosted
from tests.support.panes import eventually
from tui.screens.plans import PlanPicker

PLAN = "name: one\ntasks:\n  a: {command: 'true'}\n"
ROWS = [task_json(task("a", lane="web")) | {"rule": "default"}, task_json(task("b", needs=("a",))) | {"agent": ""}]
TURNS = 4000  # files are looked for in a thread


def answer(text: str, source: str, cwd: str, dry_run: bool) -> dict[str, Any]:
    return {"run": None if dry_run else {"id": "run-7"}, "tasks": ROWS, "created": not dry_run}


@pytest.fixture
def gateway() -> FakeGateway:
    return FakeGateway({"plan": answer})


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "plans").mkdir()
    (tmp_path / "plans" / "deep.yml").write_text(PLAN)
    (tmp_path / "near.yaml").write_text(PLAN)
    (tmp_path / "config.yaml").write_text("agents: {}\n")
    for hidden in (".git", "node_modules"):
        (tmp_path / hidden).mkdir()
        (tmp_path / hidden / "no.yaml").write_text(PLAN)
    (tmp_path / "plans" / "loop").symlink_to(tmp_path)
    return tmp_path


def files(host: Host) -> list[str]:
    return [str(option.prompt) for option in host.dialog.query_one("#plan-files", OptionList).options]


def runs(gateway: FakeGateway) -> list[str]:
    """What was run in earnest."""
    return [source for _, source, _, dry_run in gateway.made("plan") if not dry_run]


async def previewed(host: Host, pilot: Pilot[None], text: str = "2 tasks would run") -> None:
    await eventually(pilot, lambda: text in host.text, turns=TURNS)


async def test_plans_are_found_previewed_and_run(gateway: FakeGateway, project: Path) -> None:
    async with hosted(PlanPicker(gateway, project), (100, 30)) as (host, pilot):
        await previewed(host, pilot)
        assert files(host) == ["near.yaml", "plans/deep.yml"]
        for word in ("task", "agent", "lane", "needs", "dev 1", "1 lane", "no agent yet for 1", "default"):
            assert word in host.text, word
        assert host.dialog.query_one(DataTable).row_count == 2
        await pilot.press("enter")
        await eventually(pilot, lambda: host.result == "run-7", turns=TURNS)
        assert [call[1:] for call in gateway.made("plan")] == [
            (str(project / "near.yaml"), str(project), True),
            (str(project / "near.yaml"), str(project), False),
        ]


async def test_letters_find_one_and_keys_choose(gateway: FakeGateway, project: Path) -> None:
    async with hosted(PlanPicker(gateway, project)) as (host, pilot):
        await previewed(host, pilot)
        await pilot.press("down")
        await eventually(pilot, lambda: len(gateway.made("plan")) == 2, turns=TURNS)
        await pilot.press(*"near")
        await eventually(pilot, lambda: files(host) == ["near.yaml"])
        await pilot.press(*"zz")
        assert "no plan fits" in host.text
        await pilot.press("enter")
        assert host.result is OPEN
        assert runs(gateway) == []


async def test_table_and_file_by_turns_or_together(gateway: FakeGateway, project: Path) -> None:
    async with hosted(PlanPicker(gateway, project), (60, 15)) as (host, pilot):
        await previewed(host, pilot)
        assert "command: 'true'" not in host.text
        await pilot.press("ctrl+t")
        assert "command: 'true'" in host.text
        await pilot.resize_terminal(200, 60)
        await pilot.pause()
        assert "command: 'true'" in host.text
        assert host.dialog.query_one(DataTable).display


@pytest.mark.parametrize("home", [False, True])
async def test_a_path_may_be_typed(
    gateway: FakeGateway, project: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: Any, home: bool
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "mine.txt").write_text(PLAN)
    monkeypatch.setenv("HOME", str(elsewhere))
    typed = "~/mine.txt" if home else str(elsewhere / "mine.txt")
    async with hosted(PlanPicker(gateway, project)) as (host, pilot):
        await previewed(host, pilot)
        host.dialog.query_one(Input).value = typed
        await eventually(pilot, lambda: gateway.made("plan")[-1][1] == str(elsewhere / "mine.txt"), turns=TURNS)
        await pilot.press("enter")
        await eventually(pilot, lambda: host.result == "run-7", turns=TURNS)


@pytest.mark.parametrize("typed", ["~nobody-at-all/x", "a\0b", "x" * 900, "/dev/null", "/", "[b]"])
async def test_typed_nonsense_finds_nothing(gateway: FakeGateway, project: Path, typed: str) -> None:
    async with hosted(PlanPicker(gateway, project)) as (host, pilot):
        await previewed(host, pilot)
        host.dialog.query_one(Input).value = typed
        await pilot.pause()
        await host.workers.wait_for_complete()
        assert all(source.endswith(("near.yaml", "deep.yml")) for _, source, _, _ in gateway.made("plan"))


async def test_a_broken_plan_shows_its_line_and_is_never_run(gateway: FakeGateway, project: Path) -> None:
    text = "tasks:\n" + "".join(f"  t{number}: {{command: x}}\n" for number in range(300))
    (project / "near.yaml").write_text(text)
    wrong = PlanInvalid("unknown key 'comand'", hint="did you mean command?", place=f"{project}/near.yaml:202:9")
    gateway.answers["plan"] = wrong
    async with hosted(PlanPicker(gateway, project), (200, 30)) as (host, pilot):
        await previewed(host, pilot, "did you mean command?")
        await eventually(pilot, lambda: "> 202   t200:" in host.text)
        assert "near.yaml:202:9" in host.text.replace("\n", "")
        await pilot.press("enter")
        await eventually(pilot, lambda: len(gateway.made("plan")) == 2, turns=TURNS)
        assert runs(gateway) == []
        gateway.answers["plan"] = answer  # it was mended
        await pilot.press("ctrl+r")
        await previewed(host, pilot)
        await pilot.press("enter")
        await eventually(pilot, lambda: host.result == "run-7", turns=TURNS)


@pytest.mark.parametrize(
    ("content", "said"), [(b"tasks:\n\xff\n", "not UTF-8"), (b"tasks:\n" + b"#" * (1 << 20), "too large")]
)
async def test_what_cannot_be_a_plan_is_said(gateway: FakeGateway, project: Path, content: bytes, said: str) -> None:
    (project / "near.yaml").write_bytes(content)
    async with hosted(PlanPicker(gateway, project)) as (host, pilot):
        await previewed(host, pilot, said)
        assert gateway.made("plan") == []
        await pilot.press("down")
        await previewed(host, pilot)
        assert said not in host.text


async def test_enter_before_the_preview_runs_it_once_it_is_clean(gateway: FakeGateway, project: Path) -> None:
    async with hosted(PlanPicker(gateway, project)) as (host, pilot):
        await eventually(pilot, lambda: files(host), turns=TURNS)
        await pilot.press("enter", "enter")
        await eventually(pilot, lambda: host.result == "run-7", turns=TURNS)
        assert gateway.made("plan")[0][3] is True
        assert len(runs(gateway)) == 1


async def test_a_file_that_changed_since_is_shown_again_first(gateway: FakeGateway, project: Path) -> None:
    async with hosted(PlanPicker(gateway, project), (100, 30)) as (host, pilot):
        await previewed(host, pilot)
        (project / "near.yaml").write_text(PLAN + "  danger: {command: 'rm'}\n")
        await pilot.press("enter")
        await eventually(pilot, lambda: len(gateway.made("plan")) == 2, turns=TURNS)
        await previewed(host, pilot, "has just changed")
        assert runs(gateway) == []
        await pilot.press("enter")
        await eventually(pilot, lambda: host.result == "run-7", turns=TURNS)
        assert "danger" in gateway.made("plan")[-1][0]


async def test_enter_twice_runs_once_and_a_refusal_stays_on_screen(gateway: FakeGateway, project: Path) -> None:
    async with hosted(PlanPicker(gateway, project)) as (host, pilot):
        await previewed(host, pilot)
        gateway.hold = asyncio.Event()
        gateway.answers["plan"] = NoSupervisor("nobody answers")
        await pilot.press("enter", "enter")
        await eventually(pilot, lambda: runs(gateway), turns=TURNS)
        await pilot.press("enter")
        gateway.hold.set()
        await previewed(host, pilot, "nobody answers")
        assert len(runs(gateway)) == 1
        assert host.result is OPEN


async def test_a_click_looks_and_a_double_click_runs(gateway: FakeGateway, project: Path) -> None:
    async with hosted(PlanPicker(gateway, project)) as (host, pilot):
        await previewed(host, pilot)
        await pilot.click("#plan-files", offset=(2, 1))
        await eventually(pilot, lambda: gateway.made("plan")[-1][1].endswith("deep.yml"), turns=TURNS)
        assert runs(gateway) == []
        await pilot.click("#plan-files", offset=(2, 1), times=2)
        await eventually(pilot, lambda: host.result == "run-7", turns=TURNS)


async def test_a_project_without_plans_says_what_one_is(gateway: FakeGateway, tmp_path: Path) -> None:
    async with hosted(PlanPicker(gateway, tmp_path)) as (host, pilot):
        await previewed(host, pilot, "No plan below")
        await pilot.press("escape")
        await pilot.pause()
        assert host.result == ""
