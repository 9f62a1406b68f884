"""What the dialogs share: a box in the middle, and one line that says what went wrong, where."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from rich.text import Text
from textual.screen import ModalScreen
from textual.widgets import Static

from lite.errors import QuarterdeckError
from lite.terminal.sanitize import safe, safe_text

if TYPE_CHECKING:
    from tui.app import Dashboard

Result = TypeVar("Result")


class Dialog(ModalScreen[Result]):
    """Compose one container with the class `dialog` and, in it, a `Problem`."""

    @property
    def deck(self) -> Dashboard:
        app: Dashboard = self.app  # type: ignore[assignment]
        return app

    def complain(self, error: QuarterdeckError) -> None:
        """Nothing that was typed is lost; the error stands below it."""
        self.query_one(Problem).say(error)

    def calm(self) -> None:
        self.query_one(Problem).clear()


class Problem(Static):
    """Hidden while there is none."""

    def __init__(self) -> None:
        super().__init__("", markup=False)
        self.display = False

    def say(self, error: QuarterdeckError) -> None:
        text = Text()
        if error.place:
            text.append(f"{safe(error.place)}: ", "bold")
        text.append(safe_text(error.message))
        if error.hint:
            text.append(f"\n{safe(error.hint)}", "dim")
        self.update(text)
        self.display = True

    def clear(self) -> None:
        self.display = False
