"""`make demo`, with and without a person."""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.examples.project import EXAMPLES, environment, none_left, survivors
from tests.support.tmux import Tmux

pytestmark = pytest.mark.slow

DEMO = EXAMPLES / "demo.py"
SECONDS = 100.0


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    for pid in survivors(tmp_path):
        os.kill(pid, signal.SIGKILL)


@pytest.fixture
def env(folder: Path) -> dict[str, str]:
    return environment(folder)


def start(env: dict[str, str], *args: str) -> subprocess.Popen[bytes]:
    """In a session of its own: no controlling terminal, and signals reach it alone."""
    return subprocess.Popen(
        [sys.executable, str(DEMO), *args],
        cwd=env["HOME"],
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def read_until(process: subprocess.Popen[bytes], pattern: str) -> str:
    """What it printed so far, once `pattern` is in it."""
    assert process.stdout is not None
    deadline = time.monotonic() + SECONDS
    seen = b""
    while not re.search(pattern, seen.decode(errors="replace")):
        left = deadline - time.monotonic()
        assert left > 0, seen.decode(errors="replace")
        if select.select([process.stdout], [], [], left)[0]:
            more = os.read(process.stdout.fileno(), 65536)
            assert more, f"it ended: {seen.decode(errors='replace')}"
            seen += more
    return seen.decode(errors="replace")


def rest(process: subprocess.Popen[bytes]) -> str:
    return process.communicate(timeout=SECONDS)[0].decode(errors="replace")


def test_headless(folder: Path, env: dict[str, str]) -> None:
    process = start(env, "--headless")
    printed = rest(process)
    assert process.returncode == 0, printed
    assert len(re.findall(r"^ .* succeeded  ", printed, re.MULTILINE)) >= 8, printed
    assert "hands on: wordy" in printed
    assert printed.count("✓ S succeeded") >= 8
    assert "Ran 6 tests" in printed
    assert list((folder / "tmp").iterdir()) == []
    assert list((folder / "home").iterdir()) == []
    assert none_left(folder)


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupted_it_leaves_nothing(folder: Path, env: dict[str, str], signum: int, code: int) -> None:
    process = start(env, "--headless")
    read_until(process, "engine +started")
    process.send_signal(signum)
    printed = rest(process)
    assert process.returncode == code, printed
    assert list((folder / "tmp").iterdir()) == []
    assert none_left(folder)


def test_with_a_person_it_waits_and_leaves_the_fleet_running(folder: Path, env: dict[str, str]) -> None:
    process = start(env)
    printed = read_until(process, "type one line into it")
    found = re.search(r"^ +(\S+) send (two-lanes/naming) ", printed, re.MULTILINE)
    project = re.search(r"lanes, in (\S+)$", printed, re.MULTILINE)
    assert found
    assert project
    qd, where = found[1], project[1]
    subprocess.run([qd, "send", found[2], "quill"], cwd=where, env=env, check=True, capture_output=True)
    printed = rest(process)
    assert process.returncode == 0, printed
    assert "hands on: quill" in printed
    assert f"{qd} down" in printed
    done = subprocess.run([qd, "down"], cwd=where, env=env, check=False, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "stopped\n"), done.stderr
    assert none_left(folder)


def test_on_a_terminal_it_opens_the_dashboard(folder: Path, env: dict[str, str]) -> None:
    kept = {name: value for name, value in env.items() if not name.startswith(("SSH_", "TMUX", "NO_COLOR"))}
    with Tmux(folder / "tmux", cols=130, rows=36, env=kept) as terminal:
        terminal.start([sys.executable, str(DEMO)], folder)
        terminal.see("Quarterdeck", "two-lanes", "asks: What", seconds=SECONDS)
        terminal.keys("w")
        terminal.see("question: What shall")  # the pane's title: the question itself, not only that it waits
        terminal.keys("s")
        terminal.see("Send to naming")
        terminal.text("quill")
        terminal.keys("Enter")
        terminal.until(lambda screen: "11/11" in screen, SECONDS)
        terminal.keys("q")
        assert terminal.ended() == 0
        told = terminal.tmux("capture-pane", "-p", "-J", "-S", "-50")
    found = re.search(r"\(cd (\S+) && (\S+) down\)", told)
    assert found, told
    done = subprocess.run([found[2], "down"], cwd=found[1], env=env, check=False, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "stopped\n"), done.stderr
    assert none_left(folder)
