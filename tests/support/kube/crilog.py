"""A container's log as containerd keeps it and the kubelet reads it (CRI logging format).

What is easy to forget: a line enters the log when its newline has come, when more than 16 KiB of it are held (then as
a partial record of exactly 16 KiB) or when the stream ends. And a line's end is stored as one newline: of the "\\r\\n"
which a terminal makes, the "\\r" is dropped.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

_READ = 4096  # containerd reads in pieces of this size
_LONGEST = 16_384  # bytes of one record


@dataclass(frozen=True, slots=True)
class Record:
    at: str  # RFC 3339 with nanoseconds, UTC
    stream: str
    full: bool  # ends a line
    text: bytes

    @property
    def shown(self) -> bytes:
        """As the API returns it."""
        return self.text + b"\n" if self.full else self.text


class LogWriter:
    """One container's file; each stream is buffered by itself."""

    def __init__(self, path: Path, now: Callable[[], str]) -> None:
        self.path = path
        self.records: list[Record] = []
        self.closed = False
        self._now = now
        self._raw: dict[str, bytes] = {}  # not yet read by containerd's reader
        self._held: dict[str, bytes] = {}  # read, not yet written
        self._file = path.open("ab", buffering=0)

    def feed(self, stream: str, data: bytes) -> None:
        raw = self._raw.get(stream, b"") + data
        while raw:
            end = raw.find(b"\n", 0, _READ)
            if end >= 0:
                line, raw = raw[:end], raw[end + 1 :]
                self._take(stream, line[:-1] if line.endswith(b"\r") else line)
                self._write(stream, full=True)
            elif len(raw) >= _READ:
                cut = _READ - 1 if raw[_READ - 1 : _READ] == b"\r" else _READ
                self._take(stream, raw[:cut])
                raw = raw[cut:]
            else:
                break
        self._raw[stream] = raw

    def end(self, stream: str) -> None:
        """What is left without a newline is written as a partial record."""
        self._take(stream, self._raw.pop(stream, b""))
        if self._held.get(stream):
            self._write(stream, full=False)

    def close(self) -> None:
        self.closed = True
        self._file.close()

    def _take(self, stream: str, data: bytes) -> None:
        held = self._held.get(stream, b"") + data
        if len(held) > _LONGEST:
            self._held[stream] = held[:_LONGEST]
            self._write(stream, full=False)
            held = held[_LONGEST:]
        self._held[stream] = held

    def _write(self, stream: str, *, full: bool) -> None:
        record = Record(self._now(), stream, full, self._held.pop(stream, b""))
        self.records.append(record)
        tag = b"F" if full else b"P"
        self._file.write(b"%s %s %s %s\n" % (record.at.encode(), stream.encode(), tag, record.text))


@dataclass(frozen=True, slots=True)
class Reading:
    """What a request for a log asks for."""

    since: str = ""  # the earliest time, as in a record
    tail: int | None = None  # lines
    limit: int | None = None  # bytes
    timestamps: bool = False

    def first(self, records: list[Record]) -> int:
        """The place of the first record, by tail."""
        if self.tail is None:
            return 0
        if self.tail == 0:
            return len(records)
        lines = 0
        for place in range(len(records) - 1, -1, -1):
            if records[place].full and (lines := lines + 1) > self.tail:
                return place + 1
            if place == len(records) - 1 and not records[place].full:
                lines += 1  # the last line has no end yet
        return 0

    def show(self, record: Record, after_partial: bool) -> bytes:
        if self.since and record.at < self.since:
            return b""
        stamp = f"{record.at} ".encode() if self.timestamps and not after_partial else b""
        return stamp + record.shown
