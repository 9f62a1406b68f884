"""Follows a structured session: bytes to neutral events, written beside the recording, and what they tell of it."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path

from lite.model.task import Outcome
from lite.ports import TerminalStream
from lite.recordings.reader import Recording
from lite.terminal import packets
from providers.base import AgentEvent, Parser, Stream, Verdict

log = logging.getLogger(__name__)

_STREAMS: dict[int, Stream] = {packets.OUT: "out", packets.ERR: "err"}
_CHUNK = 1 << 18


class Transcript:
    """One attempt's. Reading starts at offset 0 also after a re-adoption, so the parser sees every byte once."""

    def __init__(self, directory: str, parser: Parser, on_event: Callable[[AgentEvent], None]) -> None:
        self.offset = 0
        self._directory = Path(directory)
        self._parser = parser
        self._on_event = on_event
        self._file = (self._directory / "events.jsonl").open("w", encoding="utf-8")

    async def follow(self, stream: TerminalStream) -> None:
        """Consume live output until the session or the connection ends; what is missing is read in `end`."""
        try:
            while (packet := await stream.read()) is not None:
                kind, payload = packet
                if kind == packets.OUTPUT:
                    offset, source, data = packets.parse_output(payload)
                    self._take(offset, source, data)
                elif kind == packets.EXIT:
                    return
        finally:
            await stream.aclose()

    def end(self, outcome: Outcome) -> Verdict:
        """Read what the live stream did not bring, close the file and give the provider's verdict."""
        try:
            recording = Recording(self._directory)
            while chunk := recording.read(self.offset, _CHUNK):
                for offset, source, data in chunk:
                    self._take(offset, source, data)
        except OSError as error:
            log.warning("%s: recording not readable: %s", self._directory, error)
        verdict = self._parser.end(outcome.exit_code, outcome.signal)
        self._file.close()
        return verdict

    def close(self) -> None:
        self._file.close()

    def _take(self, offset: int, source: int, data: bytes) -> None:
        if offset + len(data) <= self.offset:
            return
        if offset < self.offset:
            data = data[self.offset - offset :]
        self.offset = max(self.offset, offset) + len(data)
        stream = _STREAMS.get(source)
        if stream is None:
            return
        for event in self._parser.feed(stream, data):
            self._write(event)
            self._on_event(event)

    def _write(self, event: AgentEvent) -> None:
        line = {"kind": event.kind.value, "text": event.text, "data": dict(event.data), "offset": self.offset}
        try:
            self._file.write(json.dumps(line, default=str) + "\n")
            self._file.flush()
        except OSError as error:
            log.warning("%s: events.jsonl not written: %s", self._directory, error)
