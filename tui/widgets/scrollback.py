"""Looking back: what part of a session's history a pane shows, its cursor, what is marked and searched for in it."""

from __future__ import annotations

from collections.abc import Callable

from lite.aio.tasks import Job, Jobs
from lite.errors import QuarterdeckError
from lite.terminal.emulator import Row, plain
from tui.scroll_pages import History, matches
from tui.widgets.terminal_lines import row_cells
from tui.widgets.terminal_marks import MOST, Marked, Place, cells_at, copied
from tui.wording import short

READING = "reading…"


class Scrollback:
    """A line is named by -depth, so that lines grow downwards. `changed` is called when something looks different."""

    def __init__(self, history: History, changed: Callable[[], None]) -> None:
        self.history = history
        self.at = Place(0, 0)
        self.marked: Marked | None = None
        self.needle = ""
        self.note = ""
        self._bottom = 0  # the depth of the last line of the pane
        self._width = self._height = 1
        self._changed = changed
        self._jobs = Jobs("scrollback")
        self._job: Job | None = None
        self._filling = False

    def __repr__(self) -> str:
        return f"<Scrollback at {self.at} of {self.history!r}>"

    async def open(self) -> None:
        """Raises what the gateway does."""
        await self.history.open()

    async def close(self) -> None:
        await self._jobs.cancel()

    # what is shown

    def fit(self, width: int, height: int) -> None:
        self._width, self._height = max(width, 1), max(height, 1)
        self._look()

    def line_at(self, y: int) -> int:
        """The line of one of the pane's rows; fewer lines than rows begin at the top."""
        shown = min(self._height, max(self.history.total - self._bottom, 0))
        if self.history.complete and shown < self._height and self._bottom == 0:
            return -(self.history.total - 1 - y)
        return -(self._bottom + self._height - 1 - y)

    def row_at(self, y: int) -> Row | None:
        """None: not read yet, or nothing there."""
        line = self.line_at(y)
        return self.history.row(-line) if line <= 0 else None

    def found_at(self, y: int) -> list[tuple[int, int]]:
        """The cells in which the needle was found on a row."""
        row = self.row_at(y) if self.needle else None
        if not row:
            return []
        text = plain(row)
        return [cells_at(text, *span) for span in matches(self.needle, text)]

    def marked_at(self, y: int) -> tuple[int, int] | None:
        return None if self.marked is None else self.marked.cells_of(self.line_at(y), self._width)

    @property
    def remark(self) -> str:
        """Where we are, for the border."""
        total = self.history.total
        of = f"{total}" if self.history.complete else f"{total}+"
        where = f"line {max(total + self.at.line, 0)} of {of}"
        return f"{where} · {self.note}" if self.note else where

    @property
    def at_end(self) -> bool:
        return self._bottom == 0

    # moving

    def move(self, lines: int, cells: int = 0) -> None:
        self._go(-self.at.line - lines, self.at.x + cells)

    def page(self, pages: float) -> None:
        lines = round(pages * max(self._height - 1, 1))
        self._go(-self.at.line - lines, self.at.x, self._bottom - lines)

    def wheel(self, lines: int) -> None:
        """Moves what is seen, and the cursor with it to that edge."""
        self._go(self._bottom - lines if lines > 0 else self._bottom + self._height - 1 - lines, self.at.x)

    def to_cell(self, x: int | None) -> None:
        """None: the last one of the line."""
        if x is None:
            row = self.history.row(-self.at.line)
            x = max(row_cells(row) - 1, 0) if row else 0
        self._place(-self.at.line, x)

    def to_top(self) -> None:
        self._cancel()
        self._job = self._jobs.spawn(self._reach(None, 0), "reach")

    def to_bottom(self) -> None:
        self._go(0, 0)

    def point(self, y: int, x: int) -> Place:
        """The place under the mouse."""
        line = max(min(self.line_at(y), 0), 1 - max(self.history.total, 1))
        return Place(line, max(min(x, self._width - 1), 0))

    def _cancel(self) -> None:
        """One thing at a time, the newest."""
        if self._job is not None:
            self._job.cancel()
        self.note = ""

    def _go(self, depth: int, x: int, bottom: int | None = None) -> None:
        self._cancel()
        depth = max(depth, 0)
        if self.history.row(depth) is not None:
            self._place(depth, x, bottom)
        else:
            self._job = self._jobs.spawn(self._reach(depth, x, bottom), "reach")

    async def _reach(self, depth: int | None, x: int, bottom: int | None = None) -> None:
        history = self.history
        try:
            while not history.complete and (depth is None or depth >= history.total):
                self._say(READING)
                await history.reach(history.total)
            depth = max(history.total - 1, 0) if depth is None else min(depth, max(history.total - 1, 0))
            await history.reach(depth)
        except QuarterdeckError as error:
            self._say(short(error.message))
            return
        self.note = ""
        self._place(depth, x, bottom)

    def _place(self, depth: int, x: int, bottom: int | None = None) -> None:
        """`bottom`: where the pane is to end, as far as the cursor allows it."""
        if bottom is not None:
            most = self.history.total - self._height if self.history.complete else bottom
            self._bottom = max(min(bottom, most), 0)
        self.at = Place(-depth, max(min(x, self._width - 1), 0))
        if self.marked is not None:
            self.marked = self.marked._replace(head=self.at)
        self._look()

    def _look(self) -> None:
        """The cursor's line on the pane; read what is missing there."""
        depth = -self.at.line
        self._bottom = max(min(self._bottom, depth), depth - self._height + 1)
        missing = [
            there
            for there in (self._bottom, self._bottom + self._height - 1)
            if self.history.row(there) is None and (there < self.history.total or not self.history.complete)
        ]
        if missing and not self._filling:
            self._filling = True
            self._jobs.spawn(self._fill(missing), "fill")
        self._changed()

    async def _fill(self, missing: list[int]) -> None:
        try:
            for depth in missing:
                await self.history.reach(depth)
        except QuarterdeckError as error:
            self.note = short(error.message)
        finally:
            self._filling = False
        self._changed()

    def _say(self, note: str) -> None:
        self.note = note
        self._changed()

    # searching

    def look_for(self, needle: str) -> None:
        """The newest place from here upwards."""
        self.needle = needle
        self._changed()
        if needle:
            self._seek(-self.at.line - 1, older=True)

    def again(self, *, older: bool) -> None:
        if self.needle:
            self._seek(-self.at.line, older=older)

    def _seek(self, depth: int, *, older: bool) -> None:
        self._cancel()
        self._job = self._jobs.spawn(self._find(depth, older), "search")

    async def _find(self, depth: int, older: bool) -> None:
        self._say("searching…")
        try:
            found = await self.history.find(self.needle, depth, older=older)
            if found is None:
                self._say(f"not found {'above' if older else 'below'}: {short(self.needle, 40)}")
                return
            await self.history.reach(found.depth)
        except QuarterdeckError as error:
            self._say(short(error.message))
            return
        self.note = ""
        row = self.history.row(found.depth)
        self._place(found.depth, cells_at(plain(row), found.begin, found.end)[0] if row else 0)

    # marking and copying

    def mark(self) -> None:
        """Begin to mark at the cursor, or stop it."""
        self.marked = None if self.marked is not None else Marked(self.at, self.at)
        self._changed()

    async def take(self) -> str:
        """The marked text, or the cursor's line."""
        marked = self.marked or Marked(Place(self.at.line, 0), Place(self.at.line, 1 << 20))
        rows: list[tuple[int, Row]] = []
        size = 0
        for line in range(marked.first.line, marked.last.line + 1):
            row = self.history.row(-line)
            if row is None:
                await self.history.reach(-line)
                row = self.history.row(-line)
            rows.append((line, row or ()))
            size += sum(len(run.text) for run in row or ())
            if size > MOST:
                break
        return copied(marked, rows)
