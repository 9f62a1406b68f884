"""The attach stream of one container: Kubernetes' remote command protocol over a WebSocket."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException
from websockets.typing import Subprotocol

from lite.executors.kubernetes.bridge_http import Api, Refused, Unreachable

STDIN, STDOUT, STDERR, ERROR, RESIZE = range(5)
_PROTOCOLS = (Subprotocol("v5.channel.k8s.io"), Subprotocol("v4.channel.k8s.io"))
_MOST = 8 << 20  # bytes of one message
_OPEN_SECONDS = 15.0
_PING_SECONDS = 15.0
_FRAME = 32 << 10  # bytes of input at a time


class Attached:
    """One connection. Nothing is said on it while `may` denies it."""

    def __init__(self, socket: ClientConnection, may: Callable[[], bool]) -> None:
        self._socket, self._may = socket, may

    async def messages(self) -> AsyncIterator[tuple[int, bytes]]:
        """(channel, bytes) until it ends, in order or cut."""
        try:
            async for message in self._socket:
                if isinstance(message, bytes) and message:
                    yield message[0], message[1:]
        except (ConnectionClosed, OSError):
            return

    async def write(self, data: bytes) -> None:
        """Raises `Unreachable`."""
        for at in range(0, len(data), _FRAME):
            await self._send(STDIN, data[at : at + _FRAME])

    async def resize(self, cols: int, rows: int) -> None:
        """Raises `Unreachable`."""
        await self._send(RESIZE, json.dumps({"Width": cols, "Height": rows}).encode())

    async def close(self) -> None:
        await self._socket.close()

    async def _send(self, channel: int, data: bytes) -> None:
        if not self._may():
            raise Unreachable("another worker may have it")
        try:
            await self._socket.send(bytes([channel]) + data)
        except (ConnectionClosed, OSError) as error:
            raise Unreachable("the connection was cut") from error


@asynccontextmanager
async def attach(api: Api, may: Callable[[], bool]) -> AsyncIterator[Attached]:
    """Raises `Unreachable`, `Refused`."""
    streams = "stdin=true&stdout=true&" + ("tty=true" if api.pod.tty else "stderr=true")
    scheme = "wss" if api.secure else "ws"
    try:
        connection = connect(
            f"{scheme}://{api.pod.server.partition('://')[2].split('/')[0]}"
            f"{api.path(f'/attach?container={api.pod.container}&{streams}')}",
            subprotocols=_PROTOCOLS,
            additional_headers=api.headers(),
            ssl=api.tls(),
            server_hostname=api.server_name if api.secure else None,
            compression=None,
            proxy=api.pod.proxy or None,
            user_agent_header=None,
            open_timeout=_OPEN_SECONDS,
            ping_interval=_PING_SECONDS,
            close_timeout=0.2,
            max_size=_MOST,
        )
        socket = await connection
    except InvalidStatus as error:
        raise Refused(error.response.status_code, bytes(error.response.body or b"")) from error
    except (OSError, TimeoutError, WebSocketException) as error:
        raise Unreachable(str(error) or "no answer in time") from error
    try:
        yield Attached(socket, may)
    finally:
        await socket.close()
