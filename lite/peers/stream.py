"""A session at a peer as a `TerminalStream` that outlives its connections: each goes on where the last one broke."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

from lite.aio.tasks import Job, spawn
from lite.errors import NotFound, PeerUnavailable, QuarterdeckError, SessionRefused
from lite.peers.calls import Unreachable
from lite.peers.judging import Cursor, Nonsense
from lite.peers.patience import Patience
from lite.peers.wire import Broken, Wire
from lite.terminal import packets
from lite.terminal.packets import Packet

_HIGH, _LOW = 1 << 20, 1 << 18  # bytes not yet read at which receiving stops and goes on
_TYPED = (packets.INPUT, packets.SIGNAL, packets.STOP)  # answered by ACK
_PASSED = (packets.INPUT, packets.RESIZE, packets.INSPECT)
_NOT_CONNECTED = "not connected to its worker at the moment; nothing was typed"
_NOT_FROM_AFAR = "only its own worker signals or stops a session"
_UNSURE = "the connection broke: it may or may not have been typed"


@dataclass(frozen=True, slots=True)
class Way:
    """How to a session: `open` a new connection, or `rest`: the recording from an offset to the session's end."""

    open: Callable[[], Awaitable[Wire]]
    rest: Callable[[int], AsyncIterator[Packet]]
    unreachable: Callable[[str], Unreachable]
    nonsense: Callable[[Nonsense], PeerUnavailable]


