"""A session's recording as lines, from its present back to its beginning, a page at a time. No Textual.

Lines are numbered by depth: 0 is the newest, so a number stays true when older pages are read. A page is a piece of the
recording that begins with a whole line, replayed in an emulator of its own; what is on it depends on nothing but where
it begins and ends, so pages can be forgotten and made again. Full-screen programs leave no lines: of them the last
frame is kept.
"""

from __future__ import annotations

import asyncio
import re
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from lite.recordings.layout import SIZE
from lite.recordings.reader import Chunk
from lite.terminal.emulator import Emulator, Row, plain
from lite.terminal.packets import ERR, OUT, RESIZED

WINDOW = 512 << 10  # bytes of a page
NEWEST = 1 << 20  # bytes the newest page may have, if it then is exactly what the pane shows
LINES = 20_000  # line ends of a page
KEPT = 6  # pages kept as lines
_READ = 256 << 10
_ALTERNATE = re.compile(rb"\x1b\[\?(?:1049|1047|47)([hl])")
_CLEARS_HISTORY = b"\x1b[3J"  # what was printed was printed: the recording forgets nothing

MakeEmulator = Callable[[int, int, int], Emulator]


class Pages(Protocol):
    """The part of a `Gateway` that is needed here."""

    async def recording(self, session: str, offset: int, limit: int) -> Sequence[Chunk]: ...

    async def recording_end(self, session: str) -> tuple[int, int]: ...


class Words(Protocol):
    """What is recorded in, what is shown out."""

    def __call__(self, data: bytes) -> bytes: ...

    def close(self) -> bytes: ...


def _emulator(cols: int, rows: int, scrollback: int) -> Emulator:
    from lite.terminal.emulators import make_emulator

    return make_emulator(cols, rows, scrollback=scrollback)


@dataclass(frozen=True, slots=True)
class Page:
    """Where it lies in the recording, and what is needed to make it again."""

    begin: int
    end: int
    alternate: bool  # it begins on the alternate screen
    preamble: bytes
    newest: bool
    lines: int


class Match(NamedTuple):
    depth: int
    begin: int  # in characters of the line
    end: int


