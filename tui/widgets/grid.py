"""Several live terminals at once, a page at a time; only those on the page are parsed and drawn."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Static

from lite.terminal.emulator import Emulator
from lite.terminal.keys import DEFAULT
from tui.gateway import Gateway
from tui.pacing import FrameClock, LoopClock, Turns
from tui.state import EMPTY, Fleet
from tui.widgets.grid_layout import COUNTS, in_order, is_live, kept_in_place, shape_for, smallest_for
from tui.widgets.terminal import TerminalPane
from tui.widgets.terminal_view import new_emulator


class TerminalGrid(Widget, can_focus=True):
    """`show(fleet)` gives it each new state. A session that ends stays in its place until somebody pages."""

    DEFAULT_CSS = """
    TerminalGrid {
        layout: vertical;
        & > #panes { layout: grid; height: 1fr; width: 1fr; }
        & > #panes > TerminalPane { width: 1fr; height: 1fr; display: block; }
        & > #panes > TerminalPane.-out { display: none; }
        & > #grid-line { height: 1; color: $text-muted; padding: 0 1; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("h,left", "go('left')", "Pane to the left", show=False, id="grid.left"),
        Binding("l,right", "go('right')", "Pane to the right", show=False, id="grid.right"),
        Binding("k,up", "go('up')", "Pane above", show=False, id="grid.up"),
        Binding("j,down", "go('down')", "Pane below", show=False, id="grid.down"),
        Binding("tab", "next(1)", "Next pane", show=False, id="grid.next"),
        Binding("shift+tab", "next(-1)", "Pane before", show=False, id="grid.previous"),
        Binding("right_square_bracket", "page(1)", "Next page", key_display="]", id="grid.page_next"),
        Binding("left_square_bracket", "page(-1)", "Page before", key_display="[", id="grid.page_previous"),
        Binding("z", "zoom", "Zoom", id="grid.zoom"),
        Binding("1", "count(1)", "One pane", show=False, id="grid.one"),
        Binding("2", "count(2)", "Two panes", show=False, id="grid.two"),
        Binding("4", "count(4)", "Four panes", show=False, id="grid.four"),
        Binding("6", "count(6)", "Six panes", show=False, id="grid.six"),
        Binding("9", "count(9)", "Nine panes", show=False, id="grid.nine"),
        Binding("0", "count(0)", "As many panes as there are sessions", show=False, id="grid.fit"),
        Binding("o", "sort", "Put in order, those that ask first", show=False, id="grid.sort"),
    ]

    def __init__(
        self,
        gateway: Gateway,
        *,
        slow: bool = False,
        leave_key: str = DEFAULT,
        clock: FrameClock | None = None,
        make: Callable[[int, int], Emulator] = new_emulator,
        id: str | None = None,
    ) -> None:
        super().__init__(id=id)
        self._gateway = gateway
        self._slow = slow
        self._leave_key = leave_key
        self._clock = clock or LoopClock()
        self._turns = Turns(self._clock)
        self._make = make
        self._fleet: Fleet = EMPTY
        self._order: list[str] = []
        self._first = 0  # index of the first task on the page
        self._wanted = 0  # panes asked for; 0: as many as there are sessions
        self._zoomed = False
        self._awake = False
        self._current = ""  # the task whose pane has the focus, or had it last

    def compose(self) -> ComposeResult:
        with Container(id="panes"):
            for _ in range(COUNTS[-1]):
                yield TerminalPane(
                    self._gateway,
                    slow=self._slow,
                    leave_key=self._leave_key,
                    clock=self._clock,
                    turns=self._turns,
                    make=self._make,
                    in_grid=True,
                    classes="-out",
                )
        yield Static("", id="grid-line", markup=False)

    # what the screen says

    @property
    def focused_task(self) -> str:
        """Its id; "" when the grid is empty."""
        return self._current

    @property
    def panes(self) -> list[TerminalPane]:
        """Those on the page, in reading order."""
        return [pane for pane in self.query(TerminalPane) if not pane.has_class("-out")]

    def show(self, fleet: Fleet) -> None:
        self._fleet = fleet
        tasks = fleet.tasks
        self._order = kept_in_place([task for task in self._order if task in tasks], tasks.values())
        if self._awake:
            self._arrange()

    def wake(self) -> None:
        """On screen again: put in order, those that wait for a person first."""
        self._awake = True
        self._order = in_order(self._fleet.tasks.values())
        self._first = 0
        self._arrange()

    def hibernate(self) -> None:
        self._awake = False
        for pane in self.query(TerminalPane):
            pane.hibernate()

    def reconnect(self) -> None:
        for pane in self.panes:
            pane.reconnect()

    def type_into(self) -> None:
        pane = self._pane_of(self._current)
        if pane is not None:
            pane.type_into()

    def focus(self, scroll_visible: bool = True) -> TerminalGrid:
        """Of the grid means of its current pane."""
        pane = self._pane_of(self._current)
        if pane is not None:
            pane.focus(scroll_visible)
        else:
            super().focus(scroll_visible)
        return self

    def toggle_raw(self) -> None:
        pane = self._pane_of(self._current)
        if pane is not None:
            pane.toggle_raw()

    # arranging

    def on_mount(self) -> None:
        if self._awake:
            self._arrange()

    def on_resize(self) -> None:
        if self._awake:
            self._arrange()

    def _arrange(self) -> None:
        if not self.is_mounted or not self.size:
            return
        width, height = self.size.width, max(self.size.height - 1, 1)
        shape = shape_for(self._wanted or smallest_for(len(self._order)), width, height)
        self._first = max(min(self._first, len(self._order) - 1), 0)
        if len(self._order) <= shape.panes:
            self._first = 0
        wanted = self._order[self._first :][: shape.panes]
        if self._current not in wanted:
            self._current = wanted[0] if wanted else ""
        if self._zoomed:
            shape = shape_for(1, width, height)
        self._place(wanted)
        holder = self.query_one("#panes")
        holder.styles.grid_size_columns, holder.styles.grid_size_rows = shape.columns, shape.rows
        self._tell(wanted)
        self._keep_focus()

    def _place(self, wanted: list[str]) -> None:
        """Give each task a pane: the one it has, else a free one; then in reading order."""
        panes = list(self.query(TerminalPane))
        having = {pane.shown_task.id: pane for pane in panes if pane.shown_task is not None}
        kept = {task: having[task] for task in wanted if task in having}
        free = [pane for pane in panes if pane not in kept.values()]
        placed = [kept.get(task) or free.pop(0) for task in wanted]
        holder = self.query_one("#panes")
        for index, (task, pane) in enumerate(zip(wanted, placed, strict=True)):
            pane.show(self._fleet.tasks.get(task))
            seen = not self._zoomed or task == self._current
            pane.set_class(not seen, "-out")
            if seen:
                pane.wake()
            else:
                pane.hibernate()
            if holder.children[index] is not pane:
                holder.move_child(pane, before=index)
        for pane in free:
            pane.add_class("-out")
            pane.hibernate()
            pane.show(None)

    def _tell(self, wanted: list[str]) -> None:
        tasks = self._fleet.tasks
        elsewhere = sum(tasks[task].asks for task in self._order if task not in wanted and task in tasks)
        parts = []
        if not self._order:
            parts.append("nothing runs; sessions appear here when they start")
        if len(wanted) < len(self._order):
            which = f"{self._first + 1}–{self._first + len(wanted)}" if len(wanted) > 1 else f"{self._first + 1}"
            parts.append(f"{which} of {len(self._order)}, [ and ] turn the page")
        if elsewhere:
            parts.append(f"? {elsewhere} on other pages wait{'s' if elsewhere == 1 else ''} for you")
        if self._zoomed:
            parts.append("zoomed, z goes back")
        line = self.query_one("#grid-line", Static)
        line.update(Content("  ·  ".join(parts)))
        line.display = bool(parts)

    def _keep_focus(self) -> None:
        """The focus stays in the grid when the pane that had it has gone."""
        focused = self.screen.focused
        if focused is self or (
            isinstance(focused, TerminalPane) and focused.has_class("-out") and self in focused.ancestors
        ):
            self.focus()

    def _pane_of(self, task: str) -> TerminalPane | None:
        for pane in self.panes:
            if pane.shown_task is not None and pane.shown_task.id == task:
                return pane
        return None

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        pane = event.widget
        if isinstance(pane, TerminalPane) and pane.shown_task is not None:
            self._current = pane.shown_task.id

    # keys

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        del parameters
        if action == "page":
            return True if len(self._order) > len(self.panes) or self._zoomed else None
        return True

    def action_go(self, where: str) -> None:
        panes = self.panes
        here = next((index for index, pane in enumerate(panes) if pane.has_focus), -1)
        if here < 0:
            self.focus()
            return
        columns = self.query_one("#panes").styles.grid_size_columns or 1
        row, column = divmod(here, columns)
        step = {"left": (0, -1), "right": (0, 1), "up": (-1, 0), "down": (1, 0)}[where]
        row, column = row + step[0], column + step[1]
        there = row * columns + column
        if 0 <= column < columns and 0 <= there < len(panes):
            panes[there].focus()

    def action_next(self, by: int) -> None:
        panes = self.panes
        if panes:
            here = next((index for index, pane in enumerate(panes) if pane.has_focus), -by)
            panes[(here + by) % len(panes)].focus()

    def action_page(self, by: int) -> None:
        """Turning the page clears away what has ended."""
        tasks = self._fleet.tasks
        if self._zoomed:
            index = self._order.index(self._current) if self._current in self._order else 0
            self._current = self._order[(index + by) % len(self._order)] if self._order else ""
            self._show_page_of(self._current)
            return
        page = self._order[self._first :][: self._per_page()]
        before = [task for task in self._order[: self._first] if task in tasks and is_live(tasks[task])]
        seen = [task for task in page if task in tasks and is_live(tasks[task])]
        self._order = [task for task in self._order if task in tasks and is_live(tasks[task])]
        if by < 0:
            self._first = max(len(before) - self._per_page(), 0)
        elif len(before) + len(seen) < len(self._order):
            self._first = len(before) + len(seen)
        else:
            self._first = len(before)
        self._current = ""
        self._arrange()
        self.focus()

    def _show_page_of(self, task: str) -> None:
        if task in self._order:
            per_page = self._per_page()
            self._first = self._order.index(task) // per_page * per_page
        self._arrange()
        self.focus()

    def _per_page(self) -> int:
        width, height = self.size.width, max(self.size.height - 1, 1)
        return shape_for(self._wanted or smallest_for(len(self._order)), width, height).panes

    def action_zoom(self) -> None:
        self._zoomed = not self._zoomed
        self._arrange()
        self.focus()

    def action_count(self, count: int) -> None:
        self._wanted = count
        self._zoomed = False
        self._show_page_of(self._current)

    def action_sort(self) -> None:
        self._order = in_order(self._fleet.tasks.values())
        self._first = 0
        self._arrange()
        self.focus()
