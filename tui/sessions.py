"""The way from a pane to its session: live over the holder's socket, ended from its recording. No Textual.

What arrives is kept in order until the pane takes it; a pane that falls behind stops the reading, and the holder goes
on at its pace from the recording, so a flood costs neither memory here nor time there.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from lite.aio.tasks import Job, Jobs
from lite.errors import NoSupervisor, NotSupported, QuarterdeckError
from lite.recordings.layout import SIZE
from lite.terminal import packets
from tui.gateway import Gateway
from tui.wire import Wire
from tui.wording import how_it_ended

HIGH, LOW = 256 << 10, 64 << 10  # bytes not yet taken at which reading stops and goes on
TAIL = 1 << 20  # bytes of an ended session's recording that are replayed
FIRST_SIZE = (120, 40)  # of every session, until something says otherwise
_LINE = 1 << 16  # bytes in which the end of a line is looked for
SKIP = 8 << 20  # bytes a pane may be behind before it goes on from the session's present
_MAX_UNSENT = 1 << 20  # bytes typed that the session has not taken; what a holder keeps itself


@dataclass(frozen=True, slots=True)
class Fresh:
    """What follows is for a new terminal of this size. `end`: where the recording ended when this was said."""

    cols: int
    rows: int
    end: int


@dataclass(frozen=True, slots=True)
class Joined:
    """Connected again; what follows goes on where it broke off."""


@dataclass(frozen=True, slots=True)
class Output:
    data: bytes


@dataclass(frozen=True, slots=True)
class Preamble:
    """Modes in force where the replay begins; no part of the recording."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Resized:
    cols: int
    rows: int


@dataclass(frozen=True, slots=True)
class Gap:
    """So many bytes are no longer kept."""

    size: int


@dataclass(frozen=True, slots=True)
class Ended:
    """The program has ended; `text` is one line: "exit 0"."""

    text: str


@dataclass(frozen=True, slots=True)
class Lost:
    """The connection is gone, or could not be made; the session may live on."""

    reason: str


Event = Fresh | Joined | Output | Preamble | Resized | Gap | Ended | Lost


