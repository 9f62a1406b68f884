"""Type a short answer into a session, and hear what became of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widgets import Input, Static

from lite.errors import IllegalState, QuarterdeckError, SessionRefused
from lite.terminal.sanitize import safe, safe_text
from tui.screens.dialog import Dialog, Problem

if TYPE_CHECKING:
    from tui.gateway import Gateway
    from tui.state import Fleet, TaskView


class Send(Dialog[bool]):
    """True when the session took it. What it asks may change while one types: then nothing is sent."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss(False)", "Close", id="send.close"),
        Binding("ctrl+j", "newline", "Line break", show=False, id="send.newline"),
    ]

    def __init__(self, gateway: Gateway, task: TaskView) -> None:
        super().__init__()
        self._gateway = gateway
        self._about = task

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog", id="send") as box:
            box.border_title = Text(f"Send to {safe(self._about.name or self._about.id[:8])}").plain.replace("[", "\\[")
            box.border_subtitle = "Enter sends, with Enter after it · ctrl+j breaks the line"
            yield Static(self._asked(), id="send-asked", markup=False)
            yield Input(placeholder="what to type", id="send-text", max_length=10_000)
            yield Problem()

    def on_mount(self) -> None:
        self.query_one(Input).focus()

    def show(self, fleet: Fleet) -> None:
        task = fleet.tasks.get(self._about.id)
        if task is None or not self.is_mounted:
            return
        changed = _question(task) != _question(self._about)
        self._about = task
        if changed:
            self.query_one("#send-asked", Static).update(self._asked())
            self.complain(IllegalState("what it asks has just changed", hint="read it, then press Enter again"))
        elif task.state != "running":
            self.complain(SessionRefused(f"it has {safe(task.state)}"))

    def _asked(self) -> Text:
        waiting = self._about.waiting
        if waiting is None:
            return Text("It asks nothing now; what you type goes to its terminal.", "dim")
        return Text(f"{safe(waiting.kind)}: ", "bold").append(safe_text(waiting.text[:2000]), "not bold")

    def action_newline(self) -> None:
        self.query_one(Input).insert_text_at_cursor("⏎")

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self._send(event.value.replace("⏎", "\n"), _question(self._about))

    @work(exclusive=True)
    async def _send(self, text: str, question: tuple[str, str]) -> None:
        if question[0]:
            row = await self._fresh()
            if row is None:
                return
            if row != question:
                self.complain(IllegalState("what it asks has just changed", hint="read it, then press Enter again"))
                return
        try:
            answer = await self._gateway.send(self._about.id, text + "\r")
        except QuarterdeckError as error:
            self.complain(error)
            return
        if answer["result"] == "refused":
            self.complain(SessionRefused(answer["reason"] or "the session refused it"))
            return
        self.deck.tell(answer["result"])
        self.dismiss(True)

    async def _fresh(self) -> tuple[str, str] | None:
        """What it asks at this moment: the feed may be a moment behind."""
        try:
            waiting = (await self._gateway.task(self._about.id))["waiting"]
        except QuarterdeckError as error:
            self.complain(error)
            return None
        return (waiting["id"], waiting["hash"]) if waiting else ("", "")


def _question(task: TaskView) -> tuple[str, str]:
    return (task.waiting.id, task.waiting.hash) if task.waiting else ("", "")
