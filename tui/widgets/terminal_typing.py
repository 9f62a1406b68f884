"""What is typed into a pane, as the bytes its program expects. For short answers: `attach` passes every key exactly."""

from __future__ import annotations

from textual import events

from lite.terminal.emulator import Modes
from lite.terminal.keys import DetachKey

_NAMES = {
    "[": "left_square_bracket",
    "\\": "backslash",
    "]": "right_square_bracket",
    "^": "circumflex_accent",
    "_": "underscore",
    " ": "space",
}


class Typist:
    """Encodes for one pane; `name` is the key that leaves it, as people write it."""

    def __init__(self, leave_key: str) -> None:
        self.name = DetachKey(leave_key).name
        char = (
            leave_key.strip().lower().removeprefix("ctrl-").removeprefix("ctrl+").removeprefix("c-").removeprefix("^")
        )
        char = " " if char == "space" else char
        key = _NAMES.get(char, char)
        self._leave = {f"ctrl+{key}", f"ctrl+{char}"} | ({"ctrl+@", "ctrl+at"} if char == " " else set())

    def leaves(self, key: str) -> bool:
        return key in self._leave

    def key(self, event: events.Key, modes: Modes) -> bytes:
        return (event.character or "").encode()

    def paste(self, text: str, modes: Modes) -> bytes:
        return text.encode()

    def focus(self, focused: bool, modes: Modes) -> bytes:
        return b""

    def mouse(self, event: events.MouseEvent, what: str, x: int, y: int, modes: Modes) -> bytes:
        return b""
