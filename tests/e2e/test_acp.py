"""ACP agents through the front door: they ask their user, and are kept apart from one another."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import acp_agent
from tests.support.fleet import Fleet, until

FORM = {
    "mode": "form",
    "message": "Which branch?",
    "requestedSchema": {
        "properties": {
            "branch": {"type": "string", "title": "Branch"},
            "port": {"type": "integer", "minimum": 1024},
            "force": {"type": "boolean"},
        },
        "required": ["branch", "port"],
    },
}


def agent(folder: Path, scenario: str, **more: Any) -> dict[str, Any]:
    """Its configuration; `notes` is where it writes what happened to it."""
    command = [sys.executable, acp_agent.__file__, scenario, str(folder / f"{scenario}.notes")]
    return {"provider": "acp", "options": {"permissions": "ask", "command": command}, **more}


def notes(fleet: Fleet, scenario: str) -> list[dict[str, Any]]:
    path = fleet.project / f"{scenario}.notes"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    project = tmp_path / "project"
    agents = {
        "asker": agent(project, "asks", env={"ASKS": json.dumps([FORM])}),
        "alice": agent(project, "places", env={"XDG_CONFIG_HOME": "/srv/alice", "MODEL_BASE_URL": "http://a.example"}),
        "bob": agent(project, "places", env={"XDG_CONFIG_HOME": "/srv/bob"}),
    }
    with Fleet(project, json.dumps({"agents": agents})) as fleet:
        assert fleet.up() == "ready"
        yield fleet


def waiting(fleet: Fleet, besides: str = "") -> dict[str, Any]:
    """The question asked now, another one than `besides`."""

    def asked() -> list[dict[str, Any]]:
        return [one for one in json.loads(fleet.qd("waiting", "--json").stdout) if one["id"] != besides]

    until(lambda: bool(asked()), 60, fleet.describe)
    return asked()[0]


def test_what_an_agent_asks_is_answered_in_words(fleet: Fleet) -> None:
    (task,) = fleet.submit_plan("tasks: {a: {agent: asker, prompt: begin}}")
    first = waiting(fleet)
    assert (first["kind"], first["verbs"]) == ("question", ["deny", "answer"])
    assert first["text"] == "Which branch?\nBranch (1 of 3)\ntext"
    assert "it asks for an answer in words" in fleet.qd("approve", first["id"], check=False).stderr
    assert fleet.qd("answer", first["id"], "main").stdout == "delivered\n"
    second = waiting(fleet, first["id"])
    assert fleet.qd("answer", first["id"], "main", check=False).returncode == 1, "that was answered"
    fleet.qd("answer", second["id"], "80")
    third = waiting(fleet, second["id"])
    assert third["text"].endswith("not that: 80 is out of bounds")
    fleet.qd("answer", third["id"], "8080")
    fleet.qd("answer", waiting(fleet, third["id"])["id"], "yes")
    until(lambda: fleet.client.task(task["id"])["state"] == "succeeded", 60, fleet.describe)
    (answer,) = [note["answer"] for note in notes(fleet, "asks") if note["what"] == "asked"]
    assert answer == {"action": "accept", "content": {"branch": "main", "port": 8080, "force": True}}


def test_a_question_outlives_the_supervisor_and_can_be_denied(fleet: Fleet) -> None:
    (task,) = fleet.submit_plan("tasks: {a: {agent: asker, prompt: begin}}")
    asked = waiting(fleet)
    fleet.kill()
    assert fleet.up() == "ready"
    again = waiting(fleet)
    assert again["id"] == asked["id"]
    fleet.qd("deny", again["id"])
    until(lambda: fleet.client.task(task["id"])["state"] == "succeeded", 60, fleet.describe)
    assert [note["answer"] for note in notes(fleet, "asks") if note["what"] == "asked"] == [{"action": "decline"}]


def test_each_agent_has_a_configuration_of_its_own(fleet: Fleet) -> None:
    fleet.submit_plan("tasks: {a: {agent: alice, prompt: x}, b: {agent: bob, prompt: x}, c: {agent: alice, prompt: x}}")
    assert {task["state"] for task in fleet.wait()} == {"succeeded"}
    found = [note["at"] for note in notes(fleet, "places") if note["what"] == "places"]
    assert found.count({"XDG_CONFIG_HOME": "/srv/alice", "MODEL_BASE_URL": "http://a.example"}) == 2
    assert found.count({"XDG_CONFIG_HOME": "/srv/bob", "MODEL_BASE_URL": None}) == 1


@pytest.mark.parametrize("name", ["XDG_CONFIG_HOME", "MODEL_BASE_URL", "HTTPS_PROXY", "MODEL_API_KEY", "HOME"])
def test_a_task_does_not_move_it(fleet: Fleet, name: str) -> None:
    said = fleet.qd("submit", "--agent", "alice", "--watch", "--env", f"{name}=/srv/evil", "x", check=False)
    assert said.returncode == 2
    assert f"env: {name} is for agent alice (acp) to choose: no task sets it" in said.stderr
    assert "agents.alice.env or .secrets may" in said.stderr
    (fleet.project / "plan.yaml").write_text(
        f"name: p\ntasks:\n  a:\n    agent: alice\n    prompt: x\n    env:\n      FINE: y\n      {name}: /srv/evil\n"
    )
    planned = fleet.qd("run", "plan.yaml", check=False)
    assert planned.returncode == 3
    assert "plan.yaml:8:" in planned.stderr
    assert fleet.tasks() == []
