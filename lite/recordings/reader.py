"""Reads a recording, also while it is written, and whatever moment its writer was killed at.

Binary search in the index; no state is kept between calls but the folder's name.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import NamedTuple

from lite.recordings.layout import (
    ENTRY,
    ERR,
    FOLDER,
    HEADER,
    MAGIC,
    OUT,
    index_path,
    raw_path,
    segments,
)

Chunk = tuple[int, int, bytes]  # offset, stream, bytes
_BATCH = 1024  # entries read at once


class Entry(NamedTuple):
    """One append. `time` is ms since the epoch."""

    time: int
    offset: int
    stream: int
    data: bytes


class Header(NamedTuple):
    """How it began."""

    time: int
    cols: int
    rows: int


class Recording:
    """The recording in a session's directory. Every method answers for this moment."""

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        self._folder = os.path.join(os.fspath(directory), FOLDER)

    def __repr__(self) -> str:
        return f"<Recording {self._folder} {self.start()}..{self.end()}>"

    def header(self) -> Header | None:
        """Of the first segment kept; None when nothing is recorded."""
        for first in segments(self._folder):
            with _Segment(self._folder, first) as segment:
                if segment.readable:
                    return Header(segment.time, segment.cols, segment.rows)
        return None

    def start(self) -> int:
        """The first offset kept."""
        firsts = segments(self._folder)
        return firsts[0] if firsts else 0

    def end(self) -> int:
        """The offset after the last byte kept."""
        firsts = segments(self._folder)
        return firsts[-1] + _size(self._folder, firsts[-1]) if firsts else 0

    def size(self) -> int:
        """Bytes kept."""
        return sum(_size(self._folder, first) for first in segments(self._folder))

    def gaps(self) -> list[tuple[int, int]]:
        """What is not kept between start and end, as (from, to)."""
        found = []
        at: int | None = None
        for first in segments(self._folder):
            if at is not None and first > at:
                found.append((at, first))
            at = first + _size(self._folder, first)
        return found

    def read(self, offset: int, limit: int) -> list[Chunk]:
        """About `limit` bytes from `offset` on, in order; a jump between offsets is a gap; empty at the end.

        Neighbouring appends of output are joined; nothing else is.
        """
        chunks: list[Chunk] = []
        parts: list[bytes] = []
        begun = end = stream = taken = 0
        for entry in self.entries(offset):
            joins = parts and entry.stream == stream and entry.offset == end and stream <= ERR
            if parts and not joins:
                chunks.append((begun, stream, b"".join(parts)))
                parts = []
            if not parts:
                begun, stream = entry.offset, entry.stream
            data = entry.data[: limit - taken]
            parts.append(data)
            end = entry.offset + len(entry.data)
            taken += len(data)
            if taken >= limit:
                break
        if parts:
            chunks.append((begun, stream, b"".join(parts)))
        return chunks

    def entries(self, offset: int = 0) -> Iterator[Entry]:
        """The appends from `offset` on, one by one, with their times."""
        for first in segments(self._folder):
            if first + _size(self._folder, first) <= offset:
                continue
            with _Segment(self._folder, first) as segment:
                yield from segment.entries(max(offset - first, 0))


class _Segment:
    """One open segment; gone meanwhile (dropped by the writer): empty."""

    def __init__(self, folder: str, first: int) -> None:
        self.first = first
        self.time = self.cols = self.rows = 0
        self.readable = False
        self._raw = self._index = -1
        try:
            self._raw = os.open(raw_path(folder, first), os.O_RDONLY | os.O_CLOEXEC)
            self.readable = True
            self._index = os.open(index_path(folder, first), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return
        head = os.pread(self._index, HEADER.size, 0)
        if len(head) == HEADER.size and head[:8] == MAGIC:
            _, self.time, _, self.cols, self.rows = HEADER.unpack(head)
        else:
            os.close(self._index)
            self._index = -1

    def __enter__(self) -> _Segment:
        return self

    def __exit__(self, *_: object) -> None:
        for descriptor in (self._raw, self._index):
            if descriptor >= 0:
                os.close(descriptor)

    def entries(self, position: int) -> Iterator[Entry]:
        if not self.readable:
            return
        number = self._find(position)
        time, stream = self.time, OUT
        while True:
            block = b""
            if self._index >= 0:
                block = os.pread(self._index, _BATCH * ENTRY.size, HEADER.size + number * ENTRY.size)
                block = block[: len(block) - len(block) % ENTRY.size]
            if not block:
                break
            for delta, end, stream in ENTRY.iter_unpack(block):
                number += 1
                time = self.time + delta
                if end <= position:
                    continue
                data = os.pread(self._raw, end - position, position)
                if data:
                    yield Entry(time, self.first + position, stream, data)
                    position += len(data)
        while data := os.pread(self._raw, 1 << 16, position):  # bytes the index does not know: a torn index
            yield Entry(time, self.first + position, OUT, data)
            position += len(data)

    def _find(self, position: int) -> int:
        """The number of the first entry that ends after `position`."""
        if self._index < 0:
            return 0
        low, high = 0, (os.fstat(self._index).st_size - HEADER.size) // ENTRY.size
        while low < high:
            middle = (low + high) // 2
            entry = os.pread(self._index, ENTRY.size, HEADER.size + middle * ENTRY.size)
            if ENTRY.unpack(entry)[1] <= position:
                low = middle + 1
            else:
                high = middle
        return low


def _size(folder: str, first: int) -> int:
    try:
        return os.stat(raw_path(folder, first)).st_size
    except FileNotFoundError:
        return 0
