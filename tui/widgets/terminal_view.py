"""The drawing half of a terminal pane: a session's screen by changed lines, and what stands on the border."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from rich.style import Style as RichStyle
from textual.content import Content
from textual.geometry import Region, Size
from textual.strip import Strip
from textual.widget import Widget

from lite.terminal.emulator import Emulator
from tui.gateway import Gateway
from tui.pacing import FOCUSED, SLOW_LINK, UNFOCUSED, FrameClock, LoopClock, Turns
from tui.picture import SCROLLBACK
from tui.state import TaskView
from tui.viewing import Standing, Viewer
from tui.widgets.terminal_lines import Painter, laid_over, line_of
from tui.widgets.terminal_title import title_of
from tui.wording import instead_of_terminal

_CURSORS = {"underline": RichStyle(underline=True)}
_BLOCK = RichStyle(reverse=True)


def new_emulator(cols: int, rows: int) -> Emulator:
    from lite.terminal.emulators import make_emulator  # 110 ms the first time; `preload` does it beside the start

    return make_emulator(cols, rows, scrollback=SCROLLBACK)


class TerminalView(Widget):
    """`show(task)` gives it each new state of its task; `hibernate` and `wake` as it goes off and on screen."""

    DEFAULT_CSS = """
    TerminalView {
        width: 1fr;
        height: 1fr;
        border: round $foreground 25%;
        border-title-color: $foreground;
        border-subtitle-color: $text-muted;
        &:focus { border: round $border; }
        &.-typing { border: heavy $accent; }
    }
    """
    ALLOW_SELECT = False

    def __init__(
        self,
        gateway: Gateway,
        *,
        slow: bool = False,
        clock: FrameClock | None = None,
        turns: Turns | None = None,
        make: Callable[[int, int], Emulator] = new_emulator,
        id: str | None = None,
        classes: str | None = None,
    ) -> None:
        super().__init__(id=id, classes=classes)
        self._gateway = gateway
        self._slow = slow
        self._clock = clock or LoopClock()
        self._painter = Painter()
        self._strips: dict[int, Strip] = {}
        self._restyled = True
        self._asleep = False
        self._titled: tuple[object, ...] = ()
        self._rendered: tuple[Region, list[Strip]] | None = None
        self._viewer = Viewer(
            gateway,
            clock=self._clock,
            turns=turns or Turns(self._clock),
            make=make,
            draw=self._take_frame,
            changed=self._standing_changed,
        )

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._viewer!r}>"

    # what the screen says

    @property
    def shown_task(self) -> TaskView | None:
        return self._viewer.task

    @property
    def standing(self) -> Standing:
        return self._viewer.standing

    @property
    def in_words(self) -> bool:
        """It shows what an agent says, not what its program prints."""
        return self._viewer.in_words

    def show(self, task: TaskView | None) -> None:
        same = (task.session if task else "") == self._viewer.session
        self._viewer.show(task)
        if not same or not self._viewer.picture.rows:
            self._redraw()
        self._retitle()

    def wake(self) -> None:
        """On screen: parse and draw."""
        self._asleep = False
        if self.is_mounted and self.display:
            self._viewer.wake()

    def hibernate(self) -> None:
        """Off screen: the session goes on without being parsed."""
        self._asleep = True
        self._viewer.hibernate()

    def reconnect(self) -> None:
        """The supervisor answers again."""
        self._viewer.reconnect()

    # life

    def on_mount(self) -> None:
        self._pace()
        if not self._asleep and self.display:
            self._viewer.wake()
        self._retitle()

    async def on_unmount(self) -> None:
        await self._viewer.aclose()

    def on_show(self) -> None:
        if not self._asleep:
            self._viewer.wake()

    def on_hide(self) -> None:
        self._viewer.hibernate()

    def on_resize(self) -> None:
        self._viewer.fit(*self.size)
        self._redraw()
        self._viewer.frames.want(at_once=True)
        self._retitle()

    def watch_has_focus(self, value: bool) -> None:
        """Not `on_focus`: that comes before Textual has set `has_focus`."""
        super().watch_has_focus(value)
        if not self.is_attached:
            return
        self._pace()
        self._redraw_cursor()
        self._retitle()

    def _pace(self) -> None:
        interval = FOCUSED if self.has_focus else UNFOCUSED
        self._viewer.frames.interval = max(interval, SLOW_LINK) if self._slow else interval

    def _standing_changed(self) -> None:
        self._retitle()
        self._redraw_cursor()
        if not self._viewer.picture.rows:
            self._redraw()

    # the border

    def remarks(self) -> list[str]:
        """What the lower border says."""
        viewer, found = self._viewer, []
        if viewer.standing is Standing.ENDED:
            found.append(viewer.said if viewer.said.startswith("the ") else f"ended: {viewer.said}")
        elif viewer.standing is Standing.LOST:
            found.append(f"not connected: {viewer.said}")
        if viewer.structured:
            found.append("transcript" if viewer.in_words else "raw output")
        cols, rows = viewer.picture.screen_size
        if self.size and not viewer.in_words and (cols > self.size.width or rows > self.size.height):
            found.append(f"⋯ {cols}×{rows}")
        return found

    def _retitle(self) -> None:
        if not self.is_attached:
            return
        viewer = self._viewer
        remarks = " · ".join(self.remarks())
        says = (viewer.task, viewer.picture.title, self.has_focus, self.app.theme, remarks)
        if says != self._titled:
            self._titled = says
            title = title_of(viewer.task, viewer.picture.title, self.app.theme_variables, bold=self.has_focus)
            self._put_label("_border_title", title, top=True)
            self._put_label("_border_subtitle", Content(remarks), top=False)

    def _put_label(self, name: str, label: Content, *, top: bool) -> None:
        """A label costs its line only; Textual's own way redraws the widget, and some titles change all the time."""
        if getattr(self, name) == label:
            return
        setattr(self, name, label)
        outer, inset = self.outer_size, self.content_offset
        y = -inset.y if top else outer.height - 1 - inset.y
        self.refresh(Region(-inset.x, y, outer.width, 1))

    # drawing

    def notify_style_update(self) -> None:
        self._restyled = True
        super().notify_style_update()

    def _take_frame(self) -> None:
        if not self.is_mounted:
            return
        width, height = self.size
        self._refresh_lines(self._viewer.picture.look(width, height))
        self._retitle()

    def _refresh_lines(self, lines: Iterable[int]) -> None:
        """Refresh these lines, neighbours together."""
        width = self.size.width
        regions: list[Region] = []
        for y in lines:
            self._strips.pop(y, None)
            if regions and regions[-1].bottom == y:
                regions[-1] = Region(0, regions[-1].y, width, regions[-1].height + 1)
            else:
                regions.append(Region(0, y, width, 1))
        if regions:
            self.refresh(*regions)

    def _redraw(self) -> None:
        self._strips.clear()
        self.refresh()

    def _redraw_cursor(self) -> None:
        cursor = self._viewer.picture.cursor
        if cursor is not None and self.is_mounted:
            self._refresh_lines([cursor.y])

    def render_lines(self, crop: Region) -> list[Strip]:
        """A pane in which nothing changed costs nothing when another one is drawn: Textual asks all of them."""
        known = self._styles_cache
        if self._rendered is not None and self._rendered[0] == crop and known._cache and not known._dirty_lines:
            return self._rendered[1]
        strips = super().render_lines(crop)
        self._rendered = (crop, strips)
        return strips

    def render_line(self, y: int) -> Strip:
        if self._restyled:
            self._restyled = False
            if self._painter.use(self.visual_style.rich_style, dark=self.app.current_theme.dark):
                self._strips.clear()
        strip = self._strips.get(y)
        if strip is None or strip.cell_length != self.size.width:
            strip = self._strips[y] = self._line(y, self.size)
        return strip

    def _line(self, y: int, size: Size) -> Strip:
        picture = self._viewer.picture
        if not picture.rows:
            return self._painter.strip(line_of(self._message(y, size)), size.width)
        row = picture.rows[y] if y < len(picture.rows) else ()
        strip = self._painter.strip(row, size.width)
        cursor = picture.cursor
        if cursor is not None and cursor.y == y and self.has_focus:
            strip = laid_over(strip, [(cursor.x, cursor.x + 1, _CURSORS.get(cursor.shape, _BLOCK))])
        return strip

    def _message(self, y: int, size: Size) -> str:
        """A line of what is said instead of a terminal."""
        if y != size.height // 2:
            return ""
        if self.standing is Standing.CONNECTING:
            return "connecting".center(size.width)
        return instead_of_terminal(self.shown_task).center(size.width)
