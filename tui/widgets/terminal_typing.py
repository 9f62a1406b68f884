"""What is typed into a pane, as the bytes its program expects. For short answers: `attach` passes every key exactly."""

from __future__ import annotations

from textual import events

from lite.terminal.emulator import Modes
from lite.terminal.input import Mouse, encode_focus, encode_key, encode_mouse, encode_paste, from_textual_name
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
        self.name = DetachKey(leave_key).name.strip()
        char = self.name.lower()
        for prefix in ("ctrl-", "ctrl+", "c-", "^"):
            if len(char) > len(prefix) and char.startswith(prefix):
                char = char[len(prefix) :]
                break
        char = " " if char in ("space", "@") else char
        self._leave = {f"ctrl+{char}", f"ctrl+{_NAMES.get(char, char)}"}
        if char == " ":
            self._leave |= {"ctrl+@", "ctrl+at"}

    def leaves(self, key: str) -> bool:
        return key in self._leave

    def key(self, event: events.Key, modes: Modes) -> bytes:
        found = from_textual_name(event.key, event.character)
        return b"" if found is None else encode_key(found, modes)

    def paste(self, text: str, modes: Modes) -> bytes:
        return encode_paste(text, modes)

    def focus(self, focused: bool, modes: Modes) -> bytes:
        return encode_focus(focused, modes)

    def mouse(self, event: events.MouseEvent, x: int, y: int, modes: Modes) -> bytes:
        """`x` and `y` in cells of the session's screen."""
        held = (event.shift, event.meta, event.ctrl)
        if isinstance(event, events.MouseScrollUp | events.MouseScrollDown):
            wheel = 4 if isinstance(event, events.MouseScrollUp) else 5
            return encode_mouse(Mouse("press", wheel, x, y, *held), modes)
        if isinstance(event, events.MouseDown):
            return encode_mouse(Mouse("press", event.button, x, y, *held), modes)
        if isinstance(event, events.MouseUp):
            return encode_mouse(Mouse("release", event.button, x, y, *held), modes)
        return encode_mouse(Mouse("move", event.button, x, y, *held), modes)
