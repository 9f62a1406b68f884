"""Start a detached supervisor, or find the one that runs."""

from __future__ import annotations

import json
import os
import select
import subprocess
import time
from typing import TYPE_CHECKING

from lite.errors import NoSupervisor, QuarterdeckError
from lite.restart import self_command

if TYPE_CHECKING:
    from lite.home import Home

READY_SECONDS = 60.0


def answers(home: Home, *, timeout: float = READY_SECONDS) -> bool:
    """Does a supervisor answer on this home's socket? One that is still starting is waited for."""
    from lite.api.client import Client

    if not home.socket.exists():
        return False
    try:
        Client(str(home.socket), timeout=timeout).health()
    except NoSupervisor:
        return False
    return True


def ensure_supervisor(home: Home) -> bool:
    """Start one unless one answers; True when it was started here. Raises the error it failed with."""
    if answers(home):
        return False
    try:
        home.create()
    except OSError as error:
        raise QuarterdeckError(f"cannot use this home: {error.strerror or error}", place=str(home.root)) from error
    reader, writer = os.pipe()
    try:
        with home.log.open("ab") as log:
            process = subprocess.Popen(
                [*self_command("_daemon", "--home", str(home.root), "--ready-fd", str(writer))],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(writer,),
                start_new_session=True,
                cwd="/",
            )
        os.close(writer)
        writer = -1
        line = _read_line(reader, READY_SECONDS)
    finally:
        os.close(reader)
        if writer >= 0:
            os.close(writer)
    if line == "ready":
        process.returncode = 0  # it lives on without us; keep Popen from warning about it
        return True
    return _failed(home, line, process)


def _read_line(descriptor: int, seconds: float) -> str | None:
    """One line; "" when the writer closed without a word, None after `seconds`."""
    deadline = time.monotonic() + seconds
    data = b""
    while not data.endswith(b"\n"):
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([descriptor], [], [], left)[0]:
            return None
        more = os.read(descriptor, 65536)
        if not more:
            break
        data += more
    return data.decode("utf-8", "replace").strip()


def _failed(home: Home, line: str | None, process: subprocess.Popen[bytes]) -> bool:
    hint = f"its log is {home.log}"
    if line is None:
        process.terminate()
        process.wait()
        raise NoSupervisor(f"the supervisor was not ready after {READY_SECONDS:.0f} s", hint=hint)
    process.wait()
    if not line:
        raise NoSupervisor(f"the supervisor ended while starting (exit {process.returncode})", hint=hint)
    told = json.loads(line)
    if told.get("code") == "already-running":
        return _join_other(home)
    raise from_json(told, hint)


def _join_other(home: Home) -> bool:
    """Another process won the race for the lock; it binds its socket within moments."""
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        if answers(home):
            return False
        time.sleep(0.02)
    raise NoSupervisor("a supervisor holds this home's lock but does not answer", hint=f"its log is {home.log}")


def from_json(told: dict[str, str], hint: str = "") -> QuarterdeckError:
    """The error a daemon reported, as one of ours: its code decides the exit code."""
    kinds = _kinds(QuarterdeckError)
    kind = kinds.get(told.get("code", ""), NoSupervisor)
    return kind(told.get("message", ""), hint=told.get("hint") or hint, place=told.get("place", ""))


def _kinds(root: type[QuarterdeckError]) -> dict[str, type[QuarterdeckError]]:
    found = {}
    for kind in root.__subclasses__():
        found[kind.code] = kind
        found.update(_kinds(kind))
    return found
