"""A question before what cannot be taken back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Button, Static

from lite.terminal.sanitize import safe


class Confirm(ModalScreen[bool]):
    """True only for y or its button; Enter alone says no."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "answer(True)", "Yes", id="confirm.yes"),
        Binding("n,escape", "answer(False)", "No", id="confirm.no"),
        Binding("left,right,h,l", "app.focus_next", "Other button", show=False, id="confirm.other"),
    ]

    def __init__(self, question: str, lines: Sequence[str] = (), *, yes: str = "yes") -> None:
        super().__init__()
        self._question = safe(question)
        self._lines = [safe(line) for line in lines]
        self._yes = safe(yes)

    def compose(self) -> ComposeResult:
        with VerticalScroll(classes="dialog", id="confirm", can_focus=False):
            yield Static(Text(self._question, "bold"), id="confirm-question")
            yield Static(Text("\n".join(self._lines)), id="confirm-lines")
            with Horizontal(classes="buttons"):
                yield Button(Text("No (n)"), id="no", variant="primary")
                yield Button(Text(f"{self._yes} (y)"), id="yes", variant="error")

    def on_mount(self) -> None:
        self.query_one("#no").focus()

    @on(Button.Pressed)
    def _pressed(self, event: Button.Pressed) -> None:
        event.stop()
        self.dismiss(event.button.id == "yes")

    def action_answer(self, yes: bool) -> None:
        self.dismiss(yes)
