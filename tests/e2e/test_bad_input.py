"""Bad input through the front door: one message that names the place, the documented exit code, nothing stored."""

from __future__ import annotations

import contextlib
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.fleet import Fleet

CONFIG = """\
agents:
  dev: {provider: scripted, options: {steps: [{print: hello}]}}
"""


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    with Fleet(tmp_path_factory.mktemp("bad") / "project", CONFIG) as made:
        assert made.up() == "ready"
        yield made


def refused(fleet: Fleet, *args: str, code: int | tuple[int, ...], says: str | tuple[str, ...]) -> str:
    before = len(fleet.events())
    done = fleet.qd(*args, check=False)
    expected = (code,) if isinstance(code, int) else code
    assert done.returncode in expected, f"{done.returncode}: {done.stdout}{done.stderr}"
    for words in (says,) if isinstance(says, str) else says:
        assert words in done.stderr, done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) <= 14
    assert len(fleet.events()) == before, "something was stored"
    return done.stderr


PLANS = {
    "unknown agent": ("tasks: {a: {agent: dex, prompt: x}}", "plan.yaml:1:13"),
    "empty prompt": ("tasks: {a: {agent: dev, prompt: '  '}}", "prompt"),
    "negative timeout": ("tasks:\n  a:\n    command: x\n    timeout: -5m\n", "plan.yaml:4:5"),
    "cycle": (
        "tasks:\n  a: {command: x, needs: [c]}\n  b: {command: x, needs: [a]}\n  c: {command: x, needs: [b]}\n",
        "-> ",
    ),
    "cycle through a lane": (
        "tasks:\n  a: {command: x, lane: l, needs: [b]}\n  b: {command: x, lane: l}\n",
        "lane l",
    ),
    "missing need": ("tasks:\n  build: {command: x}\n  b: {command: x, needs: [biuld]}\n", "build"),
    "duplicate name": ("tasks:\n  a: {command: x}\n  a: {command: y}\n", "plan.yaml:3:3"),
    "unknown key": ("tasks:\n  a: {comand: x}\n", "command"),
    "broken YAML": ("tasks: {a: [", "plan.yaml:"),
    "a name with ..": ("tasks: {'../a': {command: x}}", "../a"),
    "a name with /": ("tasks: {'a/b': {command: x}}", "a/b"),
    "a name with a control character": ('tasks: {"a\\u0007b": {command: x}}', "plan.yaml:1"),
    "a budget": ("tasks: {a: {command: x, budget: 5}}", "not supported yet"),
}


@pytest.mark.parametrize("name", PLANS)
def test_plans(fleet: Fleet, name: str) -> None:
    text, says = PLANS[name]
    (fleet.project / "plan.yaml").write_text(text)
    said = refused(fleet, "run", "plan.yaml", code=(2, 3), says=says)
    assert "\x07" not in said


def test_plan_files(fleet: Fleet) -> None:
    refused(fleet, "run", "nowhere.yaml", code=4, says="nowhere.yaml")
    refused(fleet, "run", ".", code=(2, 3), says="directory")
    (fleet.project / "binary.yaml").write_bytes(bytes(range(256)) * 10)
    refused(fleet, "run", "binary.yaml", code=3, says="binary.yaml")
    (fleet.project / "big.yaml").write_text("# " + "x" * (10 << 20))
    refused(fleet, "run", "big.yaml", code=3, says="big.yaml")


def test_submissions(fleet: Fleet) -> None:
    refused(fleet, "submit", "--agent", "dex", "do it", code=2, says=("agent", "dev"))
    refused(fleet, "submit", "--agent", "dev", " ", code=2, says="prompt")
    refused(fleet, "submit", "--timeout", "-5m", "--", "true", code=2, says="timeout")
    refused(fleet, "submit", "--needs", "nosuch", "--", "true", code=4, says="nosuch")
    refused(fleet, "submit", "--name", "../x", "--", "true", code=2, says="name")
    refused(fleet, "submit", code=2, says="")
    refused(fleet, "show", "nosuch", code=4, says="nosuch")
    refused(fleet, "frobnicate", code=2, says="frobnicate")


