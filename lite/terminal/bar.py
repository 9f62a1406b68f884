"""One line of text for the bottom of a terminal, and a title for its window: made harmless, cut to the width."""

from __future__ import annotations

import re
import unicodedata

from lite.terminal.sanitize import SafeStream, safe

LEAST_ROWS = 8  # of a terminal that has room for a bar
MAX_TITLE = 200  # characters
_SGR = re.compile(r"(\x1b\[[0-9;:]*m)")
_LINE_ENDS = str.maketrans("\t\n\r", "   ")


def cells(char: str) -> int:
    """Columns that one character takes: 0, 1 or 2. What terminals disagree about counts as the most of them say."""
    if char.isascii():
        return 1
    if unicodedata.category(char) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def fit(text: str, cols: int) -> tuple[str, int]:
    """(`text` as text and colours only, at most `cols` columns of it, the columns it takes)"""
    stream = SafeStream()
    clean = stream.feed(text.encode("utf-8", "replace")).decode().translate(_LINE_ENDS)
    kept: list[str] = []
    width = 0
    for at, part in enumerate(_SGR.split(clean)):
        if at % 2:
            kept.append(part)
            continue
        for char in part:
            width += cells(char)
            if width > cols:
                return "".join(kept), width - cells(char)
            kept.append(char)
    return "".join(kept), width


def title(text: str) -> bytes:
    """Sets the title of the window."""
    return f"\x1b]2;{safe(text)[:MAX_TITLE]}\x1b\\".encode("utf-8", "replace")


# xterm and its kin keep a stack of titles; elsewhere an empty title makes the terminal choose its own again
TAKE_TITLE = b"\x1b[22;2t"
GIVE_TITLE_BACK = b"\x1b]2;\x1b\\\x1b[23;2t"
