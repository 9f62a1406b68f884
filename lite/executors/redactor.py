"""Hides secrets in a stream of bytes, also those that are cut in two. Every holder imports it: it imports nothing.

What is hidden becomes as many stars as it had bytes, so that offsets, columns and files keep their sizes. Bytes that
may be a secret's beginning are kept back until the next ones tell; whoever feeds a redactor calls `flush` when none
come for a while. What was flushed is remembered as long as it may still be a beginning, so that a program that prints
slowly shows a few characters and no more: of a secret, at most what is shorter than `_FEW`.
"""

from __future__ import annotations

from collections.abc import Iterable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_FEW = 8  # bytes; a longer beginning (or half of the whole) is no accident


class Redactor:
    """One stream. `needles` are what to hide, none of them empty. Linear in what is fed; keeps less than a needle."""

    def __init__(self, needles: Iterable[bytes]) -> None:
        self._needles = tuple(dict.fromkeys(needles))
        self._longest = max(map(len, self._needles), default=0)
        self._kept = b""  # as it came: some needle begins with it
        self._told = 0  # bytes of it that were given out already
        self._starred = 0  # bytes of it that belong to something found

    def __repr__(self) -> str:
        return f"<Redactor of {len(self._needles)}, {self.held} held back>"

    @property
    def held(self) -> int:
        """Bytes that were fed and not given out."""
        return len(self._kept) - self._told

    def feed(self, data: bytes) -> bytes:
        """What can be told by now."""
        whole = self._kept + data if self._kept else data
        spans = list(self._spans(whole))
        if self._starred:
            spans.append((0, self._starred))
        keep = self._beginning(whole)
        told, self._told = self._told, max(self._told - keep, 0)
        self._starred = max((end - keep for begin, end in spans if begin <= keep < end), default=0)
        self._kept = whole[keep:]
        return _starred(whole, spans, told, max(keep, told))

    def flush(self) -> bytes:
        """All that is held back: as it is where it is short, as stars where it is most likely a secret's beginning."""
        kept = self._kept
        spans = [(0, self._starred), *self._spans(kept)]
        for needle in self._needles:
            at = _prefix(kept, needle)
            if at >= 0 and len(kept) - at >= min(_FEW, (len(needle) + 1) // 2):
                spans.append((at, len(kept)))
        given = _starred(kept, spans, self._told, len(kept))
        self._told = len(kept)
        return given

    def clean(self, data: bytes) -> bytes:
        """The whole of something at once; nothing is kept back. For a redactor that is fed nothing else."""
        given = self.feed(data) + self.flush()
        self._kept, self._told, self._starred = b"", 0, 0
        return given

    def _spans(self, whole: bytes) -> Iterator[tuple[int, int]]:
        for needle in self._needles:
            at = whole.find(needle)
            while at >= 0:
                yield at, at + len(needle)
                at = whole.find(needle, at + 1)

    def _beginning(self, whole: bytes) -> int:
        """Where the longest end of it begins with which a needle begins; its length when there is none."""
        return min((at for needle in self._needles if (at := _prefix(whole, needle)) >= 0), default=len(whole))


def _prefix(whole: bytes, needle: bytes) -> int:
    """Where the longest end of `whole` begins that is a true beginning of `needle`; -1 when there is none."""
    first = needle[:1]
    at = whole.find(first, max(len(whole) - len(needle) + 1, 0))
    while at >= 0:
        if needle.startswith(whole[at:]):
            return at
        at = whole.find(first, at + 1)
    return -1


def _starred(whole: bytes, spans: list[tuple[int, int]], start: int, end: int) -> bytes:
    """`whole[start:end]` with stars in the spans."""
    if not any(stop > start for _, stop in spans):
        return whole[start:end]
    made = bytearray(whole[:end])
    for begin, stop in spans:
        stop = min(stop, end)
        if begin < stop:
            made[begin:stop] = b"*" * (stop - begin)
    return bytes(made[start:])
