"""uvicorn, fitted: only our own user may connect, nothing ticks while idle, signals stay the daemon's."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from uvicorn import Config, Server
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from lite.api.server import listen

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    from fastapi import FastAPI

    Scope = MutableMapping[str, Any]

log = logging.getLogger(__name__)

ABORT = "quarterdeck.abort"  # in the scope: drop the connection at once, unsent bytes too
MAX_MESSAGE = 2 << 20


class Web(Server):
    """A server that waits instead of ticking ten times a second."""

    def __init__(self, app: FastAPI, *, grace_seconds: int, started: asyncio.Event) -> None:
        super().__init__(
            Config(
                app,
                http=HttpProtocol,
                ws=SocketProtocol,
                ws_max_size=MAX_MESSAGE,
                ws_ping_interval=None,
                ws_per_message_deflate=False,
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                date_header=False,
                timeout_keep_alive=75,
                timeout_graceful_shutdown=grace_seconds,
            )
        )
        logging.getLogger("uvicorn").setLevel(logging.WARNING)
        self._wake = asyncio.Event()
        self._announce = started

    @property
    def should_exit(self) -> bool:
        return self._exit

    @should_exit.setter
    def should_exit(self, value: bool) -> None:
        self._exit = value
        if value and hasattr(self, "_wake"):
            self._wake.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def main_loop(self) -> None:
        self._announce.set()
        await self._wake.wait()

    async def shutdown(self, sockets: Any = None) -> None:
        await super().shutdown(sockets)
        for connection in list(self.server_state.connections):
            connection.transport.abort()


class HttpProtocol(H11Protocol):
    """Refuses foreign users before a byte of theirs is read; a WebSocket starts as one of these too."""

    _refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        sock = transport.get_extra_info("socket")
        uid = listen.peer_uid(sock)
        if uid is not None and uid != os.getuid():
            log.warning("refused a connection of uid %d", uid)
            self._refused = True
            transport.abort()
            return
        super().connection_made(transport)
        self.app = _with_abort(self.app, transport)

    def data_received(self, data: bytes) -> None:
        if not self._refused:
            super().data_received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._refused:
            super().connection_lost(exc)


class SocketProtocol(WebSocketsSansIOProtocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.app = _with_abort(self.app, transport)


def _with_abort(app: Any, transport: Any) -> Any:
    async def call(scope: Scope, receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]) -> None:
        scope[ABORT] = transport.abort
        await app(scope, receive, send)

    return call