class SessionLink:
    """One session. `arrived` is called when there is something to `take`, `refused` with why input was not accepted.

    `offset` is where the next byte taken lies in the recording, so that opening again goes on without a gap. `begun`
    and `preamble` are where the present terminal began and what it was told before.
    """

    def __init__(
        self, gateway: Gateway, session: str, *, arrived: Callable[[], None], refused: Callable[[str], None]
    ) -> None:
        self.session = session
        self.offset = self.begun = packets.SAFE_MARK
        self.preamble = b""
        self.size = FIRST_SIZE
        self.control = False
        self._gateway = gateway
        self._arrived = arrived
        self._refused = refused
        self._jobs = Jobs(f"session {session}")
        self._job: Job | None = None
        self._wire: Wire | None = None
        self._queue: deque[tuple[Event | None, int]] = deque()  # with the offset after it, -1: none
        self._waiting = 0  # bytes in the queue
        self._room = asyncio.Event()
        self._address = ""  # where it was reached last; holders outlive the supervisor
        self._asked_size = (0, 0)
        self._unsent: list[bytes] = []  # packets, until the session has greeted

    def __repr__(self) -> str:
        how = "live" if self.live else "connecting" if self._busy else "closed"
        return f"<SessionLink {self.session} {how}{' control' if self.control else ''} at {self.offset}>"

    @property
    def live(self) -> bool:
        return self._wire is not None and self._wire.greeted

    @property
    def _busy(self) -> bool:
        return self._job is not None and not self._job.done()

    @property
    def pending(self) -> bool:
        return bool(self._queue)

    @property
    def waiting(self) -> int:
        """Bytes that have arrived and were not taken."""
        return self._waiting

    # opening and closing

    def open(self, *, control: bool = False, size: tuple[int, int] = (0, 0), fresh: bool = False) -> None:
        """Connect to the live session, as its driver with `control`; a connection open before is dropped. Goes on at
        `offset`, or with `fresh` from the last safe mark. What fails arrives as `Lost`."""
        self._hang_up()
        self.control, self._asked_size = control, size
        if fresh:
            self.offset = packets.SAFE_MARK
        self._job = self._jobs.spawn(self._connect(control, size), "connect")

    def replay(self, ending: str) -> None:
        """Show the end of the recording, then `ending`."""
        self._hang_up()
        self.control = False
        self._job = self._jobs.spawn(self._replay(ending), "replay")

    async def close(self) -> None:
        self._hang_up()
        await self._jobs.cancel()

    def drop(self) -> None:
        """Close without waiting: nothing arrives any more."""
        self._hang_up()

    def _hang_up(self) -> None:
        wire, self._wire = self._wire, None
        if wire is not None:
            wire.close()
        if self._job is not None:
            self._job.cancel()
        self._queue.clear()
        self._waiting = 0
        self._room.set()
        self._unsent.clear()

    async def _connect(self, control: bool, size: tuple[int, int]) -> None:
        try:
            loop = asyncio.get_running_loop()
            path = await self._way(control)
            greeting = packets.hello(packets.CONTROL if control else packets.WATCH, 0, self.offset, *size)
            wire = Wire(self, greeting)
            self._wire = wire
            await loop.create_unix_connection(lambda: wire, path)
        except (QuarterdeckError, OSError) as error:
            self._wire = None
            reason = error.message if isinstance(error, QuarterdeckError) else (error.strerror or str(error))
            self.put(Lost(reason))

    async def _way(self, control: bool) -> str:
        """The path of the session's socket."""
        try:
            offer = await self._gateway.attach(self.session, control=control)
        except NoSupervisor:
            if not self._address:
                raise
            return self._address
        if not offer["address"]:
            raise NotSupported("this session lives on another machine")
        self._address = offer["address"].removeprefix("unix:")
        return self._address

    async def _replay(self, ending: str) -> None:
        try:
            begin, end = await self._gateway.recording_end(self.session)
            at = max(begin, end - TAIL)
            cut = at > begin
            self.begun, self.preamble = at, b""
            self.put(Fresh(*self.size, end), at)
            while at < end:
                chunks = await self._gateway.recording(self.session, at, min(LOW, end - at))
                if not chunks:
                    break
                for offset, stream, data in chunks:
                    if offset > at:
                        self.put(Gap(offset - at), offset)
                    at = offset + len(data)
                    if cut and stream in (packets.OUT, packets.ERR):  # begin with a whole line
                        data = data[data.find(b"\n", 0, _LINE) + 1 :]
                        cut = False
                    self._take_in(at - len(data), stream, data)
                while self._waiting > HIGH:
                    self._room.clear()
                    await self._room.wait()
            self.put(Ended(ending))
        except (QuarterdeckError, OSError) as error:
            reason = error.message if isinstance(error, QuarterdeckError) else (error.strerror or str(error))
            self.put(Ended(f"{ending}; its output cannot be read: {reason}"))

    # what arrives

    def take(self) -> Event | None:
        """The oldest event not yet taken."""
        event = None
        while event is None:
            if not self._queue:
                return None
            event, after = self._queue.popleft()
            if after >= 0:
                self.offset = after
        if isinstance(event, Output):
            self._waiting -= len(event.data)
            if self._waiting <= LOW:
                self._room.set()
                if self._wire is not None and self._wire.resume():
                    self._wire.send(packets.encode(packets.INSPECT))  # how far behind are we?
        elif isinstance(event, Fresh | Resized):
            self.size = (event.cols, event.rows)
        return event

    def put_back(self, data: bytes) -> None:
        """What of the last `Output` there was no time for: it is taken next."""
        self._queue.appendleft((Output(data), self.offset))
        self._waiting += len(data)
        self.offset -= len(data)

    def put(self, event: Event, after: int = -1) -> None:
        self._queue.append((event, after))
        if isinstance(event, Output):
            self._waiting += len(event.data)
        self._arrived()

    def _take_in(self, offset: int, stream: int, data: bytes) -> None:
        after = offset + len(data)
        if stream in (packets.OUT, packets.ERR):
            self.put(Output(data), after)
        elif stream == packets.PREAMBLE:
            self.preamble = data
            self.put(Preamble(data), offset)
        elif stream == packets.RESIZED and len(data) == SIZE.size:
            cols, rows = SIZE.unpack(data)
            self.put(Resized(cols, rows), after)
        elif self._queue:
            self._queue.append((None, after))
        else:
            self.offset = after

    def received(self, wire: Wire, kind: int, payload: bytes) -> None:
        if wire is not self._wire:
            return
        if kind == packets.OUTPUT:
            offset, stream, data = packets.parse_output(payload)
            if self.begun == packets.SAFE_MARK:
                self.begun = offset
            self._take_in(offset, stream, data)
            if self._waiting > HIGH:
                wire.pause()
        elif kind == packets.WELCOME:
            self._welcomed(wire, payload)
        elif kind == packets.GAP:
            begin, end = packets.parse_gap(payload)
            if end > begin:
                self.put(Gap(end - begin), end)
        elif kind == packets.ACK:
            accepted, reason = packets.parse_ack(payload)
            if not accepted:
                self._refused(reason)
        elif kind == packets.INFO:
            end = packets.parse_info(payload)[3]
            if self.offset >= 0 and end - self.offset - self._waiting > SKIP:
                self.open(control=self.control, size=self._asked_size, fresh=True)
        elif kind == packets.EXIT:
            wire.over = True
            self.put(Ended(how_it_ended(payload)))
        elif kind == packets.REFUSED:
            wire.over = True
            self.put(Lost(payload.decode("utf-8", "replace")))

    def _welcomed(self, wire: Wire, payload: bytes) -> None:
        protocol, _, cols, rows, _, end, _ = packets.parse_welcome(payload)
        if not packets.OLDEST_PROTOCOL <= protocol <= packets.PROTOCOL:
            wire.over = True
            self.put(Lost(f"the session speaks protocol {protocol}, this program {packets.PROTOCOL}"))
            wire.close()
            return
        wire.greeted = True
        if self.offset == packets.SAFE_MARK:
            self.begun, self.preamble = packets.SAFE_MARK, b""
            self.put(Fresh(cols, rows, end))
        else:
            self.put(Joined())
        for packet in self._unsent:
            wire.send(packet)
        self._unsent.clear()

    def lost(self, wire: Wire, reason: str) -> None:
        if wire is self._wire:
            self._wire = None
            if not wire.over:
                self.put(Lost(reason))

    # what is sent

    def send(self, data: bytes) -> None:
        """Type `data`. Needs `control`; a refusal comes back by `refused`."""
        if len(data) + self.unsent > _MAX_UNSENT:
            self._refused("the session does not take so much at once")
            return
        self._send(packets.encode(packets.INPUT, data))

    def resize(self, cols: int, rows: int) -> None:
        self._asked_size = (cols, rows)
        self._send(packets.resize(cols, rows))

    @property
    def unsent(self) -> int:
        """Bytes for the session that have not left."""
        kept = sum(map(len, self._unsent))
        return kept + (self._wire.unsent if self._wire is not None else 0)

    def _send(self, packet: bytes) -> None:
        if not self.control:
            self._refused("watching only")
        elif self._wire is not None and self._wire.greeted:
            self._wire.send(packet)
        elif self._busy or self._wire is not None:
            self._unsent.append(packet)
        else:
            self._refused("not connected")
