"""Each example does what its README says, through the front door."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.examples.project import EXAMPLES, Project, states

Example = Callable[[str], Project]

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("folder", sorted(EXAMPLES.glob("[0-9]*")), ids=lambda path: path.name)
def test_every_example_has_a_plan_and_a_guide(folder: Path) -> None:
    assert list(folder.rglob("plan.yaml"))
    assert len((folder / "README.md").read_text()) > 200


def test_first_plan(example: Example) -> None:
    project = example("01_first_plan")
    project.qd("run", "--wait", "plan.yaml")
    tasks = project.tasks()
    assert states(tasks) == dict.fromkeys(("squares", "machine", "report"), "succeeded")
    assert tasks["report"]["started_at"] >= max(tasks[name]["ended_at"] for name in ("squares", "machine"))
    assert tasks["report"]["output"].startswith("the sum is 55, computed on ")
    assert "after 5 squares: 55" in project.qd("logs", "first-plan/squares")


def test_two_lanes_go_on_after_the_supervisor_was_killed(example: Example) -> None:
    project = example("02_two_lanes")
    run = project.ask("run", "plan.yaml")["run"]["id"]
    project.qd("wait", "--no-input", "two-lanes/naming", expect=7)
    os.kill(project.ask("up", "-d")["pid"], signal.SIGKILL)
    assert "runs already" not in project.qd("up", "-d")
    assert project.ask("send", "two-lanes/naming", "quill")["result"] == "delivered"
    project.qd("wait", *(f"{run}/{name}" for name in project.tasks()))

    tasks = project.tasks()
    assert set(states(tasks).values()) == {"succeeded"}
    assert {task["attempt"] for task in tasks.values()} == {1}, "something ran twice"
    for lane in ("engine", "tool"):
        members = sorted((task for task in tasks.values() if task["lane"] == lane), key=lambda task: task["seq"])
        assert len(members) == 3
        for before, after in itertools.pairwise(members):
            assert before["ended_at"] <= after["started_at"]
    assert tasks["naming"]["output"] == "quill"
    assert "quill 1.0" in tasks["notes"]["output"]
    assert (tasks["notes"]["tokens_in"], tasks["notes"]["cost_source"]) == (1200, "reported")
    packed = project.path / "build" / "quill.pyz"
    text = project.path / "text.txt"
    text.write_text("sea ship sea")
    counted = subprocess.run([sys.executable, packed, text], capture_output=True, text=True, check=True)
    assert counted.stdout.split() == ["2", "sea", "1", "ship"]


def test_agents(example: Example) -> None:
    project = example("03_agents")
    project.qd("run", "--wait", "plan.yaml", expect=1)
    tasks = project.tasks()
    assert states(tasks) == {
        "feature": "succeeded",
        "bugfix": "succeeded",
        "readme": "succeeded",
        "chores": "succeeded",
        "unsteady": "succeeded",
        "slow": "failed timeout",
        "after-slow": "succeeded",
        "silent": "failed idle-timeout",
        "broken": "failed exit",
        "after-broken": "skipped need",
        "fatal": "failed exit",
        "after-fatal": "failed need",
    }
    assert {name: tasks[name]["rule"] for name in ("feature", "readme", "chores", "slow")} == {
        "feature": "type implement: role of dev",
        "readme": "trigger docs/*",
        "chores": "default",
        "slow": "command",
    }
    assert (tasks["unsteady"]["attempt"], tasks["unsteady"]["failures"]) == (2, 1)
    assert tasks["after-fatal"]["attempt"] == 0
    one, other = sorted((tasks["feature"], tasks["bugfix"]), key=lambda task: task["started_at"])
    assert one["ended_at"] <= other["started_at"], "tasks that touch the same ran side by side"


def test_agents_approval_key_and_reload(example: Example) -> None:
    project = example("03_agents")
    first = project.ask("submit", "--type", "review", "--key", "review-1", "the login form")
    again = project.ask("submit", "--type", "review", "--key", "review-1", "the login form")
    assert (first["created"], again["created"]) == (True, False)
    assert first["id"] == again["id"]
    project.qd("wait", "--no-input", first["id"], expect=7)
    assert "Run the test suite?" in project.qd("explain", first["id"])
    project.qd("send", first["id"], "y")
    project.qd("wait", first["id"])
    assert project.ask("show", first["id"])["output"] == "approved: the login form"

    config = project.path / "quarterdeck.yaml"
    text = config.read_text()
    changed = text.replace("routing:", "  newcomer: {provider: scripted}\n\nrouting:", 1)
    project.qd("submit", "--agent", "newcomer", "hello", expect=2)
    config.write_text(changed)
    cursor = project.await_event("config.reloaded")["cursor"]
    project.qd("submit", "--wait", "--agent", "newcomer", "hello")

    config.write_text(changed.replace("limits:", "limmits:"))
    rejected = project.await_event("config.rejected", after=cursor)
    assert "quarterdeck.yaml:" in rejected["data"]["place"]
    assert "limits" in f"{rejected['data']['message']} {rejected['data']['hint']}"
    project.qd("submit", "--wait", "--agent", "newcomer", "the last good configuration stays in force")
