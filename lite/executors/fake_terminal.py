"""What a fake session prints and is told: recorded as a real one's, seen by whoever is attached."""

from __future__ import annotations

import asyncio

from lite.recordings.writer import Writer
from lite.terminal import packets
from lite.terminal.packets import Packet


class FakeTerminal:
    """`said` keeps what was typed, in order. `directory` "": nothing is recorded."""

    def __init__(self, directory: str) -> None:
        self.said: list[bytes] = []
        self.ended = False
        self.printed_at: int | None = None
        self.changed = asyncio.Event()
        self._printed = bytearray()
        self._writer = Writer(directory, cols=80, rows=24, cap_bytes=1 << 20) if directory else None

    def __repr__(self) -> str:
        return f"<FakeTerminal {len(self._printed)} bytes, told {len(self.said)} times>"

    def print(self, data: bytes, now: int) -> None:
        self._printed += data
        self.printed_at = now
        if self._writer is not None:
            self._writer.append(packets.OUT, data, now)
        self._wake()

    def hear(self, data: bytes) -> None:
        self.said.append(data)
        self._wake()

    def end(self) -> None:
        self.ended = True
        if self._writer is not None:
            self._writer.close()
        self._wake()

    def rest(self, offset: int) -> bytes:
        return bytes(self._printed[offset:])

    @property
    def size(self) -> int:
        return len(self._printed)

    def _wake(self) -> None:
        changed, self.changed = self.changed, asyncio.Event()
        changed.set()


class FakeStream:
    """Implements `lite.ports.TerminalStream`. Typing is acknowledged at once."""

    def __init__(self, terminal: FakeTerminal, offset: int) -> None:
        self._terminal = terminal
        self._offset = terminal.size if offset == packets.END else min(max(offset, 0), terminal.size)
        self._acks: list[Packet] = []

    async def read(self) -> Packet | None:
        terminal = self._terminal
        while True:
            changed = terminal.changed
            if self._acks:
                return self._acks.pop(0)
            if data := terminal.rest(self._offset):
                offset, self._offset = self._offset, self._offset + len(data)
                return packets.OUTPUT, packets.output(offset, packets.OUT, data)[5:]
            if terminal.ended:
                return None
            await changed.wait()

    async def write(self, packet: Packet) -> None:
        kind, payload = packet
        if kind == packets.INPUT:
            self._terminal.hear(payload)
            self._acks.append((packets.ACK, packets.ack(not self._terminal.ended)[5:]))

    async def aclose(self) -> None:
        pass
