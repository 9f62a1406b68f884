"""The real executable, on a machine without Python: plans, agents, terminals, a killed supervisor, a lost cache."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lite import __version__
from lite.api.client import Client
from lite.home import Home
from tests.cli.terminals import Terminal
from tests.examples.project import ROOT, states
from tests.packaging.executable import Bare, run, versions
from tests.support.fleet import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]  # the first one here builds it

Make = Callable[..., Bare]

CONFIG = """agents:
  bot:
    provider: scripted
    mode: headless
    options: {steps: [{run: "env > bot.env"}, {say: done}]}
env_allow: ["LD_*", "_PYI_*", "_MEI*", "PYTHON*"]
"""


def test_eight_first_starts_at_once(binary: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    env = {"PATH": os.defpath, "QD_CACHE_DIR": os.fspath(cache)}
    with ThreadPoolExecutor(8) as starts:
        done = list(starts.map(lambda _: run([os.fspath(binary), "version"], env=env), range(8)))
    assert {(each.returncode, each.stderr) for each in done} == {(0, "")}
    assert {each.stdout.startswith(f"qd {__version__} ") for each in done} == {True}
    (version,) = versions(cache)
    assert re.fullmatch(rf"{re.escape(__version__)}-[0-9a-f]{{16}}", version.name)
    assert (version / "_internal" / "licenses" / "textual").is_dir()
    providers = {path.stem for path in (version / "_internal" / "providers").iterdir()}
    assert "base" in providers
    assert "testing" not in providers  # it needs pytest


def test_plans_run_where_there_is_no_python(bare: Make) -> None:
    project = bare("01_first_plan")
    assert (
        project.start("submit", "--wait", "--", "sh", "-c", "command -v python3 || command -v python").returncode == 1
    )
    project.qd("run", "--wait", "plan.yaml")
    tasks = project.tasks()
    assert states({name: tasks[name] for name in ("squares", "machine", "report")}) == dict.fromkeys(
        ("squares", "machine", "report"), "succeeded"
    )
    assert "the sum is 55" in project.qd("logs", "first-plan/report")
    assert project.qd("doctor", "-q").count("✗") == 0


def test_the_demo(binary: Path, cache: Path, tmp_path: Path) -> None:
    """Its own script and some of its plan's tasks are Python; what runs them is not."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("QD_", "XDG_"))}
    env |= {"HOME": os.fspath(tmp_path), "TMPDIR": os.fspath(tmp_path), "XDG_CACHE_HOME": os.fspath(cache.parent)}
    env["QD_DEMO_QD"] = os.fspath(binary)
    done = run([sys.executable, os.fspath(ROOT / "examples" / "demo.py"), "--headless"], env=env, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("✓ S succeeded") >= 8


def test_children_get_the_environment_they_would_get_from_python(bare: Make) -> None:
    project = bare()
    (project.path / "quarterdeck.yaml").write_text(CONFIG)
    project.env |= {"LD_LIBRARY_PATH": "/theirs", "VIRTUAL_ENV": "/venv"}
    project.qd("submit", "--wait", "--", "sh", "-c", "env > task.env")
    project.qd("submit", "--wait", "--agent", "bot", "hello")
    for name in ("task.env", "bot.env"):
        lines = (project.path / name).read_text().splitlines()
        found = dict(line.partition("=")[::2] for line in lines)
        assert found["LD_LIBRARY_PATH"] == "/theirs"
        assert found["VIRTUAL_ENV"] == "/venv"
        ours = {"QD_HOME", "QD_TASK", "QD_ATTEMPT", "QD_SESSION", "QD_IDEMPOTENCY_KEY", "QD_OUTPUT"}
        known = {"LD_LIBRARY_PATH", "VIRTUAL_ENV", "PATH", "HOME", "TMPDIR", "LANG", "XDG_RUNTIME_DIR"}
        assert set(found) - {"PWD", "OLDPWD", "SHLVL", "_", "TERM", "COLORTERM"} == ours | known


def test_children_get_no_library_path_where_there_was_none(bare: Make) -> None:
    project = bare()
    (project.path / "quarterdeck.yaml").write_text(CONFIG)
    project.qd("submit", "--wait", "--agent", "bot", "hello")
    assert not re.search("^(LD_|_PYI|_MEI)", (project.path / "bot.env").read_text(), re.MULTILINE)


def test_attach_and_type(bare: Make) -> None:
    project = bare()
    task = project.qd("submit", "--", "sh", "-c", 'echo ready; read line; echo "got <$line>"; sleep 600').strip()
    terminal = on_terminal(project, "attach", task)
    try:
        terminal.until(b"ready")
        terminal.type(b"h\xc3\xa9llo\r")
        terminal.until("got <héllo>".encode())
        terminal.type(b"\x1d")
        assert terminal.process.wait(30) == 0
    finally:
        terminal.close()
    assert project.ask("show", task)["state"] == "running"


def on_terminal(project: Bare, *args: str) -> Terminal:
    """`qd ARGS...` in a terminal, with nothing of our own environment."""
    values = [f"{name}={value}" for name, value in {**project.env, "TERM": "xterm-256color"}.items()]
    home = os.fspath(project.path / ".quarterdeck")
    return Terminal([shutil.which("env") or "env", "-i", *values, project.command, "--home", home, *args])


def test_a_killed_supervisors_session_is_adopted(bare: Make) -> None:
    project = bare()
    script = 'echo $$ >> started; read line; echo "$line" > answered'
    task = project.qd("submit", "--", "sh", "-c", script).strip()
    started = project.path / "started"
    until(lambda: started.exists() and started.read_text().endswith("\n"))
    os.kill(project.ask("up", "-d")["pid"], signal.SIGKILL)
    assert "runs already" not in project.qd("up", "-d")
    assert project.ask("send", task, "go on")["result"] == "delivered"
    project.qd("wait", task)
    shown = project.ask("show", task)
    assert (shown["state"], shown["attempt"]) == ("succeeded", 1)
    assert len(started.read_text().split()) == 1
    assert (project.path / "answered").read_text() == "go on\n"


def test_an_emptied_cache_stops_nothing(bare: Make, tmp_path: Path) -> None:
    """Neither what runs nor what the supervisor starts later, also when its nursery is gone."""
    own = tmp_path / "own cache"
    project = bare(cache=own)
    first = project.qd("submit", "--", "sh", "-c", "echo before; read line; echo after").strip()
    until(lambda: "before" in project.qd("logs", first))
    shutil.rmtree(own)
    home = Home(project.path / ".quarterdeck")
    with Client(str(home.socket)) as client:
        assert run_true(client, project) == "succeeded"
        assert not own.exists()
        os.kill(nursery_of(home), signal.SIGKILL)
        assert run_true(client, project) == "succeeded"
    assert own.exists()
    project.qd("send", first, "x")
    project.qd("wait", first)
    assert "after" in project.qd("logs", first)


def run_true(client: Client, project: Bare) -> str:
    """The final state of a task that is handed in without the executable."""
    answer = client.call("POST", "/v1/tasks", {"command": ["true"], "cwd": str(project.path)})
    task = answer["task"]["id"]
    until(lambda: client.call("GET", f"/v1/tasks/{task}")["ended_at"], explain=project.log)
    return str(client.call("GET", f"/v1/tasks/{task}")["state"])


def nursery_of(home: Home) -> int:
    """The nursery is the one among its look-alikes that is nobody else's child of them."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            argv = (entry / "cmdline").read_bytes().split(b"\0")
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        if b"_nursery" in argv and os.fsencode(home.root) in argv:
            found[int(entry.name)] = parent
    (nursery,) = (pid for pid, parent in found.items() if parent not in found)
    return nursery


def test_the_file_may_be_moved_while_it_runs(bare: Make, binary: Path, tmp_path: Path) -> None:
    copy = tmp_path / "qd"
    shutil.copy(binary, copy)
    project = bare(binary=copy)
    project.qd("up", "-d")
    moved = tmp_path / "elsewhere"
    copy.rename(moved)
    project.command = os.fspath(moved)
    project.qd("submit", "--wait", "--", "true")  # starts the nursery


def test_completion(bare: Make) -> None:
    project = bare()
    line = "qd sub"
    asked = {"_ARGCOMPLETE": "1", "COMP_LINE": line, "COMP_POINT": str(len(line)), "_ARGCOMPLETE_IFS": "\n"}
    answer = project.path / "answer"
    command = ["sh", "-c", f'"{project.command}" 8> "{answer}" 9> /dev/null > /dev/null']
    subprocess.run(command, env=project.env | asked, cwd=project.path, check=True, timeout=60)
    assert answer.read_text().split() == ["submit"]


def test_without_a_locale_it_speaks_utf8(bare: Make) -> None:
    project = bare()
    del project.env["LANG"]
    project.qd("submit", "--wait", "--", "echo", "✓ ä")
    assert "✓ ä" in project.qd("logs", "echo")


def test_the_dashboard_opens(bare: Make) -> None:
    project = bare()
    project.qd("up", "-d")
    terminal = on_terminal(project)
    try:
        terminal.until(b"\x1b[?1049h")
        terminal.until(b"Quarterdeck")
    finally:
        terminal.close()
