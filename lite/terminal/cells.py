"""What a cell of an emulated screen may show: as many columns as the cell has, wherever it is drawn, and no tricks.

Terminals disagree about clusters (flags, skin tones, joined emoji, variation selectors) and about new characters. A
row drawn with them would push what stands right of it out of its place, so they are taken apart or replaced here.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from unicodedata import category

from lite.terminal.emulator import PLAIN, Row, Run, Style
from lite.terminal.sanitize import safe

REPLACEMENT = "\ufffd"
LONGEST_TITLE = 256
_MARKS = 4  # combining marks kept on one character
_KEPT = 20_000  # replacements remembered; programs use few distinct characters, hostile ones all
_FLAGS = range(0x1F1E6, 0x1F200)  # regional indicators, A to Z
_TONES = range(0x1F3FB, 0x1F400)  # skin tones
_NARROW_IN_TABLES = (0x2E3A, 0x2E3B)  # dashes two columns wide on the screen, one in most tables of widths
_JAMO_LEADS, _JAMO_TAILS = range(0x1100, 0x115F), range(0x1160, 0x1200)
_LINK = re.compile(r"https?://[!-~]{1,2048}\Z", re.IGNORECASE)


class _Shown(dict[int, str]):
    """Code point -> what its cells show; works as a table for `str.translate`."""

    def __init__(self, columns: int) -> None:
        super().__init__()
        self._columns = columns

    def __missing__(self, code: int) -> str:
        if len(self) >= _KEPT:
            self.clear()
        shown = self[code] = _shown(code, self._columns)
        return shown


def _shown(code: int, columns: int) -> str:
    char, blank = chr(code), " " * (columns - 1)
    if code == 0:
        return " " * columns
    if columns == 2:
        if code in _FLAGS:
            return chr(code - _FLAGS.start + ord("A")) + blank
        if code in _TONES:
            return "  "
        if code in _NARROW_IN_TABLES:
            return char + blank
    kind = category(char)
    if kind == "Zs":
        return " " * columns
    if kind == "Mc":  # of no width in most tables, of its own cell on the screen
        return char + " " * columns
    if kind in ("Cc", "Cf", "Cs", "Cn", "Zl", "Zp", "Mn", "Me") or safe(char) != char:
        return REPLACEMENT + blank
    return char


NARROW, WIDE = _Shown(1), _Shown(2)


def marks(base: str, rest: str) -> str:
    """What may be drawn over `base` of what a program put into its cell."""
    kept = [char for char in rest if category(char) in ("Mn", "Me") and not _selects(char) and safe(char) == char]
    if base and ord(base) in _JAMO_LEADS:
        kept += [char for char in rest if ord(char) in _JAMO_TAILS]
    return "".join(kept[:_MARKS])


def _selects(char: str) -> bool:
    """A variation selector: some terminals make two columns of one for it."""
    return "\ufe00" <= char <= "\ufe0f" or "\U000e0100" <= char <= "\U000e01ef" or "\u180b" <= char <= "\u180f"


def safe_link(uri: str) -> str:
    return uri if _LINK.match(uri) else ""


def safe_title(title: str) -> str:
    return safe(title[: 4 * LONGEST_TITLE])[:LONGEST_TITLE].strip()


def join(cells: Sequence[str], pieces: Sequence[tuple[int, Style]]) -> Row:
    """A row from what each cell shows and the columns where another style begins, the first of them 0."""
    whole = isinstance(cells, str)  # a character a cell: nothing to put together
    runs: list[Run] = []
    begin, last = pieces[0]
    for x, style in (*pieces[1:], (len(cells), None)):
        if style != last:
            shown = cells[begin:x]
            runs.append(Run(shown if whole else "".join(shown), last, x - begin))  # type: ignore[arg-type]
            begin, last = x, style  # type: ignore[assignment]
    return trim(runs)


def trim(runs: list[Run]) -> Row:
    """Without plain blanks at the right end."""
    if runs and runs[-1].style == PLAIN:
        text, _, cells = runs.pop()
        shown = text.rstrip(" ")
        if shown and len(shown) < len(text) and category(shown[-1]) == "Mc":
            shown += " "  # its cell, see `_shown`
        if shown:
            runs.append(Run(shown, PLAIN, cells - len(text) + len(shown)))
    return tuple(runs)
