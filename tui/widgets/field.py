"""One line of a form: a label, something to type into, and below it what is wrong with it."""

from __future__ import annotations

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.widget import Widget
from textual.widgets import Label, Static

from tui.cells import line


class Field(Vertical):
    """`body` is what is typed into; `wrong` shows a problem, or none for ""."""

    DEFAULT_CSS = """
    Field { height: auto; }
    Field > Horizontal { height: auto; }
    Field Label { width: 14; color: $text-muted; }
    Field:focus-within Label { color: $foreground; text-style: bold; }
    Field .wrong { height: auto; padding-left: 14; color: $error; display: none; }
    Field.-wrong .wrong { display: block; }
    Field.-wrong Label { color: $error; }
    """

    def __init__(self, name: str, body: Widget) -> None:
        super().__init__(id=f"field-{name}")
        self._label = name.replace("_", " ")
        self.field = name
        self.body = body
        self.problem = ""

    def compose(self) -> ComposeResult:
        with Horizontal():
            yield Label(self._label, markup=False)
            yield self.body
        yield Static("", classes="wrong", markup=False)

    def wrong(self, problem: str) -> None:
        if problem != self.problem:
            self.problem = problem
            self.query_one(".wrong", Static).update(Text(f"! {line(problem)}"))
            self.set_class(bool(problem), "-wrong")
            if problem and self.has_focus_within:
                self.call_after_refresh(self.scroll_visible, animate=False)
