"""A list of one-line rows with a cursor, of any length: only what is in sight is built, only what changed redrawn."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.content import Content
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.widget import Widget

from tui.cells import style_of
from tui.widgets.fleet_lines import Line

if TYPE_CHECKING:
    from typing import Self

_MARGIN = 2  # lines kept in sight above and below the cursor


class _Built(NamedTuple):
    """A line, and all it was built from."""

    made_of: tuple[object, ...]
    expires: int | None  # ms since the epoch
    strip: Strip


class LineList(ScrollView, can_focus=True):
    """Subclasses say how many rows there are, what a row is made of, and how its line reads."""

    ALLOW_SELECT = False
    COMPONENT_CLASSES: ClassVar[set[str]] = {"line-list--cursor", "line-list--marked"}
    DEFAULT_CSS = """
    LineList {
        background: $surface; color: $foreground; overflow-x: hidden; scrollbar-size-vertical: 1;
        border: round $foreground 25%; border-title-color: $text-muted; border-subtitle-color: $text-muted;
    }
    LineList:focus { border: round $border; border-title-color: $foreground; }
    LineList > .line-list--marked { background: $secondary 15%; }
    LineList > .line-list--cursor { background: $panel; }
    LineList:focus > .line-list--cursor { background: $primary 25%; }
    """

    class Sooner(Message):
        """An age has come into sight that changes before all that were: ask `next_change()` again."""

    def __init__(self, now: Callable[[], int], *, id: str | None = None) -> None:
        """`now`: ms since the epoch."""
        super().__init__(id=id)
        self._now = now
        self._cursor = 0
        self._built: dict[str, _Built] = {}
        self._shown: dict[int, Strip] = {}  # line in sight -> what was given to the screen last
        self._styles: dict[tuple[str, str], Style] = {}
        self._due: int | None = None  # ms since the epoch, as `next_change` said it
        self._border = ["", ""]
        self._only: Region | None = None

    # what subclasses supply

    def row_count(self) -> int:
        raise NotImplementedError

    def row_key(self, index: int) -> str:
        raise NotImplementedError

    def row_marked(self, index: int) -> bool:
        raise NotImplementedError

    def row_made_of(self, index: int) -> tuple[object, ...]:
        """All that decides how the line of this row reads, but for cursor, mark and time."""
        raise NotImplementedError

    def row_line(self, index: int, now: int, gutter: str) -> Line:
        raise NotImplementedError

    def cursor_moved(self) -> None:
        """The cursor is on another row, or another row is under the cursor."""

    def clicked(self, event: events.Click, index: int, x: int) -> None:
        """`x`: cell of the line."""

    # the cursor

    @property
    def cursor(self) -> int:
        """Index of the row under it; 0 in an empty list."""
        return self._cursor

    def move_cursor(self, index: int) -> None:
        self._cursor = max(0, min(index, self.row_count() - 1))
        self._bring_into_sight()
        self.redraw()
        self.cursor_moved()

    @property
    def page(self) -> int:
        """Lines in sight, at least 1."""
        return max(1, self.scrollable_content_region.height)

    def _bring_into_sight(self) -> None:
        height = self.page
        margin = min(_MARGIN, (height - 1) // 2)
        top = round(self.scroll_y)
        top = max(min(top, self._cursor - margin), self._cursor - height + 1 + margin)
        if top != round(self.scroll_y):
            self.scroll_to(y=top, animate=False, force=True)

    # rows have changed

    def rows_changed(self, cursor: int) -> None:
        """Other rows than before; the cursor's stands at index `cursor` now and keeps its line on the screen."""
        offset = self._cursor - round(self.scroll_y)
        seen = 0 <= offset < self.page
        self._cursor = max(0, min(cursor, self.row_count() - 1))
        size = Size(self.scrollable_content_region.width, self.row_count())
        if size != self.virtual_size:
            # not by assignment, which would lay out the whole screen and draw every line again
            self.set_reactive(Widget.virtual_size, size)
            if self.is_attached:
                self._scroll_update(size)
        if seen:
            self.scroll_to(y=self._cursor - offset, animate=False, force=True)
        self.redraw()

    def redraw(self) -> None:
        """Give the screen the lines in sight that read differently now."""
        height = self.scrollable_content_region.height
        top = round(self.scroll_y)
        now = self._now()
        changed = [y for y in range(height) if self._strip(top + y, now) is not self._shown.get(y)]
        if len(changed) * 2 > height:
            self.refresh(self.size.region)
        elif changed:
            self.refresh(*(Region(0, y, self.size.width, 1) for y in changed))
        due = self._soonest() if changed else None
        if due is not None and (self._due is None or due < self._due):
            self._due = due
            self.post_message(self.Sooner())

    def tick(self) -> None:
        self.redraw()

    def next_change(self) -> int | None:
        """ms until an age in sight reads differently, at least 1; None when none will."""
        self._due = self._soonest()
        return None if self._due is None else max(1, self._due - self._now())

    def _soonest(self) -> int | None:
        top = round(self.scroll_y)
        keys = [self.row_key(index) for index in range(top, min(top + self.page, self.row_count()))]
        dues = [built.expires for key in keys if (built := self._built.get(key)) and built.expires is not None]
        return min(dues, default=None)

    # drawing

    def render_line(self, y: int) -> Strip:
        strip = self._strip(round(self.scroll_y) + y, self._now())
        self._shown[y] = strip
        return strip

    def _strip(self, index: int, now: int) -> Strip:
        width = self.scrollable_content_region.width
        if not 0 <= index < self.row_count():
            return self._blank(width)
        key = self.row_key(index)
        kind = "cursor" if index == self._cursor else "marked" if self.row_marked(index) else ""
        made_of = (width, kind, self.row_marked(index), *self.row_made_of(index))
        built = self._built.get(key)
        if built is None or built.made_of != made_of or (built.expires is not None and now >= built.expires):
            gutter = "◆" if self.row_marked(index) else "▌" if kind == "cursor" else " "
            text = self.row_line(index, now, gutter)
            strip = self._styled(text, kind, width)
            if built is not None and list(built.strip) == list(strip):
                strip = built.strip  # reads as before: nothing to send
            if len(self._built) > 4 * self.page + 100:
                self._built.clear()
            built = self._built[key] = _Built(made_of, text.expires, strip)
        return built.strip

    def _styled(self, text: Line, kind: str, width: int) -> Strip:
        segments = [Segment(piece.text, self._style(kind, piece.role)) for piece in text.pieces if piece.text]
        return Strip(segments).adjust_cell_length(width, self._style(kind, ""))

    def _style(self, kind: str, role: str) -> Style:
        style = self._styles.get((kind, role))
        if style is None:
            base = self.get_component_rich_style(f"line-list--{kind}") if kind else self.rich_style
            style = base + style_of(role, self.app.theme_variables)
            if kind == "cursor" and self.app.no_color and self.has_focus:
                style = self.rich_style + Style(reverse=True)  # in one piece: roles differ in brightness still
            self._styles[kind, role] = style
        return style

    def _blank(self, width: int) -> Strip:
        strip = self._built.get("")
        if strip is None or strip.made_of != (width,):
            strip = self._built[""] = _Built((width,), None, Strip.blank(width, self._style("", "")))
        return strip.strip

    def notify_style_update(self) -> None:
        self._styles.clear()
        self._built.clear()
        super().notify_style_update()

    def on_focus(self) -> None:
        self.notify_style_update()

    def on_blur(self) -> None:
        self.notify_style_update()

    def on_resize(self) -> None:
        self._shown.clear()
        self.rows_changed(self._cursor)
        self._bring_into_sight()

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Unlike the one it overrides, draws only the lines that differ: rows added above change none."""
        if self.show_vertical_scrollbar:
            self.vertical_scrollbar.position = new_value
        if round(old_value) != round(new_value):
            self.redraw()

    def border_texts(self, top: str, bottom: str) -> None:
        """Set the texts in the border, which are no markup; draws their lines only."""
        width, height = self.outer_size
        for text, known, row in ((top, 0, 0), (bottom, 1, height - 1)):
            if self._border[known] != text:
                self._border[known] = text
                self._only = Region(0, row, width, 1).translate(-self.content_offset)
                try:
                    if known == 0:
                        self.border_title = Content(text)
                    else:
                        self.border_subtitle = Content(text)
                finally:
                    self._only = None

    def refresh(self, *regions: Region, repaint: bool = True, layout: bool = False, recompose: bool = False) -> Self:
        """Setting a border text asks for the whole widget; one line of it is enough."""
        if self._only is not None and not regions:
            regions = (self._only,)
        return super().refresh(*regions, repaint=repaint, layout=layout, recompose=recompose)

    # the mouse

    def on_click(self, event: events.Click) -> None:
        offset = event.get_content_offset(self)
        if offset is None:
            return
        index = round(self.scroll_y) + offset.y
        if index < self.row_count():
            event.stop()
            self.clicked(event, index, offset.x)
