"""Members of one fleet on one Redis: supervisors in processes of their own, each with a home, killed and asked."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from lite.api.client import Client
from lite.errors import BackendError, NoSupervisor
from tests.support.fleet import Fleet, until

Answer = TypeVar("Answer")
SHORT_LEASES = "lease: {ttl: 2s, heartbeat: 500ms}\n"


class Member(Fleet):
    """One machine as far as the fleet can tell: a home, its supervisor, and what that has started."""

    def __init__(self, project: Path, config: str, role: str, *options: str) -> None:
        super().__init__(project, config)
        self.role = role
        self.paused = False
        self._options = ("--role", role, "--name", project.name, *options)

    def __repr__(self) -> str:
        return f"<Member {self.project.name} {self.role}{'' if self.alive else ' dead'}>"

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    @property
    def starting(self) -> bool:
        """Begun, and nobody has waited for it yet."""
        return self._ready is not None

    @property
    def worker(self) -> str:
        """Its id in the fleet."""
        return str(self.client.status()["worker"])

    def begin(self, *options: str, failpoint: str = "") -> None:
        super().begin(*self._options, *options, failpoint=failpoint)

    def kill_machine(self) -> None:
        """As a power cut: the supervisor and all it has started."""
        self.kill()
        while self.sweep():
            pass

    def stop(self) -> None:
        """SIGSTOP of the supervisor alone; returns when it stands still."""
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGSTOP)
        os.waitid(os.P_PID, self.process.pid, os.WSTOPPED | os.WNOWAIT)
        self.paused = True

    def stop_machine(self) -> list[int]:
        """SIGSTOP of the supervisor and all it has started; their pids."""
        self.stop()
        stopped: list[int] = []
        while fresh := [pid for pid in self.survivors() if pid not in stopped]:
            for pid in fresh:
                try:
                    os.kill(pid, signal.SIGSTOP)
                except ProcessLookupError:
                    pass  # it was quicker
            stopped += fresh
        return stopped

    def go_on(self) -> None:
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGCONT)
        self.paused = False

    def metric(self, name: str) -> float:
        """One value of its /metrics."""
        with socket.socket(socket.AF_UNIX) as plain:
            plain.settimeout(15)
            plain.connect(str(self.home.socket))
            plain.sendall(b"GET /metrics HTTP/1.1\r\nHost: qd\r\nConnection: close\r\n\r\n")
            text = b"".join(iter(lambda: plain.recv(65_536), b"")).decode()
        return next(float(line.split()[1]) for line in text.splitlines() if line.split()[:1] == [name])


class Members:
    """They share one backend and one prefix. A context manager that ends them all."""

    def __init__(self, folder: Path, url: str, prefix: str, more: str = SHORT_LEASES) -> None:
        """`more`: the rest of everybody's configuration."""
        self.all: list[Member] = []
        self._folder = folder
        self._url = url
        self._prefix = prefix
        self._more = more

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for member in self.all:
            if member.alive:
                member.kill()
            member.close()

    def join(self, name: str, role: str, *options: str, url: str = "", within: Sequence[str] = ()) -> Member:
        """A member that is being started; `ready` waits for it. `url`: another way to the same server; `within`: a
        command that runs another elsewhere, in its own stead."""
        config = f"backend: {{url: '{url or self._url}', prefix: {self._prefix}}}\n{self._more}"
        member = Member(self._folder / name, config, role, *options)
        member.within = tuple(within)
        self.all.append(member)
        member.begin()
        return member

    def ready(self) -> None:
        """All that were begun."""
        for member in self.all:
            if not member.starting:
                continue
            line = member.began()
            assert line == "ready", f"{member}: {line}\n{member.errors()}"

    def of_role(self, role: str) -> list[Member]:
        return [member for member in self.all if member.role == role]

    def ask(self, question: Callable[[Client], Answer], seconds: float = 60.0) -> Answer:
        """What the first that answers says, with a client of its own: any thread may ask."""
        answers: list[Answer] = []

        def answered() -> bool:
            for member in self.all:
                if member.paused or not member.home.socket.exists():
                    continue
                with Client(str(member.home.socket), timeout=5.0) as client:
                    try:
                        answers.append(question(client))
                    except (NoSupervisor, BackendError):
                        continue
                return True
            return False

        until(answered, seconds, self.errors)
        return answers[0]

    def tasks(self) -> list[dict[str, Any]]:
        return [dict(task) for task in self.ask(lambda client: client.tasks())]

    def events(self, after: int = 0) -> list[dict[str, Any]]:
        """The log from there on, as far as it goes."""
        return [dict(event) for event in self.ask(lambda client: list(client.events(after)))]

    def errors(self) -> str:
        return "\n".join(f"--- {member}\n{member.errors()[-2500:]}" for member in self.all)


class Tail:
    """Follows the log through whoever answers, and counts what has ended."""

    def __init__(self, members: Members) -> None:
        self._members = members
        self.events: list[dict[str, Any]] = []
        self.ended: set[str] = set()

    def look(self) -> Sequence[dict[str, Any]]:
        """What is new."""
        fresh = self._members.events(self.events[-1]["cursor"] if self.events else 0)
        self.events += fresh
        self.ended |= {event["task"] for event in fresh if event["kind"] in ENDS}
        return fresh

    def until_ended(self, count: int, seconds: float) -> None:
        def reached() -> bool:
            self.look()
            return len(self.ended) >= count

        until(reached, seconds, lambda: f"{len(self.ended)} of {count} ended\n{self._members.errors()}")


ENDS = {"task.succeeded", "task.failed", "task.cancelled", "task.skipped"}