def test_no_supervisor_says_what_to_do(tmp_path: Path) -> None:
    with Fleet(tmp_path / "quiet") as fleet:
        done = fleet.qd("ls", check=False)
        assert done.returncode == 5
        assert "qd up" in done.stderr


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ("backend: postgres://x/y", "not supported yet"),
        ("executor: kubernetes", "needs to be told where pods go"),
        ("agents: {a: {provider: shell, rolse: [x]}}", "roles"),
        ("limits: {slots: 4}\nlimits: {slots: 5}", "quarterdeck.yaml:2:1"),
        ("limits: [", "quarterdeck.yaml:"),
    ],
)
def test_a_bad_config_is_refused_at_the_start(tmp_path: Path, config: str, says: str) -> None:
    with Fleet(tmp_path / "project", config) as fleet:
        done = fleet.qd("up", "-d", check=False)
        assert done.returncode == 3, done.stderr
        assert says in done.stderr
        assert not fleet.home.database.exists()


def test_the_second_supervisor_becomes_a_client(fleet: Fleet) -> None:
    before = fleet.client.status()["pid"]
    done = fleet.qd("up", "-d")
    assert str(before) in done.stdout + done.stderr
    assert fleet.client.status()["pid"] == before


def test_a_socket_path_too_long(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 60) / ("e" * 60) / "project"
    with Fleet(deep) as fleet:
        assert fleet.up() == "ready"
        assert fleet.qd("submit", "--wait", "--", "echo", "deep").returncode == 0


def test_a_corrupt_database_is_refused_untouched(tmp_path: Path) -> None:
    with Fleet(tmp_path / "project") as fleet:
        fleet.home.create()
        fleet.home.database.write_bytes(b"not a database" * 1000)
        done = fleet.qd("up", "-d", check=False)
        assert done.returncode == 3, done.stderr
        assert "quarterdeck.db" in done.stderr
        assert fleet.home.database.read_bytes() == b"not a database" * 1000


def test_a_newer_database_is_refused_untouched(tmp_path: Path) -> None:
    with Fleet(tmp_path / "project") as fleet:
        assert fleet.up() == "ready"
        fleet.client.shutdown()
        assert fleet.died() == 0
        with contextlib.closing(sqlite3.connect(fleet.home.database)) as db:
            db.execute("PRAGMA user_version = 9999")
        before = fleet.home.database.read_bytes()
        done = fleet.qd("up", "-d", check=False)
        assert done.returncode == 3, done.stderr
        assert "newer" in done.stderr
        assert fleet.home.database.read_bytes() == before


def test_hostile_text_never_reaches_the_terminal(fleet: Fleet) -> None:
    evil = (
        r"printf '\033]0;owned\007\033]52;c;ZXZpbA==\007\033[2J\033P1$r\033\\'; "
        r"printf '\033[31mred\033[0m\302\233 2J\342\200\256x'; exit 3"
    )
    task = str(
        fleet.client.call("POST", "/v1/tasks", {"command": ["sh", "-c", evil], "cwd": str(fleet.project)})["task"]["id"]
    )
    fleet.wait()
    for args in (
        ("ls",),
        ("show", task),
        ("logs", task),
        ("explain", task),
        ("ls", "--color", "always"),
        ("logs", task, "--color", "always"),
    ):
        shown = subprocess.run(
            [*fleet_command(), *args], cwd=fleet.project, env=fleet._env, capture_output=True, check=False, timeout=60
        )
        text = (shown.stdout + shown.stderr).decode()
        import re

        rest = re.sub(r"\x1b\[[0-9;:]*m", "", text)
        assert "\x1b" not in rest, args
        assert "\x07" not in rest
        assert "\u202e" not in rest
        assert "\x9b" not in rest


def fleet_command() -> list[str]:
    import sys

    return [sys.executable, "-P", "-m", "lite"]
