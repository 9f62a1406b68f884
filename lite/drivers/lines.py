"""What a driver prints: one JSON object a line in neutral words, none over 1 MiB; what is cut says so (`data.cut`).

A secret within a line is the holder's to hide. One told in pieces, a piece a line, only the driver can see.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

from lite.executors.redactor import Redactor
from providers.base import EventKind

MAX_LINE = 1 << 20  # bytes, the newline included
_TEXT_KEPT = 64 << 10  # characters of a text that is too long; escaped they are six times as many at most
_SHAPES = ((1000, 100, 8), (200, 20, 3))  # characters of a string, entries of a list or an object, depth


_IN_PIECES = (EventKind.DELTA, EventKind.THINKING)


class Lines:
    """Writes whole lines to a descriptor; blocks while nobody reads, and so slows the agent down. `needles`: what to
    hide in texts that come in pieces."""

    def __init__(self, descriptor: int = 1, needles: Sequence[bytes] = ()) -> None:
        self._descriptor = descriptor
        self._pieces = {kind: Redactor(needles) for kind in _IN_PIECES} if needles else {}
        self._joined = Redactor(needles)
        self._last: dict[EventKind, Mapping[str, Any]] = {}  # the data of the piece told last

    def say(self, kind: EventKind, text: str = "", data: Mapping[str, Any] | None = None, raw: Any = None) -> None:
        """`raw` is the agent's own message, a JSON value."""
        pieces = self._pieces.get(kind)
        for other in self._pieces:
            if other is not kind:
                self._tell_kept(other)
        if pieces is None:
            self._write(kind, text, data or {}, raw)
            return
        self._last[kind] = data or {}
        shown = pieces.feed(text.encode("utf-8", "replace")).decode("utf-8", "replace")
        if shown or not text:
            self._write(kind, shown, data or {}, raw if shown == text else None)

    def hide(self, text: str) -> str:
        """A message that was put together of pieces, for all that is told of it. The rest of a secret may begin it."""
        if not self._pieces:
            return text
        data = text.encode("utf-8", "replace")
        return (self._joined.feed(data) + self._joined.flush()).decode("utf-8", "replace")

    def _tell_kept(self, kind: EventKind) -> None:
        """What may be the beginning of a secret, and nothing of its kind came after it."""
        if self._pieces[kind].held:
            shown = self._pieces[kind].flush().decode("utf-8", "replace")
            self._write(kind, shown, self._last[kind], None)

    def _write(self, kind: EventKind, text: str, data: Mapping[str, Any], raw: Any) -> None:
        view = memoryview(encode(kind, text, data, raw))
        while view:
            view = view[os.write(self._descriptor, view) :]


def encode(kind: EventKind, text: str, data: Mapping[str, Any], raw: Any) -> bytes:
    """The line, shortened where it must be: first `raw`, then the text, then `data`."""
    line = _line(kind, text, data, raw)
    if len(line) <= MAX_LINE:
        return line
    cut: dict[str, int] = {"bytes": len(line)}
    for characters, entries, depth in _SHAPES:
        raw = _shortened(raw, characters, entries, depth)
        line = _line(kind, text, {**data, "cut": cut}, raw)
        if len(line) <= MAX_LINE:
            return line
    raw = None
    if len(text) > _TEXT_KEPT:
        text, cut["text"] = shortened(text, _TEXT_KEPT), len(text)
    for characters, entries, depth in _SHAPES:
        data = {key: _shortened(value, characters, entries, depth) for key, value in data.items()}
        line = _line(kind, text, {**data, "cut": cut}, None)
        if len(line) <= MAX_LINE:
            return line
    plain = {key[:100]: value for key, value in list(data.items())[:50] if isinstance(value, int | float | str | None)}
    return _line(kind, text, {**plain, "cut": cut}, None)


def shortened(text: str, characters: int) -> str:
    """The beginning, and how much is missing."""
    if len(text) <= characters:
        return text
    return f"{text[:characters]}\n[cut: {len(text) - characters} more characters]"


def _line(kind: EventKind, text: str, data: Mapping[str, Any], raw: Any) -> bytes:
    said: dict[str, Any] = {"kind": kind.value, "text": text, "data": data}
    if raw is not None:
        said["raw"] = raw
    return json.dumps(said, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace") + b"\n"


def _shortened(value: Any, characters: int, entries: int, depth: int) -> Any:
    if isinstance(value, str):
        return shortened(value, characters)
    if isinstance(value, dict):
        if depth == 0:
            return f"[cut: {len(value)} entries]"
        kept = list(value.items())[:entries]
        return {key[:characters]: _shortened(one, characters, entries, depth - 1) for key, one in kept}
    if isinstance(value, list):
        if depth == 0:
            return f"[cut: {len(value)} entries]"
        return [_shortened(one, characters, entries, depth - 1) for one in value[:entries]]
    return value
