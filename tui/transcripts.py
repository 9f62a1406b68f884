"""The way from a pane to what a structured session says in words: an agent's events, drawn as text. No Textual.

To the pane it looks like a session's link: what arrives is text for a terminal of the pane's own size.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass

from lite.aio.tasks import Job, Jobs
from lite.errors import QuarterdeckError
from lite.recordings.reader import Chunk
from lite.terminal.packets import OUT
from lite.transcripts.lines import Lines
from lite.transcripts.painting import painted
from lite.transcripts.rendering import Renderer
from tui.gateway import Gateway
from tui.sessions import HIGH, LOW, Ended, Event, Fresh, Lost, Output, Preamble

TAIL = 1 << 20  # bytes of a transcript a pane begins with
_PIECE = 256 << 10
_AT_ONCE = 8 << 10  # bytes made text in the loop; more of them in a thread
_NO_CURSOR = b"\x1b[?25l"
_EARLIER = b"\x1b[2m[more above: page up]\x1b[0m\n"
MORE = "in the raw output"


@dataclass(frozen=True, slots=True)
class Unstructured:
    """The session has no transcript: its output is for people."""


class Worded:
    """Bytes of a transcript in, text for a terminal out."""

    def __init__(self, width: int, *, within_line: bool = False) -> None:
        self._lines = Lines(skip_first=within_line)
        self._renderer = Renderer(width=width, more=MORE)

    def __call__(self, data: bytes) -> bytes:
        pieces = [piece for said in self._lines.feed(data) for piece in self._renderer.feed(said)]
        return painted(pieces, colour=True).encode("utf-8", "replace")

    def close(self) -> bytes:
        return painted(self._renderer.close(), colour=True).encode("utf-8", "replace")


class TranscriptLink:
    """One session. `arrived` is called when there is something to `take`; offsets are in the transcript."""

    control = False
    preamble = _NO_CURSOR

    def __init__(self, gateway: Gateway, session: str, size: tuple[int, int], *, arrived: Callable[[], None]) -> None:
        self.session = session
        self.size = size
        self.offset = self.begun = 0
        self._gateway = gateway
        self._arrived = arrived
        self._jobs = Jobs(f"transcript {session}")
        self._job: Job | None = None
        self._queue: deque[tuple[Event | Unstructured, int]] = deque()  # with the offset after it
        self._waiting = 0
        self._room = asyncio.Event()

    def __repr__(self) -> str:
        return f"<TranscriptLink {self.session} at {self.offset}>"

    @property
    def pending(self) -> bool:
        return bool(self._queue)

    # opening and closing

    def open(self, *, control: bool = False, size: tuple[int, int] = (0, 0), fresh: bool = False) -> None:
        """Follow it from near its end on. A transcript takes no keys."""
        del control, size, fresh
        self._begin("")

    def replay(self, ending: str) -> None:
        """Show its end, then `ending`."""
        self._begin(ending)

    def _begin(self, ending: str) -> None:
        self.drop()
        self._job = self._jobs.spawn(self._bring(ending), "bring")

    def drop(self) -> None:
        if self._job is not None:
            self._job.cancel()
        self._queue.clear()
        self._waiting = 0
        self._room.set()

    async def close(self) -> None:
        self.drop()
        await self._jobs.cancel()

    async def _bring(self, ending: str) -> None:
        try:
            end = await self._gateway.transcript_end(self.session)
            if end is None:
                self._put(Unstructured(), 0)
                return
            self.begun = at = max(0, end - TAIL)
            self._put(Fresh(*self.size, end), at)
            self._put(Preamble(_NO_CURSOR), at)
            if at:
                self._put(Output(_EARLIER), at)
            worded = Worded(self.size[0], within_line=at > 0)
            source = self._kept(at, end) if ending else self._gateway.follow_transcript(self.session, at)
            async for data in source:
                at += len(data)
                text = worded(data) if len(data) <= _AT_ONCE else await asyncio.to_thread(worded, data)
                self._put(Output(text), at)
                while self._waiting > HIGH:
                    self._room.clear()
                    await self._room.wait()
            self._put(Output(worded.close()), at)
            self._put(Ended(ending or "the session has ended"), at)
        except (QuarterdeckError, OSError) as error:
            reason = error.message if isinstance(error, QuarterdeckError) else (error.strerror or str(error))
            self._put(Ended(f"{ending}; it cannot be read: {reason}") if ending else Lost(reason), self.offset)

    async def _kept(self, at: int, end: int) -> AsyncIterator[bytes]:
        while at < end and (data := await self._gateway.transcript(self.session, at, _PIECE)):
            at += len(data)
            yield data

    # what arrives

    def take(self) -> Event | Unstructured | None:
        """The oldest event not yet taken."""
        if not self._queue:
            return None
        event, self.offset = self._queue.popleft()
        if isinstance(event, Output):
            self._waiting -= len(event.data)
            if self._waiting <= LOW:
                self._room.set()
        return event

    def put_back(self, data: bytes) -> None:
        """What of the last `Output` there was no time for: it is taken next."""
        self._queue.appendleft((Output(data), self.offset))
        self._waiting += len(data)
        self.offset -= 1

    def _put(self, event: Event | Unstructured, after: int) -> None:
        self._queue.append((event, after))
        if isinstance(event, Output):
            self._waiting += len(event.data)
        self._arrived()

    # what is sent: nothing

    def send(self, data: bytes) -> None: ...

    def resize(self, cols: int, rows: int) -> None: ...


class TranscriptPages:
    """A transcript where `History` expects a recording."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def recording_end(self, session: str) -> tuple[int, int]:
        return 0, await self._gateway.transcript_end(session) or 0

    async def recording(self, session: str, offset: int, limit: int) -> Sequence[Chunk]:
        data = await self._gateway.transcript(session, offset, limit)
        return [(offset, OUT, data)] if data else []
