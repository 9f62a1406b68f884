"""The file, and what bounds it.

A line is `{"kind", "text", "data", "offset"}`: a `providers.base.EventKind`, `stderr` (a line of it) or `verdict` (how
the program ended, the last line). `offset` is where in the recording the output ended that told of it. `cut`: the text
was so many characters longer.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

FILE = "events.jsonl"
STDERR, VERDICT = "stderr", "verdict"

MAX_TEXT = 256 << 10  # characters of a text
MAX_DATA = 128 << 10  # characters of all strings in a line's data
MAX_LINE = 8 << 20  # bytes; more than any line of ours has
_MAX_STRING = 32 << 10  # characters of one string in the data
_MAX_ITEMS = 200  # of one list or object
_MAX_DEPTH = 12
CUT = "…[cut]"


def transcript_path(directory: str | os.PathLike[str]) -> Path:
    """`directory` is the session's own."""
    return Path(directory) / FILE


def bounded(value: Any) -> Any:
    """`value` as plain JSON of limited size; what is too much is cut and marked."""
    return _bounded(value, [MAX_DATA], _MAX_DEPTH)


def _bounded(value: Any, left: list[int], depth: int) -> Any:
    if value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, int):
        return value if -(1 << 63) <= value < 1 << 64 else CUT
    if left[0] <= 0 or depth <= 0:
        return CUT
    left[0] -= 1
    if isinstance(value, dict):
        found: dict[str, Any] = {}
        for name, one in value.items():
            if len(found) >= _MAX_ITEMS or left[0] <= 0:
                found[CUT] = len(value) - len(found)
                break
            found[_string(str(name), left)] = _bounded(one, left, depth - 1)
        return found
    if isinstance(value, list | tuple):
        items: list[Any] = []
        for one in value:
            if len(items) >= _MAX_ITEMS or left[0] <= 0:
                items.append(CUT)
                break
            items.append(_bounded(one, left, depth - 1))
        return items
    return _string(value if isinstance(value, str) else str(value), left)


def _string(text: str, left: list[int]) -> str:
    most = max(min(_MAX_STRING, left[0]), 0)
    left[0] -= min(len(text), most)
    return text if len(text) <= most else text[:most] + CUT
