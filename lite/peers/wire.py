"""The WebSocket of one session at a peer: one packet a message."""

from __future__ import annotations

import asyncio
import importlib
from typing import TYPE_CHECKING

from lite.api.exchange import quote
from lite.errors import PeerUnavailable
from lite.model.worker import Worker
from lite.peers.calls import Calls, base, headers, refused
from lite.peers.judging import Nonsense, one_packet
from lite.terminal import packets
from lite.terminal.packets import Packet

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection
    from websockets.exceptions import ConnectionClosed

_PING_SECONDS = 5.0  # between pings, and as long for the answer
_CLOSE_SECONDS = 0.3
_SEND_SECONDS = 5.0
_OUR_REASONS = (1002, 1007, 1009)  # protocol error, no UTF-8, too big


class Broken(Exception):
    """The connection is gone; the session may go on."""


class Wire:
    """An open connection."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection

    async def receive(self) -> Packet:
        """Raises `Broken`, `Nonsense`."""
        from websockets.exceptions import ConnectionClosed

        try:
            message = await self._connection.recv()
        except ConnectionClosed as closed:
            raise _judged(closed) from None
        return one_packet(message)

    async def send(self, packet: bytes) -> None:
        """Raises `Broken`, also when it is not taken in time; `Nonsense` for what came before."""
        from websockets.exceptions import ConnectionClosed

        try:
            async with asyncio.timeout(_SEND_SECONDS):
                await self._connection.send(packet)
        except ConnectionClosed as closed:
            raise _judged(closed) from None
        except TimeoutError:
            raise Broken("nothing is taken there") from None

    async def close(self) -> None:
        await self._connection.close()


def _judged(closed: ConnectionClosed) -> Broken | Nonsense:
    """We are the one who ends it when a frame is too large or no WebSocket's."""
    sent = closed.sent
    if sent is not None and closed.rcvd_then_sent is not True and sent.code in _OUR_REASONS:
        return Nonsense(f"a broken frame: {sent.reason or sent.code}")
    return Broken(str(closed))


async def open_wire(calls: Calls, worker: Worker, session: str, ticket: str, seconds: float) -> Wire:
    """Use a ticket. Raises `PeerUnavailable`."""
    await asyncio.to_thread(importlib.import_module, "websockets.asyncio.client")
    from websockets.asyncio.client import connect
    from websockets.exceptions import InvalidStatus, WebSocketException

    class Straight(connect):
        """A worker sends nobody elsewhere."""

        def process_redirect(self, exc: Exception) -> Exception:
            return exc

    url = f"ws{base(worker).removeprefix('http')}/v1/sessions/{quote(session)}/stream?ticket={quote(ticket)}"
    try:
        connection = await Straight(
            url,
            additional_headers=headers(worker),
            compression=None,
            proxy=None,
            open_timeout=seconds,
            ping_interval=_PING_SECONDS,
            ping_timeout=_PING_SECONDS,
            close_timeout=_CLOSE_SECONDS,
            max_size=packets.MAX_PAYLOAD + 5,
            user_agent_header=None,
        )
    except InvalidStatus as error:
        if error.response.status_code in (401, 403):
            raise refused(worker) from None
        raise _unexpected(calls, worker, error) from None
    except (OSError, TimeoutError, WebSocketException) as error:
        raise _unexpected(calls, worker, error) from None
    return Wire(connection)


def _unexpected(calls: Calls, worker: Worker, error: Exception) -> PeerUnavailable:
    return calls.unreachable(worker, (str(error) or type(error).__name__)[:200])
