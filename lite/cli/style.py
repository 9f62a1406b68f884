"""Colours and badges. A badge tells a state by shape, letter and colour, so that any one of the three will do."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TextIO

_CODES = {
    "bold": "1",
    "dim": "2",
    "red": "31",
    "green": "32",
    "yellow": "33",
    "blue": "34",
    "magenta": "35",
    "cyan": "36",
}
# state or activity -> (shape, letter, colour)
BADGES = {
    "queued": ("○", "Q", "blue"),
    "running": ("●", "R", "cyan"),
    "succeeded": ("✓", "S", "green"),
    "failed": ("✗", "F", "red"),
    "cancelled": ("⊘", "C", "magenta"),
    "skipped": ("↷", "K", "dim"),
    "waiting": ("?", "W", "yellow"),
}


def wants_colour(choice: str, stream: TextIO) -> bool:
    """`--color` first, then NO_COLOR and TERM=dumb, then whether `stream` is a terminal."""
    if choice != "auto":
        return choice == "always"
    if os.environ.get("NO_COLOR") or os.environ.get("TERM", "dumb") == "dumb":
        return False
    return stream.isatty()


def paint(text: str, colour: str) -> str:
    return f"\x1b[{_CODES[colour]}m{text}\x1b[0m" if colour and text else text


def badge(state: str) -> str:
    """`● R running`; a state nobody told us of stands for itself."""
    shape, letter, _ = BADGES.get(state, ("·", "-", ""))
    return f"{shape} {letter} {state}"


def colour_of(state: str) -> str:
    return BADGES.get(state, ("", "", ""))[2]
