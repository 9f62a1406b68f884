"""One session's terminal, live: typed into when asked, scrolled back through its recording, copied from."""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar

from rich.style import Style as RichStyle
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.message import Message
from textual.strip import Strip

from lite.aio.tasks import Jobs
from lite.errors import QuarterdeckError
from lite.terminal.keys import DEFAULT
from tui.gateway import Gateway
from tui.pacing import Timer
from tui.scroll_pages import History
from tui.state import TaskView
from tui.transcripts import TranscriptLink, TranscriptPages, Worded
from tui.widgets.scrollback import Scrollback
from tui.widgets.terminal_lines import Span, laid_over
from tui.widgets.terminal_marks import Marked, Place, copied
from tui.widgets.terminal_typing import Typist
from tui.widgets.terminal_view import TerminalView
from tui.wording import short

_SETTLE = 0.05  # seconds the pane's size rests before the session is told
_WHEEL = 3  # lines
_REVERSE = RichStyle(reverse=True)
_FOUND = RichStyle(underline=True, bold=True)
_ONLY_LOOKING_BACK = frozenset(
    {"next_line", "column", "line_edge", "next_page", "newest", "again", "mark", "copy", "look_ahead"}
)


class TerminalPane(TerminalView, can_focus=True):
    """`type_into` and `leave` switch the keys to the program and back; until then they look back."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("i,enter", "type", "Type", show=False, id="pane.type"),
        Binding("k,up", "previous_line", "Line up", show=False, id="pane.up"),
        Binding("j,down", "next_line", "Line down", show=False, id="pane.down"),
        Binding("h,left", "column(-1)", "Cell left", show=False, id="pane.left"),
        Binding("l,right", "column(1)", "Cell right", show=False, id="pane.right"),
        Binding("0", "line_edge(True)", "Start of the line", show=False, id="pane.line_start"),
        Binding("dollar_sign", "line_edge(False)", "End of the line", key_display="$", show=False, id="pane.line_end"),
        Binding("pageup,ctrl+b", "previous_page(1.0)", "Page up: look back", show=False, id="pane.page_up"),
        Binding("pagedown,ctrl+f,space", "next_page(1.0)", "Page down", show=False, id="pane.page_down"),
        Binding("ctrl+u", "previous_page(0.5)", "Half a page up", show=False, id="pane.half_up"),
        Binding("ctrl+d", "next_page(0.5)", "Half a page down", show=False, id="pane.half_down"),
        Binding("g,home", "oldest", "The beginning of the recording", show=False, id="pane.top"),
        Binding("G,end", "newest", "The newest line", show=False, id="pane.bottom"),
        Binding("slash", "search", "Search upwards", key_display="/", show=False, id="pane.search"),
        Binding("n", "again(True)", "Found before", show=False, id="pane.next"),
        Binding("N", "again(False)", "Found after", show=False, id="pane.previous"),
        Binding("v", "mark", "Mark text", show=False, id="pane.mark"),
        Binding("y", "copy", "Copy what is marked, or the line", show=False, id="pane.copy"),
        Binding("q,escape", "look_ahead", "Back to the present", show=False, id="pane.present"),
    ]

    class TypingChanged(Message):
        """Keys go to the program now, or no longer do."""

        def __init__(self, pane: TerminalPane, typing: bool) -> None:
            super().__init__()
            self.pane = pane
            self.typing = typing

    def __init__(self, gateway: Gateway, *, leave_key: str = DEFAULT, in_grid: bool = False, **others: Any) -> None:
        """`in_grid`: the arrow keys move between panes until somebody looks back by page, wheel or search."""
        super().__init__(gateway, **others)
        self._in_grid = in_grid
        self._typist = Typist(leave_key)
        self._was_typing = False
        self._resizing: Timer | None = None
        self._jobs = Jobs("pane")
        self._back: Scrollback | None = None
        self._opening = False
        self._prompt: str | None = None  # what is searched for, while it is typed
        self._dragged: Marked | None = None  # on the live screen, which stands still meanwhile

    # typing

    @property
    def typing(self) -> bool:
        return self._viewer.typing

    @property
    def looking_back(self) -> bool:
        return self._back is not None

    def type_into(self) -> None:
        """From now on every key but the leave key goes to the program, and the session has this pane's size."""
        if self.typing:
            return
        if not self.size:
            self.app.notify("the terminal is too small to type into", severity="warning", markup=False)
            return
        self._look_ahead()
        why = self._viewer.begin_typing(*self.size)
        if why:
            self.app.notify(why, severity="warning", timeout=4, markup=False)
        elif not self.has_focus:
            self.focus()

    def leave(self) -> None:
        """Keys are the dashboard's again."""
        self._viewer.end_typing()

    def toggle_raw(self) -> None:
        """Of an agent that speaks in events: its words, or the bytes it printed."""
        if not self._viewer.structured:
            self.app.notify("this is what it prints; only agents' headless sessions have a transcript", markup=False)
            return
        self._look_ahead()
        self._viewer.show_raw(not self._viewer.raw)
        self._redraw()
        self._retitle()

    def show(self, task: TaskView | None) -> None:
        if (task.session if task else "") != self._viewer.session:
            self._look_ahead()
        super().show(task)

    def hibernate(self) -> None:
        self._look_ahead()
        super().hibernate()

    async def on_unmount(self) -> None:
        if self._resizing is not None:
            self._resizing.cancel()
        if self._back is not None:
            await self._back.close()
        await self._jobs.cancel()

    def on_resize(self) -> None:
        if self._back is not None:
            self._back.fit(*self.size)
        if self.typing:
            if self._resizing is not None:
                self._resizing.cancel()
            self._resizing = self._clock.at(self._clock.now() + _SETTLE, self._tell_size)

    def _tell_size(self) -> None:
        self._resizing = None
        if self.size:
            self._viewer.resize(*self.size)

    def on_focus(self) -> None:
        self._tell_focus(True)

    def on_blur(self) -> None:
        self._tell_focus(False)
        if self.typing and self.app.app_focus:
            self.leave()  # somebody went elsewhere with the mouse
        self._prompt = None

    def _tell_focus(self, focused: bool) -> None:
        if self.typing:
            self._viewer.send(self._typist.focus(focused, self._viewer.picture.modes))

    def _standing_changed(self) -> None:
        if self.typing != self._was_typing:
            self._was_typing = self.typing
            if self.is_mounted:
                self.set_class(self.typing, "-typing")
                self.post_message(self.TypingChanged(self, self.typing))
                self.refresh_bindings()
        super()._standing_changed()

    # keys

    def check_consume_key(self, key: str, character: str | None) -> bool:
        """While typing nobody above us gets a key: neither ctrl+q nor the palette."""
        del key, character
        return self.typing or self._prompt is not None

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        del parameters
        if self.typing or self._prompt is not None:
            return False
        if self._back is None:
            return action not in _ONLY_LOOKING_BACK and not (self._in_grid and action == "previous_line")
        return True

    def on_key(self, event: events.Key) -> None:
        if self._prompt is not None:
            event.stop()
            self._prompted(event)
        elif self.typing:
            event.stop()
            if self._typist.leaves(event.key):
                self.leave()
            else:
                self._viewer.send(self._typist.key(event, self._viewer.picture.modes))

    def on_paste(self, event: events.Paste) -> None:
        if self._prompt is not None:
            event.stop()
            self._prompt += short(event.text)
            self._retitle()
        elif self.typing:
            event.stop()
            self._viewer.send(self._typist.paste(event.text, self._viewer.picture.modes))

    def action_type(self) -> None:
        self.type_into()

    # looking back

    def _then(self, step: str, *given: Any) -> None:
        """Call a method of the scrollback, which is opened first when nobody looks back yet."""
        if self._back is not None:
            getattr(self._back, step)(*given)
        elif not self._opening and self._viewer.link is not None:
            self._opening = True
            self._jobs.spawn(self._open_history(step, given), "history")

    async def _open_history(self, step: str, given: tuple[Any, ...]) -> None:
        link, task = self._viewer.link, self.shown_task
        try:
            if link is None or task is None:
                return
            words = isinstance(link, TranscriptLink)
            history = History(
                TranscriptPages(self._gateway) if words else self._gateway,
                link.session,
                link.size,
                begun=link.begun,
                preamble=link.preamble,
                cooked=task.mode == "headless",
                words=partial(Worded, link.size[0]) if words else None,
            )
            back = Scrollback(history, self._back_changed)
            await back.open()
            if link is not self._viewer.link or self.typing:
                return
            self._back = back
            back.fit(*self.size)
            getattr(back, step)(*given)
            self.refresh_bindings()
        except QuarterdeckError as error:
            self.app.notify(short(error.message), title="no history", severity="warning", markup=False)
        finally:
            self._opening = False

    def _back_changed(self) -> None:
        if self._back is not None:
            self._redraw()
            self._retitle()

    def _look_ahead(self) -> None:
        back, self._back, self._prompt = self._back, None, None
        if back is not None:
            self._jobs.spawn(back.close(), "close")
            self._redraw()
            self._viewer.frames.want(at_once=True)
            self._retitle()
            self.refresh_bindings()

    def action_previous_line(self) -> None:
        self._then("move", -1)

    def action_next_line(self) -> None:
        self._then("move", 1)

    def action_column(self, cells: int) -> None:
        self._then("move", 0, cells)

    def action_line_edge(self, start: bool) -> None:
        self._then("to_cell", 0 if start else None)

    def action_previous_page(self, pages: float) -> None:
        self._then("page", -pages)

    def action_next_page(self, pages: float) -> None:
        self._then("page", pages)

    def action_oldest(self) -> None:
        self._then("to_top")

    def action_newest(self) -> None:
        self._then("to_bottom")

    def action_look_ahead(self) -> None:
        if self._back is not None and self._back.marked is not None:
            self._back.mark()
        else:
            self._look_ahead()

    def action_search(self) -> None:
        if self._viewer.link is not None:
            self._prompt = ""
            self._retitle()

    def action_again(self, older: bool) -> None:
        if self._back is not None:
            self._back.again(older=older)

    def _prompted(self, event: events.Key) -> None:
        assert self._prompt is not None
        if event.key == "enter":
            needle, self._prompt = self._prompt, None
            self._then("look_for", needle)
        elif event.key in ("escape", "ctrl+c"):
            self._prompt = None
        elif event.key in ("backspace", "ctrl+h"):
            self._prompt = self._prompt[:-1]
        elif event.key == "ctrl+u":
            self._prompt = ""
        elif event.is_printable and event.character:
            self._prompt += event.character
        self._retitle()

    # marking and copying

    def action_mark(self) -> None:
        if self._back is not None:
            self._back.mark()

    def action_copy(self) -> None:
        if self._back is not None:
            self._jobs.spawn(self._copy_marked(self._back), "copy")

    async def _copy_marked(self, back: Scrollback) -> None:
        try:
            text = await back.take()
        except QuarterdeckError as error:
            self.app.notify(short(error.message), severity="warning", markup=False)
            return
        if back.marked is not None:
            back.mark()
        self._copy(text)

    def _copy(self, text: str) -> None:
        if text.strip():
            self.app.copy_to_clipboard(text)
            lines = text.count("\n") + 1
            self.app.notify(f"{lines} line{'s' if lines > 1 else ''} copied", timeout=3, markup=False)

    # the mouse

    def on_mouse_down(self, event: events.MouseDown) -> None:
        if self._to_program(event) or event.button != 1:
            return
        at = event.get_content_offset(self)
        if at is not None:
            self.capture_mouse()
            if self._back is not None:
                place = self._back.point(at.y, at.x)
                self._back.at, self._back.marked = place, None
                self._back_changed()
            else:
                place = Place(at.y, at.x)
            self._dragged = Marked(place, place)

    def on_mouse_move(self, event: events.MouseMove) -> None:
        if self._dragged is None:
            self._to_program(event)
            return
        at = event.get_content_offset_capture(self)
        x, y = max(0, min(at.x, self.size.width - 1)), max(0, min(at.y, self.size.height - 1))
        place = Place(y, x) if self._back is None else self._back.point(y, x)
        if place != self._dragged.head:
            self._dragged = self._dragged._replace(head=place)
            if self._back is not None:
                self._back.marked = self._dragged
            self._redraw()

    def on_mouse_up(self, event: events.MouseUp) -> None:
        dragged, self._dragged = self._dragged, None
        if dragged is None:
            self._to_program(event)
            return
        self.release_mouse()
        if dragged.anchor == dragged.head:
            return
        if self._back is not None:
            self._jobs.spawn(self._copy_marked(self._back), "copy")
            return
        self._copy(copied(dragged, enumerate(self._viewer.picture.rows)))
        self._redraw()
        self._viewer.frames.want(at_once=True)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        if not self._to_program(event):
            event.stop()
            if not self.typing:
                self._then("wheel", -_WHEEL)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        if self._to_program(event):
            return
        event.stop()
        if self._back is not None and self._back.at_end:
            self._look_ahead()
        elif self._back is not None:
            self._back.wheel(_WHEEL)

    def _to_program(self, event: events.MouseEvent) -> bool:
        """True: the program asked for it and has it."""
        if not self.typing:
            return False
        at = event.get_content_offset(self)
        picture = self._viewer.picture
        cols, rows = picture.screen_size
        if at is None or at.x >= cols or at.y + picture.top >= rows:
            return False
        data = self._typist.mouse(event, at.x, at.y + picture.top, picture.modes)
        if data:
            event.stop()
            self._viewer.send(data)
        return bool(data)

    # drawing

    def remarks(self) -> list[str]:
        if self._prompt is not None:
            return [f"/{self._prompt}▏"]
        if self._back is not None:
            keys = "v ends, y copies" if self._back.marked is not None else "/ searches, v marks, q ends"
            full = ["of a full-screen program only the last frame"] if self._viewer.picture.modes.alternate else []
            return [self._back.remark, *full, keys]
        found = super().remarks()
        if self.typing:
            found.insert(0, f"typing, {self._typist.name} leaves")
        if self._viewer.refusal:
            found.insert(0, f"not taken: {short(self._viewer.refusal)}")
        return found

    def _take_frame(self) -> None:
        if self._back is None and self._dragged is None:
            super()._take_frame()

    def _line(self, y: int, size: Size) -> Strip:
        back = self._back
        if back is None:
            strip = super()._line(y, size)
            span = self._dragged.cells_of(y, size.width) if self._dragged is not None else None
            return laid_over(strip, [(*span, _REVERSE)]) if span is not None else strip
        strip = self._painter.strip(back.row_at(y) or (), size.width)
        spans: list[Span] = [(*found, _FOUND) for found in back.found_at(y)]
        marked = back.marked_at(y)
        if marked is not None:
            spans.append((*marked, _REVERSE))
        elif back.line_at(y) == back.at.line:
            spans.append((back.at.x, back.at.x + 1, _REVERSE))
        return laid_over(strip, spans)
