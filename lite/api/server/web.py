"""uvicorn, fitted: on the Unix socket only our own user may connect, over TCP only so many and no dawdlers; nothing
ticks while idle, signals stay the daemon's."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
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
OUTSIDE = "quarterdeck.outside"  # in the scope: it came over TCP
MAX_MESSAGE = 2 << 20
MAX_OUTSIDE = 512  # TCP connections at once
HEAD_SECONDS = 10.0  # for the first request of a TCP connection to be there
PING_SECONDS = 20.0  # between pings on a WebSocket over TCP; as long for the answer


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

    outside = False
    _refused = False
    _patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        sock = transport.get_extra_info("socket")
        self.outside = sock.family != socket.AF_UNIX
        refusal = self._too_many() if self.outside else _foreign(sock)
        if refusal:
            log.warning("refused a connection%s", refusal)
            self._refused = True
            transport.abort()
            return
        super().connection_made(transport)
        self.app = _told(self.app, transport, self.outside)
        if self.outside:
            self._patience = self.loop.call_later(HEAD_SECONDS, self._too_slow)

    def data_received(self, data: bytes) -> None:
        if not self._refused:
            super().data_received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._patience is not None:
            self._patience.cancel()
        if not self._refused:
            super().connection_lost(exc)

    def _too_many(self) -> str:
        count = sum(1 for one in self.connections if getattr(one, "outside", False))
        return f": {count} over TCP are open already" if count >= MAX_OUTSIDE else ""

    def _too_slow(self) -> None:
        begun = getattr(self, "cycle", None) is not None or self.transport.get_protocol() is not self
        if not begun:
            self.transport.abort()


class SocketProtocol(WebSocketsSansIOProtocol):
    outside = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.outside = transport.get_extra_info("socket").family != socket.AF_UNIX
        if self.outside:  # the other machine may vanish without a word
            self.ping_interval = self.ping_timeout = PING_SECONDS
        self.app = _told(self.app, transport, self.outside)


def _foreign(sock: socket.socket) -> str:
    uid = listen.peer_uid(sock)
    return f" of uid {uid}" if uid is not None and uid != os.getuid() else ""


def _told(app: Any, transport: Any, outside: bool) -> Any:
    async def call(scope: Scope, receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]) -> None:
        scope[ABORT] = transport.abort
        scope[OUTSIDE] = outside
        await app(scope, receive, send)

    return call
