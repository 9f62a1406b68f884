"""A small HTTP/1.1 and WebSocket server that can be cut, stopped and started again on its port while it works."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import ssl
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import h11
from websockets.frames import Frame, Opcode
from websockets.protocol import SERVER, Protocol, State

from lite.aio.tasks import Jobs
from tests.support.proxy import reset

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_CHUNK = 65_536


@dataclass(frozen=True, slots=True)
class Request:
    method: str
    path: str
    query: Mapping[str, str]  # the last of each name
    headers: Mapping[str, str]  # names in lower case
    body: bytes

    @property
    def websocket(self) -> bool:
        return self.headers.get("upgrade", "").lower() == "websocket"

    @property
    def protocols(self) -> list[str]:
        return [each.strip() for each in self.headers.get("sec-websocket-protocol", "").split(",") if each.strip()]


def flag(query: Mapping[str, str], name: str) -> bool:
    """As Go reads a boolean."""
    return query.get(name) in ("1", "t", "T", "true", "TRUE", "True")


@dataclass(slots=True)
class Answer:
    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    stream: AsyncIterator[bytes] | None = None  # instead of a body; in chunks
    socket: Callable[[WebSocket], Awaitable[None]] | None = None  # instead of both
    protocol: str = ""  # of the socket
    drop: bool = False  # no answer: the connection is cut


def as_json(value: Any, status: int = 200, **headers: str) -> Answer:
    return Answer(status, json.dumps(value).encode(), {"Content-Type": "application/json"} | headers)


class WebSocket:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, rest: bytes) -> None:
        self._reader, self._writer = reader, writer
        self._protocol = Protocol(SERVER, max_size=1 << 24)
        self._frames: deque[Frame] = deque()
        if rest:
            self._protocol.receive_data(rest)

    async def send(self, data: bytes) -> None:
        """Waits while the client is slow. Raises `OSError` when it is gone."""
        if self._protocol.state is not State.OPEN:
            raise ConnectionResetError("the WebSocket is closed")
        self._protocol.send_binary(data)
        await self._flush()

    async def receive(self) -> bytes | None:
        """One message; None when the client closed it or is gone."""
        parts: list[bytes] = []
        while True:
            self._frames += [event for event in self._protocol.events_received() if isinstance(event, Frame)]
            while self._frames:
                frame = self._frames.popleft()
                if frame.opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
                    parts.append(bytes(frame.data))
                    if frame.fin:
                        return b"".join(parts)
            try:
                await self._flush()
                data = await self._reader.read(_CHUNK) if self._protocol.state is State.OPEN else b""
            except OSError:
                return None
            if not data:
                return None
            self._protocol.receive_data(data)

    async def close(self) -> None:
        """The closing handshake, as far as the client takes part."""
        if self._protocol.state is State.OPEN:
            self._protocol.send_close(1000)
        with suppress(OSError):
            await self._flush()
            while self._protocol.close_rcvd is None and (data := await self._reader.read(_CHUNK)):
                self._protocol.receive_data(data)
                await self._flush()

    async def _flush(self) -> None:
        for data in self._protocol.data_to_send():
            if data:
                self._writer.write(data)
        await self._writer.drain()


class Server:
    """`handle` answers requests; what it raises is a defect of the fake and answered with 500."""

    def __init__(self, handle: Callable[[Request], Awaitable[Answer]], tls: ssl.SSLContext | None = None) -> None:
        self.port = 0
        self.connections: set[asyncio.StreamWriter] = set()
        self.defects: list[BaseException] = []
        self._handle = handle
        self._tls = tls
        self._listener: asyncio.Server | None = None
        self._jobs = Jobs("fake API server", self.defects.append)

    async def up(self, port: int = 0) -> None:
        self._listener = await asyncio.start_server(self._accept, "127.0.0.1", port or self.port, ssl=self._tls)
        self.port = self._listener.sockets[0].getsockname()[1]

    def down(self) -> None:
        """No new connections, and the end of all there are."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        self.cut()

    def cut(self) -> None:
        """Reset every connection."""
        for writer in list(self.connections):
            reset(writer)

    async def aclose(self) -> None:
        self.down()
        await self._jobs.cancel()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections.add(writer)
        self._jobs.spawn(self._serve(reader, writer))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await _Connection(reader, writer, self._handle, self.defects).run()
        except (OSError, h11.ProtocolError, EOFError):
            pass  # the client went away, or speaks no HTTP
        finally:
            self.connections.discard(writer)
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()


