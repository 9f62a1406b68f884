"""A TCP proxy that cuts what passes through it."""

from __future__ import annotations

import asyncio

from lite.aio.tasks import Jobs

_CHUNK = 1 << 14


class Cutter:
    """Listens on a free port of 127.0.0.1 and passes everything on to `port`, which may be set later.

    `cut_after`: numbers of bytes from the server after each of which all connections are broken. `refusing`: new ones
    are broken at once."""

    def __init__(self, port: int = 0) -> None:
        self.target = port
        self.port = 0
        self.cut_after: list[int] = []
        self.refusing = False
        self.cuts = 0
        self.was_cut = asyncio.Event()
        self.was_tried = asyncio.Event()  # somebody connected while it refused
        self._server: asyncio.Server | None = None
        self._jobs = Jobs("cutter")
        self._writers: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Cutter:
        self._server = await asyncio.start_server(lambda *pair: self._jobs.spawn(self._pass(*pair)), "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()
        await self._jobs.cancel()

    def cut(self) -> None:
        """Break everything that is open."""
        for writer in self._writers:
            writer.transport.abort()
        self.cuts += 1
        self.was_cut.set()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.refusing:
            writer.transport.abort()
            self.was_tried.set()
            return
        try:
            back_reader, back_writer = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, back_writer}
        jobs = [
            self._jobs.spawn(self._pump(reader, back_writer, False)),
            self._jobs.spawn(self._pump(back_reader, writer, True)),
        ]
        try:
            await asyncio.wait(jobs, return_when=asyncio.FIRST_COMPLETED)
            await asyncio.wait(jobs, timeout=1)
        finally:
            self._writers -= {writer, back_writer}
            for job in jobs:
                job.cancel()
            for each in (writer, back_writer):
                each.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, counted: bool) -> None:
        try:
            while data := await reader.read(_CHUNK):
                if counted and self.cut_after:
                    self.cut_after[0] -= len(data)
                    if self.cut_after[0] <= 0:
                        del self.cut_after[0]
                        writer.write(data[: len(data) // 2])
                        self.cut()
                        return
                writer.write(data)
                await writer.drain()
            writer.write_eof()
        except (OSError, RuntimeError):
            pass  # it was cut
