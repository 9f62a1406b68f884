"""A real supervisor in a throw-away project, started, killed and asked as a user would."""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from lite.api.client import Client
from lite.home import Home
from lite.restart import self_command

READY_SECONDS = 60.0


class Fleet:
    """One project directory with its home. The supervisor is our child, so that its death can be awaited."""

    def __init__(self, project: Path, config: str = "", env: Mapping[str, str] | None = None) -> None:
        self.project = project
        project.mkdir(parents=True, exist_ok=True)
        (project / "quarterdeck.yaml").write_text(config or "limits: {slots: 8}\n")
        self.home = Home(project / ".quarterdeck")
        self.process: subprocess.Popen[bytes] | None = None
        self.ready_after = 0.0  # seconds from exec to ready, of the last start
        self._begun = 0.0
        self._ready: BinaryIO | None = None
        self.within: tuple[str, ...] = ()  # the command that starts the supervisor's own, elsewhere
        self._client: Client | None = None
        self._env = {**os.environ, "QD_HOME": str(self.home.root), "PYTHONWARNINGS": "default", **(env or {})}

    def __enter__(self) -> Fleet:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def environ(self) -> dict[str, str]:
        """What a program that belongs to this project is started with."""
        return dict(self._env)

    def adopt(self) -> None:
        """A supervisor that somebody else started is ours to stop: `close` sweeps it."""
        until(self.home.socket.exists, 30)

    @property
    def client(self) -> Client:
        if self._client is None:
            self._client = Client(str(self.home.socket))
        return self._client

    def _hang_up(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None

    def up(self, *options: str, failpoint: str = "") -> str:
        """Start the supervisor; returns "ready", or the error it reported, or "" when it died first."""
        self.begin(*options, failpoint=failpoint)
        return self.began()

    def begin(self, *options: str, failpoint: str = "") -> None:
        """Start the supervisor with the options of `qd up`; `began` waits for it."""
        self._hang_up()
        read_end, write_end = os.pipe()
        env = {**self._env, "QD_FAILPOINT": failpoint} if failpoint else self._env
        log = self._log("daemon.err")
        self._begun = time.monotonic()
        self.process = subprocess.Popen(
            [
                *self.within,
                *self_command("_daemon", "--home", str(self.home.root), "--ready-fd", str(write_end), *options),
            ],
            pass_fds=(write_end,),
            env=env,
            cwd=self.project,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=log,
            start_new_session=True,
        )
        log.close()
        os.close(write_end)
        if self._ready is not None:
            self._ready.close()
        self._ready = os.fdopen(read_end, "rb")

    def began(self) -> str:
        """The one line that the started supervisor says."""
        assert self._ready is not None
        with self._ready as ready:
            if not select.select([ready], [], [], READY_SECONDS)[0]:
                raise AssertionError(f"not ready in {READY_SECONDS} s:\n{self.errors()}")
            line = ready.readline().decode().strip()
        self._ready = None
        self.ready_after = time.monotonic() - self._begun
        return line

    def kill(self) -> None:
        """kill -9 and wait for the end."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(30)

    def died(self, seconds: float = 60.0) -> int:
        """Wait for the supervisor's own end; its return code."""
        assert self.process is not None
        return self.process.wait(seconds)

    def qd(
        self, *args: str, check: bool = True, text: str | None = None, seconds: float = 120
    ) -> subprocess.CompletedProcess[str]:
        """Run the command line in the project."""
        done = subprocess.run(
            [sys.executable, "-P", "-m", "lite", *args],
            cwd=self.project,
            env=self._env,
            input=text,
            stdin=None if text is not None else subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        if check and done.returncode != 0:
            raise AssertionError(
                f"qd {' '.join(args)} -> {done.returncode}\n{done.stdout}\n{done.stderr}\n{self.errors()}"
            )
        return done

    def submit_plan(self, text: str, key: str = "") -> list[dict[str, Any]]:
        body = {"key": key, "text": text, "source": str(self.project / "plan.yaml"), "cwd": str(self.project)}
        answer = self.client.call("POST", "/v1/plans", body)
        return list(answer["tasks"])

    def tasks(self) -> list[dict[str, Any]]:
        return list(self.client.call("GET", "/v1/tasks?limit=10000"))

    def events(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        while True:
            after = found[-1]["cursor"] if found else 0
            more = self.client.call("GET", f"/v1/events?after={after}&limit=1000")
            if not more:
                return found
            found.extend(more)

    def wait(self, seconds: float = 90.0) -> list[dict[str, Any]]:
        """Until every task has ended; returns them."""
        ended = {"succeeded", "failed", "cancelled", "skipped"}
        until(lambda: all(task["state"] in ended for task in self.tasks()), seconds, self.describe)
        return self.tasks()

    def describe(self) -> str:
        try:
            lines = [
                f"{t['name']} {t['state']} {t['reason']} attempt {t['attempt']} {t['detail']}" for t in self.tasks()
            ]
        except Exception as error:
            lines = [repr(error)]
        return "\n".join([*lines, self.errors()])

    def errors(self) -> str:
        path = self.project / "daemon.err"
        return path.read_text(errors="replace")[-6000:] if path.exists() else ""

    def close(self) -> None:
        """Stop everything and leave nothing running."""
        if self.process is not None and self.process.poll() is None:
            try:
                self.client.call("POST", "/v1/shutdown", {"keep_sessions": False})
                self.process.wait(30)
            except Exception:
                self.process.kill()
                self.process.wait(30)
        self._hang_up()
        if self._ready is not None:
            self._ready.close()
        self.sweep()
        shutil.rmtree(self.home.socket.parent, ignore_errors=True)

    def sweep(self) -> list[int]:
        """Kill every process that carries this home in its environment; returns what was found."""
        found = self.survivors()
        for pid in found:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        return found

    def survivors(self) -> list[int]:
        """Processes (other than us) whose environment names this home."""
        marker = f"QD_HOME={self.home.root}".encode()
        found = []
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit() or int(entry.name) == os.getpid():
                continue
            try:
                if marker in (entry / "environ").read_bytes().split(b"\0"):
                    found.append(int(entry.name))
            except OSError:
                continue
        return found

    def _log(self, name: str) -> Any:
        return (self.project / name).open("ab")


def until(condition: Callable[[], object], seconds: float = 30.0, explain: Callable[[], str] = lambda: "") -> None:
    """Look again and again (foreign processes have no event to wait on) until true, or fail with what explains it."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s\n{explain()}")
        time.sleep(0.02)
