"""Lines of coloured pieces larger than the screen: scrolled both ways, only those in sight are drawn."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rich.segment import Segment
from rich.style import Style
from textual.geometry import Region, Size, Spacing
from textual.scroll_view import ScrollView
from textual.strip import Strip

from tui.cells import Piece, style_of, width_of

CHOSEN = "chosen"  # the role of what is under the cursor

LineOf = Callable[[int], Sequence[Piece]]


class Canvas(ScrollView, can_focus=True):
    """`draw(width, height, line_of)`: the pieces of a line are asked for when it comes into sight."""

    DEFAULT_CSS = "Canvas { background: $background; scrollbar-size: 1 1; }"
    ALLOW_SELECT = False

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._line_of: LineOf = lambda y: ()
        self._rows = 0

    def draw(self, width: int, height: int, line_of: LineOf) -> None:
        """Show other lines. Cells outside of the given width are cut."""
        self._line_of = line_of
        self._rows = height
        self.virtual_size = Size(width, height)
        self.refresh()

    def bring_into_sight(self, x: int, y: int, width: int = 1, *, hidden: Spacing | None = None) -> None:
        """`hidden`: what lies over the edges of the canvas."""
        self.scroll_to_region(Region(x, y, width, 1), spacing=hidden, animate=False, force=True)

    def at(self, x: int, y: int) -> tuple[int, int]:
        """The place on the canvas of a place in the widget."""
        offset = self.scroll_offset
        return x + offset.x, y + offset.y

    def render_line(self, y: int) -> Strip:
        row = y + self.scroll_offset.y
        pieces = self._line_of(row) if 0 <= row < self._rows else ()
        return self.strip(pieces, self.scroll_offset.x, self.width)

    @property
    def width(self) -> int:
        """Cells of a line in sight."""
        return self.scrollable_content_region.width or self.size.width

    def strip(self, pieces: Sequence[Piece], left: int, width: int) -> Strip:
        """`width` cells of a line, from the column `left` on."""
        base = self.rich_style
        segments = [Segment(piece.text, base + self._style(piece.role)) for piece in pieces if piece.text]
        return Strip(segments, width_of(pieces)).crop_extend(left, left + width, base)

    def _style(self, role: str) -> Style:
        chosen = role.startswith(CHOSEN)
        style = style_of(role.removeprefix(CHOSEN).strip(), self.app.theme_variables)
        return style + Style(reverse=True) if chosen else style
