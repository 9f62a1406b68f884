"""A TCP proxy between a client and a server, in the test's own loop, that does what bad networks do."""

from __future__ import annotations

import asyncio
import socket
import struct
from types import TracebackType
from typing import Self

from lite.aio.tasks import Job, Jobs

_CHUNK = 65_536
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close with a reset instead of a FIN


class Proxy:
    """Listens on 127.0.0.1 and passes everything on to `host`:`port`, unless told otherwise:

        async with Proxy("127.0.0.1", server.port) as proxy:
            backend = RedisBackend(server.options(prefix, proxy.url))

    While partitioned, bytes are held back in both directions and none is lost: `heal` lets them go on. So also those
    of new connections, which are accepted, as by a machine whose answer does not come back.
    """

    def __init__(self, host: str, port: int) -> None:
        self.port = 0
        self.accepted = 0  # connections so far
        self.refused = 0
        self._target = host, port
        self._server: asyncio.Server | None = None
        self._lines: set[_Line] = set()
        self._jobs = Jobs("proxy")
        self._open = asyncio.Event()  # not partitioned
        self._open.set()
        self._refuses = False
        self._left: int | None = None  # bytes the next replies may still have
        self._delay = 0.0

    def __repr__(self) -> str:
        state = "open" if self._open.is_set() else "partitioned"
        return f"<Proxy {self.port} -> {self._target[1]}, {state}, {len(self._lines)} connections>"

    @property
    def url(self) -> str:
        """As of a Redis server's first database."""
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def connections(self) -> int:
        return len(self._lines)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()
        await self._jobs.cancel()
        await self._server.wait_closed()

    def partition(self) -> None:
        """From now on nothing passes in either direction. Connections stay open."""
        self._open.clear()

    def heal(self) -> None:
        """Let what was held back pass, and all that follows."""
        self._open.set()

    def cut(self) -> None:
        """Reset all connections now. What was held back is lost."""
        for line in list(self._lines):
            self._lines.discard(line)
            line.reset()

    def cut_after(self, count: int) -> None:
        """Let `count` more bytes of the server pass (of all connections together), then end the connection on which
        the next would come. Once. 0: what is asked next is carried out and not answered."""
        self._left = count

    def delay(self, seconds: float) -> None:
        """Let what the server says from now on arrive at least that much later, in order. 0: at once again."""
        self._delay = seconds

    def refuse(self, on: bool) -> None:
        """Reset new connections at once, or not any more. Those there are stay."""
        self._refuses = on

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._refuses:
            self.refused += 1
            reset(writer)
        else:
            self.accepted += 1
            self._jobs.spawn(self._carry(reader, writer))

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            answers, server = await asyncio.open_connection(*self._target)
        except BaseException as error:
            reset(writer)
            if isinstance(error, OSError):
                return
            raise
        line = _Line(reader, writer, answers, server)
        self._lines.add(line)
        line.jobs = {self._jobs.spawn(self._ask(line)), self._jobs.spawn(self._answer(line))}
        try:
            await asyncio.wait(line.jobs)
        finally:
            self._lines.discard(line)
            line.reset()

    async def _ask(self, line: _Line) -> None:
        try:
            while data := await line.asks.read(_CHUNK):
                await self._open.wait()
                line.server.write(data)
                await line.server.drain()
            await self._open.wait()
            line.server.write_eof()
        except OSError:
            await self._open.wait()
            line.reset()

    async def _answer(self, line: _Line) -> None:
        try:
            while data := await line.answers.read(_CHUNK):
                if self._delay:
                    await asyncio.sleep(self._delay)
                await self._open.wait()
                if self._left is not None and self._left < len(data):
                    line.client.write(data[: self._left])
                    self._left = None
                    await line.end()
                    return
                if self._left is not None:
                    self._left -= len(data)
                line.client.write(data)
                await line.client.drain()
            await self._open.wait()
            line.client.write_eof()
        except OSError:
            await self._open.wait()
            line.reset()


class _Line:
    """The two connections of one client, and who carries bytes between them."""

    def __init__(
        self,
        asks: asyncio.StreamReader,
        client: asyncio.StreamWriter,
        answers: asyncio.StreamReader,
        server: asyncio.StreamWriter,
    ) -> None:
        self.asks, self.client, self.answers, self.server = asks, client, answers, server
        self.jobs: set[Job] = set()

    def reset(self) -> None:
        """Both ends; whoever waits to pass something on has nobody left to pass it to."""
        reset(self.client)
        reset(self.server)
        for job in self.jobs - {asyncio.current_task()}:
            job.cancel()

    async def end(self) -> None:
        """What was written to the client arrives; then it is over."""
        reset(self.server)
        self.client.close()
        await self.client.wait_closed()


def reset(writer: asyncio.StreamWriter) -> None:
    """Close it so that the other side sees an error and not an end."""
    connection = writer.get_extra_info("socket")
    if connection is not None and not writer.is_closing():
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    writer.transport.abort()
