"""One connection to a session's holder, in packets, with the reading stopped and started by who takes them."""

from __future__ import annotations

import asyncio
from typing import Protocol

from lite.terminal import packets


class Owner(Protocol):
    """Whom a wire tells."""

    def received(self, wire: Wire, kind: int, payload: bytes) -> None:
        """May raise ValueError, IndexError or `packets.Malformed`: the other end speaks nonsense."""
        ...

    def lost(self, wire: Wire, reason: str) -> None: ...


class Wire(asyncio.Protocol):
    """Greets with `greeting`; tells its owner of packets and of its end, until it is closed from here."""

    def __init__(self, owner: Owner, greeting: bytes) -> None:
        self.greeted = False
        self.over = False  # its end was told: the connection's is no news
        self._owner = owner
        self._greeting = greeting
        self._decoder = packets.Decoder()
        self._transport: asyncio.Transport | None = None
        self._closed = False
        self._paused = False

    @property
    def unsent(self) -> int:
        return self._transport.get_write_buffer_size() if self._transport is not None else 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        if self._closed:
            transport.abort()
            return
        transport.write(self._greeting)

    def data_received(self, data: bytes) -> None:
        if self._closed:
            return
        try:
            for kind, payload in self._decoder.feed(data):
                self._owner.received(self, kind, payload)
        except (ValueError, IndexError, packets.Malformed) as error:
            self._owner.lost(self, f"the session speaks nonsense: {error}")
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if not self._closed:
            self._owner.lost(self, "the connection to the session was lost")

    def send(self, packet: bytes) -> None:
        if self._transport is not None:
            self._transport.write(packet)

    def pause(self) -> None:
        if self._transport is not None and not self._paused and not self._transport.is_closing():
            self._paused = True
            self._transport.pause_reading()

    def resume(self) -> bool:
        """True: it had been paused."""
        if self._transport is None or not self._paused or self._transport.is_closing():
            return False
        self._paused = False
        self._transport.resume_reading()
        return True

    def close(self) -> None:
        self._closed = True
        if self._transport is not None:
            self._transport.abort() if self._paused else self._transport.close()
