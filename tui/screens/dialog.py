"""What the dialogs share: a box in the middle, its keys below, and a line that says what went wrong, where."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from rich.text import Text
from textual.await_remove import AwaitRemove
from textual.screen import ModalScreen
from textual.widgets import Static

from lite.errors import QuarterdeckError
from tui.cells import line, paragraphs

Result = TypeVar("Result")
_LONGEST = 2_000  # characters of an error


class Dialog(ModalScreen[Result]):
    """Compose one container with the class `dialog`, in it a `Problem`, and below it a `KeyBar`."""

    CSS_PATH = "../styles/dialogs.tcss"  # read when the first dialog opens

    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (70, "-middle"), (120, "-wide")]  # noqa: RUF012 - as Textual declares it
    VERTICAL_BREAKPOINTS = [(0, "-short"), (20, "-tall")]  # noqa: RUF012

    def remove(self) -> AwaitRemove:
        """Its children go before it does, and Textual would let its jobs run on between."""
        self.workers.cancel_node(self)
        return super().remove()

    def complain(self, error: QuarterdeckError) -> None:
        """Nothing that was typed is lost; the error stands below it."""
        self.query_one(Problem).say(error)

    def calm(self) -> None:
        self.query_one(Problem).clear()

    def tell(self, text: str, *, warn: bool = False) -> None:
        """A message that outlives the dialog."""
        severity = "warning" if warn else "information"
        self.notify(line(text), severity=severity, timeout=4, markup=False)  # type: ignore[arg-type]


Some = TypeVar("Some", bound=Dialog[Any])


def in_turn(action: Callable[[Some], None]) -> Callable[[Some], None]:
    """For actions of keys with priority: Textual takes those at once, while what was typed before them may still wait
    on its way to the field."""

    def later(dialog: Some) -> None:
        (dialog.focused or dialog).call_later(action, dialog)

    return later


class Problem(Static):
    """Hidden while there is none."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__("", markup=False, id=id)
        self.display = False

    def say(self, error: QuarterdeckError) -> None:
        text = Text("! ", "bold")
        if error.place:
            text.append(f"{line(error.place)}: ", "bold")
        text.append(paragraphs(error.message[:_LONGEST]), "not bold")
        if error.hint:
            text.append(f"\n  {paragraphs(error.hint[:_LONGEST])}", "not bold dim")
        self.update(text)
        self.display = True

    def clear(self) -> None:
        self.display = False
