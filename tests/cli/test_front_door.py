"""The command line against a real supervisor: started when needed, found when running, attached to, stopped."""

from __future__ import annotations

import json
import os
import sys
import termios
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.terminals import Terminal
from tests.support.fleet import Fleet, until


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    """A project without a supervisor; whichever the commands start is stopped in the end."""
    with Fleet(tmp_path / "project") as made:
        yield made
        if made.qd("down", "--yes", check=False).returncode not in (0, 5):
            made.sweep()


def test_submit_starts_a_supervisor_and_down_stops_it(fleet: Fleet) -> None:
    done = fleet.qd("submit", "--wait", "--", "sh", "-c", "echo hello; exit 3", check=False)
    assert done.returncode == 1
    assert "started a supervisor" in done.stderr
    assert "exit code 3" in done.stdout
    listed = json.loads(fleet.qd("ls", "--json").stdout)
    assert [task["state"] for task in listed] == ["failed"]
    assert fleet.qd("logs", listed[0]["id"][:14]).stdout == "hello\n"
    assert fleet.qd("down").stdout == "stopped\n"
    assert fleet.qd("ls", check=False).returncode == 5
    assert "none runs" in fleet.qd("doctor").stdout


def test_many_at_once_start_one_supervisor(fleet: Fleet) -> None:
    results: list[int] = []
    calls = [
        threading.Thread(target=lambda: results.append(fleet.qd("up", "-d", check=False).returncode)) for _ in range(4)
    ]
    for call in calls:
        call.start()
    for call in calls:
        call.join()
    assert results == [0, 0, 0, 0]
    assert len({json.loads(fleet.qd("up", "-d", "--json").stdout)["pid"] for _ in range(2)}) == 1


def test_attach_types_into_the_program_and_leaves_it_running(fleet: Fleet) -> None:
    script = "stty -echo; echo ready; read line; echo got $line; exec sleep 600"
    task = fleet.qd("submit", "--", "sh", "-c", script).stdout.strip()
    until(lambda: "ready" in fleet.qd("logs", task, check=False).stdout)
    terminal = Terminal([sys.executable, "-m", "lite", "--home", os.fspath(fleet.home), "attach", task])
    try:
        terminal.until(b"ready")
        terminal.type(b"it\r")
        terminal.until(b"got it")
        terminal.type(b"\x1d")
        terminal.until(b"comes back")
        assert terminal.process.wait(30) == 0
        assert termios.tcgetattr(terminal.master) == terminal.cooked
    finally:
        terminal.close()
    assert fleet.client.task(task)["state"] == "running"
    assert fleet.qd("cancel", task).returncode == 0
    assert fleet.qd("wait", task, check=False).returncode == 9


def test_up_in_the_foreground_ends_by_ctrl_c(fleet: Fleet) -> None:
    terminal = Terminal([sys.executable, "-m", "tests.cli.on_terminal", "--home", os.fspath(fleet.home), "up"])
    try:
        terminal.until(b"is up")
        terminal.type(b"\x03")
        assert terminal.process.wait(60) == 0
    finally:
        terminal.close()


def test_a_broken_configuration_is_told_before_and_while_it_runs(fleet: Fleet) -> None:
    config = fleet.project / "quarterdeck.yaml"
    assert "is valid" in fleet.qd("config", "validate").stderr
    assert "limits.slots" in fleet.qd("config", "show").stdout
    assert "quarterdeck.yaml:1:" in fleet.qd("config", "show").stdout
    for which in ([], ["--plan"]):
        assert "properties" in json.loads(fleet.qd("config", "schema", *which).stdout)
    fleet.qd("up", "-d")
    config.write_text("limits: {slots: many}\n")
    for argv in (["config", "validate"], ["config", "reload"]):
        done = fleet.qd(*argv, check=False)
        assert done.returncode == 3
        assert "quarterdeck.yaml:1:" in done.stderr
    done = fleet.qd("doctor", "--json", check=False)
    assert done.returncode == 1
    assert {"config", "reload"} <= {one["check"] for one in json.loads(done.stdout) if one["level"] == "error"}
