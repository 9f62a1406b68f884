"""Why a task is in its state, with the evidence, and everything else that is known of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.widgets import Footer, Static

from lite.errors import QuarterdeckError
from lite.terminal.sanitize import safe, safe_text
from tui.badges import badge_of
from tui.screens.dialog import Dialog, Problem

if TYPE_CHECKING:
    from lite.api.messages import ExplanationJson
    from tui.gateway import Gateway
    from tui.state import Fleet, TaskView

_LABEL = 12  # cells


class Explain(Dialog[None]):
    """Asks the supervisor again whenever the task has changed."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,e", "dismiss", "Close", id="explain.close"),
        Binding("y", "copy", "Copy", id="explain.copy"),
        Binding("j,down", "scroll(1)", "Down", show=False, id="explain.down"),
        Binding("k,up", "scroll(-1)", "Up", show=False, id="explain.up"),
    ]

    def __init__(self, gateway: Gateway, fleet: Fleet, task: str) -> None:
        super().__init__()
        self._gateway = gateway
        self._fleet = fleet
        self._about = task
        self._found: ExplanationJson | None = None

    def compose(self) -> ComposeResult:
        with VerticalScroll(classes="dialog", id="explain") as box:
            box.border_title = "Explain"
            yield Static("", id="explain-text", markup=False)
            yield Problem()
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        self.query_one("#explain").focus()
        self._draw()
        self._ask()

    def show(self, fleet: Fleet) -> None:
        changed = fleet.tasks.get(self._about) is not self._fleet.tasks.get(self._about)
        self._fleet = fleet
        if changed and self.is_mounted:
            self._draw()
            self._ask()

    @work(exclusive=True)
    async def _ask(self) -> None:
        try:
            self._found = await self._gateway.explain(self._about)
        except QuarterdeckError as error:
            self.complain(error)
        else:
            self.calm()
            self._draw()

    def _draw(self) -> None:
        self.query_one("#explain-text", Static).update(self._text())

    def _text(self) -> Text:
        task = self._fleet.tasks.get(self._about)
        text = Text()
        if task is not None:
            badge = badge_of(task)
            colour = self.app.theme_variables.get(badge.role, "")
            text.append(f"{badge.shape} {badge.letter} {badge.word}  ", colour)
            text.append(f"{safe(task.name or task.id)}\n\n", "bold")
        if self._found is not None:
            text.append(f"{safe(self._found['summary'])}\n", "bold")
            for fact in self._found["facts"]:
                text.append(f"  {safe(fact)}\n")
            if self._found["hint"]:
                text.append(f"  {safe(self._found['hint'])}\n", "italic")
            text.append("\n")
        if task is not None:
            for label, value in self._facts(task):
                text.append(f"{label:{_LABEL}} ", "dim")
                text.append(safe_text(value).replace("\n", "\n" + " " * (_LABEL + 1)) + "\n")
        return text

    def _facts(self, task: TaskView) -> Iterator[tuple[str, str]]:
        """Only what there is."""
        run = self._fleet.runs.get(task.run)
        needs = [self._fleet.tasks[need] for need in task.needs if need in self._fleet.tasks]
        activity = task.activity
        evidence = f"{activity.word} (by {activity.source}, rule {activity.rule})" if activity.word else ""
        counts = f"{task.attempt}; own failures {task.failures} of {task.retries + 1}, infrastructure {task.faults}"
        money = "" if task.cost_usd is None else f"${task.cost_usd:.4f} ({task.cost_source or 'unknown'})"
        tokens = "" if task.tokens_in is None else f"{task.tokens_in} in, {task.tokens_out or 0} out"
        yield from (
            (label, value)
            for label, value in (
                ("id", task.id),
                ("run", run.name if run else ""),
                ("agent", f"{task.agent} ({task.provider})" if task.provider else task.agent),
                ("activity", evidence),
                ("says", activity.text),
                ("asks", task.waiting.text if task.waiting else ""),
                ("attempt", counts if task.attempt else ""),
                ("exit code", "" if task.exit_code is None else str(task.exit_code)),
                ("signal", "" if task.signal is None else str(task.signal)),
                ("detail", task.detail),
                ("needs", ", ".join(f"{need.name} ({need.state})" for need in needs)),
                ("lane", task.lane),
                ("touches", ", ".join(task.touches)),
                ("priority", str(task.priority) if task.priority else ""),
                ("worker", task.worker),
                ("session", task.session),
                ("cost", money),
                ("tokens", tokens),
                ("prompt", task.prompt),
                ("command", task.command),
            )
            if value
        )

    def action_scroll(self, by: int) -> None:
        self.query_one("#explain", VerticalScroll).scroll_relative(y=by, animate=False)

    def action_copy(self) -> None:
        text = self._text().plain
        self.app.copy_to_clipboard(text)
        self.deck.tell(f"copied {len(text.splitlines())} lines")
