"""The machine went down under an agent at work: nothing of it can live, whoever has its pids now; the next attempt goes
on in the same conversation."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lite.executors.local import processes
from tests.support.fleet import Fleet, until
from tests.support.history import check_all_ended, check_history
from tests.support.replays import install_staying

CONFIG = "agents: {bot: {provider: codex, gate: false}}\nretry: {base: 100ms, jitter: 0}\n"
CONVERSATION = "0abc0000-0000-4000-8000-000000000001"


def power_off(fleet: Fleet) -> None:
    """All at once: nobody sees another's end, nobody writes anything down."""
    found = fleet.survivors()
    for signum in (signal.SIGSTOP, signal.SIGKILL):
        for pid in found:
            os.kill(pid, signum)
    fleet.died()
    until(lambda: not fleet.survivors())


def row(fleet: Fleet, *columns: str) -> tuple[Any, ...]:
    with sqlite3.connect(fleet.home.database) as database:
        found: tuple[Any, ...] = database.execute(f"SELECT {', '.join(columns)} FROM tasks").fetchone()
    database.close()
    return found


def set_handle(fleet: Fleet, handle: str) -> None:
    with sqlite3.connect(fleet.home.database) as database:
        assert database.execute("UPDATE tasks SET handle = ?", (handle,)).rowcount == 1
    database.close()


@pytest.fixture
def stranger() -> Iterator[processes.Seen]:
    """A process that has nothing to do with us."""
    with subprocess.Popen(["tail", "-f", "/dev/null"], stdout=subprocess.DEVNULL) as process:
        seen = processes.look(process.pid)
        assert seen is not None
        yield seen
        process.kill()


@pytest.mark.slow
@pytest.mark.parametrize("kept", [True, False], ids=["sockets stay", "sockets are gone"])
def test_an_agent_goes_on_in_its_conversation(tmp_path: Path, stranger: processes.Seen, kept: bool) -> None:
    programs = tmp_path / "bin"
    env = install_staying(programs, "codex", "tool", 4, "resumed")
    with Fleet(tmp_path / "project", CONFIG, {"PATH": env["PATH"]}) as fleet:
        assert fleet.up() == "ready", fleet.errors()
        body: Any = {"agent": "bot", "prompt": "write a greeting", "name": "greets", "env": env}
        ident = fleet.client.submit(body)["task"]["id"]
        until(lambda: row(fleet, "provider_session") == (CONVERSATION,), 60, fleet.describe)
        power_off(fleet)
        executor, _, text = row(fleet, "handle")[0].partition(":")
        handle = json.loads(text)
        assert handle["boot"] == processes.boot_id()
        # the machine is up again, and a pid of ours is somebody else's
        handle |= {"boot": "00000000-the-life-before", "pid": stranger.pid, "start": stranger.start}
        set_handle(fleet, f"{executor}:{json.dumps(handle)}")
        if not kept:
            shutil.rmtree(Path(handle["socket"]).parent)
        assert fleet.up() == "ready", fleet.errors()
        (task,) = fleet.wait()
        assert (task["id"], task["state"], task["attempt"]) == (ident, "succeeded", 2), fleet.describe()
        assert (task["failures"], task["faults"]) == (0, 1), "a reboot is not the task's fault"
        assert task["output"]
        first, second = (programs / "calls").read_text().splitlines()
        assert "resume" not in first
        assert f" {CONVERSATION} " in f"{second.partition('resume')[2]} ", second
        events = fleet.events()
        check_history(events)
        check_all_ended(events)
        (ended,) = [event["data"] for event in events if event["kind"] == "task.retrying"]
        assert ended["failures"] == 0
        assert processes.look(stranger.pid) == stranger, "it was touched"
