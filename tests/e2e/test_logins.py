"""An account that is not logged in holds its tasks, with one reason; a login that is there again lets them go."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.fleet import Fleet, until
from tests.support.replays import install_logging_in


def kinds(fleet: Fleet, *wanted: str) -> list[dict[str, Any]]:
    return [event for event in fleet.events() if event["kind"] in wanted]


@pytest.mark.slow
def test_a_login_that_is_there_again_releases_the_account(tmp_path: Path) -> None:
    programs = tmp_path / "bin"
    env = install_logging_in(programs, "claude", "not-logged-in", "tool")
    config = json.dumps({"agents": {"bot": {"provider": "claude", "env": env}}})
    with Fleet(tmp_path / "project", config, {"PATH": env["PATH"]}) as fleet:
        assert fleet.up() == "ready", fleet.errors()
        body: Any = {"agent": "bot", "prompt": "go on"}
        first = fleet.client.submit({**body, "name": "first"})["task"]["id"]
        until(lambda: kinds(fleet, "account.held"), 60, fleet.describe)
        until(lambda: fleet.client.task(first)["state"] == "queued", 60, fleet.describe)
        second = fleet.client.submit({**body, "name": "second"})["task"]["id"]
        assert "not logged in" in fleet.qd("explain", second).stdout

        # who asks about the agents has the program asked for its login; there is none yet
        assert "held: not-logged-in" in fleet.qd("agents").stdout
        calls = (programs / "calls").read_text().splitlines()
        assert calls == ["auth status"]
        assert not kinds(fleet, "account.released")
        assert [fleet.client.task(one)["attempt"] for one in (first, second)] == [1, 0]

        (programs / "login").touch()
        shown = fleet.qd("agents").stdout
        assert "held" not in shown
        (released,) = kinds(fleet, "account.released")
        assert released["data"]["why"] == "login"
        tasks = {task["id"]: task for task in fleet.wait()}
        assert [tasks[one]["state"] for one in (first, second)] == ["succeeded"] * 2, fleet.describe()
        assert [tasks[one]["attempt"] for one in (first, second)] == [2, 1]
        assert [tasks[one]["failures"] for one in (first, second)] == [0, 0]

        # nothing is held, so nobody is asked any more
        fleet.qd("agents")
        assert len((programs / "calls").read_text().splitlines()) == 2
