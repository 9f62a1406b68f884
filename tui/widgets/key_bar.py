"""The keys that do something here and now, in one line; a click presses them.

Textual's own footer is a widget for each key and makes them all anew whenever the focus moves: a fifth of the time to
the first paint.
"""

from __future__ import annotations

from typing import NamedTuple

from rich.cells import cell_len
from rich.text import Text
from textual import events
from textual.app import RenderResult
from textual.screen import Screen
from textual.widget import Widget

from tui.cells import style_of

_GAP = "  "


class Key(NamedTuple):
    key: str  # to be pressed
    shown: str
    text: str
    enabled: bool

    @property
    def width(self) -> int:
        return cell_len(f"{self.shown} {self.text}")


class KeyBar(Widget):
    """Whole keys only, as many as there is room for; the help is always the last."""

    DEFAULT_CSS = "KeyBar { height: 1; padding: 0 1; background: $panel; color: $foreground; }"

    def __init__(self, *, last: str = "question_mark") -> None:
        """`last`: the key that is kept at the right end."""
        super().__init__()
        self._last = last
        self._keys: list[Key] = []
        self._help: Key | None = None

    def on_mount(self) -> None:
        self.screen.bindings_updated_signal.subscribe(self, self._changed)

    def _changed(self, screen: Screen[object]) -> None:
        if screen is not self.screen or not self.app.app_focus:
            return
        keys, last = self._read()
        if (keys, last) != (self._keys, self._help):
            self._keys, self._help = keys, last
            self.refresh()

    def _read(self) -> tuple[list[Key], Key | None]:
        keys: dict[str, Key] = {}
        last, said = None, ""
        for name, active in self.screen.active_bindings.items():
            binding = active.binding
            key = Key(binding.key, self.app.get_key_display(binding), binding.description, active.enabled)
            if name == self._last:
                last, said = key, binding.action
            elif binding.show and binding.description:
                keys.setdefault(binding.action, key)
        keys.pop(said, None)  # another key for the same
        return list(keys.values()), last

    def _places(self) -> list[tuple[int, Key]]:
        """(first column, key) of what is drawn."""
        width = self.size.width
        end = width - (self._help.width + 1 if self._help else 0)
        placed: list[tuple[int, Key]] = []
        x = 0
        for key in self._keys:
            if x + key.width > end:
                break
            placed.append((x, key))
            x += key.width + len(_GAP)
        if self._help is not None and self._help.width <= width:
            placed.append((width - self._help.width, self._help))
        return placed

    def render(self) -> RenderResult:
        strong = style_of("footer-key-foreground", self.app.theme_variables)
        text = Text(no_wrap=True, overflow="crop")
        for x, key in self._places():
            text.append(" " * (x - text.cell_len))
            text.append(key.shown, strong if key.enabled else "dim")
            text.append(f" {key.text}", "" if key.enabled else "dim")
        return text

    def on_click(self, event: events.Click) -> None:
        event.stop()
        at = event.x - self.styles.padding.left
        for x, key in self._places():
            if x <= at < x + key.width and key.enabled:
                self.app.simulate_key(key.key)
