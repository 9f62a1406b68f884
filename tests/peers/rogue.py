"""Something at a worker's address that does not behave as a worker."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from lite.aio.tasks import Jobs

# the request's head, what follows it, where to answer
Answer = Callable[[str, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
_TICKET = json.dumps({"session": "s", "address": "", "ticket": "t", "cols": 1, "rows": 1, "protocol": 1}).encode()


class Rogue:
    """`heads` are the requests it got; `answer` says what it does with them."""

    def __init__(self, answer: Answer) -> None:
        self.heads: list[str] = []
        self.address = ""
        self._answer = answer
        self._jobs = Jobs("rogue")

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._jobs.spawn(self._serve(reader, writer))

    async def close(self) -> None:
        await self._jobs.cancel()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            self.heads.append(head)
            await self._answer(head, reader, writer)
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def rogue(answer: Answer) -> AsyncIterator[Rogue]:
    made = Rogue(answer)
    server = await asyncio.start_server(made.accept, "127.0.0.1", 0)
    made.address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield made
    finally:
        server.close()
        await made.close()


def says(status: int, body: bytes, *headers: str) -> Answer:
    """The same to everybody."""

    async def answer(_: str, __: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(http(status, body, *headers))

    return answer


async def silent(_: str, __: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


def http(status: int, body: bytes, *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(body)}", "Connection: close", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def talks(*pieces: bytes, stays: bool = True) -> Answer:
    """Gives a ticket; on the WebSocket it writes `pieces` as they are, and stays silent or hangs up."""

    async def answer(head: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if head.startswith("POST"):
            writer.write(http(200, _TICKET))
            return
        key = next(line.split(": ")[1] for line in head.splitlines() if line.lower().startswith("sec-websocket-key"))
        accept = base64.b64encode(hashlib.sha1(f"{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()).digest()).decode()
        lines = ("HTTP/1.1 101 Yes", "Upgrade: websocket", "Connection: Upgrade", f"Sec-WebSocket-Accept: {accept}")
        writer.write("\r\n".join(lines).encode() + b"\r\n\r\n")
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        if stays:
            await asyncio.Event().wait()
        await reader.read(1)  # the HELLO

    return answer


def frame(payload: bytes, opcode: int = 2, length: int | None = None) -> bytes:
    """A WebSocket frame; `length` may lie."""
    size = len(payload) if length is None else length
    if size < 126:
        return bytes([0x80 | opcode, size]) + payload
    return bytes([0x80 | opcode, 127]) + size.to_bytes(8, "big") + payload
