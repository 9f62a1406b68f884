"""What a program says of itself: OSC 7501 (it knows), else its window title (a known habit). Nothing is guessed."""

from __future__ import annotations

import binascii
import re
from typing import NamedTuple

from lite.executors.local.scanner import Osc, Sequence

_MAX_TEXT = 500  # characters of a message
_STATES = {
    b"idle": "idle",
    b"working": "working",
    b"blocked": "waiting",
    b"done": "idle",
    b"error": "idle",
    b"clear": "unknown",
}
# The beginnings of titles, by program. Claude's mark U+2733 is shown both when idle and when it waits: unknown.
_TITLES = (
    (re.compile("[\u25d0\u25d1] "), "working"),
    (re.compile("\u2733 "), "unknown"),
    (re.compile("[\u2801-\u28ff] "), "working"),
    (re.compile(r"\[ ! \] Action Required"), "waiting"),
    (re.compile("\u25c7\ufe0e? +Ready"), "idle"),
    (re.compile("\u2726\ufe0e? +Working"), "working"),
    (re.compile("\u270b\ufe0e? +Action Required"), "waiting"),
)
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]+")


class Said(NamedTuple):
    """`text` is what a waiting program asks, made safe."""

    activity: str
    rule: str
    text: str


class Listener:
    """One authority a session: after the first OSC 7501 state, titles no longer count."""

    def __init__(self) -> None:
        self._official = False
        self._title = b""

    def hear(self, found: Sequence) -> Said | None:
        if not isinstance(found, Osc):
            return None
        if found.number == 7501:
            said = _program_status(found.text)
            self._official = self._official or said is not None
            return said
        if found.number in (0, 2) and not self._official and found.text != self._title:
            self._title = found.text
            return _title(found.text)
        return None


def _program_status(text: bytes) -> Said | None:
    fields = dict(part.partition(b"=")[::2] for part in text.split(b":"))
    activity = _STATES.get(fields.get(b"state", b""))
    if activity is None:
        return None
    try:
        message = binascii.a2b_base64(fields.get(b"msg", b""))
    except binascii.Error:
        message = b""
    return Said(activity, "osc7501", _safe(message) or _safe(fields.get(b"kind", b"")))


def _title(text: bytes) -> Said | None:
    title = text.decode("utf-8", "replace")
    for pattern, activity in _TITLES:
        if pattern.match(title):
            return Said(activity, "title", _safe(text) if activity == "waiting" else "")
    return None


def _safe(text: bytes) -> str:
    return _UNSAFE.sub(" ", text.decode("utf-8", "replace")).strip()[:_MAX_TEXT]
