"""Choose a plan, see what it would run, run it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.fuzzy import Matcher
from textual.widgets import Footer, Input, OptionList, Static
from textual.widgets.option_list import Option

from lite.errors import NotFound, QuarterdeckError
from lite.terminal.sanitize import safe, safe_text
from tui.plan_files import find_plans
from tui.screens.dialog import Dialog, Problem

if TYPE_CHECKING:
    from lite.api.messages import PlanSubmittedJson, TaskJson
    from tui.gateway import Gateway

_LARGEST = 1 << 20  # bytes of a plan
_SETTLE = 0.15  # seconds the cursor rests on a file before it is tried


class PlanPicker(Dialog[str]):
    """The id of the run it started, "" when it was left."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "run", "Run it", priority=True, id="plans.run"),
        Binding("down", "move(1)", "Down", show=False, priority=True, id="plans.down"),
        Binding("up", "move(-1)", "Up", show=False, priority=True, id="plans.up"),
        Binding("ctrl+t", "file", "File / tasks", priority=True, id="plans.file"),
        Binding("escape", "dismiss('')", "Close", id="plans.close"),
    ]

    def __init__(self, gateway: Gateway, project: Path) -> None:
        super().__init__()
        self._gateway = gateway
        self._project = project
        self._files: list[Path] = []
        self._tried: Path | None = None  # what the preview shows
        self._clean = False
        self._show_file = False

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog", id="plans") as box:
            box.border_title = "Run a plan"
            yield Input(placeholder="type to find, or a path", id="plan-filter")
            with Horizontal(id="plans-both"):
                yield OptionList(id="plan-files")
                with VerticalScroll(id="plan-preview"):
                    yield Static("looking for plans", id="plan-text", markup=False)
            yield Problem()
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        self.query_one(Input).focus()
        self._find()

    @work
    async def _find(self) -> None:
        self._files = await asyncio.to_thread(find_plans, self._project)
        self._list()
        if not self._files:
            self._say(Text(f"No plan below {safe(str(self._project))}: a YAML file with tasks: in it."))

    @on(Input.Changed)
    def _list(self) -> None:
        wanted = self.query_one(Input).value.strip()
        matcher = Matcher(wanted) if wanted else None
        scored = [(matcher.match(str(path)) if matcher else 1.0, path) for path in self._files]
        kept = [path for score, path in sorted(scored, key=lambda one: -one[0]) if score > 0]
        listing = self.query_one("#plan-files", OptionList)
        listing.clear_options()
        listing.add_options(Option(Text(safe(str(path)))) for path in kept)
        self._kept = kept
        if kept:
            listing.highlighted = 0
        elif wanted:
            self.set_timer(_SETTLE, self._try_chosen)

    @on(OptionList.OptionHighlighted)
    def _highlighted(self) -> None:
        self.set_timer(_SETTLE, self._try_chosen)

    @on(OptionList.OptionSelected)
    def _selected(self) -> None:
        self.action_run()

    def _chosen(self) -> Path | None:
        at = self.query_one("#plan-files", OptionList).highlighted
        if self._kept and at is not None:
            return self._project / self._kept[at]
        typed = self.query_one(Input).value.strip()
        return self._project / Path(typed).expanduser() if typed else None

    def _try_chosen(self) -> None:
        chosen = self._chosen() if self.is_mounted else None
        if chosen is not None and chosen != self._tried:
            self._try(chosen)

    def action_move(self, by: int) -> None:
        listing = self.query_one("#plan-files", OptionList)
        if by > 0:
            listing.action_cursor_down()
        else:
            listing.action_cursor_up()

    def action_file(self) -> None:
        self._show_file = not self._show_file
        self._tried = None
        self._try_chosen()

    def action_run(self) -> None:
        chosen = self._chosen()
        if chosen is not None:
            self._run(chosen)

    @work(exclusive=True, group="preview")
    async def _try(self, path: Path) -> None:
        self._tried = path
        try:
            text = await asyncio.to_thread(_read, path)
            found = await self._gateway.plan(text, source=str(path), cwd=str(self._project), dry_run=True)
        except QuarterdeckError as error:
            self.complain(error)
            self._say(Text(""))
            return
        self.calm()
        self._say(Text(safe_text(text)) if self._show_file else _preview(found))

    @work(exclusive=True, group="run")
    async def _run(self, path: Path) -> None:
        try:
            text = await asyncio.to_thread(_read, path)
            made = await self._gateway.plan(text, source=str(path), cwd=str(self._project))
        except QuarterdeckError as error:
            self.complain(error)
            return
        self.dismiss(made["run"]["id"] if made["run"] else "")

    def _say(self, text: Text) -> None:
        self.query_one("#plan-text", Static).update(text)


def _read(path: Path) -> str:
    """Raises `NotFound` in words for whatever cannot be read."""
    try:
        if path.stat().st_size > _LARGEST:
            raise NotFound("too large for a plan", place=str(path))
        return path.read_text()
    except (OSError, UnicodeDecodeError, ValueError) as error:
        said = getattr(error, "strerror", None) or str(error)
        raise NotFound(f"cannot be read: {said}", place=str(path)) from error


def _preview(found: PlanSubmittedJson) -> Text:
    """A dry run as a table: task, agent, lane, what it needs, the rule that matched."""
    tasks = found["tasks"]
    names = {task["id"]: task["name"] for task in tasks}
    head = ("task", "agent", "lane", "needs", "why this agent")
    rows = [_row(task, names) for task in tasks]
    widths = [min(24, max(len(row[at]) for row in [head, *rows])) for at in range(len(head))]
    text = Text(no_wrap=True)
    text.append(f"{len(tasks)} tasks would run\n\n", "bold")
    for number, row in enumerate([head, *rows]):
        cells = (f"{cell[:width]:{width}}" for cell, width in zip(row, widths, strict=True))
        text.append("  ".join(cells).rstrip() + "\n", "" if number else "dim")
    return text


def _row(task: TaskJson, names: dict[str, str]) -> tuple[str, str, str, str, str]:
    needs = ", ".join(names.get(need, need) for need in task["needs"])
    return safe(task["name"]), safe(task["agent"]), safe(task["lane"]), safe(needs), safe(task["rule"])
