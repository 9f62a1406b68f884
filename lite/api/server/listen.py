"""The socket and the server's life. `bind` is light, so that clients can connect (and wait) while FastAPI is loaded."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import stat
import struct
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from lite.errors import IllegalState, UsageError

if TYPE_CHECKING:
    from uvicorn import Server

    from lite.engine.operations import Operations

_BACKLOG = 512
_GRACE_SECONDS = 2
_LOCAL_PEERCRED = 1  # macOS: struct xucred at level 0


def bind(path: str) -> socket.socket:
    """A listening Unix socket, 0600 in a 0700 directory of ours; a stale one is replaced atomically.

    Raises `UsageError` when others could enter the directory, `IllegalState` when somebody answers there."""
    where = Path(path)
    where.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = where.parent.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise UsageError("the socket's directory is open to others", hint=f"chmod 700 {where.parent}", place=path)
    if _answers(path):
        raise IllegalState("a supervisor listens there already", place=path)
    fresh = f"{path}~"
    Path(fresh).unlink(missing_ok=True)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        sock.bind(fresh)
        sock.listen(_BACKLOG)
        Path(fresh).rename(path)
    except BaseException:
        sock.close()
        raise
    finally:
        os.umask(before)
    sock.setblocking(False)
    return sock


def peer_uid(sock: socket.socket) -> int | None:
    """Whose process is at the other end; None where the system cannot tell."""
    try:
        if sys.platform == "darwin":
            return int(struct.unpack_from("=I", sock.getsockopt(0, _LOCAL_PEERCRED, 76), 4)[0])
        return int(struct.unpack("=iII", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[1])
    except (OSError, AttributeError):
        return None


class ApiServer:
    """Serves the control API on a socket from `bind`. `started` is set once requests are answered, also when `serve`
    fails before."""

    def __init__(self, listening: socket.socket, operations: Operations) -> None:
        self.started = asyncio.Event()
        self._listening = listening
        self._operations = operations
        self._closing = asyncio.Event()
        self._server: Server | None = None
        self._ended = asyncio.Event()

    def __repr__(self) -> str:
        state = "closing" if self._closing.is_set() else "serving" if self.started.is_set() else "starting"
        return f"<ApiServer {state}>"

    async def serve(self) -> None:
        """Until `stop`. The event loop is blocked while FastAPI is imported."""
        gc.disable()  # these imports leave no garbage to look for
        try:
            from lite.api.server.app import build_app
            from lite.api.server.web import Web

            app = build_app(self._operations, self._closing)
        finally:
            gc.enable()
        self._server = Web(app, grace_seconds=_GRACE_SECONDS, started=self.started)
        try:
            if not self._closing.is_set():
                await self._server.serve(sockets=[self._listening])
        finally:
            self.started.set()
            self._ended.set()

    async def stop(self) -> None:
        """End the streams, finish what was asked, close. Idempotent."""
        self._closing.set()
        if self._server is not None:
            self._server.should_exit = True
            await self._ended.wait()


def _answers(path: str) -> bool:
    probe = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    probe.setblocking(False)
    try:
        probe.connect(path)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        probe.close()
    return True
