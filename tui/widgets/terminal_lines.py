"""Rows of an emulator as Textual's strips. What a session prints becomes cells here and nothing else: no control, no
link, no markup."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.cells import cell_len, set_cell_size
from rich.color import Color
from rich.segment import Segment
from rich.style import Style as RichStyle
from textual.strip import Strip

from lite.terminal.emulator import PLAIN, TRUE_COLOUR, Row, Run, Style

_MAX_STYLES = 4096  # styles kept; a hostile program has one for each cell
# The sixteen colours programs count on, readable on our backgrounds: Textual's own set has orange for blue
_DARK = (
    "444a73 ff757f 8bd17c ffc777 82aaff c099ff 86e1fc c8d3f5 828bb8 ff9aa2 b6f0a9 ffdca8 a8c5ff d6bcff b2ebff ffffff"
)
_LIGHT = (
    "1b1f2a b3152a 2a7a1f 8f5a00 1f4fbf 6b2fb3 00707a 8a8f9c 5f6473 d0283f 34902a a86f00 3a6be0 8a4fd0 00848f 6b707d"
)
_CUBE = (0, 95, 135, 175, 215, 255)


def _palette(sixteen: str) -> tuple[Color, ...]:
    first = [Color.from_rgb(*bytes.fromhex(each)) for each in sixteen.split()]
    cube = [Color.from_rgb(red, green, blue) for red in _CUBE for green in _CUBE for blue in _CUBE]
    return (*first, *cube, *(Color.from_rgb(grey, grey, grey) for grey in range(8, 248, 10)))


_PALETTES = {True: _palette(_DARK), False: _palette(_LIGHT)}

Span = tuple[int, int, RichStyle]  # first cell, cell after the last, what is laid over


class Painter:
    """Makes strips in the colours of one pane: `base` is how its default cells look."""

    def __init__(self) -> None:
        self._base = RichStyle()
        self._palette = _PALETTES[True]
        self._styles: dict[Style, RichStyle] = {}

    def use(self, base: RichStyle, *, dark: bool = True) -> bool:
        """False: these are the colours in use already."""
        if base == self._base and self._palette is _PALETTES[dark] and self._styles:
            return False
        self._base = base
        self._palette = _PALETTES[dark]
        self._styles = {PLAIN: base}
        return True

    def style(self, style: Style) -> RichStyle:
        found = self._styles.get(style)
        if found is None:
            if len(self._styles) >= _MAX_STYLES:
                self._styles = {PLAIN: self._base}
            found = self._styles[style] = self._made(style)
        return found

    def _made(self, style: Style) -> RichStyle:
        flags: dict[str, Any] = {}
        if style.bold:
            flags["bold"] = True
        if style.dim:
            flags["dim"] = True
        if style.italic:
            flags["italic"] = True
        if style.underline or style.link:
            flags["underline2" if style.underline == 2 else "underline"] = True
        if style.strike:
            flags["strike"] = True
        if style.reverse:
            flags["reverse"] = True
        if style.blink:
            flags["blink"] = True
        looks = RichStyle.from_color(self._colour(style.fg), self._colour(style.bg))
        return self._base + looks + RichStyle(**flags) if flags else self._base + looks

    def _colour(self, value: int | None) -> Color | None:
        if value is None:
            return None
        if value & TRUE_COLOUR:
            return Color.from_rgb(value >> 16 & 255, value >> 8 & 255, value & 255)
        return self._palette[value & 255]

    def strip(self, row: Row, width: int, *, first: int = 0) -> Strip:
        """`width` cells of `row` from cell `first` on; blanks where it has none."""
        segments: list[Segment] = []
        add = segments.append
        at = 0
        left = width
        for run in row:
            text, style, cells = run
            if left <= 0:
                break
            if at + cells <= first:
                at += cells
                continue
            text = _exact(text, cells)
            if style.hidden:
                text = " " * cells
            if at < first:
                text = cut(text, first - at, cells)
                cells -= first - at
                at = first
            at += cells
            if cells > left:
                text, cells = cut(text, 0, left), left
            left -= cells
            add(Segment(text, self.style(style)))
        if left > 0:
            add(Segment(" " * left, self._base))
        return Strip(segments, width)


def _exact(text: str, cells: int) -> str:
    """`text` in exactly so many cells as Textual counts them: what follows must stay in its place."""
    if text.isascii():
        return text if len(text) == cells else text[:cells].ljust(cells)
    return text if cell_len(text) == cells else set_cell_size(text, cells)


def cut(text: str, begin: int, end: int) -> str:
    """The cells from `begin` to `end` of a text; half of a wide character becomes a blank."""
    if text.isascii():
        return text[begin:end]
    out: list[str] = []
    at = 0
    for char in text:
        width = cell_len(char)
        if width == 0:
            if out and begin < at <= end:
                out.append(char)
        elif at >= begin and at + width <= end:
            out.append(char)
        elif at < end and at + width > begin:
            out.append(" " * (min(at + width, end) - max(at, begin)))
        at += width
    return "".join(out)


def laid_over(strip: Strip, spans: Iterable[Span]) -> Strip:
    """`strip` with styles laid over some cells: the cursor, a selection, what a search found."""
    width = strip.cell_length
    for begin, end, style in spans:
        begin, end = max(begin, 0), min(end, width)
        if begin >= end:
            continue
        left, middle, right = _divided(strip, begin, end)
        painted = [Segment(segment.text, (segment.style or RichStyle()) + style) for segment in middle]
        strip = Strip([*left, *painted, *right], width)
    return strip


def _divided(strip: Strip, begin: int, end: int) -> tuple[list[Segment], list[Segment], list[Segment]]:
    parts: tuple[list[Segment], list[Segment], list[Segment]] = ([], [], [])
    at = 0
    for segment in strip:
        cells = cell_len(segment.text)
        for number, (low, high) in enumerate(((0, begin), (begin, end), (end, at + cells))):
            low, high = max(low - at, 0), min(high - at, cells)
            if low < high:
                text = segment.text if (low, high) == (0, cells) else cut(segment.text, low, high)
                parts[number].append(Segment(text, segment.style))
        at += cells
    return parts


def row_cells(row: Row) -> int:
    return sum(run.cells for run in row)


def line_of(text: str) -> Row:
    """A row of our own words."""
    return (Run(text, PLAIN, cell_len(text)),)
