"""A driver under test: `qd _drive` as a holder would start it, on a raw terminal, its lines read one by one."""

from __future__ import annotations

import json
import os
import pty
import shlex
import signal
import subprocess
import sys
import tty
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lite.executors.local import processes
from lite.restart import self_command
from providers.base import AgentEvent, EventKind, Launch, Request, Verdict
from providers.driven import SPEC, DrivenParser, answer_line
from providers.registry import Registry
from tests.support import acp_agent

ROOT = Path(__file__).parents[2]
SCRIPT = Path(acp_agent.__file__)
QUICK = {"start_ms": 20_000, "cancel_ms": 10_000, "close_ms": 10_000}


class Driving:
    """`lines` are those read so far; `notes` what the scripted agent wrote down."""

    def __init__(self, process: subprocess.Popen[bytes], terminal: int, notes: Path) -> None:
        self.process = process
        self.lines: list[dict[str, Any]] = []
        self.raw: list[bytes] = []
        self._terminal = terminal
        self._notes = notes

    @property
    def notes(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._notes.read_text().splitlines()] if self._notes.exists() else []

    def noted(self, what: str) -> dict[str, Any]:
        return next(note for note in self.notes if note["what"] == what)

    def until(self, kind: EventKind, text: str | None = None, **data: object) -> dict[str, Any]:
        """The next line of that kind (and text and data)."""
        for said in self:
            fits = all(said["data"].get(key) == value for key, value in data.items())
            if said["kind"] == kind and fits and text in (None, said["text"]):
                return said
        raise AssertionError(f"no {kind} {data} in {self.lines}")

    def __iter__(self) -> Iterator[dict[str, Any]]:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            said: dict[str, Any] = json.loads(line)
            self.raw.append(line)
            self.lines.append(said)
            yield said

    def type(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._terminal, view) :]

    def answer(self, asked: Mapping[str, Any], decision: Any, text: str = "") -> None:
        self.type(answer_line(asked["data"]["id"], asked["data"]["hash"], decision, text))

    def interrupt(self, signum: int = signal.SIGINT) -> None:
        self.process.send_signal(signum)

    def finish(self) -> Verdict:
        """Read to the end; what a supervisor makes of it."""
        for _ in self:
            pass
        code = self.process.wait(30)
        parser = DrivenParser()
        events: list[AgentEvent] = []
        for line in self.raw:
            events += parser.feed("out", line)
        assert all(len(line) <= 1 << 20 for line in self.raw)
        return parser.end(code if code >= 0 else None, -code if code < 0 else None)

    def kinds(self) -> list[str]:
        return [said["kind"] for said in self.lines]


@contextmanager
def driving(
    folder: Path,
    scenario: str,
    *,
    options: Mapping[str, Any] | None = None,
    resume: str = "",
    model: str = "",
    quick: Mapping[str, int] | None = None,
    command: Sequence[str] | None = None,
    provider: str = "acp",
    prompt: str = "Do it",
) -> Iterator[Driving]:
    """Ended, with everything it started, when the block is left. The agent is `tests/support/PROVIDER_agent.py`, or
    what `command` starts; where there is no option for that it is put on PATH under the provider's name."""
    notes = folder / "notes.jsonl"
    script = SCRIPT.with_name(f"{provider}_agent.py")
    agent = list(command or (sys.executable, str(script), scenario, str(notes)))
    acp = provider == "acp"
    path = os.environ["PATH"] if acp else f"{_on_path(folder / 'bin', provider, agent)}{os.pathsep}{os.environ['PATH']}"
    request = Request(
        task="t",
        attempt=1,
        mode="headless",
        prompt=prompt,
        cwd=str(folder),
        model=model,
        resume=resume,
        options={**({"command": agent} if acp else {"permissions": "ask"}), **(options or {})},
        python=tuple(self_command()),
    )
    driven = Registry.with_installed().get(provider)
    driven.validate(request)
    launch = driven.launch(request)
    _write(launch, folder, {**QUICK, **(quick or {})})
    ours, theirs = pty.openpty()
    tty.setraw(theirs)
    environment = {
        **os.environ,
        **launch.env,
        "PATH": path,
        "QD_OUTPUT": str(folder / "output"),
        "PYTHONPATH": str(ROOT),
    }
    with (folder / "stderr").open("wb") as err:
        process = subprocess.Popen(
            launch.argv,
            stdin=theirs,
            stdout=subprocess.PIPE,
            stderr=err,
            env=environment,
            cwd=folder,
            start_new_session=True,
        )
    os.close(theirs)
    try:
        yield Driving(process, ours, notes)
    finally:
        below = processes.descendants(process.pid)
        process.kill()
        process.wait()
        for seen in below:
            processes.send(seen, signal.SIGKILL)
        os.close(ours)
        assert process.stdout is not None
        process.stdout.close()


def _on_path(folder: Path, name: str, command: Sequence[str]) -> Path:
    folder.mkdir()
    program = folder / name
    program.write_text(f'#!/bin/sh\nexec {shlex.join(command)} "$@"\n')
    program.chmod(0o755)
    return folder


def _write(launch: Launch, folder: Path, quick: Mapping[str, int]) -> None:
    spec = json.loads(launch.files[SPEC])
    (folder / SPEC).write_text(json.dumps({**spec, **quick}))


def alive(pid: int) -> bool:
    seen = processes.look(pid)
    return seen is not None and not seen.zombie
