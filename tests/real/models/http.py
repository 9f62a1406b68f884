"""Just enough of an HTTP/1.1 server to be exact about what goes over the wire, broken connections included."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

_MAX_BODY = 256 << 20


class Gone(Exception):
    """The other side has hung up."""


@dataclass(frozen=True, slots=True)
class Request:
    method: str
    path: str  # with its query
    headers: Mapping[str, str]  # names in lower case
    body: bytes


class Response:
    """One answer on its way out."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer

    async def json(
        self, status: int, content: Any, headers: Mapping[str, str] | None = None, *, cut: bool = False
    ) -> None:
        """`cut`: only half of it."""
        body = json.dumps(content).encode()
        await self._head(
            status, {"content-type": "application/json", "content-length": str(len(body)), **(headers or {})}
        )
        await self._send(body[: len(body) // 2] if cut else body)
        if cut:
            self.cut()

    async def stream(self) -> None:
        """Begin a stream of server-sent events."""
        await self._head(200, {"content-type": "text/event-stream", "transfer-encoding": "chunked"})

    async def chunk(self, data: bytes) -> None:
        if data:
            await self._send(b"%x\r\n%s\r\n" % (len(data), data))

    async def finish(self) -> None:
        await self._send(b"0\r\n\r\n")

    def cut(self) -> None:
        """End the connection in the middle of what was promised."""
        self._writer.close()
        raise Gone

    async def _head(self, status: int, headers: Mapping[str, str]) -> None:
        lines = [f"HTTP/1.1 {status} {'OK' if status < 400 else 'Refused'}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        await self._send("\r\n".join([*lines, "", ""]).encode())

    async def _send(self, data: bytes) -> None:
        if self._writer.is_closing():
            raise Gone
        self._writer.write(data)
        try:
            await self._writer.drain()
        except OSError:
            raise Gone from None


Handler = Callable[[Request, Response], Awaitable[None]]


class HttpServer:
    """Serves in a thread of its own between `start` and `stop`, on a free port of loopback."""

    def __init__(self, handler: Handler) -> None:
        self.failures: list[str] = []  # what the handler stumbled over
        self.port = 0
        self._handler = handler
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="model server", daemon=True)

    def start(self) -> None:
        self._thread.start()
        if not self._ready.wait(30):
            raise RuntimeError("the model server did not start")

    def stop(self) -> None:
        assert self._loop is not None
        assert self._stopping is not None
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(30)

    async def _serve(self) -> None:
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stopping.wait()
        server.close()  # the connections end with the loop: asyncio.run cancels their tasks

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while (request := await _read(reader)) is not None:
                try:
                    await self._handler(request, Response(writer))
                except Gone:
                    return
                except Exception as error:
                    self.failures.append(f"{request.method} {request.path}: {error!r}")
                    return
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            return
        finally:
            writer.close()


async def _read(reader: asyncio.StreamReader) -> Request | None:
    first = await reader.readline()
    if not first.strip():
        return None
    method, path, _ = first.decode("latin-1").split(" ", 2)
    headers: dict[str, str] = {}
    while line := (await reader.readline()).decode("latin-1").strip():
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    if headers.get("transfer-encoding", "").lower() == "chunked":
        body = b""
        while size := int((await reader.readline()).split(b";")[0], 16):
            body += await reader.readexactly(size)
            await reader.readline()
        await reader.readline()
    else:
        body = await reader.readexactly(min(int(headers.get("content-length", 0)), _MAX_BODY))
    return Request(method, path, headers, body)


class ClosedPort:
    """A port of loopback that refuses connections, and stays ours so that nobody else answers there."""

    def __init__(self) -> None:
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"

    def __enter__(self) -> ClosedPort:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()