class _Connection:
    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        handle: Callable[[Request], Awaitable[Answer]],
        defects: list[BaseException],
    ) -> None:
        self._reader, self._writer, self._handle, self._defects = reader, writer, handle, defects
        self._http = h11.Connection(h11.SERVER)

    async def run(self) -> None:
        while (request := await self._request()) is not None:
            try:
                answer = await self._handle(request)
            except Exception as defect:
                self._defects.append(defect)
                answer = Answer(500, repr(defect).encode())
            if answer.drop:
                reset(self._writer)
                return
            if answer.socket is not None:
                await self._upgrade(request, answer)
                return
            await self._reply(answer)
            if self._http.our_state is not h11.DONE or self._http.their_state is not h11.DONE:
                return
            self._http.start_next_cycle()

    async def _request(self) -> Request | None:
        head: h11.Request | None = None
        body = bytearray()
        while True:
            event = self._http.next_event()
            if event is h11.NEED_DATA:
                if self._http.they_are_waiting_for_100_continue:
                    await self._send(h11.InformationalResponse(status_code=100, headers=[]))
                self._http.receive_data(await self._reader.read(_CHUNK))
            elif isinstance(event, h11.Request):
                head = event
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage) or event is h11.PAUSED:
                assert head is not None
                headers = {name.decode().lower(): value.decode("latin-1") for name, value in head.headers}
                target = urlsplit(head.target.decode())
                query = {name: values[-1] for name, values in parse_qs(target.query, keep_blank_values=True).items()}
                return Request(head.method.decode(), unquote(target.path), query, headers, bytes(body))
            else:
                return None

    async def _reply(self, answer: Answer) -> None:
        headers = list(answer.headers.items())
        if answer.stream is None:
            headers.append(("Content-Length", str(len(answer.body))))
            await self._send(h11.Response(status_code=answer.status, headers=headers))
            await self._send(h11.Data(data=answer.body))
            await self._send(h11.EndOfMessage())
            return
        headers.append(("Transfer-Encoding", "chunked"))
        await self._send(h11.Response(status_code=answer.status, headers=headers))
        jobs = Jobs("stream")
        gone = jobs.spawn(self._until_gone())
        sending = jobs.spawn(self._chunks(answer.stream))
        try:
            await asyncio.wait({gone, sending}, return_when=asyncio.FIRST_COMPLETED)
            if sending.done():
                sending.result()
                await self._send(h11.EndOfMessage())
        finally:
            await jobs.cancel()
            with suppress(RuntimeError):
                await answer.stream.aclose()  # type: ignore[attr-defined]
        if not gone.cancelled():
            reset(self._writer)

    async def _chunks(self, stream: AsyncIterator[bytes]) -> None:
        async for chunk in stream:
            await self._send(h11.Data(data=chunk))

    async def _until_gone(self) -> None:
        """Nobody sends anything while he reads a stream, so whatever comes is the end."""
        with suppress(OSError):
            await self._reader.read(_CHUNK)

    async def _send(self, event: Any) -> None:
        data = self._http.send(event)
        if data:
            self._writer.write(data)
            await self._writer.drain()

    async def _upgrade(self, request: Request, answer: Answer) -> None:
        assert answer.socket is not None
        key = request.headers.get("sec-websocket-key", "").encode()
        accept = base64.b64encode(hashlib.sha1(key + _GUID).digest())
        lines = [b"HTTP/1.1 101 Switching Protocols", b"Upgrade: websocket", b"Connection: Upgrade"]
        lines += [b"Sec-WebSocket-Accept: " + accept, b"Sec-WebSocket-Protocol: " + answer.protocol.encode(), b"", b""]
        self._writer.write(b"\r\n".join(lines))
        await self._writer.drain()
        rest, _ = self._http.trailing_data
        await answer.socket(WebSocket(self._reader, self._writer, bytes(rest)))
