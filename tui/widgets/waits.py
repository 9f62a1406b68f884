"""Why each waiting task of a run waits: one line each, asked for when it comes into sight."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.message import Message

from tui.badges import badge_of
from tui.cells import MUTED, Piece, clip, fit, line
from tui.messages import TaskChosen, TaskOpened
from tui.state import TaskView
from tui.widgets.canvas import CHOSEN, Canvas

_NAME = 20


class Waits(Canvas):
    """`show(tasks)`; answers `Asked` by `tell(task, text)`."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("k,up", "move(-1)", "Up", show=False, id="run.wait_up"),
        Binding("j,down", "move(1)", "Down", show=False, id="run.wait_down"),
        Binding("enter", "open", "Open", show=False, id="run.open_wait"),
    ]

    class Asked(Message):
        """These tasks are in sight and their reason is not known."""

        def __init__(self, tasks: Sequence[str]) -> None:
            super().__init__()
            self.tasks = tasks

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._tasks: list[TaskView] = []
        self._told: dict[str, str] = {}
        self._old: set[str] = set()  # told before something changed: shown until it is told anew
        self._cursor = 0

    @property
    def chosen(self) -> str:
        return self._tasks[self._cursor].id if self._cursor < len(self._tasks) else ""

    def show(self, tasks: Sequence[TaskView]) -> None:
        self._tasks = [task for task in tasks if task.state == "queued" or task.asks]
        self._cursor = min(self._cursor, max(0, len(self._tasks) - 1))
        self._draw()

    def tell(self, task: str, text: str) -> None:
        self._old.discard(task)
        if self._told.get(task) != text:
            self._told[task] = text
            self.refresh()

    def forget(self) -> None:
        """What others did may have changed every reason."""
        self._old = set(self._told)

    def on_resize(self) -> None:
        """Also when it is shown for the first time: only now is it known what is in sight."""
        self._draw()
        self.ask()

    def ask(self) -> None:
        top = self.scroll_offset.y
        seen = self._tasks[top : top + self.size.height]
        unknown = [task.id for task in seen if task.id not in self._told or task.id in self._old]
        if unknown:
            self.post_message(self.Asked(unknown))

    def _draw(self) -> None:
        self.draw(max(10, self.size.width), max(1, len(self._tasks)), self._pieces)

    def _pieces(self, y: int) -> Sequence[Piece]:
        if not self._tasks:
            return [Piece("nothing waits", MUTED)]
        task = self._tasks[y]
        badge = badge_of(task)
        chosen = f"{CHOSEN} " if y == self._cursor else ""
        told = self._told.get(task.id)
        why = line(told) if told else f"asks: {line(task.waiting.text)}" if task.waiting else "…"
        room = max(4, self.size.width - _NAME - 5)
        return [
            Piece(f"{badge.shape}{badge.letter} ", f"{chosen}{badge.role}"),
            Piece(fit(line(task.name or task.id[:8]), _NAME), chosen),
            Piece(f"  {clip(why, room)}", "" if told else MUTED),
        ]

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_y(old_value, new_value)
        self.ask()

    def action_move(self, by: int) -> None:
        self._cursor = max(0, min(len(self._tasks) - 1, self._cursor + by))
        self.bring_into_sight(0, self._cursor)
        self.post_message(TaskChosen(self.chosen))
        self.refresh()

    def action_open(self) -> None:
        if self.chosen:
            self.post_message(TaskOpened(self.chosen))
