"""What parsers share: cutting bytes into lines, lines into JSON objects, and keeping the end of stderr.

Bytes may be cut anywhere; whatever the cuts, the same lines come out, in time linear in the bytes.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from providers.base import AgentEvent, EventKind, Failure, Stream, Verdict

MAX_LINE = 32 << 20  # bytes; a longer line is skipped and a marker stands for it
_HEAD_KEPT = 256  # bytes of a skipped line
_STDERR_KEPT = 16 << 10  # bytes
_COUNT_END = 1 << 53


@dataclass(frozen=True, slots=True)
class Oversized:
    """Stands for a line over the limit: its first bytes and its whole length."""

    head: bytes
    size: int


class LineSplitter:
    """Lines without their LF or CR LF. Chunks of an unfinished line are joined once, when it ends."""

    def __init__(self, limit: int = MAX_LINE) -> None:
        self._limit = limit
        self._parts: list[bytes] = []
        self._size = 0  # of the unfinished line, also while it is being skipped
        self._skipped: bytes | None = None  # the head of the line being skipped

    def __repr__(self) -> str:
        return f"<LineSplitter {self._size} bytes unfinished{', skipping' if self._skipped is not None else ''}>"

    def feed(self, data: bytes) -> list[bytes | Oversized]:
        """The lines completed by `data`."""
        lines: list[bytes | Oversized] = []
        at = 0
        while (newline := data.find(b"\n", at)) >= 0:
            self._take(data[at:newline])
            lines.append(self._finish())
            at = newline + 1
        if at < len(data):
            self._take(data[at:] if at else data)
        return lines

    def end(self) -> list[bytes | Oversized]:
        """The last line, if it lacked its newline."""
        return [self._finish()] if self._size else []

    def _take(self, part: bytes) -> None:
        self._size += len(part)
        if self._skipped is not None:
            return
        if self._size > self._limit:
            kept = min(_HEAD_KEPT, self._limit)
            self._skipped = b"".join([*self._parts, part[:kept]])[:kept]
            self._parts = []
        elif part:
            self._parts.append(part)

    def _finish(self) -> bytes | Oversized:
        line: bytes | Oversized
        if self._skipped is not None:
            line = Oversized(self._skipped, self._size)
        else:
            line = b"".join(self._parts).removesuffix(b"\r")
        self._parts, self._size, self._skipped = [], 0, None
        return line


class Tail:
    """The last bytes of a stream, for messages."""

    def __init__(self, limit: int = _STDERR_KEPT) -> None:
        self._limit = limit
        self._kept = bytearray()

    def feed(self, data: bytes) -> None:
        self._kept += data[-self._limit :]
        if len(self._kept) > self._limit:
            del self._kept[: len(self._kept) - self._limit]

    @property
    def text(self) -> str:
        return self._kept.decode("utf-8", "replace").strip()

    @property
    def last_line(self) -> str:
        return self.text.rpartition("\n")[2].strip()


def read_json(line: bytes) -> dict[str, Any] | None:
    """The JSON object in a line, None when it is none. Half surrogates, which no store takes, become `?`."""
    try:
        found = json.loads(line, parse_constant=lambda _: None, parse_float=_finite)
        if isinstance(found, dict) and b"\\ud" in line.lower():
            found = json.loads(json.dumps(found, ensure_ascii=False).encode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _finite(digits: str) -> float | None:
    return number if math.isfinite(number := float(digits)) else None


def text_of(value: object) -> str:
    """A JSON value that should be text; "" for anything else."""
    return value if isinstance(value, str) else ""


def count_of(value: object) -> int | None:
    """A JSON value that should be a count; None for anything else, also for one no store can hold."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _COUNT_END else None


def number_of(value: object) -> float | None:
    """A JSON value that should be an amount; None for anything else."""
    good = isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= sys.float_info.max
    return float(value) if good else None  # type: ignore[arg-type]


def mapping_of(value: object) -> dict[str, Any]:
    """A JSON value that should be an object; empty for anything else."""
    return value if isinstance(value, dict) else {}


class JsonLinesParser:
    """The base of parsers of structured agents: stdout is one JSON object a line, stderr is kept for messages.

    Subclasses turn objects into events and give the verdict. A line that is no object becomes an `unknown` event.
    """

    def __init__(self, *, max_line: int = MAX_LINE) -> None:
        self.stderr = Tail()
        self._lines = LineSplitter(max_line)

    def feed(self, stream: Stream, data: bytes) -> Sequence[AgentEvent]:
        if stream == "err":
            self.stderr.feed(data)
            return ()
        return self._read(self._lines.feed(data))

    def end(self, exit_code: int | None, signal: int | None) -> Verdict:
        for _ in self._read(self._lines.end()):
            pass  # a last line without a newline counts for the verdict, but is nobody's live event any more
        return self.verdict(exit_code, signal)

    def on_object(self, said: dict[str, Any], raw: bytes) -> Iterable[AgentEvent]:
        """The events in one object; yields none for what does not matter."""
        raise NotImplementedError

    def verdict(self, exit_code: int | None, signal: int | None) -> Verdict:
        raise NotImplementedError

    def _read(self, lines: Iterable[bytes | Oversized]) -> list[AgentEvent]:
        events: list[AgentEvent] = []
        for line in lines:
            if isinstance(line, Oversized):
                text = f"a line of {line.size} bytes was skipped"
                events.append(AgentEvent(EventKind.UNKNOWN, text, {"skipped_bytes": line.size}, line.head))
            elif line.strip():
                said = read_json(line)
                if said is None:
                    text = line[:1000].decode("utf-8", "replace")
                    events.append(AgentEvent(EventKind.UNKNOWN, text, {"malformed": True}, line))
                else:
                    events.extend(self.on_object(said, line))
        return events


class ExitCodeParser:
    """For programs whose output is for people: no events, the exit code decides."""

    def feed(self, stream: Stream, data: bytes) -> Sequence[AgentEvent]:
        return ()

    def end(self, exit_code: int | None, signal: int | None) -> Verdict:
        return exit_verdict(exit_code, signal) or Verdict(ok=True)


def exit_verdict(exit_code: int | None, signal: int | None, message: str = "") -> Verdict | None:
    """The verdict on a program that did not exit with 0; None when it did."""
    if signal:
        return Verdict(ok=False, reason=Failure.SIGNAL, message=message or f"ended by signal {signal}")
    if exit_code != 0:
        return Verdict(ok=False, reason=Failure.EXIT, message=message or f"exit code {exit_code}")
    return None
