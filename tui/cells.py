"""One line of foreign text made to fit a number of terminal cells, and its colours. No widgets."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import NamedTuple

from rich.cells import cell_len, set_cell_size
from rich.style import Style
from rich.text import Text
from textual.color import Color, ColorParseError

from lite.terminal.sanitize import safe, safe_text

ELLIPSIS = "…"
MUTED, STRONG = "muted", "strong"  # the roles that are no colours
_PLAIN = Style()
_WEIGHTS = {MUTED: Style(dim=True), STRONG: Style(bold=True)}
_LONGEST = 512  # characters looked at; no line is wider
# Terminals disagree about the width of what these join, and a wrong width shifts the rest of the line.
_JOINERS = re.compile("[\u200c\u200d\ufe0e\ufe0f]")
# One accent on a letter is language; a heap of them draws over the lines around.
_MARK = "[\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]"
_HEAP = re.compile(f"({_MARK}{{2}}){_MARK}+")


class Piece(NamedTuple):
    """Text with the role of its colour: the name of a theme variable, "" for none."""

    text: str
    role: str = ""


def line(text: str) -> str:
    """The beginning of `text` as one harmless line whose width terminals agree about."""
    if text.isascii() and text.isprintable():
        return text[:_LONGEST]
    return _HEAP.sub(r"\1", _JOINERS.sub("", safe(text[:_LONGEST])))


def paragraphs(text: str) -> str:
    """`text` as harmless lines, of any length, whose widths terminals agree about. Tabs stay."""
    return _HEAP.sub(r"\1", _JOINERS.sub("", safe_text(text)))


def clip(text: str, width: int) -> str:
    """`text`, a `line`, in at most `width` cells; an ellipsis says that something was cut."""
    if width <= 0:
        return ""
    if cell_len(text) <= width:
        return text
    return set_cell_size(text, width - 1).rstrip() + ELLIPSIS


def fit(text: str, width: int) -> str:
    """`text`, a `line`, in exactly `width` cells."""
    text = clip(text, width)
    return text + " " * (width - cell_len(text))


def width_of(pieces: Iterable[Piece]) -> int:
    return sum(cell_len(piece.text) for piece in pieces)


def coloured(pieces: Iterable[Piece], colours: Mapping[str, str]) -> Text:
    """`colours`: role -> colour; a role without one is drawn plain."""
    text = Text(no_wrap=True, end="")
    for piece in pieces:
        text.append(piece.text, style_of(piece.role, colours))
    return text


def style_of(role: str, colours: Mapping[str, str]) -> Style:
    return _WEIGHTS.get(role) or _style(colours.get(role, ""))


@lru_cache(256)
def _style(colour: str) -> Style:
    try:
        return Style(color=Color.parse(colour).rich_color) if colour else _PLAIN
    except ColorParseError:  # `auto 60%` and other words of stylesheets
        return _PLAIN
