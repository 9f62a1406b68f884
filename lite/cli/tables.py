"""Tables for people: aligned, cut to the terminal's width, one harmless line a row."""

from __future__ import annotations

from lite.cli.style import paint
from lite.terminal.sanitize import safe

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_GAP = "  "
_TELLING = 24  # columns that a cut text needs to say something


class Cell:
    """One value of a row, with the name of its colour."""

    __slots__ = ("colour", "text")

    def __init__(self, text: str, colour: str = "") -> None:
        self.text = text
        self.colour = colour


def render(
    head: Sequence[str],
    rows: Sequence[Sequence[Cell | str]],
    *,
    width: int | None,
    colour: bool,
    spare: Sequence[str] = (),
    whole: int = 0,
) -> list[str]:
    """The lines of the table. `width` None (not a terminal): nothing is cut. Columns that are empty throughout go,
    but for the first two; when it is too wide, the columns named in `spare` go one by one, then the widest are
    shortened, but for the first `whole`."""
    cells = [[_clean(cell) for cell in row] for row in rows]
    kept = [at for at in range(len(head)) if at < 2 or any(row[at].text for row in cells)]
    head = [head[at] for at in kept]
    cells = [[row[at] for at in kept] for row in cells]
    widths = [max([len(title), *(columns(row[at].text) for row in cells)]) for at, title in enumerate(head)]
    if width is not None:
        for title in spare:
            if title in head and _readable(widths) > width:
                at = head.index(title)
                del head[at], widths[at]
                for row in cells:
                    del row[at]
        _shrink(widths, [len(title) for title in head], width - len(_GAP) * (len(head) - 1), whole)
    lines = [_line([Cell(title, "dim") for title in head], widths, colour)]
    return lines + [_line(row, widths, colour) for row in cells]


def columns(text: str) -> int:
    """How many terminal columns `text` takes."""
    if text.isascii():
        return len(text)
    import unicodedata

    total = 0
    for char in text:
        if char < "\u0300":
            total += 1
        elif not (unicodedata.combining(char) or unicodedata.category(char) in ("Mn", "Me", "Cf")):
            total += 2 if unicodedata.east_asian_width(char) in "WF" else 1
    return total


def cut(text: str, width: int) -> str:
    """`text` in at most `width` columns, with `…` where something is missing."""
    if columns(text) <= width:
        return text
    kept, used = "", 0
    for char in text:
        used += columns(char)
        if used > width - 1:
            break
        kept += char
    return kept + "…" if width > 0 else ""


def _clean(cell: Cell | str) -> Cell:
    return Cell(safe(cell)) if isinstance(cell, str) else Cell(safe(cell.text), cell.colour)


def _readable(widths: Sequence[int]) -> int:
    """The width at which only the widest column is shortened, and still says something."""
    return sum(widths) - max(max(widths) - _TELLING, 0) + len(_GAP) * (len(widths) - 1)


def _shrink(widths: list[int], least: list[int], room: int, whole: int) -> None:
    while sum(widths) > room:
        candidates = [at for at, width in enumerate(widths) if at >= whole and width > max(least[at], 8)]
        if not candidates:
            return
        widths[max(candidates, key=lambda at: widths[at])] -= 1


def _line(row: Sequence[Cell], widths: Sequence[int], colour: bool) -> str:
    parts = []
    for at, (cell, width) in enumerate(zip(row, widths, strict=True)):
        text = cut(cell.text, width)
        padding = "" if at == len(widths) - 1 else " " * (width - columns(text))
        parts.append((paint(text, cell.colour) if colour and cell.colour else text) + padding)
    return _GAP.join(parts).rstrip()
