"""One session's terminal, live: drawn by changed lines, typed into when asked, scrolled back through its recording."""

from __future__ import annotations

from collections.abc import Callable

from typing import ClassVar

from rich.style import Style as RichStyle
from textual import events
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.geometry import Region, Size
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from lite.terminal.emulator import Emulator
from lite.terminal.keys import DEFAULT
from tui.gateway import Gateway
from tui.pacing import FOCUSED, SLOW_LINK, UNFOCUSED, FrameClock, LoopClock, Timer, Turns
from tui.state import TaskView
from tui.viewing import Standing, Viewer
from tui.widgets.terminal_lines import Painter, laid_over, line_of
from tui.widgets.terminal_picture import SCROLLBACK
from tui.widgets.terminal_title import instead_of_terminal, title_of
from tui.widgets.terminal_typing import Typist

_SETTLE = 0.05  # seconds the pane's size rests before the session is told

_CURSORS = {"underline": RichStyle(underline=True)}
_BLOCK = RichStyle(reverse=True)


def _emulator(cols: int, rows: int) -> Emulator:
    from lite.terminal.emulators import make_emulator  # 110 ms the first time; `preload` does it beside the start

    return make_emulator(cols, rows, scrollback=SCROLLBACK)


class TerminalPane(Widget, can_focus=True):
    """`show(task)` gives it each new state of its task; `hibernate` and `wake` as it goes off and on screen."""

    DEFAULT_CSS = """
    TerminalPane {
        border: round $border-blurred;
        border-title-color: $foreground;
        border-subtitle-color: $text-muted;
        &:focus { border: round $border; }
        &.-typing { border: heavy $accent; }
    }
    """
    ALLOW_SELECT = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("i,enter", "type", "Type", show=False, id="pane.type"),
    ]

    class TypingChanged(Message):
        """Keys go to the program now, or no longer do."""

        def __init__(self, pane: TerminalPane, typing: bool) -> None:
            super().__init__()
            self.pane = pane
            self.typing = typing

    def __init__(
        self,
        gateway: Gateway,
        *,
        slow: bool = False,
        leave_key: str = DEFAULT,
        clock: FrameClock | None = None,
        turns: Turns | None = None,
        make: Callable[[int, int], Emulator] = _emulator,
        id: str | None = None,
        classes: str | None = None,
    ) -> None:
        super().__init__(id=id, classes=classes)
        self._gateway = gateway
        self._slow = slow
        self._clock = clock or LoopClock()
        self._typist = Typist(leave_key)
        self._painter = Painter()
        self._strips: dict[int, Strip] = {}
        self._restyled = True
        self._was_typing = False
        self._resizing: Timer | None = None
        self._viewer = Viewer(
            gateway,
            clock=self._clock,
            turns=turns or Turns(self._clock),
            make=make,
            draw=self._take_frame,
            changed=self._standing_changed,
        )
        self._viewer.awake = True  # until told otherwise, what is mounted is looked at

    def __repr__(self) -> str:
        return f"<TerminalPane {self._viewer!r}>"

    # what the screen says

    @property
    def task(self) -> TaskView | None:
        return self._viewer.task

    @property
    def standing(self) -> Standing:
        return self._viewer.standing

    @property
    def typing(self) -> bool:
        return self._viewer.typing

    def show(self, task: TaskView | None) -> None:
        same = (task.session if task else "") == self._viewer.session
        self._viewer.show(task)
        if not same or not self._viewer.picture.rows:
            self._redraw()
        self._retitle()

    def wake(self) -> None:
        """On screen: parse and draw."""
        self._viewer.wake()

    def hibernate(self) -> None:
        """Off screen: the session goes on without being parsed."""
        self._viewer.hibernate()

    def reconnect(self) -> None:
        """The supervisor answers again."""
        self._viewer.reconnect()

    def type_into(self) -> None:
        """From now on every key but the leave key goes to the program, and the session has this pane's size."""
        if self.typing:
            return
        if not self.size:
            self.app.notify("the terminal is too small to type into", severity="warning", markup=False)
            return
        why = self._viewer.begin_typing(*self.size)
        if why:
            self.app.notify(why, severity="warning", timeout=4, markup=False)
        elif not self.has_focus:
            self.focus()

    def leave(self) -> None:
        """Keys are the dashboard's again."""
        self._viewer.end_typing()

    def action_type(self) -> None:
        self.type_into()

    # life

    def on_mount(self) -> None:
        self._pace()
        self._retitle()

    def on_unmount(self) -> None:
        self._viewer.hibernate()
        if self._resizing is not None:
            self._resizing.cancel()

    def on_resize(self) -> None:
        self._redraw()
        self._viewer.frames.want(at_once=True)
        if self.typing:
            if self._resizing is not None:
                self._resizing.cancel()
            self._resizing = self._clock.at(self._clock.now() + _SETTLE, self._tell_size)

    def _tell_size(self) -> None:
        self._resizing = None
        if self.size:
            self._viewer.resize(*self.size)

    def on_focus(self) -> None:
        self._pace()
        self._focus_told(True)
        self._redraw_cursor()
        self._retitle()

    def on_blur(self) -> None:
        self._pace()
        self._focus_told(False)
        if self.typing and self.app.app_focus:
            self.leave()  # somebody went elsewhere with the mouse
        self._redraw_cursor()
        self._retitle()

    def _focus_told(self, focused: bool) -> None:
        if self.typing:
            self._viewer.send(self._typist.focus(focused, self._viewer.picture.modes))

    def _pace(self) -> None:
        interval = FOCUSED if self.has_focus else UNFOCUSED
        self._viewer.frames.interval = max(interval, SLOW_LINK) if self._slow else interval

    def _standing_changed(self) -> None:
        if self.typing != self._was_typing:
            self._was_typing = self.typing
            if self.is_mounted:
                self.set_class(self.typing, "-typing")
                self.post_message(self.TypingChanged(self, self.typing))
                self._pace()
        self._retitle()
        self._redraw_cursor()

    # keys and mouse

    def check_consume_key(self, key: str, character: str | None) -> bool:
        """While typing nobody above us gets a key: neither ctrl+q nor the palette."""
        return self.typing

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        del action, parameters
        return not self.typing

    def on_key(self, event: events.Key) -> None:
        if not self.typing:
            return
        event.stop()
        event.prevent_default()
        if self._typist.leaves(event.key):
            self.leave()
        else:
            self._viewer.send(self._typist.key(event, self._viewer.picture.modes))

    def on_paste(self, event: events.Paste) -> None:
        if self.typing:
            event.stop()
            self._viewer.send(self._typist.paste(event.text, self._viewer.picture.modes))

    def on_mouse_down(self, event: events.MouseDown) -> None:
        self._mouse(event, "press")

    def on_mouse_up(self, event: events.MouseUp) -> None:
        self._mouse(event, "release")

    def on_mouse_move(self, event: events.MouseMove) -> None:
        self._mouse(event, "move")

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        self._mouse(event, "wheel up")

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        self._mouse(event, "wheel down")

    def _mouse(self, event: events.MouseEvent, what: str) -> bool:
        """True: the program has it."""
        if not self.typing:
            return False
        at = event.get_content_offset(self)
        picture = self._viewer.picture
        cols, rows = picture.screen_size
        if at is None or at.x >= cols or at.y + picture.top >= rows:
            return False
        data = self._typist.mouse(event, what, at.x, at.y + picture.top, picture.modes)
        if data:
            event.stop()
            self._viewer.send(data)
        return bool(data)

    # the border

    def _retitle(self) -> None:
        if not self.is_attached:
            return
        viewer = self._viewer
        title = title_of(viewer.task, viewer.picture.title, self.app.theme_variables, bold=self.has_focus)
        self._put_label("_border_title", title, top=True)
        self._put_label("_border_subtitle", Content(" · ".join(self._remarks())), top=False)

    def _remarks(self) -> list[str]:
        viewer, found = self._viewer, []
        if viewer.refusal:
            found.append(f"not taken: {viewer.refusal}")
        if viewer.typing:
            found.append(f"typing, {self._typist.name} leaves")
        elif viewer.standing is Standing.ENDED:
            found.append(viewer.said if viewer.said.startswith("the ") else f"ended: {viewer.said}")
        elif viewer.standing is Standing.LOST:
            found.append(f"not connected: {viewer.said}")
        cols, rows = viewer.picture.screen_size
        if cols > self.size.width or rows > self.size.height:
            found.append(f"⋯ {cols}×{rows}")
        return found

    def _put_label(self, name: str, label: Content, *, top: bool) -> None:
        """A new label costs its line only: Textual's own way redraws the widget, and titles may change all the time."""
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
        changed = self._viewer.picture.look(width, height)
        self._refresh_lines(changed)
        self._retitle()

    def _refresh_lines(self, lines: list[int]) -> None:
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

    def render_line(self, y: int) -> Strip:
        if self._restyled:
            self._restyled = False
            if self._painter.use(self.visual_style.rich_style):
                self._strips.clear()
        strip = self._strips.get(y)
        if strip is None or strip.cell_length != self.size.width:
            strip = self._strips[y] = self._line(y, self.size)
        return strip

    def _line(self, y: int, size: Size) -> Strip:
        picture = self._viewer.picture
        if not picture.rows:
            text = instead_of_terminal(self.task) if y == size.height // 2 else ""
            if text and self.standing is Standing.CONNECTING:
                text = "connecting"
            return self._painter.strip(line_of(text.center(size.width)), size.width)
        row = picture.rows[y] if y < len(picture.rows) else ()
        strip = self._painter.strip(row, size.width)
        cursor = picture.cursor
        if cursor is not None and cursor.y == y and self.has_focus:
            strip = laid_over(strip, [(cursor.x, cursor.x + 1, _CURSORS.get(cursor.shape, _BLOCK))])
        return strip
