"""What widgets tell the screen they are on; the screen decides and acts."""

from __future__ import annotations

from textual.message import Message


class TaskChosen(Message):
    """The cursor of the fleet list is on this task now; "" when it is on none."""

    def __init__(self, task: str) -> None:
        super().__init__()
        self.task = task


class TaskOpened(Message):
    """Enter or a double click on a task."""

    def __init__(self, task: str) -> None:
        super().__init__()
        self.task = task


class RunOpened(Message):
    """Enter or a double click on a run's heading."""

    def __init__(self, run: str) -> None:
        super().__init__()
        self.run_id = run
