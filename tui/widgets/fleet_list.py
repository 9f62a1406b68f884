"""The fleet list: tasks under the headings of their runs, however many; only the lines in sight are built."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import ClassVar

from textual import events
from textual.actions import SkipAction
from textual.binding import Binding, BindingType
from textual.message import Message

from tui import tally
from tui.badges import badge_of
from tui.cells import clip, line
from tui.filters import EVERYTHING, Filter
from tui.messages import RunOpened, TaskChosen, TaskOpened
from tui.ordering import SORTS, Row, Sort, rows
from tui.state import EMPTY, Fleet, RunView, TaskView
from tui.widgets import fleet_lines
from tui.widgets.fleet_lines import Columns, Extent, Line
from tui.widgets.line_list import LineList
from tui.widgets.marks import Marks


class FleetList(LineList):
    """`show(fleet)` for each new state, `tick()` when `next_change()` ms have passed. Says `TaskChosen` when another
    task comes under the cursor, `TaskOpened`, `RunOpened` and `FilterAsked`."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("j,down", "move(1)", "Down", show=False, id="fleet.down"),
        Binding("k,up", "move(-1)", "Up", show=False, id="fleet.up"),
        Binding("g,home", "move_to_end(-1)", "First", show=False, id="fleet.first"),
        Binding("G,end", "move_to_end(1)", "Last", show=False, id="fleet.last"),
        Binding("ctrl+d,pagedown", "page(1)", "Page down", show=False, id="fleet.page_down"),
        Binding("ctrl+u,pageup", "page(-1)", "Page up", show=False, id="fleet.page_up"),
        Binding("enter", "open", "Open", show=False, id="fleet.open"),
        Binding("space", "mark", "Mark, or fold a run", show=False, id="fleet.mark"),
        Binding("shift+down", "extend(1)", "Mark downward", show=False, id="fleet.extend_down"),
        Binding("shift+up", "extend(-1)", "Mark upward", show=False, id="fleet.extend_up"),
        Binding("V", "range", "Mark a range", show=False, id="fleet.range"),
        Binding("asterisk", "mark_all", "Mark all listed", show=False, id="fleet.mark_all"),
        Binding("escape", "clear", "Clear marks, then filter", show=False, id="fleet.clear"),
        Binding("slash", "filter", "Filter", key_display="/", id="fleet.filter"),
        Binding("o", "sort", "Sort by the next", show=False, id="fleet.sort"),
        Binding("O", "reverse", "Reverse the order", show=False, id="fleet.reverse"),
        Binding("w", "jump('waiting')", "Waiting", tooltip="The next that waits for you", id="fleet.next_waiting"),
        Binding("F", "jump('failed')", "Next failed", show=False, id="fleet.next_failed"),
        Binding("h,left", "fold", "Fold the run", show=False, id="fleet.fold"),
        Binding("l,right", "unfold", "Unfold the run", show=False, id="fleet.unfold"),
        Binding("minus", "fold_all", "Fold all runs", show=False, id="fleet.fold_all"),
        Binding("plus", "unfold_all", "Unfold all runs", show=False, id="fleet.unfold_all"),
    ]

    class FilterAsked(Message):
        """The user wants to filter; `text` is the filter in force. Opens the filter bar."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    def __init__(self, now: Callable[[], int], *, id: str | None = None) -> None:
        """`now`: ms since the epoch."""
        super().__init__(now, id=id)
        self._fleet = EMPTY
        self._rows: Sequence[Row] = ()
        self._matching = 0  # tasks that match the filter, in folded runs too
        self._filter = EVERYTHING
        self._sort: Sort = SORTS[0]
        self._folded: set[str] = set()
        self._marks = Marks()
        self._told = ""  # the task the last `TaskChosen` was about
        self._held = False  # until the user takes the cursor, it is on what is most urgent
        self._wanted = ""  # key of a row to go to as soon as it is there
        self._columns = Columns(0)
        self._longest = Extent()
        self._groups: dict[str, list[TaskView]] | None = None  # run -> its tasks; built when a heading is in sight
        self._tallies: dict[str, dict[str, int]] = {}
        self._heads: dict[tuple[str, str], TaskView] | None = None

    # what others ask

    @property
    def chosen(self) -> str:
        """The task under the cursor; "" when there is none."""
        row = self._row()
        return row.task.id if row is not None and row.task is not None else ""

    @property
    def run_id(self) -> str:
        """The run under the cursor, by its heading or one of its tasks; "" when there is none."""
        row = self._row()
        return row.run if row is not None else ""

    @property
    def marked(self) -> tuple[str, ...]:
        """The marked tasks in order of marking, whether listed or not."""
        return self._marks.tasks

    @property
    def filter(self) -> Filter:
        return self._filter

    def selected(self) -> tuple[str, ...]:
        """The marked tasks, else the one under the cursor, else none."""
        return self._marks.tasks or ((self.chosen,) if self.chosen else ())

    # what others say

    def show(self, fleet: Fleet) -> None:
        before, self._fleet = self._fleet, fleet
        if fleet.tasks is before.tasks and fleet.runs is before.runs and fleet.workers is before.workers:
            self.tick()
            return
        self._groups = self._heads = None
        self._marks.keep(fleet.tasks)
        if len(fleet.tasks) != len(before.tasks) or fleet.workers is not before.workers:
            own = fleet.supervisor.worker
            shared = len(fleet.workers) > 1 or (own and own not in fleet.workers)
            self._longest = fleet_lines.extent(fleet.tasks.values(), workers=fleet.workers if shared else ())
            self._columns = Columns(0)
        self._list()
        if self._wanted and self._wanted in fleet.tasks:
            self.go_to(self._wanted)
        elif self._wanted.removeprefix("run ") in fleet.runs:
            self.go_to_run(self._wanted.removeprefix("run "))

    def filter_by(self, wanted: Filter) -> None:
        self._filter = wanted
        self._list()

    def go_to(self, task: str) -> bool:
        """Put the cursor on a task; unfolds its run and drops a filter that hides it. One that is not known yet (just
        submitted) is gone to when it comes, unless the user moves before: False."""
        known = self._fleet.tasks.get(task)
        return self._go_to(task, known.run if known is not None else "", known=known is not None)

    def go_to_run(self, run: str) -> bool:
        """Put the cursor on the heading of a run, as `go_to`."""
        return self._go_to(f"run {run}", "", known=run in self._fleet.runs)

    def _go_to(self, key: str, run: str, *, known: bool) -> bool:
        self._wanted = "" if known else key
        self.hold()
        if not known:
            return False
        if run in self._folded:
            self._fold(run, folded=False)
        index = self._index_of(key)
        if index is None:
            self.filter_by(EVERYTHING)
            index = self._index_of(key)
        if index is not None:
            self._marks.end()
            self.move_cursor(index)
            self._retitle()
        return index is not None

    def hold(self) -> None:
        """The cursor stays on its task from now on: somebody works with it."""
        self._held = True

    def clear_marks(self) -> None:
        """After a bulk action that was done."""
        self._marks.clear()
        self._redraw_all()

    # rows

    def row_count(self) -> int:
        return len(self._rows)

    def row_key(self, index: int) -> str:
        row = self._rows[index]
        return row.task.id if row.task is not None else f"run {row.run}"

    def row_marked(self, index: int) -> bool:
        task = self._rows[index].task
        return task is not None and task.id in self._marks

    def row_made_of(self, index: int) -> tuple[object, ...]:
        row = self._rows[index]
        if row.task is not None:
            return self._columns_now(), row.task, fleet_lines.why_of(row.task, self._fleet, self._lane_heads())
        return self._run(row.run), tuple(self._counts(row.run).items()), row.run in self._folded

    def row_line(self, index: int, now: int, gutter: str) -> Line:
        row = self._rows[index]
        if row.task is not None:
            why = fleet_lines.why_of(row.task, self._fleet, self._lane_heads())
            return fleet_lines.task_line(row.task, why, self._columns_now(), now, gutter=gutter)
        return fleet_lines.run_line(
            self._run(row.run),
            self._counts(row.run),
            self.scrollable_content_region.width,
            now,
            folded=row.run in self._folded,
            gutter=gutter,
        )

    def _columns_now(self) -> Columns:
        width = self.scrollable_content_region.width
        if self._columns.width != width:
            self._columns = fleet_lines.columns(width, self._longest)
        return self._columns

    def _run(self, run: str) -> RunView:
        return self._fleet.runs.get(run) or RunView(run)

    def _counts(self, run: str) -> dict[str, int]:
        if self._groups is None:
            self._groups = {}
            for task in self._fleet.tasks.values():
                self._groups.setdefault(task.run, []).append(task)
            self._tallies = {}
        if run not in self._tallies:
            self._tallies[run] = tally.count(self._groups.get(run, ()))
        return self._tallies[run]

    def _lane_heads(self) -> dict[tuple[str, str], TaskView]:
        if self._heads is None:
            self._heads = fleet_lines.lane_heads(self._fleet.tasks.values())
        return self._heads

    def _list(self) -> None:
        """Rows anew; the cursor stays on its task, or on the heading of its folded run, else at its place."""
        key, run = self._key() if self._held else "", self.run_id
        self._rows = self._listed(self._folded)
        unfolded = self._listed(()) if self._filter and self._folded else self._rows
        self._matching = sum(row.task is not None for row in unfolded)
        index = self._index_of(key) if key else None
        if index is None and run in self._folded:
            index = self._index_of(f"run {run}")
        if index is None:
            index = max(0, min(self.cursor if self._held else 0, len(self._rows) - 1))
            # at the start, or where another task was: on a task rather than on a heading
            for near in (index, index + 1, index - 1):
                if 0 <= near < len(self._rows) and self._rows[near].task is not None:
                    index = near
                    break
        self.rows_changed(index)
        self.cursor_moved()
        self._retitle()

    def _listed(self, folded: Collection[str]) -> Sequence[Row]:
        return rows(self._fleet, self._filter, self._sort, frozenset(folded), self._now())

    def _row(self) -> Row | None:
        return self._rows[self.cursor] if self.cursor < len(self._rows) else None

    def _key(self) -> str:
        return self.row_key(self.cursor) if self.cursor < len(self._rows) else ""

    def _index_of(self, key: str) -> int | None:
        near = range(max(0, self.cursor - 1), min(self.cursor + 2, len(self._rows)))  # where it nearly always is
        found = next((index for index in near if self.row_key(index) == key), None)
        if found is not None:
            return found
        return next((index for index in range(len(self._rows)) if self.row_key(index) == key), None)

    def cursor_moved(self) -> None:
        if self.chosen != self._told:
            self._told = self.chosen
            self.post_message(TaskChosen(self._told))

    def _redraw_all(self) -> None:
        self.redraw()
        self._retitle()

    def _retitle(self) -> None:
        """`12 of 340, 3 marked (1 hidden)` above; filter and order below."""
        total = len(self._fleet.tasks)
        top = f"{total} tasks" if total != 1 else "1 task"
        listed = {row.task.id for row in self._rows if row.task is not None} if self._marks else set()
        if self._filter:
            top = f"{self._matching} of {total}"
        if self._marks:
            top += f", {len(self._marks)} marked"
            hidden = sum(task not in listed for task in self._marks.tasks)
            top += f" ({hidden} hidden)" if hidden else ""
        if self._marks.ranging:
            top += ", range"
        below = [f"/{clip(line(self._filter.text), 24)}"] if self._filter.text else []
        self.border_texts(top, "  ".join([*below, str(self._sort)]))

    # actions: the cursor

    def action_move(self, by: int) -> None:
        self._go(self.cursor + by)

    def action_move_to_end(self, way: int) -> None:
        self._go(0 if way < 0 else self.row_count() - 1)

    def action_page(self, way: int) -> None:
        self._go(self.cursor + way * max(1, self.page - 1))

    def _go(self, index: int) -> None:
        """Any movement by the user; it extends a range that is being marked."""
        if not self._marks.ranging:
            self._marks.end()
        self._move_extending(index)

    def _move_extending(self, index: int) -> None:
        self._wanted = ""
        self.hold()
        self.move_cursor(index)
        if self._marks.anchor:
            start = self._index_of(self._marks.anchor)
            start = self.cursor if start is None else start
            first, last = sorted((start, self.cursor))
            self._marks.extend(row.task.id for row in self._rows[first : last + 1] if row.task is not None)
            self._redraw_all()

    def action_open(self) -> None:
        row = self._row()
        if row is None:
            return
        if row.task is not None:
            self.post_message(TaskOpened(row.task.id))
        elif row.run:
            self.post_message(RunOpened(row.run))
        else:  # the heading of the tasks that belong to no run
            self._fold(row.run, folded=row.run not in self._folded)

    def action_jump(self, badge: str) -> None:
        """To the next task with this badge, round the end and into folded runs."""
        listed = self._listed(())
        key = self._key()
        keys = [row.task.id if row.task is not None else f"run {row.run}" for row in listed]
        at = keys.index(key) if key in keys else -1
        for row in [*listed[at + 1 :], *listed[: at + 1]]:
            if row.task is not None and badge_of(row.task).word == badge:
                self.go_to(row.task.id)
                return
        what = "no task waits for you" if badge == "waiting" else f"no task has {badge}"
        self.notify(what + (" in this filter" if self._filter.text else ""), timeout=2, markup=False)

    # actions: marks

    def action_mark(self) -> None:
        """Of a task and on to the next; a run's heading folds."""
        self.hold()
        row = self._row()
        if row is None:
            return
        if row.task is None:
            self._fold(row.run, folded=row.run not in self._folded)
            return
        self._marks.end()
        self._marks.toggle(row.task.id)
        self.move_cursor(self.cursor + 1)
        self._redraw_all()

    def action_extend(self, by: int) -> None:
        if not self._marks.anchor:
            self._marks.begin(self._key())
        self._move_extending(self.cursor + by)

    def action_range(self) -> None:
        self.hold()
        if self._marks.ranging:
            self._marks.end()
            self._retitle()
        else:
            self._marks.begin(self._key(), ranging=True)
            self._move_extending(self.cursor)

    def action_mark_all(self) -> None:
        """All that match the filter, in folded runs too; again: none of them."""
        self.hold()
        self._marks.end()
        self._marks.mark_all([row.task.id for row in self._listed(()) if row.task is not None])
        self._redraw_all()

    def action_clear(self) -> None:
        if self._marks or self._marks.ranging:
            self.clear_marks()
        elif self._filter.text:
            self.filter_by(EVERYTHING)
        else:
            raise SkipAction

    # actions: what is listed, and how

    def action_filter(self) -> None:
        self.post_message(self.FilterAsked(self._filter.text))

    def action_sort(self) -> None:
        self.hold()
        self._sort = self._sort.next()
        self._list()

    def action_reverse(self) -> None:
        self.hold()
        self._sort = self._sort.reversed()
        self._list()

    def action_fold(self) -> None:
        row = self._row()
        if row is None:
            return
        heading = self._index_of(f"run {row.run}")
        if row.task is None:
            self._fold(row.run, folded=True)
        elif heading is not None:
            self._go(heading)

    def action_unfold(self) -> None:
        row = self._row()
        if row is None or row.task is not None:
            return
        if row.run in self._folded:
            self._fold(row.run, folded=False)
        else:
            self._go(self.cursor + 1)

    def action_fold_all(self) -> None:
        self._folded = {row.run for row in self._rows if row.task is None}
        self._list()

    def action_unfold_all(self) -> None:
        self._folded.clear()
        self._list()

    def _fold(self, run: str, *, folded: bool) -> None:
        self.hold()
        (self._folded.add if folded else self._folded.discard)(run)
        self._list()

    # the mouse

    def clicked(self, event: events.Click, index: int, x: int) -> None:
        row = self._rows[index]
        if event.shift:
            if not self._marks.anchor:
                self._marks.begin(self._key())
            self._move_extending(index)
            return
        self._go(index)
        if event.ctrl and row.task is not None:
            self._marks.toggle(row.task.id)
            self._redraw_all()
        elif event.chain == 2:
            self.action_open()
        elif row.task is None and x <= 2:
            self._fold(row.run, folded=row.run not in self._folded)
