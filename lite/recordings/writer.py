"""Appends to a recording. Never raises for a full disk: what cannot be written becomes a gap, and writing goes on as
soon as it can."""

from __future__ import annotations

import os
import time

from lite.recordings.layout import (
    ENTRY,
    FOLDER,
    HEADER,
    MAGIC,
    MAX_SPAN,
    RESIZED,
    SIZE,
    index_path,
    raw_path,
    segments,
)

_RETRY_MS = 1000  # between attempts to write again after a failure
_TAIL_PARTS = 6  # of `cap / 8` each, after a head of `cap / 4`


class Writer:
    """`end` is the next byte's offset. An existing recording is continued in a new segment.

    With `head` False no first part is kept past the cap: only the tail.
    """

    def __init__(self, directory: str, *, cols: int, rows: int, cap_bytes: int, head: bool = True) -> None:
        self._folder = f"{directory}/{FOLDER}"
        try:
            os.mkdir(self._folder, 0o700)
        except FileExistsError:
            pass
        self._cols, self._rows = cols, rows
        self._cap = max(cap_bytes, 1 << 16)
        self._head = head
        self._firsts = segments(self._folder)
        self.start = self._firsts[0] if self._firsts else 0
        self.end = self._end_of_last()
        self.failing = False
        self._retry_at = 0
        self._raw = self._index = -1
        self._first = self._size = self._room = self._base = 0
        self._kept = sum(self._size_of(first) for first in self._firsts)

    def __repr__(self) -> str:
        return f"<Writer {self._folder} {self.start}..{self.end}{' failing' if self.failing else ''}>"

    def append(self, stream: int, data: bytes, now: int) -> int:
        """Record `data`, which came at `now` (ms since the epoch); returns its offset."""
        offset = self.end
        self.end += len(data)
        if not data or (self.failing and now < self._retry_at):
            return offset
        try:
            if self._raw < 0 or self._size >= self._room or not 0 <= now - self._base <= MAX_SPAN:
                self._open(offset, now)
            os.write(self._index, ENTRY.pack(now - self._base, self._size + len(data), stream))
            self._write(data)
        except OSError:
            self.failing = True
            self._retry_at = now + _RETRY_MS
            self._close()
        return offset

    def resize(self, cols: int, rows: int, now: int) -> int:
        self._cols, self._rows = cols, rows
        return self.append(RESIZED, SIZE.pack(cols, rows), now)

    def close(self) -> None:
        self._close()

    def _write(self, data: bytes) -> None:
        written = os.write(self._raw, data)
        self._size += written
        self._kept += written
        while written < len(data):  # a short write is how a full disk begins
            data = data[written:]
            written = os.write(self._raw, data)
            self._size += written
            self._kept += written

    def _open(self, first: int, now: int) -> None:
        self._close()
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
        index = os.open(index_path(self._folder, first), flags & ~os.O_EXCL | os.O_TRUNC, 0o600)
        try:
            os.write(index, HEADER.pack(MAGIC, now, first, self._cols, self._rows))
            self._raw = os.open(raw_path(self._folder, first), flags, 0o600)
        except OSError:
            os.close(index)
            raise
        self._index = index
        self._first, self._size, self._base = first, 0, now
        self.failing = False
        self._firsts.append(first)
        head = self._head and len(self._firsts) == 1
        self._room = min(self._cap // 4 if head else self._cap // 8, MAX_SPAN - (1 << 20))
        self._drop()

    def _drop(self) -> None:
        """Make room for the segment just opened. The raw file goes first: an index alone is nothing."""
        keep = 1 if self._head else 0
        while len(self._firsts) > keep + 1 and self._kept + self._room > self._cap:
            first = self._firsts.pop(keep)
            self._kept -= self._size_of(first)
            for path in (raw_path(self._folder, first), index_path(self._folder, first)):
                try:
                    os.unlink(path)
                except FileNotFoundError:
                    pass
        self.start = self._firsts[0]

    def _close(self) -> None:
        for descriptor in (self._raw, self._index):
            if descriptor >= 0:
                os.close(descriptor)
        self._raw = self._index = -1

    def _end_of_last(self) -> int:
        return self._firsts[-1] + self._size_of(self._firsts[-1]) if self._firsts else 0

    def _size_of(self, first: int) -> int:
        try:
            return os.stat(raw_path(self._folder, first)).st_size
        except FileNotFoundError:
            return 0


def now_ms() -> int:
    return time.time_ns() // 1_000_000
