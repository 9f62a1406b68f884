"""kill -9 of the supervisor while an agent's question stands: it can still be answered, and cancelled by protocol."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.drivers.driving import SCRIPT, alive
from tests.support.fleet import Fleet, until


def _config(scenario: str, notes: Path) -> str:
    command = json.dumps([sys.executable, str(SCRIPT), scenario, str(notes)])
    return f"agents: {{talker: {{provider: acp, options: {{permissions: ask, command: {command}}}}}}}\n"


def _notes(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


@pytest.mark.slow
@pytest.mark.parametrize(("verb", "taken"), [("approve", "once"), ("deny", "no")])
def test_a_question_is_answered_after_the_supervisor_was_killed(tmp_path: Path, verb: str, taken: str) -> None:
    notes = tmp_path / "notes"
    with Fleet(tmp_path / "project", _config("tool", notes)) as fleet:
        assert fleet.up() == "ready"
        body: Any = {"agent": "talker", "prompt": "Do it", "name": "talks"}
        task = fleet.client.submit(body)["task"]
        until(lambda: fleet.client.task(task["id"])["waiting"], 60, fleet.describe)
        fleet.kill()
        assert fleet.up() == "ready"
        until(lambda: fleet.client.task(task["id"])["waiting"], 60, fleet.describe)
        asked = fleet.client.task(task["id"])["waiting"]
        assert "Write hello.txt" in asked["text"]
        fleet.qd(verb, asked["id"])
        (ended,) = fleet.wait()
        assert ended["state"] == "succeeded", fleet.describe()
    (outcomes,) = [note["outcomes"] for note in _notes(notes) if note["what"] == "outcomes"]
    assert outcomes == {"p0": {"outcome": "selected", "optionId": taken}}
    assert [note["what"] for note in _notes(notes)].count("session/prompt") == 1, "nothing was done again"


@pytest.mark.slow
def test_a_turn_is_cancelled_by_protocol_after_the_supervisor_was_killed(tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    with Fleet(tmp_path / "project", _config("cancel", notes)) as fleet:
        assert fleet.up() == "ready"
        body: Any = {"agent": "talker", "prompt": "Do it", "name": "talks"}
        task = fleet.client.submit(body)["task"]
        until(lambda: any(note["what"] == "child" for note in _notes(notes)), 60, fleet.describe)
        fleet.kill()
        assert fleet.up() == "ready"
        fleet.qd("cancel", task["id"])
        (ended,) = fleet.wait()
        assert ended["state"] == "cancelled", fleet.describe()
        assert not alive(next(note["pid"] for note in _notes(notes) if note["what"] == "child"))
    assert "cancelled" in [note["what"] for note in _notes(notes)]
