"""For tests of dialogs: an app that opens one and keeps what it returned."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from textual.app import App
from textual.pilot import Pilot

from tests.support.panes import screen_text
from tui.screens.dialog import Dialog
from tui.themes import THEMES

OPEN = "(still open)"
HOSTILE = "[bold red]x[/]\x1b[31m\x1b]0;owned\x07\u202egnp.exe\u200b\tç漢👩\u200d💻\n" + "w" * 10_000


class Host(App[None]):
    """`result` is `OPEN` until the dialog has closed."""

    def __init__(self, dialog: Dialog[Any]) -> None:
        super().__init__()
        for theme in THEMES:
            self.register_theme(theme)
        self.theme = "harbour"
        self.dialog = dialog
        self.result: Any = OPEN
        self.copied: list[str] = []

    async def on_mount(self) -> None:
        await self.push_screen(self.dialog, self._keep)

    def _keep(self, result: Any) -> None:
        self.result = result

    def copy_to_clipboard(self, text: str) -> None:
        self.copied.append(text)

    @property
    def text(self) -> str:
        return "\n".join(screen_text(self))

    @property
    def told(self) -> list[str]:
        return [note.message for note in self._notifications]


@asynccontextmanager
async def hosted(dialog: Dialog[Any], size: tuple[int, int] = (80, 24)) -> AsyncIterator[tuple[Host, Pilot[None]]]:
    host = Host(dialog)
    async with host.run_test(size=size) as pilot:
        await pilot.pause()
        yield host, pilot
