"""What a pane shows of a session's screen, which may be larger or smaller than the pane. No Textual."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from lite.terminal.emulator import Emulator, Modes, Row

SCROLLBACK = 500  # rows; so that a screen made smaller and larger again has its lines back. History has its own
_NO_MODES = Modes()
_ENDS_FRAME = b"\x1b[?2026l"

MakeEmulator = Callable[[int, int], Emulator]


class Shown(NamedTuple):
    """The cursor in cells of the pane."""

    x: int
    y: int
    shape: str


class Picture:
    """The rows as of the last `look`: bytes fed meanwhile do not show before the next one."""

    def __init__(self, make: MakeEmulator) -> None:
        self.rows: list[Row] = []
        self.cursor: Shown | None = None
        self.top = 0  # the screen's row that is the pane's first
        self._make = make
        self._emulator: Emulator | None = None
        self._size = (0, 0)
        self._all = True

    def __repr__(self) -> str:
        return f"<Picture of {self._emulator!r} from row {self.top}>"

    @property
    def alive(self) -> bool:
        return self._emulator is not None

    @property
    def fast(self) -> bool:
        return self._emulator is None or self._emulator.capabilities.fast

    @property
    def screen_size(self) -> tuple[int, int]:
        """(cols, rows) of the session; 0, 0 when there is none."""
        return (self._emulator.cols, self._emulator.rows) if self._emulator is not None else (0, 0)

    @property
    def modes(self) -> Modes:
        return self._emulator.modes if self._emulator is not None else _NO_MODES

    @property
    def title(self) -> str:
        return self._emulator.title if self._emulator is not None else ""

    def begin(self, cols: int, rows: int) -> None:
        """A new terminal; what was shown stays until the next `look`."""
        self.close()
        self._emulator = self._make(cols, rows)
        self.top = 0

    def feed(self, data: bytes) -> None:
        if self._emulator is not None:
            self._emulator.feed(data)

    def feed_frame(self, data: bytes) -> bytes:
        """Feed up to where a synchronized frame ends, and return the rest; all of it when none ends here."""
        at = data.find(_ENDS_FRAME)
        cut = len(data) if at < 0 else at + len(_ENDS_FRAME)
        self.feed(data[:cut])
        return data[cut:]

    def resize(self, cols: int, rows: int) -> None:
        if self._emulator is not None:
            self._emulator.resize(cols, rows)
            self._all = True

    def close(self) -> None:
        """Give the emulator back; the rows stay as they were."""
        if self._emulator is not None:
            self._emulator.close()
            self._emulator = None
        self._all = True

    def clear(self) -> None:
        self.close()
        self.rows, self.cursor, self.top = [], None, 0

    def look(self, width: int, height: int) -> list[int]:
        """Take over what is new; the pane's lines that look different now, ascending."""
        emulator = self._emulator
        if emulator is None:
            return []
        dirty = emulator.dirty()
        cursor, rows = emulator.cursor, emulator.rows
        top = self._anchored(cursor.y, rows, height)
        shown = min(rows - top, height)
        changed: set[int] = set()
        if self._all or top != self.top or (width, height) != self._size or len(self.rows) != shown:
            self._all, self.top, self._size = False, top, (width, height)
            self.rows = [emulator.row(top + y) for y in range(shown)]
            changed.update(range(height))
        else:
            for y in dirty:
                if top <= y < top + shown:
                    row = emulator.row(y)
                    if row != self.rows[y - top]:
                        self.rows[y - top] = row
                        changed.add(y - top)
        before, self.cursor = self.cursor, None
        if cursor.visible and cursor.x < width and 0 <= cursor.y - top < shown:
            self.cursor = Shown(cursor.x, cursor.y - top, cursor.shape)
        if before != self.cursor:
            changed.update(where.y for where in (before, self.cursor) if where is not None and where.y < height)
        return sorted(changed)

    def _anchored(self, cursor: int, rows: int, height: int) -> int:
        """The top row: moved no farther than the cursor makes necessary, so that nothing jumps about; a pane of another
        height begins anew, else one that has grown would go on hiding what now fits."""
        top = min(self.top, cursor) if height == self._size[1] else 0
        top = max(top, cursor - height + 1)
        return max(0, min(top, rows - height))
