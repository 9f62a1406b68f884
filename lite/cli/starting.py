"""Start a detached supervisor, or find the one that runs."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import time

from lite.errors import NoSupervisor, QuarterdeckError
from lite.restart import self_command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lite.home import Home

READY_SECONDS = 60.0


def answers(home: Home, *, timeout: float = READY_SECONDS) -> bool:
    """Does a supervisor answer on this home's socket? One that is still starting is waited for."""
    from lite.api.client import Client

    if not home.socket.exists():
        return False
    try:
        with Client(str(home.socket), timeout=timeout) as client:
            client.health()
    except NoSupervisor:
        return False
    return True


def ensure_supervisor(home: Home, told: Sequence[str] = ()) -> bool:
    """Start a detached one unless one answers; True when it was started here. `told`: options of its own. Raises the
    error it failed with."""
    if answers(home):
        return False
    process = _start(home, told, detached=True)
    if process is None:
        return False
    process.returncode = 0  # it lives on without us; keep Popen from warning about it
    return True


def run_supervisor(home: Home, ready: Callable[[bool], None], told: Sequence[str] = ()) -> int:
    """Run one in the foreground, its log on stderr; call `ready(started here)` once one answers. The exit code."""
    if answers(home):
        ready(False)
        return 0
    process = _start(home, told, detached=False)
    if process is None:
        ready(False)
        return 0
    # ctrl-c reaches the supervisor by itself; what is sent to this process alone is passed on
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for signum in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, lambda received, _frame: process.send_signal(received))
    ready(True)
    code = process.wait()
    return code if code >= 0 else 128 - code


def _start(home: Home, told: Sequence[str], *, detached: bool) -> subprocess.Popen[bytes] | None:
    """A supervisor that is ready; None when somebody else's came first."""
    try:
        home.create()
        log = home.log.open("ab") if detached else None
    except OSError as error:
        raise QuarterdeckError(f"cannot use this home: {error.strerror or error}", place=str(home.root)) from error
    reader, writer = os.pipe()
    try:
        process = subprocess.Popen(
            self_command("_daemon", "--home", str(home.root), "--ready-fd", str(writer), *told),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=(writer,),
            start_new_session=detached,
            cwd="/" if detached else None,
        )
        os.close(writer)
        writer = -1
        line = _read_line(reader, READY_SECONDS)
    finally:
        os.close(reader)
        if writer >= 0:
            os.close(writer)
        if log is not None:
            log.close()
    if line == "ready":
        return process
    _failed(home, line, process)
    return None


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


def _failed(home: Home, line: str | None, process: subprocess.Popen[bytes]) -> None:
    """Return once somebody else's supervisor answers, raise for everything else."""
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
        _join_other(home)
        return
    from lite.api.exchange import rebuilt

    error = rebuilt(503, json.dumps({"error": told}).encode())
    error.hint = error.hint or hint
    raise error


def _join_other(home: Home) -> None:
    """Another process won the race for the lock; it binds its socket within moments."""
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        if answers(home):
            return
        time.sleep(0.02)
    raise NoSupervisor("a supervisor holds this home's lock but does not answer", hint=f"its log is {home.log}")