class PeerStream:
    """Implements `TerminalStream`. `read` raises `PeerUnavailable` when the worker stays out of reach."""

    def __init__(self, way: Way, *, control: bool, offset: int, patience: Patience) -> None:
        self._way = way
        self._role = packets.CONTROL if control else packets.WATCH
        self._cursor = Cursor(offset)
        self._patience = patience
        self._wire: Wire | None = None
        self._size = (0, 0)  # asked for last
        self._unanswered = 0  # typed, without an ACK
        self._asked = False  # INSPECT, without an INFO
        self._begun = False
        self._over = False  # EXIT or REFUSED came
        self._found: deque[Packet] = deque()
        self._waiting = 0  # bytes found and not read
        self._news = asyncio.Event()
        self._room = asyncio.Event()
        self._failure: QuarterdeckError | None = None
        self._job: Job | None = None

    def __repr__(self) -> str:
        how = "over" if self._over else "connected" if self._wire else "apart"
        return f"<PeerStream {how} at {self._cursor.at}>"

    async def begin(self) -> None:
        """The first connection. Raises `PeerUnavailable`, `SessionRefused`, `NotFound`: nothing is tried twice."""
        try:
            await self._connect()
        except Broken as error:
            raise self._way.unreachable(str(error)) from None
        except Nonsense as error:
            raise self._way.nonsense(error) from None
        self._job = spawn(self._run(), "peer stream")
        self._job.add_done_callback(lambda _: self._news.set())

    async def read(self) -> Packet | None:
        while not self._found:
            if self._job is None or self._job.done():
                failure, self._failure = self._failure, None
                if failure is not None:
                    raise failure
                if self._job is not None and not self._job.cancelled():
                    self._job.result()
                return None
            self._news.clear()
            await self._news.wait()
        packet = self._found.popleft()
        self._waiting -= len(packet[1])
        if self._waiting <= _LOW:
            self._room.set()
        return packet

    async def write(self, packet: Packet) -> None:
        kind, payload = packet
        if kind == packets.RESIZE:
            self._size = packets.parse_resize(payload)
        if kind == packets.INSPECT:
            self._asked = True
        wire = self._wire
        if kind not in _PASSED or wire is None:
            if kind in _TYPED:
                why = _NOT_CONNECTED if kind in _PASSED else _NOT_FROM_AFAR
                self._put(packets.ACK, packets.ack(False, why)[5:])
            return
        self._unanswered += kind == packets.INPUT
        try:
            await wire.send(packets.encode(kind, payload))
        except (Broken, Nonsense):
            pass  # whoever receives finds out too, and answers for what is unanswered

    async def aclose(self) -> None:
        job, self._job = self._job, None
        if job is not None:
            job.cancel()
            await asyncio.gather(job, return_exceptions=True)
        self._found.clear()
        self._news.set()
        await self._hang_up()

    # connections

    async def _run(self) -> None:
        try:
            while not self._over:
                try:
                    await self._receive()
                except Broken as error:
                    await self._broken()
                    await self._again(error)
        except Nonsense as error:
            self._failure = self._way.nonsense(error)
        except QuarterdeckError as error:
            self._failure = error
        finally:
            await self._broken()

    async def _again(self, broken: Exception) -> None:
        """Connect anew, as often as patience allows; what has ended meanwhile is read from its recording."""
        last: PeerUnavailable = self._way.unreachable(str(broken))
        while await self._patience.wait():
            try:
                async with asyncio.timeout(self._patience.seconds):
                    await self._connect()
                return
            except Unreachable as error:
                last = error
            except (Broken, TimeoutError) as error:
                last = self._way.unreachable(str(error) or "no answer in time")
            except (SessionRefused, NotFound):
                await self._finish()
                return
        raise last

    async def _connect(self) -> None:
        wire = await self._way.open()
        try:
            await self._greet(wire)
        except BaseException:
            await wire.close()
            raise
        self._wire = wire
        self._patience.connected()

    async def _greet(self, wire: Wire) -> None:
        try:
            async with asyncio.timeout(self._patience.seconds):
                await wire.send(packets.hello(self._role, 0, self._cursor.at, *self._size))
                kind, payload = await wire.receive()
        except TimeoutError:
            raise Broken("no WELCOME in time") from None
        if kind == packets.REFUSED:
            raise SessionRefused(payload[:400].decode("utf-8", "replace"))
        if kind != packets.WELCOME:
            raise Nonsense(f"a packet 0x{kind:02x} instead of WELCOME")
        if self._begun:
            self._cursor.welcome(payload)
        else:
            self._cursor.first(payload)
            self._put(kind, payload)
            self._begun = True
        if self._asked:
            await wire.send(packets.encode(packets.INSPECT))

    async def _receive(self) -> None:
        """Until the connection breaks or the session is over."""
        wire = self._wire
        while wire is not None and not self._over:
            while self._waiting > _HIGH:
                self._room.clear()
                await self._room.wait()
            kind, payload = await wire.receive()
            if kind == packets.WELCOME:
                raise Nonsense("a second WELCOME")
            for packet in self._cursor.take(kind, payload):
                self._put(*packet)
            if kind == packets.OUTPUT:
                self._patience.rewarded()
            elif kind == packets.ACK:
                self._unanswered = max(self._unanswered - 1, 0)
            elif kind == packets.INFO:
                self._asked = False
            elif kind in (packets.EXIT, packets.REFUSED):
                self._over = True

    async def _finish(self) -> None:
        """The session has ended, or runs where only its recording can be followed."""
        async for kind, payload in self._way.rest(max(self._cursor.at, 0)):
            while self._waiting > _HIGH:
                self._room.clear()
                await self._room.wait()
            if kind == packets.EXIT:
                self._put(kind, payload)
            else:
                for packet in self._cursor.take(kind, payload):
                    self._put(*packet)
        self._over = True

    async def _broken(self) -> None:
        await self._hang_up()
        if self._over:
            return
        while self._unanswered > 0:
            self._unanswered -= 1
            self._put(packets.ACK, packets.ack(False, _UNSURE)[5:])

    async def _hang_up(self) -> None:
        wire, self._wire = self._wire, None
        if wire is not None:
            await wire.close()

    def _put(self, kind: int, payload: bytes) -> None:
        self._found.append((kind, payload))
        self._waiting += len(payload)
        self._news.set()
