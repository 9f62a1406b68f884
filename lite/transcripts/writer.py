"""Keeps a transcript. What is read of it stays true: the file only grows, except for a line that was never whole."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any, NamedTuple

from lite.transcripts.layout import MAX_TEXT, VERDICT, bounded, transcript_path

CAP = 64 << 20  # bytes of a file; past it only what a person must know is kept
_LAST = CAP // 16  # bytes past the cap after which nothing is written any more
_NEEDED = frozenset({"needs_user", "result", VERDICT})
_SHORT = 4096  # characters of a text past the cap
_BLOCK = 256 << 10


class Entry(NamedTuple):
    """One line to be."""

    kind: str
    text: str
    data: Mapping[str, Any]
    offset: int


class Writer:
    """A file that is there already is gone on with: its writer was killed, and now the same output is parsed again from
    its beginning. What was written is then left out, a last line that is not whole is taken away. Raises OSError."""

    def __init__(self, directory: str | os.PathLike[str], *, cap: int = CAP) -> None:
        self._cap = cap
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        self._file = os.open(transcript_path(directory), flags, 0o600)
        self.end = 0  # bytes
        self._known = -1  # all with a smaller offset are written already,
        self._skipped = 0  # and so many with this one
        self._ended = False  # there is a verdict
        self._full = False
        try:
            self._resume()
        except OSError:
            self.close()
            raise

    def __repr__(self) -> str:
        return f"<Writer of a transcript, {self.end} bytes{' closed' if self._file < 0 else ''}>"

    @property
    def closed(self) -> bool:
        return self._file < 0

    def append(self, entries: list[Entry]) -> None:
        """All of them in one write; after an error none is there, and the next ones are tried again."""
        if self._file < 0:
            return
        lines = [line for entry in entries if self._is_new(entry) for line in self._lines(entry)]
        if not lines:
            return
        data = b"".join(lines)
        try:
            if os.write(self._file, data) != len(data):
                raise OSError("the disk is full")
        except OSError:
            os.ftruncate(self._file, self.end)
            raise
        self.end += len(data)

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _is_new(self, entry: Entry) -> bool:
        if entry.kind == VERDICT:
            fresh, self._ended = not self._ended, True
            return fresh
        if entry.offset < self._known:
            return False
        if entry.offset == self._known and self._skipped > 0:
            self._skipped -= 1
            return False
        return True

    def _lines(self, entry: Entry) -> list[bytes]:
        if self.end < self._cap:
            return [line_of(entry)]
        found = []
        if not self._full:
            self._full = True
            found.append(line_of(Entry("unknown", "", {"full": True}, entry.offset)))
        if entry.kind in _NEEDED and self.end < self._cap + min(_LAST, self._cap):
            found.append(line_of(entry._replace(data={}), _SHORT))
        return found

    # going on

    def _resume(self) -> None:
        size = os.fstat(self._file).st_size
        kept = b""
        at = size
        while at > 0:  # backwards, as far as lines are of the last offset
            begin = max(at - _BLOCK, 0)
            kept = os.pread(self._file, at - begin, begin) + kept
            at = begin
            whole, newline, _ = kept.rpartition(b"\n")
            lines = whole.split(b"\n") if newline else []
            if at > 0:
                lines = lines[1:]  # its beginning is farther up
            if lines and self._settle(lines, complete=at == 0):
                break
        self.end = at + kept.rfind(b"\n") + 1
        if self.end < size:
            os.ftruncate(self._file, self.end)
        self._full = self.end >= self._cap

    def _settle(self, lines: list[bytes], *, complete: bool) -> bool:
        """From the file's last lines: False when there may be more of the last offset before them."""
        offset, count = -1, 0
        self._ended = False
        for line in reversed(lines):
            told = _read(line)
            if told is None:
                continue
            if told.get("kind") == VERDICT:
                self._ended = True
                continue
            found = told.get("offset")
            if not isinstance(found, int) or (told.get("data") or {}) == {"full": True}:
                continue
            if offset < 0:
                offset = found
            elif found != offset:
                complete = True
                break
            count += 1
        self._known, self._skipped = offset, count
        return complete


def line_of(entry: Entry, most: int = MAX_TEXT) -> bytes:
    """With its newline."""
    line: dict[str, Any] = {"kind": entry.kind, "text": entry.text[:most], "data": bounded(dict(entry.data))}
    line["offset"] = entry.offset
    if len(entry.text) > most:
        line["cut"] = len(entry.text) - most
    return json.dumps(line, ensure_ascii=False, default=str).encode("utf-8", "replace") + b"\n"


def _read(line: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
