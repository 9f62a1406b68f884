"""Follows a structured session: bytes to neutral events, kept beside the recording, and what they tell of it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

from lite.model.task import Outcome
from lite.ports import TerminalStream
from lite.recordings.reader import Recording
from lite.terminal import packets
from lite.transcripts.layout import STDERR, VERDICT
from lite.transcripts.writer import Entry, Writer
from providers.base import AgentEvent, Parser, Stream, Verdict
from providers.parsing import LineSplitter, Oversized

log = logging.getLogger(__name__)

_STREAMS: dict[int, Stream] = {packets.OUT: "out", packets.ERR: "err"}
_CHUNK = 1 << 18
_STDERR_LINE = 64 << 10  # bytes; of a longer one the beginning is told


class Transcript:
    """One attempt's. Reading starts at offset 0 also after a re-adoption, so the parser sees every byte once; what it
    finds is written once all the same. Made in the loop; `end` may be called in a thread."""

    def __init__(self, directory: str, parser: Parser, on_event: Callable[[AgentEvent], None]) -> None:
        self.offset = 0  # in the recording
        self._directory = Path(directory)
        self._parser = parser
        self._on_event = on_event
        self._stderr = LineSplitter(_STDERR_LINE)
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()
        self._broken = ""  # why nothing can be written
        self._writer: Writer | None = None
        try:
            self._writer = Writer(directory)
        except OSError as error:
            self._cannot(error)

    def __repr__(self) -> str:
        return f"<Transcript of {self._directory.name} at {self.offset}: {self._writer!r}>"

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return self._writer.end if self._writer is not None else 0

    @property
    def closed(self) -> bool:
        return self._writer is None or self._writer.closed

    async def grown(self, size: int) -> None:
        """Returns once the file is larger, or will never be. In the loop only."""
        while self.size <= size and not self.closed:
            await self._news.wait()

    async def follow(self, stream: TerminalStream) -> None:
        """Consume live output until the session or the connection ends; what is missing is read in `end`."""
        try:
            while (packet := await stream.read()) is not None:
                kind, payload = packet
                if kind == packets.OUTPUT:
                    offset, source, data = packets.parse_output(payload)
                    for event in self._take(offset, source, data):
                        self._on_event(event)
                    self._tell()
                elif kind == packets.EXIT:
                    return
        finally:
            await stream.aclose()

    def end(self, outcome: Outcome) -> Verdict:
        """Read what the live stream did not bring, close the file and give the provider's verdict. In any thread: the
        program has ended, so what it says here calls for nothing any more but the verdict."""
        try:
            recording = Recording(self._directory)
            while chunk := recording.read(self.offset, _CHUNK):
                for offset, source, data in chunk:
                    self._take(offset, source, data)
        except OSError as error:
            log.warning("%s: recording not readable: %s", self._directory, error)
        verdict = self._parser.end(outcome.exit_code, outcome.signal)
        entries = [self._line_of_stderr(line, self.offset) for line in self._stderr.end()]
        told = {"ok": verdict.ok, "reason": str(verdict.reason)}
        self._write([*entries, Entry(VERDICT, verdict.message, told, self.offset)])
        self.close()
        return verdict

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
        self._loop.call_soon_threadsafe(self._tell)

    def _tell(self) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()

    def _take(self, offset: int, source: int, data: bytes) -> list[AgentEvent]:
        events: list[AgentEvent] = []
        if offset + len(data) <= self.offset:
            return events
        if offset < self.offset:
            data = data[self.offset - offset :]
        begin = max(self.offset, offset)
        self.offset = begin + len(data)
        stream = _STREAMS.get(source)
        if stream is None:
            return events
        entries: list[Entry] = []
        for end, part in _by_lines(data):
            found = self._parser.feed(stream, part)
            events.extend(found)
            entries.extend(Entry(event.kind.value, event.text, event.data, begin + end) for event in found)
            if stream == "err":
                entries.extend(self._line_of_stderr(line, begin + end) for line in self._stderr.feed(part))
        self._write(entries)
        return events

    def _line_of_stderr(self, line: bytes | Oversized, offset: int) -> Entry:
        head = line.head if isinstance(line, Oversized) else line
        return Entry(STDERR, head.decode("utf-8", "replace"), {}, offset)

    def _write(self, entries: list[Entry]) -> None:
        if self._writer is None or not entries:
            return
        try:
            self._writer.append(entries)
        except (OSError, ValueError) as error:
            self._cannot(error)
        else:
            self._broken = ""

    def _cannot(self, error: Exception) -> None:
        if str(error) != self._broken:
            self._broken = str(error)
            log.warning("%s: its events are not written: %s", self._directory, error)


def _by_lines(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The lines, each with where it ends, so that an event's offset does not depend on how the output was cut."""
    at = 0
    while (newline := data.find(b"\n", at)) >= 0:
        yield newline + 1, data[at : newline + 1]
        at = newline + 1
    if at < len(data):
        yield len(data), data[at:]
