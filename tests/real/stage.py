"""One agent program, one model server and one supervisor between them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lite.errors import QuarterdeckError
from lite.recordings.reader import Recording
from lite.terminal.packets import OUT
from tests.real.agents import Row
from tests.real.models.http import ClosedPort
from tests.real.models.server import ModelServer
from tests.real.models.talk import TOKENS_IN, TOKENS_OUT
from tests.support.fleet import Fleet, until

SECONDS = 240  # the longest any program took for a failure it repeats by itself is 70 s; the machine may be busy
_ENDED = ("succeeded", "failed", "cancelled", "skipped")


@dataclass
class Stage:
    """The agents of a row."""

    row: Row
    server: ModelServer
    fleet: Fleet
    nowhere: ClosedPort

    def submit(self, prompt: str, agent: str = "real", *options: str) -> str:
        """The new task's id."""
        done = self.fleet.qd("submit", "--json", "--agent", agent, *options, prompt)
        said = json.loads(done.stdout)
        return str((said[0] if isinstance(said, list) else said)["id"])

    def task(self, ident: str) -> dict[str, Any]:
        return next(task for task in self.fleet.tasks() if task["id"] == ident)

    def ended(self, ident: str) -> dict[str, Any]:
        until(lambda: self.task(ident)["state"] in _ENDED, SECONDS, self.describe)
        return self.task(ident)

    def run(self, prompt: str, agent: str = "real") -> dict[str, Any]:
        """The task once it has ended, whatever it came to."""
        return self.ended(self.submit(prompt, agent))

    def check_usage(self, task: dict[str, Any], calls: int) -> None:
        """What the model server told of is what the task is told to have used."""
        counted = 1 if "tokens" in self.row.unsaid else calls
        assert task["tokens_in"] == counted * TOKENS_IN, self.describe()
        assert task["tokens_out"] == counted * TOKENS_OUT
        if self.row.cost:
            assert task["cost_source"] == self.row.cost
        assert (task["cost_usd"] is not None) is bool(self.row.cost)

    def told(self, ident: str) -> list[dict[str, Any]]:
        """What the event log tells of the task."""
        return [event for event in self.fleet.events() if event["task"] == ident]

    def failed_with(self, ident: str) -> str:
        """The reason of its first failed attempt, once there is one. What is parked or held says it in its detail."""
        until(lambda: self._reason(ident), SECONDS, self.describe)
        return self._reason(ident)

    def _reason(self, ident: str) -> str:
        kinds = ("task.retrying", "task.parked", "task.failed", "task.succeeded")
        for event in self.told(ident):
            if event["kind"] in kinds:
                data = event["data"]
                reason = str(data.get("reason") or event["kind"])
                return str(data.get("detail", "")).partition(":")[0] if reason in ("parked", "held") else reason
        return ""

    def said(self, ident: str, attempt: int = 1) -> list[dict[str, Any]]:
        """The neutral events of an attempt."""
        path = self.fleet.home.session(f"{ident}-{attempt}") / "events.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def recorded(self, ident: str, attempt: int = 1) -> bytes:
        """All it printed to stdout."""
        recording = Recording(self.fleet.home.session(f"{ident}-{attempt}"))
        parts: list[bytes] = []
        at = 0
        while chunk := recording.read(at, 1 << 20):
            at = chunk[-1][0] + len(chunk[-1][2])
            parts += [data for _, stream, data in chunk if stream == OUT]
        return b"".join(parts)

    def kinds(self, ident: str, attempt: int = 1) -> list[str]:
        return [event["kind"] for event in self.said(ident, attempt)]

    def conversations(self, ident: str) -> list[str]:
        """The id of its conversation as each attempt told it."""
        attempts = range(1, self.task(ident)["attempt"] + 1)
        events = [event for attempt in attempts for event in self.said(ident, attempt)]
        return [str(event["data"]["session"]) for event in events if event["kind"] == "init"]

    def taken_over(self, session: str) -> bool:
        """Whether the supervisor that runs now has the session in its hands."""
        try:
            return bool(self.fleet.client.call("GET", f"/v1/sessions/{session}")["alive"])
        except QuarterdeckError:
            return False

    def programs(self, session: str) -> set[int]:
        """The processes of the agent program itself in a session: neither our own there nor its tools."""
        folder = str(self.row.program.folder)
        found = set()
        for pid, line, environment in _processes():
            if f"QD_SESSION={session}" in environment and (folder in line or folder in _executable(pid)):
                found.add(pid)
        return found

    def left_running(self, words: str) -> list[str]:
        """Command lines of the processes that have these words in them or in their environment."""
        return [line for _, line, environment in _processes() if words in line or words in environment]

    def describe(self) -> str:
        lines = [self.fleet.describe(), repr(self.server), *self.server.failures]
        for task in self.fleet.tasks():
            attempt = task["attempt"]
            lines += [f"{event['kind']}: {event['text'][:300]}" for event in self.said(task["id"], attempt)[-12:]]
            logs = self.fleet.qd("logs", task["id"], check=False)
            lines += ["--- its log ends with", logs.stdout[-1500:], logs.stderr[-500:]]
        return "\n".join(lines)


def _processes() -> Iterator[tuple[int, str, str]]:
    """pid, command line and environment of all but this one and those that have ended."""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
            environment = (entry / "environ").read_bytes().decode("utf-8", "replace")
        except OSError:
            continue
        if line:
            yield int(entry.name), line, environment


def _executable(pid: int) -> str:
    try:
        return str(Path(f"/proc/{pid}/exe").readlink())
    except OSError:
        return ""


def prepare(row: Row, server: ModelServer, nowhere: ClosedPort, folder: Path, rest: str = "100ms") -> Fleet:
    """The project, not yet started. `rest`: before a next attempt."""
    agents = row.agents(server.url, nowhere.url, folder / "own")
    config = {
        "agents": agents,
        "retry": {"base": rest, "jitter": 0},
        "limits": {"slots": 2},
    }
    env = {"PATH": f"{row.program.path}:{os.environ['PATH']}"}
    return Fleet(folder / "project", json.dumps(config), env)
