"""Every recorded attempt of a real agent program, through the real `qd`: its outcome, reason, output and usage."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.fleet import Fleet, until
from tests.support.replays import cases, environment, install

ENDS = ("task.succeeded", "task.failed", "task.cancelled", "task.retrying", "task.parked")
CUT = "[cut: the full message is in the recording]"
CONFIG = "agents: {{bot: {{provider: {provider}, mode: headless, gate: false}}}}\nlimits: {{slots: 8}}\n"


@pytest.mark.parametrize("provider", ["claude", "codex", "gemini", "opencode"])
def test_every_recorded_attempt_ends_as_it_did(tmp_path: Path, provider: str) -> None:
    path = install(tmp_path / "bin", provider)
    with Fleet(tmp_path / "project", CONFIG.format(provider=provider), env={"PATH": path}) as fleet:
        assert fleet.up() == "ready", fleet.errors()
        names: dict[str, str] = {}
        for case in cases(provider):
            body: Any = {"agent": "bot", "prompt": "go on", "name": case, "env": environment(provider, case)}
            names[fleet.client.submit(body)["task"]["id"]] = case
        ends: dict[str, dict[str, Any]] = {}

        def all_ended() -> bool:
            for event in fleet.events():
                if event["kind"] in ENDS and event["task"] in names:
                    ends.setdefault(names[event["task"]], event)
            return len(ends) == len(names)

        until(all_ended, 90, lambda: f"{sorted(set(names.values()) - set(ends))}\n{fleet.describe()}")
        for case, expected in cases(provider).items():
            event, told = ends[case], ends[case]["data"]
            assert event["attempt"] == 1
            if expected["ok"]:
                assert event["kind"] == "task.succeeded", (case, told)
            elif expected["infrastructure"]:
                assert (event["kind"] in ("task.retrying", "task.parked"), told["failures"]) == (True, 0), case
            else:
                assert event["kind"] in ("task.failed", "task.parked"), case
            if event["kind"] == "task.parked":
                assert (told["reason"], told["detail"].partition(":")[0]) == ("parked", expected["reason"]), case
            else:
                assert told["reason"] == expected["reason"], case
            assert told.get("tokens_in") == expected["tokens_in"], case
            assert told.get("tokens_out") == expected["tokens_out"], case
        rows = {task["name"]: task for task in fleet.client.tasks(limit=1000)}
        for case, expected in cases(provider).items():
            if expected["ok"]:
                output = rows[case]["output"]
                assert output == expected["output"] or CUT in output, case
