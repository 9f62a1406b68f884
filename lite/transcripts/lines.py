"""Takes a transcript apart: bytes cut anywhere in, what was said out. A line that makes no sense is left out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from lite.transcripts.layout import MAX_LINE


class Said(NamedTuple):
    """One line. `cut`: so many characters of the text are in the recording only."""

    kind: str
    text: str = ""
    data: Mapping[str, Any] = MappingProxyType({})
    offset: int = 0
    cut: int = 0

    def to_json(self) -> dict[str, Any]:
        found: dict[str, Any] = {"kind": self.kind, "text": self.text, "data": dict(self.data), "offset": self.offset}
        return found | {"cut": self.cut} if self.cut else found


class Lines:
    """`skip_first`: the bytes begin somewhere within a line."""

    def __init__(self, *, skip_first: bool = False) -> None:
        self._parts: list[bytes] = []
        self._size = 0
        self._skipping = skip_first

    def feed(self, data: bytes) -> list[Said]:
        """What was completed by these bytes."""
        *whole, rest = data.split(b"\n")
        found: list[Said] = []
        for line in whole:
            if self._parts:
                line, self._parts = b"".join([*self._parts, line]), []
            self._size = 0
            if self._skipping:
                self._skipping = False
            elif line and (said := parsed(line)) is not None:
                found.append(said)
        if rest:
            self._size += len(rest)
            if self._size > MAX_LINE:
                self._skipping, self._parts = True, []
            elif not self._skipping:
                self._parts.append(rest)
        return found


def parsed(line: bytes) -> Said | None:
    try:
        told = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(told, dict) or not isinstance(told.get("kind"), str):
        return None
    text, data = told.get("text"), told.get("data")
    return Said(
        told["kind"],
        text if isinstance(text, str) else "",
        data if isinstance(data, dict) else {},
        _count(told.get("offset")),
        _count(told.get("cut")),
    )


def _count(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else 0
