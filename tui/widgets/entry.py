"""What people type into, with what they paste made harmless: Textual writes escape sequences in it to the terminal."""

from __future__ import annotations

from textual.widgets import Input, TextArea
from textual.widgets.text_area import Edit, EditResult

from lite.terminal.sanitize import safe, safe_text


class Entry(Input):
    """One line. What is seen is what is meant: no controls, nothing that hides or reorders."""

    def on_mount(self) -> None:
        self.cursor_blink = False  # nothing is written while nobody types

    def validate_value(self, value: str) -> str:
        return safe(value)


class Editor(TextArea):
    """Several lines; Tab goes to the next field."""

    def __init__(self, text: str = "", *, id: str | None = None, placeholder: str = "") -> None:
        super().__init__(
            safe_text(text), id=id, placeholder=placeholder, soft_wrap=True, tab_behavior="focus", compact=True
        )
        self.cursor_blink = False

    def edit(self, edit: Edit) -> EditResult:
        edit.text = safe_text(edit.text)
        return super().edit(edit)
