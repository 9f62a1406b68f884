"""What a terminal would make of the output, as far as a holder must know: replies, activity, where to replay."""

from __future__ import annotations

from lite.executors.local.activity import Listener, Said
from lite.executors.local.answers import answer
from lite.executors.local.marks import Marks
from lite.executors.local.scanner import Scanner

_MAX_REPLIES = 1 << 16  # bytes a flood of queries may cost at once


class Screen:
    """Feed every byte in order. `mark` and `preamble` as in `Marks`."""

    def __init__(self) -> None:
        self._scanner, self._marks, self._listener = Scanner(), Marks(), Listener()
        self._said: Said | None = None

    @property
    def mark(self) -> int:
        return self._marks.mark

    @property
    def preamble(self) -> bytes:
        return self._marks.preamble

    @property
    def carried(self) -> int:
        """Bytes of an unfinished sequence that are kept."""
        return len(self._scanner.carry)

    def feed(self, data: bytes, offset: int, cols: int, rows: int) -> tuple[bytes, list[Said]]:
        """Replies to the queries among `data`, in order, and what the program newly said of itself."""
        replies = b""
        news: list[Said] = []
        for found in self._scanner.feed(data, offset):
            self._marks.see(found)
            if len(replies) < _MAX_REPLIES:
                replies += answer(found, cols, rows, self._marks.modes)
            said = self._listener.hear(found)
            if said is not None and said != self._said:
                self._said = said
                news.append(said)
        return replies, news
