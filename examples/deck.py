"""What the demos stand on: the real `qd` in a project of its own, and its event log. Standard library only."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

EXAMPLE = Path(__file__).parent / "02_two_lanes"
CALL_SECONDS = 90  # of one command
_COLOURS = {"dim": 2, "red": 31, "green": 32, "yellow": 33, "cyan": 36, "bold": 1}


class DemoError(Exception):
    """The demo did not go as planned; the text says how."""


class Deck:
    """The `qd` of this interpreter's environment, in a project of its own."""

    def __init__(self, folder: Path, *, private: bool) -> None:
        self.folder = folder
        self.project = folder / "two-lanes"
        shutil.copytree(EXAMPLE, self.project, ignore=shutil.ignore_patterns("build", ".quarterdeck", "__pycache__"))
        self.command = find_qd()
        env = {name: value for name, value in os.environ.items() if not name.startswith("QD_")}
        # the tasks' python3 is the one that runs this
        env["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), env.get("PATH") or os.defpath])
        if not env.get("HOME"):
            env["HOME"] = str(folder)
        if private:  # leaves no trace in the user's list of homes
            env["XDG_STATE_HOME"] = str(folder / "state")
        self.env = env
        if shutil.which("git", path=env["PATH"]) is None:
            raise DemoError("git is not on PATH; the demo's tasks use it")

    def qd(self, *args: str) -> str:
        """What `qd ARGS...` printed. Raises `DemoError` when it exits with anything but 0."""
        try:
            done = subprocess.run(
                [self.command, *args],
                cwd=self.project,
                env=self.env,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=CALL_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise DemoError(f"qd {shlex.join(args)}: no answer within {CALL_SECONDS} s") from error
        if done.returncode:
            raise DemoError(f"qd {shlex.join(args)}: exit code {done.returncode}\n{done.stdout}{done.stderr}".rstrip())
        return done.stdout

    def ask(self, *args: str) -> Any:
        """The answer of `qd ARGS... --json`."""
        return json.loads(self.qd(*args, "--json"))

    def show(self, *args: str) -> int:
        """Run a command on the user's own terminal."""
        sys.stdout.flush()
        return subprocess.run([self.command, *args], cwd=self.project, env=self.env, check=False).returncode

    def log(self) -> str:
        """The end of the supervisor's log."""
        try:
            return (self.project / ".quarterdeck" / "supervisor.log").read_text(errors="replace")[-3000:]
        except OSError:
            return ""


def find_qd() -> str:
    """QD_DEMO_QD, else the executable beside this interpreter, else the one on PATH."""
    beside = Path(sys.executable).parent / "qd"
    found = os.environ.get("QD_DEMO_QD") or (str(beside) if beside.is_file() else shutil.which("qd"))
    if found is None:
        raise DemoError("qd is not installed; `make setup` does that, `make demo` runs this with it")
    return found


class Follower:
    """`qd events -f --json` of one run. Ends what it started."""

    def __init__(self, deck: Deck, run: str) -> None:
        self._rest = b""
        self._process = subprocess.Popen(
            [deck.command, "events", "-f", "--json", "--run", run],
            cwd=deck.project,
            env=deck.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def fileno(self) -> int:
        assert self._process.stdout is not None
        return self._process.stdout.fileno()

    def read(self) -> Iterator[dict[str, Any]]:
        """The events that have arrived; blocks until there is something. Raises `DemoError` at the stream's end."""
        data = os.read(self.fileno(), 65536)
        if not data:
            assert self._process.stderr is not None
            said = self._process.stderr.read().decode(errors="replace").strip()
            raise DemoError(f"qd events ended early: {said or f'exit code {self._process.wait()}'}")
        *lines, self._rest = (self._rest + data).split(b"\n")
        return map(json.loads, lines)

    def close(self) -> None:
        self._process.terminate()
        self._process.wait()
        for pipe in (self._process.stdout, self._process.stderr):
            if pipe is not None:
                pipe.close()


def paint(text: str, colour: str) -> str:
    if not sys.stdout.isatty() or os.environ.get("NO_COLOR"):
        return text
    return f"\x1b[{_COLOURS[colour]}m{text}\x1b[0m"


def shown(deck: Deck) -> str:
    """How the user may call our `qd`."""
    return "qd" if shutil.which("qd") == deck.command else shlex.quote(deck.command)