class History:
    """Frozen at the moment of `open`. One coroutine at a time; `row` answers for what is in memory."""

    def __init__(
        self,
        gateway: Pages,
        session: str,
        size: tuple[int, int],
        *,
        begun: int = -1,
        preamble: bytes = b"",
        cooked: bool = False,
        words: Callable[[], Words] | None = None,
        make: MakeEmulator = _emulator,
    ) -> None:
        self._gateway = gateway
        self._session = session
        self._size = size
        self._begun = begun
        self._preamble = preamble
        self._cooked = cooked  # its line ends need returns
        self._words = words  # makes what turns a page's bytes into text for a terminal
        self._make = make
        self._pages: list[Page] = []  # the newest first
        self._kept: OrderedDict[int, list[Row]] = OrderedDict()  # page -> lines, the oldest first
        self._start = self._end = 0
        self._lock = asyncio.Lock()

    def __repr__(self) -> str:
        return f"<History of {self._session}: {self.total} lines on {len(self._pages)} pages>"

    @property
    def total(self) -> int:
        """Lines known so far."""
        return sum(page.lines for page in self._pages)

    @property
    def complete(self) -> bool:
        """The beginning of what is kept has been reached."""
        return bool(self._pages) and self._pages[-1].begin <= self._start

    @property
    def read_bytes(self) -> int:
        return self._end - self._pages[-1].begin if self._pages else 0

    async def open(self) -> None:
        """Raises what the gateway does."""
        async with self._lock:
            self._start, self._end = await self._gateway.recording_end(self._session)
            await self._older()

    async def reach(self, depth: int) -> bool:
        """Have the line in memory. False: there are not so many."""
        async with self._lock:
            while depth >= self.total and not self.complete:
                await self._older()
            if depth < 0 or depth >= self.total:
                return False
            number, _ = self._where(depth)
            await self._lines(number)
            return True

    def row(self, depth: int) -> Row | None:
        """None: not in memory, or beyond the end; see `reach`."""
        if not 0 <= depth < self.total:
            return None
        number, index = self._where(depth)
        lines = self._kept.get(number)
        return None if lines is None else lines[index]

    async def find(self, needle: str, depth: int, *, older: bool) -> Match | None:
        """The nearest line with `needle` beyond `depth`: of several places in it the first. Small letters find both."""
        fits = _finder(needle)
        if not needle:
            return None
        first = depth + 1 if older else depth - 1
        while True:
            async with self._lock:
                while first >= self.total and not self.complete:
                    await self._older()
                if first < 0 or first >= self.total:
                    return None
                number, index = self._where(first)
                lines = await self._lines(number)
            found = await asyncio.to_thread(_search, lines, index, older, fits)
            if found is not None:
                at, begin, end = found
                return Match(first + (index - at), begin, end)
            first = first + index + 1 if older else first - (len(lines) - index)

    def _where(self, depth: int) -> tuple[int, int]:
        """(page, index of the line on it, from the top)."""
        for number, page in enumerate(self._pages):
            if depth < page.lines:
                return number, page.lines - 1 - depth
            depth -= page.lines
        raise IndexError(depth)

    async def _lines(self, number: int) -> list[Row]:
        lines = self._kept.get(number)
        if lines is None:
            page = self._pages[number]
            chunks = await self._chunks(page.begin, page.end)
            lines = await asyncio.to_thread(self._replay, chunks, page.alternate, page.preamble, page.newest)
            self._keep(number, lines)
        else:
            self._kept.move_to_end(number)
        return lines

    def _keep(self, number: int, lines: list[Row]) -> None:
        self._kept[number] = lines
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)

    async def _older(self) -> None:
        """Read the page before the oldest known one."""
        newest = not self._pages
        end = self._end if newest else self._pages[-1].begin
        preamble = b""
        if newest and self._start <= self._begun <= end and end - self._begun <= NEWEST:
            begin, preamble, whole = self._begun, self._preamble, True
        else:
            begin, whole = max(self._start, end - WINDOW), False
        chunks = await self._chunks(begin, end)
        begin, chunks = _whole_lines(chunks, begin, cut=not whole and begin > self._start)
        alternate = False
        if not preamble:
            toggle = _first_toggle(chunks)
            after = bool(self._pages) and self._pages[-1].alternate
            alternate = after if toggle is None else toggle == b"l"
        lines = await asyncio.to_thread(self._replay, chunks, alternate, preamble, newest)
        self._pages.append(Page(begin, end, alternate, preamble, newest, len(lines)))
        self._keep(len(self._pages) - 1, lines)

    async def _chunks(self, begin: int, end: int) -> list[Chunk]:
        found: list[Chunk] = []
        at = begin
        while at < end:
            more = await self._gateway.recording(self._session, at, min(_READ, end - at))
            if not more:
                break
            for offset, stream, data in more:
                if offset >= end:
                    return found
                found.append((offset, stream, data[: end - offset]))
                at = offset + len(data)
        return found

    def _replay(self, chunks: Sequence[Chunk], alternate: bool, preamble: bytes, newest: bool) -> list[Row]:
        """In a thread."""
        cols, rows = self._size
        size = sum(len(data) for _, _, data in chunks)
        emulator = self._make(cols, rows, LINES + size // max(cols, 1) + rows)
        words = self._words() if self._words is not None else None
        try:
            emulator.feed(preamble or (b"\x1b[?1049h" if alternate else b""))
            for _, stream, data in chunks:
                if stream in (OUT, ERR):
                    data = words(data) if words is not None else data.replace(_CLEARS_HISTORY, b"")
                    emulator.feed(data.replace(b"\n", b"\r\n") if self._cooked else data)
                elif stream == RESIZED and len(data) == SIZE.size:
                    emulator.resize(*SIZE.unpack(data))
            if words is not None:
                emulator.feed(words.close().replace(b"\n", b"\r\n"))
            return _lines_of(emulator, newest)
        finally:
            emulator.close()


def _lines_of(emulator: Emulator, newest: bool) -> list[Row]:
    frame: list[Row] = []
    if emulator.modes.alternate:
        frame = [emulator.row(y) for y in range(emulator.rows)] if newest else []
        emulator.feed(b"\x1b[?1049l")
    found = [emulator.history_row(index) for index in range(emulator.scrollback)]
    screen = [emulator.row(y) for y in range(emulator.rows)]
    if not newest or frame:
        last = max((y for y, row in enumerate(screen) if row), default=-1)
        screen = screen[: max(last + 1, emulator.cursor.y)]
    return found + screen + frame


def _whole_lines(chunks: list[Chunk], begin: int, *, cut: bool) -> tuple[int, list[Chunk]]:
    """Without the line `begin` lies within (with `cut`), and at most `LINES` lines: (where it begins now, rest)."""
    ends = 0
    for number in range(len(chunks) - 1, -1, -1):
        _, stream, data = chunks[number]
        if stream not in (OUT, ERR):
            continue
        here = data.count(b"\n")
        if ends + here > LINES:
            at = len(data)
            for _ in range(LINES - ends + 1):
                at = data.rindex(b"\n", 0, at)
            return _from(chunks, number, at + 1)
        ends += here
    if cut:
        for number, (_, stream, data) in enumerate(chunks):
            at = data.find(b"\n") if stream in (OUT, ERR) else -1
            if at >= 0 and ends > 1:
                return _from(chunks, number, at + 1)
    return begin, chunks


def _from(chunks: list[Chunk], number: int, at: int) -> tuple[int, list[Chunk]]:
    offset, stream, data = chunks[number]
    return offset + at, [(offset + at, stream, data[at:]), *chunks[number + 1 :]]


def _first_toggle(chunks: Sequence[Chunk]) -> bytes | None:
    for _, stream, data in chunks:
        if stream == OUT:
            found = _ALTERNATE.search(data)
            if found is not None:
                return found[1]
    return None


def _finder(needle: str) -> Callable[[str], tuple[int, int] | None]:
    flags = 0 if needle != needle.lower() else re.IGNORECASE
    pattern = re.compile(re.escape(needle), flags)

    def fits(text: str) -> tuple[int, int] | None:
        found = pattern.search(text)
        return found.span() if found else None

    return fits


def matches(needle: str, text: str) -> list[tuple[int, int]]:
    """Every place of `needle` in one line."""
    if not needle:
        return []
    flags = 0 if needle != needle.lower() else re.IGNORECASE
    return [found.span() for found in re.finditer(re.escape(needle), text, flags)]


def _search(
    lines: Sequence[Row], index: int, older: bool, fits: Callable[[str], tuple[int, int] | None]
) -> tuple[int, int, int] | None:
    """From `index` towards the top or the bottom of a page. In a thread."""
    for at in range(index, -1, -1) if older else range(index, len(lines)):
        found = fits(plain(lines[at]))
        if found is not None:
            return at, *found
    return None
