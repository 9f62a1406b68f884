"""An example in a directory of its own, used as its README says."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
SECONDS = 90.0


class Project:
    """A copy of an example and the `qd` that a user would call in it."""

    def __init__(self, folder: Path, example: str) -> None:
        self.folder = folder
        self.path = folder / example
        ignored = shutil.ignore_patterns("build", ".quarterdeck", "__pycache__")
        shutil.copytree(EXAMPLES / example, self.path, ignore=ignored)
        self.command = str(Path(sys.executable).with_name("qd"))
        self.env = environment(folder)

    def qd(self, *args: str, expect: int = 0) -> str:
        """What `qd ARGS...` printed on stdout."""
        done = subprocess.run(
            [self.command, *args],
            cwd=self.path,
            env=self.env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        told = f"qd {' '.join(args)}: exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert done.returncode == expect, f"{told}\n{self.log()}"
        return done.stdout

    def ask(self, *args: str, expect: int = 0) -> Any:
        """Its answer with --json."""
        return json.loads(self.qd(*args, "--json", expect=expect))

    def tasks(self) -> dict[str, dict[str, Any]]:
        """By name."""
        return {task["name"]: task for task in self.ask("ls", "--all")}

    def await_event(self, kind: str, after: int = 0) -> dict[str, Any]:
        """The first event of that kind with a greater cursor, once it is there."""
        with self._following(after) as events:
            return next(event for event in events if event["kind"] == kind)

    @contextmanager
    def _following(self, after: int) -> Iterator[Iterator[dict[str, Any]]]:
        command = [self.command, "events", "-f", "--json", "--after", str(after)]
        process = subprocess.Popen(command, cwd=self.path, env=self.env, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        previous = signal.signal(signal.SIGALRM, _give_up)
        signal.alarm(int(SECONDS))
        try:
            yield map(json.loads, process.stdout)
        finally:
            signal.alarm(0)
            signal.signal(signal.SIGALRM, previous)
            process.kill()
            process.wait()
            process.stdout.close()

    def log(self) -> str:
        return "\n".join(path.read_text(errors="replace")[-3000:] for path in self.folder.rglob("supervisor.log"))

    def close(self) -> None:
        subprocess.run([self.command, "down", "--yes"], cwd=self.path, env=self.env, capture_output=True, check=False)
        for pid in survivors(self.folder):
            os.kill(pid, signal.SIGKILL)


def environment(folder: Path) -> dict[str, str]:
    """A user's, with an empty home and nothing shared with other tests."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("QD_", "XDG_"))}
    (folder / "home").mkdir()
    (folder / "tmp").mkdir()
    return env | {
        "HOME": str(folder / "home"),
        "TMPDIR": str(folder / "tmp"),
        "XDG_RUNTIME_DIR": os.environ["XDG_RUNTIME_DIR"],
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), env.get("PATH", os.defpath)]),
    }


def survivors(folder: Path) -> list[int]:
    """Processes other than this one whose environment names `folder`."""
    marker = os.fsencode(folder)
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if int(entry.name) != os.getpid() and marker in (entry / "environ").read_bytes():
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def none_left(folder: Path, seconds: float = 30.0) -> bool:
    """Do they all end by themselves within `seconds`?"""
    deadline = time.monotonic() + seconds
    while survivors(folder):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)  # there is no event to wait on for the end of foreign processes
    return True


def states(tasks: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    return {name: f"{task['state']} {task['reason']}".strip() for name, task in tasks.items()}


def _give_up(*_: object) -> None:
    raise AssertionError(f"the event did not come within {SECONDS} s")
