"""`examples/05_redis/run.py`: a whole fleet by one command, and nothing of it left."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lite.config.load import load_text
from providers.registry import Registry
from tests.examples.project import EXAMPLES, environment, none_left, survivors
from tests.examples.test_demo import read_until, rest
from tests.support.redis_server import PROGRAM, installed

pytestmark = pytest.mark.slow

EXAMPLE = EXAMPLES / "05_redis"


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    for pid in survivors(tmp_path):
        os.kill(pid, signal.SIGKILL)


@pytest.fixture
def env(folder: Path) -> dict[str, str]:
    return environment(folder)


def start(env: dict[str, str], script: Path, *args: str) -> subprocess.Popen[bytes]:
    if not installed():
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"{PROGRAM} is not installed")
    return subprocess.Popen(
        [sys.executable, str(script), *args],
        cwd=env["HOME"],
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def test_everything_succeeds_though_a_worker_is_killed(folder: Path, env: dict[str, str]) -> None:
    process = start(env, EXAMPLES / "demo.py", "--headless", "--redis")
    printed = rest(process)
    assert process.returncode == 0, printed
    lanes, convoy = printed.split("Placement, and a worker that dies")
    assert len(re.findall(r"^ .* succeeded  ", lanes, re.MULTILINE)) == 11, printed
    assert "hands on: wordy" in lanes
    where = dict(re.findall(r"(\S+) +started .*, on (w\d)-", lanes))
    assert {where["engine"], where["naming"]} == {"w1", "w2"}, printed  # one lane on each, side by side
    assert "Count words" in lanes  # its log, read through the orchestrator

    ran = re.findall(r"(\S+) +started .*, on (w\d)-", convoy)
    assert {("north", "w1"), ("south", "w2")} <= set(ran), printed
    killed = re.search(r"kill -9 (w\d)", convoy)
    lost = re.search(r"(convoy-\d) +lost", convoy)
    assert killed
    assert lost
    first, second = (worker for task, worker in ran if task == lost[1])
    assert first == killed[1] != second
    assert re.search(r"placed on worker w\d-\w+: prefer-colocate", convoy)
    assert re.search(rf"{killed[1]}-\w+ +unhealthy", convoy)
    assert "2. attempt, mile 7" in convoy
    assert list((folder / "tmp").iterdir()) == []
    assert list((folder / "home").iterdir()) == []
    assert none_left(folder)


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupted_it_leaves_nothing(folder: Path, env: dict[str, str], signum: int, code: int) -> None:
    process = start(env, EXAMPLE / "run.py")
    read_until(process, "engine +started")
    process.send_signal(signum)
    printed = rest(process)
    assert process.returncode == code, printed
    assert list((folder / "tmp").iterdir()) == []
    assert none_left(folder)


def test_without_redis_server_it_says_what_to_install(folder: Path, env: dict[str, str]) -> None:
    tools = folder / "bin"
    tools.mkdir()
    (tools / "git").symlink_to(shutil.which("git") or "git")
    process = start(env | {"PATH": str(tools)}, EXAMPLE / "run.py")
    assert rest(process).startswith("demo: redis-server is not on PATH; `apt-get install redis-server`")
    assert process.returncode == 1
    assert list((folder / "tmp").iterdir()) == []


def test_what_the_guide_says_of_the_configuration_is_accepted() -> None:
    (block,) = re.findall(r"^```yaml\n(.*?)^```", (EXAMPLE / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    names = Registry.with_installed().names()
    settings = load_text(block, "README.md", providers=names, environ={})
    assert settings.backend == "rediss://redis.example:6380/0"
    assert (settings.labels, settings.slots) == ({"zone": "a"}, 8)
    example = load_text((EXAMPLE / "quarterdeck.yaml").read_text(), "quarterdeck.yaml", providers=names, environ={})
    assert example.lease_ms == 3000
