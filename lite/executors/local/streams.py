"""What `attach` gives: a live session over its holder's socket, or an ended one from its recording."""

from __future__ import annotations

import asyncio

from lite.errors import SessionRefused
from lite.recordings.reader import Recording
from lite.terminal import packets
from lite.terminal.packets import Packet

_CHUNK = 1 << 16


class SocketStream:
    """A `TerminalStream` over a Unix socket. The first packet is WELCOME."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._decoder = packets.Decoder()
        self._found: list[Packet] = []

    async def greet(self, role: int, offset: int) -> None:
        """Raises `SessionRefused`; OSError when the session ends meanwhile."""
        self._writer.write(packets.hello(role, 0, offset))
        first = await self.read()
        if first is None:
            raise ConnectionResetError("the session hung up")
        if first[0] == packets.REFUSED:
            raise SessionRefused(first[1].decode("utf-8", "replace"))
        self._found.insert(0, first)

    async def read(self) -> Packet | None:
        while not self._found:
            try:
                data = await self._reader.read(_CHUNK)
            except OSError:
                return None
            if not data:
                return None
            self._found = self._decoder.feed(data)
        return self._found.pop(0)

    async def write(self, packet: Packet) -> None:
        try:
            self._writer.write(packets.encode(*packet))
            await self._writer.drain()
        except OSError as error:
            raise SessionRefused("the session has ended") from error

    async def aclose(self) -> None:
        self._writer.close()
        try:
            await self._writer.wait_closed()
        except OSError:
            pass


class RecordedStream:
    """A `TerminalStream` of what is kept of an ended session; then its EXIT."""

    def __init__(self, directory: str, offset: int, exit_json: bytes) -> None:
        self._recording = Recording(directory)
        start, end = self._recording.start(), self._recording.end()
        self._at = end if offset == packets.END else max(offset, 0)
        header = self._recording.header()
        cols, rows = (header.cols, header.rows) if header else (0, 0)
        welcome = packets.welcome(0, cols, rows, start, end, packets.ENDED)
        self._found = packets.Decoder().feed(welcome)
        self._exit: Packet | None = (packets.EXIT, exit_json.rstrip())

    async def read(self) -> Packet | None:
        if not self._found:
            for at, stream, data in self._recording.read(self._at, _CHUNK):
                if at > self._at:
                    self._found += packets.Decoder().feed(packets.gap(self._at, at))
                self._found += packets.Decoder().feed(packets.output(at, stream, data))
                self._at = at + len(data)
        if self._found:
            return self._found.pop(0)
        last, self._exit = self._exit, None
        return last

    async def write(self, packet: Packet) -> None:
        if packet[0] in (packets.INPUT, packets.SIGNAL, packets.STOP):
            self._found += packets.Decoder().feed(packets.ack(False, "the program has ended"))

    async def aclose(self) -> None:
        self._found, self._exit = [], None
