"""The tasks of a run share a folder, by the real program, and `qd events` tells of both its ends."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.fleet import Fleet, until

CONFIG = "staging: {keep: 1h}\n"
PLAN = """
name: sharing
tasks:
  makes: {command: 'echo made > "$QD_STAGING/file"'}
  reads: {command: 'cat "$QD_STAGING/file" > "$QD_OUTPUT"; LAST', needs: [makes]}
"""


@pytest.mark.parametrize(("last", "ends"), [("true", True), ("exit 3", False)])
def test_what_one_task_leaves_the_next_one_finds(tmp_path: Path, last: str, ends: bool) -> None:
    with Fleet(tmp_path / "project", CONFIG) as fleet:
        assert fleet.up() == "ready"
        fleet.submit_plan(PLAN.replace("LAST", last))
        rows = {task["name"]: task for task in fleet.wait()}
        staging = tmp_path / "project" / ".quarterdeck" / "staging"
        if ends:
            assert rows["reads"]["output"] == "made\n"
            until(lambda: not list(staging.iterdir()), 60, fleet.describe)
        else:
            assert rows["reads"]["state"] == "failed"
            (kept,) = [one for one in staging.iterdir() if one.is_dir()]
            assert (kept / "file").read_text() == "made\n"
        told = [json.loads(line) for line in fleet.qd("events", "--json").stdout.splitlines()]
        kinds = [event["kind"] for event in told if event["kind"].startswith("staging.")]
        assert kinds == ["staging.created", *(["staging.deleted"] if ends else [])]
        assert all(event["data"].get("why", "succeeded") == "succeeded" for event in told if "staging" in event["kind"])
