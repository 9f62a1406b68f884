"""The graph of a run: badges and names, what needs what, what blocks now, the longest way through."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType

from tui import spans
from tui.badges import badge_of
from tui.cells import MUTED, STRONG, Piece, clip, line, width_of
from tui.graph import MOST_NODES, Layout, Node, beside, critical_path, edges_of, lay_out
from tui.graph_lines import Edge
from tui.messages import TaskChosen, TaskOpened
from tui.state import TaskView
from tui.widgets.canvas import CHOSEN, Canvas

_NAME = 28  # cells of a name at most
_TIME = 7


class Dag(Canvas):
    """`show(tasks)`; `chosen` is the task under the cursor."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("h,left", "go(-1, 0)", "Left", show=False, id="run.left"),
        Binding("l,right", "go(1, 0)", "Right", show=False, id="run.right"),
        Binding("k,up", "go(0, -1)", "Up", show=False, id="run.up"),
        Binding("j,down", "go(0, 1)", "Down", show=False, id="run.down"),
        Binding("enter", "open", "Open", id="run.open"),
    ]

    def __init__(self, now: Callable[[], int], *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._now = now
        self._tasks: dict[str, TaskView] = {}
        self._layout = Layout({})
        self._shape: object = None
        self._labels: dict[int, list[tuple[int, str]]] = {}  # y -> (x, task)
        self._lines: dict[int, list[tuple[int, str, frozenset[Edge]]]] = {}  # y -> (x, char, edges)
        self._drawn = (0, 0)  # the columns `_lines` holds
        self._widths: dict[str, int] = {}
        self._from: dict[str, list[Edge]] = {}  # task -> the edges that begin there
        self._critical: frozenset[Edge] = frozenset()
        self.chosen = ""

    def show(self, tasks: Sequence[TaskView]) -> None:
        self._tasks = {task.id: task for task in tasks}
        shape = tuple((task.id, task.name, task.needs, task.lane) for task in tasks)
        if shape != self._shape:
            self._shape = shape
            self._arrange(tasks)
        durations = {task.id: _took(task, self._now()) for task in tasks}
        done = {each: took for each, took in durations.items() if took}
        self._critical = critical_path(done, edges_of(self._placed)) if len(tasks) <= MOST_NODES else frozenset()
        if self.chosen not in self._tasks:
            self._choose(next((task.id for task in tasks if task.asks), tasks[0].id if tasks else ""))
        self._draw()

    def _arrange(self, tasks: Sequence[TaskView]) -> None:
        last: dict[str, str] = {}  # lane -> the task before
        nodes = []
        for task in tasks:
            width = min(_NAME, width_of([Piece(line(task.name))])) + 3 + _TIME
            nodes.append(Node(task.id, width, task.needs, last.get(task.lane, "")))
            if task.lane:
                last[task.lane] = task.id
        if len(nodes) > MOST_NODES:  # too many to be told apart: names in columns
            nodes = [node._replace(needs=(), after="") for node in nodes]
        self._placed = nodes
        self._layout = lay_out(nodes)
        self._labels = {}
        self._widths = {node.id: node.width for node in nodes}
        self._from = {}
        for edge in edges_of(nodes):
            self._from.setdefault(edge[0], []).append(edge)
        for each, place in self._layout.places.items():
            self._labels.setdefault(place.y, []).append((place.x, each))
        self._drawn = (0, 0)

    def _lines_in_sight(self) -> dict[int, list[tuple[int, str, frozenset[Edge]]]]:
        """Only there are lines drawn: a long plan has a hundred thousand cells."""
        sight = (self.scroll_offset.x, self.scroll_offset.x + self.size.width)
        if self._drawn != sight:
            self._drawn, self._lines = sight, {}
            for (x, y), cell in self._layout.cells(*sight).items():
                self._lines.setdefault(y, []).append((x, cell.char, cell.shown))
        return self._lines

    def _draw(self) -> None:
        self.draw(self._layout.width, self._layout.height, self._pieces)

    def _pieces(self, y: int) -> Sequence[Piece]:
        found: list[tuple[int, Sequence[Piece]]] = []
        lines = self._lines_in_sight().get(y, ())
        edges_at = {x: (char, edges) for x, char, edges in lines}
        for x, char, edges in lines:
            found.append((x, [Piece(char, self._role(edges))]))
        for x, each in self._labels.get(y, ()):
            label = self._label(self._tasks[each])
            start = x + self._widths[each] + 1
            char, edges = edges_at.get(start, ("", frozenset()))
            if char and not edges.isdisjoint(self._from.get(each, ())):  # its line begins behind the longest name
                gap = start - x - width_of(label) - 1
                label.append(Piece(f" {('┄' if char == '┄' else '─') * gap}", self._role(edges)))
            found.append((x, label))
        pieces: list[Piece] = []
        at = 0
        for x, parts in sorted(found, key=lambda one: one[0]):
            if x > at:
                pieces.append(Piece(" " * (x - at)))
            pieces += parts
            at = x + width_of(parts)
        return pieces

    def _role(self, edges: frozenset[Edge]) -> str:
        blocking = [
            badge_of(self._tasks[source])
            for source, target in edges
            if self._tasks[source].state == "running" and self._tasks[target].state == "queued"
        ]
        if blocking:
            return max(blocking, key=lambda badge: badge.word == "waiting").role  # what needs a person shows through
        if any(self.chosen in edge for edge in edges):
            return "primary"  # which lines are those of the task under the cursor is hard to follow otherwise
        return STRONG if edges & self._critical else MUTED

    def _label(self, task: TaskView) -> list[Piece]:
        badge = badge_of(task)
        chosen = f"{CHOSEN} " if task.id == self.chosen else ""
        took = _took(task, self._now())
        text = f" {spans.duration(took)}" if took else ""
        name = clip(line(task.name or task.id[:8]), _NAME)
        return [
            Piece(f"{badge.shape}{badge.letter}", f"{chosen}{badge.role}"),
            Piece(f" {name}", f"{chosen}{MUTED if task.state in ('queued', 'skipped') else ''}"),
            Piece(text, f"{chosen}{MUTED}"),
        ]

    def _choose(self, task: str) -> None:
        self.chosen = task
        self.post_message(TaskChosen(task))
        place = self._layout.places.get(task)
        if place is not None and self.is_mounted:
            self.bring_into_sight(place.x, place.y, _NAME)

    def action_go(self, dx: int, dy: int) -> None:
        self._choose(beside(self._layout, self.chosen, dx, dy))
        self._draw()

    def action_open(self) -> None:
        if self.chosen:
            self.post_message(TaskOpened(self.chosen))

    def on_click(self, event: events.Click) -> None:
        x, y = self.at(event.x, event.y)
        for left, each in self._labels.get(y, ()):
            if left <= x < left + width_of(self._label(self._tasks[each])):
                self._choose(each)
                self._draw()
                if event.chain == 2:
                    self.action_open()


def _took(task: TaskView, now: int) -> int:
    """ms its newest attempt has run; 0 for one that has not."""
    if task.started_at is None:
        return 0
    return max(1, (task.ended_at or now) - task.started_at) if task.state != "queued" else 0
