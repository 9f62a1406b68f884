"""The sockets and the server's life. Binding is light: clients can connect (and wait) while FastAPI is loaded."""

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
    from collections.abc import Sequence

    from uvicorn import Server

    from lite.engine.operations import Operations

_BACKLOG = 512
_GRACE_SECONDS = 2
_LOCAL_PEERCRED = 1  # macOS: struct xucred at level 0
_ANYWHERE = ("0.0.0.0", "::")


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


def bind_tcp(host: str, port: int) -> socket.socket:
    """A listening TCP socket on one address of this machine (0.0.0.0 or :: for all); port 0 takes a free one.

    What passes over it, the token too, is not encrypted: it belongs in a private network, or behind a tunnel. Raises
    `UsageError` when it cannot listen there."""
    place = f"{host}:{port}"
    if not host or not 0 <= port < 1 << 16:
        raise UsageError("HOST:PORT is needed", hint="127.0.0.1:8700, or 0.0.0.0:8700 for every address", place=place)
    try:
        family, _, _, _, where = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        both = host == "::" and socket.has_dualstack_ipv6()
        sock = socket.create_server(where[:2], family=family, backlog=_BACKLOG, dualstack_ipv6=both)
    except (OSError, UnicodeError) as error:
        told = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise UsageError(f"cannot listen there: {told}", place=place) from error
    sock.setblocking(False)
    return sock


def address_of(sock: socket.socket, host: str) -> str:
    """How others reach a socket from `bind_tcp(host, ...)`: `http://host:port`, with the port it really has, and with
    this machine's name where it listens on every address."""
    name = socket.gethostname() if host in _ANYWHERE else host
    return f"http://{f'[{name}]' if ':' in name else name}:{sock.getsockname()[1]}"


def peer_uid(sock: socket.socket) -> int | None:
    """Whose process is at the other end; None where the system cannot tell."""
    try:
        if sys.platform == "darwin":
            return int(struct.unpack_from("=I", sock.getsockopt(0, _LOCAL_PEERCRED, 76), 4)[0])
        return int(struct.unpack("=iII", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[1])
    except (OSError, AttributeError):
        return None


class ApiServer:
    """Serves the control API on sockets from `bind` and `bind_tcp`. Whoever comes over TCP needs `operations.token`.
    `started` is set once requests are answered, also when `serve` fails before. Raises `UsageError` for a TCP socket
    without a token."""

    def __init__(self, listening: Sequence[socket.socket], operations: Operations) -> None:
        if not operations.token and any(sock.family != socket.AF_UNIX for sock in listening):
            raise UsageError("listening on TCP needs a token")
        self.started = asyncio.Event()
        self._listening = list(listening)
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
        relays = app.state.relays
        try:
            relays.sweep()
            if not self._closing.is_set():
                await self._server.serve(sockets=self._listening)
        finally:
            await relays.close()
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
