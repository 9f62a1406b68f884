"""The supervisor's process: take the home's lock, listen, run until told to stop. Started by `qd up`.

The lock is `flock` on `supervisor.lock`: the kernel frees it with the process, so a stale one cannot exist. What is
written into it (JSON) is for people and for clients.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import signal
import sys
from typing import TYPE_CHECKING

from lite import __version__
from lite.errors import QuarterdeckError
from lite.home import Home

if TYPE_CHECKING:
    import socket

    from lite.engine.context import Context

ALREADY_RUNNING = 75  # exit code: somebody else holds the lock


def main(argv: list[str]) -> int:
    """`qd _daemon --home DIR [--ready-fd N]` and what `qd up` was told. Writes one line to the ready fd: "ready" or the
    error as JSON."""
    arguments = _parser().parse_args(argv)
    home = Home(arguments.home)
    ready = _Ready(arguments.ready_fd)
    try:
        home.create()
        lock = take_lock(home)
    except OSError as error:
        ready.failed({"code": "home", "message": f"{error.filename or home.root}: {error.strerror}", "hint": ""})
        return 1
    if lock is None:
        ready.failed({"code": "already-running", "message": "a supervisor runs already", "hint": ""})
        return ALREADY_RUNNING
    return _serve(home, lock, ready, arguments)


def _parser() -> argparse.ArgumentParser:
    """Values are judged later, where a wrong one can be told to whoever started us."""
    parser = argparse.ArgumentParser(prog="qd _daemon", allow_abbrev=False)
    parser.add_argument("--home", required=True)
    parser.add_argument("--ready-fd", type=int, default=-1)
    parser.add_argument("--role", choices=("all", "orchestrator", "worker"), default="all")
    parser.add_argument("--labels", action="append", default=[])
    for name in ("--slots", "--name", "--listen"):
        parser.add_argument(name)
    parser.add_argument("--switch", action="store_true")
    return parser


def take_lock(home: Home) -> int | None:
    """The locked descriptor of `supervisor.lock`, or None when another process holds it."""
    descriptor = os.open(home.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def _serve(home: Home, lock: int, ready: _Ready, arguments: argparse.Namespace) -> int:
    from lite.api.server.listen import bind

    listening = [bind(str(home.socket))]  # before the heavy imports: early clients wait instead of failing
    import asyncio

    try:
        return asyncio.run(_run(home, lock, listening, ready, arguments))
    except QuarterdeckError as error:
        ready.failed(error.to_json())
        print(f"qd: {error}", file=sys.stderr)  # noqa: T201 - into the supervisor's log
        return error.exit_code
    finally:
        for sock in listening:
            sock.close()
        home.socket.unlink(missing_ok=True)


async def _run(
    home: Home, lock: int, listening: list[socket.socket], ready: _Ready, arguments: argparse.Namespace
) -> int:
    import asyncio
    import logging

    from lite.aio.tasks import spawn
    from lite.api.server.listen import ApiServer
    from lite.config.overrides import read_overrides
    from lite.engine.operations import Operations
    from lite.switching import remember
    from lite.wiring import Start, build_supervisor, leave_last_backend

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    log = logging.getLogger(__name__)
    told = read_overrides(labels=arguments.labels, slots=arguments.slots, name=arguments.name, listen=arguments.listen)
    start = Start(arguments.role, told, arguments.switch)
    supervisor = build_supervisor(home, start)
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(signum, lambda: supervisor.ask_stop(keep_sessions=True))
    context = supervisor.context
    context.notes = (*context.notes, *await leave_last_backend(supervisor, start))
    if context.settings.listen:
        _listen_outside(context, listening)
    await supervisor.start()
    remember(home, context.settings, context.worker)
    info = supervisor.info()
    _write_lock(lock, home, info.started_at)
    api = ApiServer(listening, Operations(supervisor))
    serving = spawn(api.serve(), "api")
    await api.started.wait()
    if serving.done():
        await serving  # it could not even begin: say why
    ready.ready()
    log.info("ready: %s, %s", info.role, info.backend)
    for warning in info.backend_warnings:
        log.warning("%s", warning)
    assert supervisor.stop_asked is not None
    await asyncio.wait({serving, supervisor.stop_asked}, return_when=asyncio.FIRST_COMPLETED)
    keep = supervisor.stop_asked.result() if supervisor.stop_asked.done() else True
    log.info("stopping, sessions %s", "go on" if keep else "end")
    await supervisor.stop(keep_sessions=keep)
    await api.stop()
    await serving
    return 0


def _listen_outside(context: Context, listening: list[socket.socket]) -> None:
    """The control API for other machines too, before the worker registers with its address."""
    from lite.api.server.listen import address_of, bind_tcp
    from lite.config.address import parse_listen
    from lite.identity import api_token

    host, port = parse_listen(context.settings.listen)
    listening.append(bind_tcp(host, port))
    context.address = address_of(listening[-1], host)
    context.token = api_token(context.home)


def _write_lock(descriptor: int, home: Home, started_at: int) -> None:
    content = {
        "pid": os.getpid(),
        "started_at": started_at,
        "address": str(home.socket),
        "version": __version__,
    }
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, (json.dumps(content) + "\n").encode(), 0)


class _Ready:
    """Tells whoever started us, once."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def ready(self) -> None:
        self._say("ready\n")

    def failed(self, error: dict[str, str]) -> None:
        self._say(json.dumps(error) + "\n")

    def _say(self, line: str) -> None:
        if self._descriptor >= 0:
            try:
                os.write(self._descriptor, line.encode())
                os.close(self._descriptor)
            except OSError:
                pass  # nobody waits any more
            self._descriptor = -1
