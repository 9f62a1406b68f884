"""How many terminals fit, and how they are arranged. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from tui.state import TaskView

COUNTS = (1, 2, 4, 6, 9)
MIN_WIDTH, MIN_HEIGHT = 32, 6  # cells of a pane with its border; below that nobody reads anything
_ARRANGED = {1: ((1, 1),), 2: ((2, 1), (1, 2)), 4: ((2, 2),), 6: ((3, 2), (2, 3)), 9: ((3, 3),)}
_SESSION = (120, 40)  # what most sessions were made for


class Shape(NamedTuple):
    columns: int
    rows: int

    @property
    def panes(self) -> int:
        return self.columns * self.rows


def shape_for(count: int, width: int, height: int) -> Shape:
    """The arrangement of `count` panes, of fewer when so many do not fit, whose panes cut off least."""
    for fewer in [each for each in reversed(COUNTS) if each <= max(count, 1)]:
        fitting = [
            Shape(columns, rows)
            for columns, rows in _ARRANGED[fewer]
            if fewer == 1 or (width // columns >= MIN_WIDTH and height // rows >= MIN_HEIGHT)
        ]
        if fitting:
            return max(fitting, key=lambda shape: _seen(width // shape.columns, height // shape.rows))
    return Shape(1, 1)


def _seen(width: int, height: int) -> float:
    """How much of a usual session a pane of this size shows."""
    return min(width / _SESSION[0], 1.0) * min(height / _SESSION[1], 1.0)


def smallest_for(tasks: int) -> int:
    """The count that has room for so many tasks."""
    return next((count for count in COUNTS if count >= tasks), COUNTS[-1])


def in_order(tasks: Iterable[TaskView]) -> list[str]:
    """Those with a live session: who waits for a person first, the longest waiting before; then as submitted."""
    live = [task for task in tasks if is_live(task)]
    return [task.id for task in sorted(live, key=_rank)]


def is_live(task: TaskView) -> bool:
    return task.state == "running" and task.session != ""


def _rank(task: TaskView) -> tuple[int, int, int]:
    if task.asks:
        since = task.waiting.since if task.waiting is not None else task.activity.since
        return 0, since, task.seq
    return 1, 0, task.seq


def kept_in_place(order: Sequence[str], tasks: Iterable[TaskView]) -> list[str]:
    """`order` as it was, with the newcomers behind it: nothing moves that somebody looks at."""
    known = set(order)
    return [*order, *(task for task in in_order(tasks) if task not in known)]
