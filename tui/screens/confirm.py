"""A question before what cannot be taken back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.widgets import Button, Static

from tui.cells import line
from tui.screens.dialog import Dialog
from tui.widgets.key_bar import KeyBar


class Confirm(Dialog[bool]):
    """True only for y or its button; Enter alone says no. `lines` tell what it is about."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "answer(True)", "Yes", id="confirm.yes"),
        Binding("n,escape", "answer(False)", "No", id="confirm.no"),
        Binding("left,right,h,l", "other", "Other button", show=False, id="confirm.other"),
        Binding("j,down", "scroll(1)", "Down", show=False, id="confirm.down"),
        Binding("k,up", "scroll(-1)", "Up", show=False, id="confirm.up"),
    ]

    def __init__(self, question: str, lines: Sequence[str] = (), *, yes: str = "yes") -> None:
        super().__init__()
        self._question = line(question)
        self._lines = [line(each) for each in lines]
        self._yes = line(yes)

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog", id="confirm"):
            yield Static(Text(self._question, "bold"), id="confirm-question")
            with VerticalScroll(id="confirm-lines", can_focus=False):
                yield Static(Text("\n".join(self._lines), no_wrap=True, overflow="ellipsis"))
            with Horizontal(classes="buttons"):
                yield Button(Text("No (n)"), id="no", compact=True)
                yield Button(Text(f"{self._yes} (y)"), id="yes", compact=True)
        yield KeyBar(last="escape")

    def on_mount(self) -> None:
        self.query_one("#no").focus()

    @on(Button.Pressed)
    def _pressed(self, event: Button.Pressed) -> None:
        event.stop()
        self.dismiss(event.button.id == "yes")

    def action_answer(self, yes: bool) -> None:
        self.dismiss(yes)

    def action_other(self) -> None:
        self.query_one("#no" if self.query_one("#yes").has_focus else "#yes").focus()

    def action_scroll(self, by: int) -> None:
        self.query_one("#confirm-lines", VerticalScroll).scroll_relative(y=by, animate=False)
