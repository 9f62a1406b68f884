"""A piece of text marked in a terminal: where it is drawn, and what is copied."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from rich.cells import cell_len

from lite.terminal.emulator import Row, plain
from lite.terminal.sanitize import safe_text
from tui.widgets.terminal_lines import cut, row_cells

MOST = 1 << 20  # characters copied at once; more than terminals take


class Place(NamedTuple):
    """A cell. Lines grow downwards, whatever they are counted from."""

    line: int
    x: int


class Marked(NamedTuple):
    """From one cell to another, both included."""

    anchor: Place
    head: Place

    @property
    def first(self) -> Place:
        return min(self.anchor, self.head)

    @property
    def last(self) -> Place:
        return max(self.anchor, self.head)

    def cells_of(self, line: int, width: int) -> tuple[int, int] | None:
        """(first cell, cell after the last) that are marked on a line."""
        first, last = self.first, self.last
        if not first.line <= line <= last.line:
            return None
        begin = first.x if line == first.line else 0
        end = last.x + 1 if line == last.line else width
        return (begin, end) if begin < end else None


def copied(marked: Marked, rows: Iterable[tuple[int, Row]]) -> str:
    """The text of the marked cells of (line, row) from the top. It comes from cells and is made safe once more."""
    lines: list[str] = []
    size = 0
    for line, row in rows:
        if not marked.first.line <= line <= marked.last.line:
            continue
        span = marked.cells_of(line, max(row_cells(row), marked.last.x + 1))
        text = plain(row)
        found = "" if span is None else cut(text, span[0], span[1]).rstrip(" ")
        lines.append(found)
        size += len(found) + 1
        if size > MOST:
            break
    return safe_text("\n".join(lines))


def cells_at(text: str, begin: int, end: int) -> tuple[int, int]:
    """The cells of some characters of a line."""
    first = cell_len(text[:begin])
    return first, first + cell_len(text[begin:end])
