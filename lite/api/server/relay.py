"""The WebSocket of one session: packets in both directions, one a message."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from fastapi import WebSocket, WebSocketDisconnect

from lite.aio.tasks import spawn
from lite.api.server.streams import Streams, limited
from lite.errors import QuarterdeckError
from lite.terminal import packets

if TYPE_CHECKING:
    from lite.engine.operations import Operations
    from lite.ports import TerminalStream

_HELLO_SECONDS = 10.0
_ALLOWED = (packets.INPUT, packets.RESIZE, packets.INSPECT)
_REFUSED, _ENDED, _GOING_AWAY = 1008, 1000, 1001


async def relay(operations: Operations, streams: Streams, websocket: WebSocket, ticket: str, session: str) -> None:
    """The client begins with HELLO, of which the offset and the size count; the ticket decides what it may do."""
    await websocket.accept()
    try:
        streams.enter()
    except QuarterdeckError as error:
        await _refuse(websocket, error.message)
        return
    try:
        await _served(operations, streams, websocket, ticket, session)
    finally:
        streams.leave()


async def _served(operations: Operations, streams: Streams, websocket: WebSocket, ticket: str, session: str) -> None:
    try:
        async with asyncio.timeout(_HELLO_SECONDS):
            kind, payload = await _receive(websocket)
        if kind != packets.HELLO:
            raise ValueError("no HELLO")
        _, _, _, offset, cols, rows = packets.parse_hello(payload)
        stream = await operations.open_stream(ticket, offset=None if offset == packets.SAFE_MARK else offset)
    except WebSocketDisconnect:
        return
    except QuarterdeckError as error:
        await _refuse(websocket, error.message)
        return
    except (TimeoutError, ValueError, KeyError) as error:
        await _refuse(websocket, f"the connection must begin with a HELLO packet: {error or 'none came'}")
        return
    jobs = (
        spawn(_outward(websocket, stream), f"relay of {session}"),
        spawn(_inward(websocket, stream, cols, rows), f"keys for {session}"),
        spawn(streams.closing.wait(), "relay end"),
    )
    try:
        await asyncio.wait(jobs, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for job in jobs:
            job.cancel()
        outward, inward, _ = await asyncio.gather(*jobs, return_exceptions=True)
        await stream.aclose()
    if isinstance(inward, ValueError):
        await _refuse(websocket, str(inward))
        return
    if isinstance(outward, QuarterdeckError):
        await _refuse(websocket, outward.message)
        return
    if isinstance(inward, WebSocketDisconnect) or isinstance(outward, ConnectionAbortedError | WebSocketDisconnect):
        return
    await _close(websocket, _GOING_AWAY if streams.closing.is_set() else _ENDED)


async def _outward(websocket: WebSocket, stream: TerminalStream) -> None:
    while (packet := await stream.read()) is not None:
        message = {"type": "websocket.send", "bytes": packets.encode(*packet)}
        await limited(websocket.scope, websocket.send, message)


async def _inward(websocket: WebSocket, stream: TerminalStream, cols: int, rows: int) -> None:
    if cols and rows:
        await stream.write((packets.RESIZE, packets.resize(cols, rows)[5:]))
    while True:
        kind, payload = await _receive(websocket)
        if kind not in _ALLOWED:
            raise ValueError(f"packet 0x{kind:02x} is not for clients")
        try:
            await stream.write((kind, payload))
        except packets.Malformed:
            raise ValueError(f"packet 0x{kind:02x} has a wrong length") from None
        except QuarterdeckError:
            continue  # it has ended; what it still says goes out


async def _receive(websocket: WebSocket) -> packets.Packet:
    """One packet. Raises ValueError for a message that is not exactly one."""
    try:
        data = await websocket.receive_bytes()
    except KeyError:
        raise ValueError("text is not spoken here") from None
    found = packets.Decoder().feed(data)
    if len(found) != 1 or len(data) != 5 + len(found[0][1]):
        raise ValueError("a message must be one whole packet")
    return found[0]


async def _refuse(websocket: WebSocket, why: str) -> None:
    message = {"type": "websocket.send", "bytes": packets.encode(packets.REFUSED, why.encode("utf-8", "replace"))}
    try:
        await limited(websocket.scope, websocket.send, message)
        await websocket.close(_REFUSED, why.encode("utf-8", "replace")[:100].decode("utf-8", "ignore"))
    except (RuntimeError, WebSocketDisconnect, ConnectionAbortedError):
        pass  # it has gone


async def _close(websocket: WebSocket, code: int) -> None:
    try:
        await websocket.close(code)
    except (RuntimeError, WebSocketDisconnect):
        pass  # it has gone
