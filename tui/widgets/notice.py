"""One line for the newest thing worth telling: a configuration rejected, a worker gone. It leaves by itself."""

from __future__ import annotations

from collections.abc import Callable

from textual import events
from textual.app import RenderResult
from textual.widget import Widget

from tui.cells import Piece, clip, coloured, line
from tui.state import Fleet

STAYS = 20_000  # ms


class Notice(Widget):
    """Hidden while there is nothing to tell; a click sends it away."""

    DEFAULT_CSS = """
    Notice { height: 1; padding: 0 1; background: $panel; color: $warning; display: none; }
    """

    def __init__(self, now: Callable[[], int], *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._now = now
        self._text = ""
        self._known = ""  # what the fleet said last, so that it is told once
        self._until = 0

    def show(self, fleet: Fleet) -> None:
        if fleet.notice != self._known:
            self._known = fleet.notice
            self._tell(fleet.notice)
        else:
            self.tick()

    def tick(self) -> None:
        if self._text and self._now() >= self._until:
            self._tell("")

    def next_change(self) -> int | None:
        """ms until the notice leaves; None when there is none."""
        return max(1, self._until - self._now()) if self._text else None

    def on_click(self, event: events.Click) -> None:
        event.stop()
        self._tell("")

    def render(self) -> RenderResult:
        return coloured([Piece(clip(f"! {self._text}", self.size.width))], {})

    def _tell(self, text: str) -> None:
        self._text = line(text)
        self._until = self._now() + STAYS
        self.display = bool(self._text)
        self.refresh()
