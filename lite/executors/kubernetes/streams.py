"""A client's view of a session whose bridge may die: it goes on with the next bridge where it was."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from lite.aio.tasks import Jobs
from lite.executors.kubernetes.session import PodSession
from lite.ports import TerminalStream
from lite.terminal import packets
from lite.terminal.packets import Packet

Attach = Callable[[str, int], Awaitable[TerminalStream]]  # an inner handle, an offset


class PodStream:
    """`stream` is attached to the session the bridge of `session` runs in now."""

    def __init__(self, session: PodSession, stream: TerminalStream, attach: Attach) -> None:
        self._session, self._stream, self._attach = session, stream, attach
        self._inner = session.inner
        self._at: int | None = None  # the offset reached

    async def read(self) -> Packet | None:
        while True:
            packet = await self._stream.read()
            if packet is None or packet[0] == packets.EXIT:
                if self._at is None or not await self._moved():
                    return packet
                await self._stream.aclose()
                self._inner = self._session.inner
                self._stream = await self._attach(self._inner, self._at)
                continue
            if packet[0] == packets.OUTPUT:
                offset, source, data = packets.parse_output(packet[1])
                if source != packets.PREAMBLE:
                    self._at = offset + len(data)
            return packet

    async def write(self, packet: Packet) -> None:
        await self._stream.write(packet)

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def _moved(self) -> bool:
        """Is there another bridge? Known as soon as the session has one, or is over."""
        session = self._session
        while session.inner == self._inner and not session.outcome.done():
            jobs = Jobs("moved")
            try:
                moved, over = jobs.spawn(session.moved.wait()), jobs.spawn(session.wait())
                await asyncio.wait({moved, over}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                await jobs.cancel()
        return session.inner != self._inner
