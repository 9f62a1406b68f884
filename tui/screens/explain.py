"""Why a task is in its state, with the evidence, and everything else that is known of it."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, ClassVar

from rich.table import Table
from rich.text import Text
from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from lite.clock import SystemClock
from lite.errors import QuarterdeckError
from tui.badges import badge_of
from tui.cells import line, paragraphs, style_of
from tui.screens.dialog import Dialog, Problem
from tui.spans import age, changes_in, duration
from tui.widgets.key_bar import KeyBar

if TYPE_CHECKING:
    from textual.timer import Timer

    from lite.api.messages import ExplanationJson, TaskJson
    from tui.gateway import Gateway
    from tui.state import Fleet, TaskView

_LABEL = 10  # cells
_LONGEST = 8_000  # characters of a prompt or an output
_PAUSE = 0.5  # seconds between two questions about the same task
_NEEDS = 50


class Explain(Dialog[None]):
    """Asks the supervisor again whenever the fleet has changed; `now`: ms since the epoch."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,e", "dismiss", "Close", id="explain.close"),
        Binding("y", "copy", "Copy", id="explain.copy"),
        Binding("j,down", "scroll(1)", "Down", show=False, id="explain.down"),
        Binding("k,up", "scroll(-1)", "Up", show=False, id="explain.up"),
        Binding("ctrl+d,pagedown,space", "page(1)", "Page down", show=False, id="explain.page_down"),
        Binding("ctrl+u,pageup", "page(-1)", "Page up", show=False, id="explain.page_up"),
        Binding("g,home", "edge(0)", "To the top", show=False, id="explain.top"),
        Binding("G,end", "edge(1)", "To the end", show=False, id="explain.end"),
    ]

    def __init__(self, gateway: Gateway, fleet: Fleet, task: str, *, now: Callable[[], int] | None = None) -> None:
        super().__init__()
        self._gateway = gateway
        self._fleet = fleet
        self._about = task
        self._now = now or SystemClock().now
        self._found: ExplanationJson | None = None
        self._row: TaskJson | None = None
        self._asking = False
        self._stale = False  # the fleet changed since it was asked
        self._resting: Timer | None = None
        self._ageing: Timer | None = None

    def compose(self) -> ComposeResult:
        task = self._fleet.tasks.get(self._about)
        with VerticalScroll(classes="dialog", id="explain") as box:
            box.border_title = Content(line(f"Explain {task.name if task and task.name else self._about}"))
            yield Static("", id="explain-head", markup=False)
            yield Problem()
            yield Static("", id="explain-facts", markup=False)
        yield KeyBar(last="escape")

    def on_mount(self) -> None:
        self.query_one("#explain").focus()
        self._draw()
        self._ask()

    def show(self, fleet: Fleet) -> None:
        before, self._fleet = self._fleet, fleet
        if not self.is_mounted:
            return
        mine = fleet.tasks.get(self._about)
        concerned = [self._about, *(mine.needs if mine else ())]
        if any(fleet.tasks.get(each) is not before.tasks.get(each) for each in concerned):
            self._draw()
            self._ask(at_once=True)
        elif (fleet.cursor, fleet.link) != (before.cursor, before.link):
            self._ask()  # what it waits for may be another's slot, lane or files

    def _ask(self, *, at_once: bool = False) -> None:
        """One question at a time, and a pause after it unless the task itself has changed: a busy fleet changes at
        every moment."""
        self._stale = True
        if self._asking or (self._resting is not None and not at_once):
            return
        if self._resting is not None:
            self._resting.stop()
            self._resting = None
        self._stale, self._asking = False, True
        self._answer()

    @work
    async def _answer(self) -> None:
        try:
            self._found = await self._gateway.explain(self._about)
        except QuarterdeckError as error:
            self.complain(error)
        else:
            self.calm()
            with suppress(QuarterdeckError):  # the texts in full; the fleet has their beginnings
                self._row = await self._gateway.task(self._about)
            self._draw()
        finally:
            self._asking = False
        self._resting = self.set_timer(_PAUSE, self._rested)

    def _rested(self) -> None:
        self._resting = None
        if self._stale:
            self._ask()

    def _draw(self) -> None:
        task = self._fleet.tasks.get(self._about)
        self.query_one("#explain-head", Static).update(self._head(task))
        grid = Table.grid(padding=(0, 1), expand=True)
        grid.add_column(width=_LABEL, no_wrap=True, style="dim")
        grid.add_column(ratio=1, overflow="fold")
        for label, value in self._rows(task):
            grid.add_row(label, value)
        self.query_one("#explain-facts", Static).update(grid)
        self._age(task)

    def _age(self, task: TaskView | None) -> None:
        """Draw again when an age reads differently; no timer while none does."""
        if self._ageing is not None:
            self._ageing.stop()
            self._ageing = None
        since = _running_since(task)
        if since:
            self._ageing = self.set_timer(max(0.05, changes_in(self._now() - since) / 1000), self._draw)

    def _head(self, task: TaskView | None) -> Text:
        text = Text()
        if task is not None:
            badge = badge_of(task)
            text.append(f"{badge.shape} {badge.letter} {badge.word}", style_of(badge.role, self.app.theme_variables))
            if task.reason:
                text.append(f"  {line(task.reason)}", "dim")
        else:
            text.append("no longer in the fleet", "dim")
        if self._found is not None:
            text.append(f"\n{line(self._found['summary'])}", "bold")
            for fact in self._found["facts"]:
                text.append(f"\n  · {line(fact)}")
            if self._found["hint"]:
                text.append(f"\n  → {line(self._found['hint'])}", "italic")
        return text.append("\n")

    def _rows(self, task: TaskView | None) -> Iterator[tuple[str, Text]]:
        """Only what there is."""
        if task is None:
            return
        rows = (*self._doing(task), *self._origin(task), *self._trying(task), *self._spending(task))
        yield from ((label, value) for label, value in rows if value)
        for label, value in self._texts(task):
            if value.strip():
                yield label, Text(paragraphs(value[:_LONGEST].rstrip()))

    def _doing(self, task: TaskView) -> Iterator[tuple[str, Text]]:
        activity = task.activity
        if activity.word:
            since = f" for {age(self._now() - activity.since)}" if activity.since else ""
            text = Text(line(activity.word) + since)
            yield "activity", text.append(f"  source {line(activity.source)}, rule {line(activity.rule)}", "dim")
            if not task.waiting:
                yield "says", Text(paragraphs(activity.text[:_LONGEST]))
        if task.waiting:
            yield "asks", Text(paragraphs(f"{task.waiting.kind}: {task.waiting.text[:_LONGEST]}"))
        for at, need in enumerate(task.needs[:_NEEDS]):
            yield "" if at else "needs", self._need(need)
        yield "", Text(f"and {len(task.needs) - _NEEDS} more" if len(task.needs) > _NEEDS else "")
        yield "because of", self._need(task.cause) if task.cause else Text()

    def _need(self, need: str) -> Text:
        other = self._fleet.tasks.get(need)
        if other is None:
            return Text(line(need)).append("  not in view", "dim")
        badge = badge_of(other)
        text = Text(f"{badge.shape} {badge.letter} ", style_of(badge.role, self.app.theme_variables))
        return text.append(f"{line(other.name or other.id)} ", "").append(badge.word, "dim")

    def _origin(self, task: TaskView) -> Iterator[tuple[str, Text]]:
        run = self._fleet.runs.get(task.run)
        rule = self._row["rule"] if self._row else ""
        agent = Text(line(f"{task.agent} ({task.provider})" if task.provider else task.agent))
        yield "agent", agent.append(f"  {line(rule)}", "dim") if rule else agent
        yield "mode", Text(line(task.mode))
        yield "run", Text(line(run.name or run.id) if run else "")
        yield "lane", Text(line(task.lane))
        yield "touches", Text(line(", ".join(task.touches)))
        yield "priority", Text(str(task.priority) if task.priority else "")
        if self._row is not None:
            yield "directory", Text(line(self._row["cwd"]))
            limits = [("timeout", self._row["timeout_ms"]), ("idle", self._row["idle_timeout_ms"])]
            yield "limits", Text(", ".join(f"{name} {duration(ms)}" for name, ms in limits if ms))

    def _trying(self, task: TaskView) -> Iterator[tuple[str, Text]]:
        if task.attempt:
            faults = f", {task.faults} of the infrastructure" if task.faults else ""
            failures = f"{task.failures} own of {task.retries + 1} allowed failures{faults}"
            yield "attempt", Text(f"{task.attempt}; {failures}" if task.failures or faults else str(task.attempt))
        yield "exit code", Text("" if task.exit_code is None else str(task.exit_code))
        yield "signal", Text(str(task.signal) if task.signal else "")
        yield "detail", Text(line(task.detail))
        began, ended = task.started_at, task.ended_at
        if began is not None:
            took = f"took {duration(ended - began)}" if ended is not None else f"for {age(self._now() - began)}"
            yield "ran" if ended is not None else "runs", Text(took)
        yield "worker", Text(line(task.worker))
        yield "session", Text(line(task.session))
        yield "task", Text(line(task.id))

    def _spending(self, task: TaskView) -> Iterator[tuple[str, Text]]:
        source = line(task.cost_source or "source unknown")
        if task.cost_usd is not None:
            yield "cost", Text(f"${task.cost_usd:.4f}  ").append(source, "dim")
        if task.tokens_in is not None or task.tokens_out is not None:
            yield "tokens", Text(f"{task.tokens_in or 0:,} in, {task.tokens_out or 0:,} out  ").append(source, "dim")

    def _texts(self, task: TaskView) -> Iterator[tuple[str, str]]:
        row = self._row
        yield "prompt", row["prompt"] if row else task.prompt
        yield "command", _shell(row["command"]) if row and row["command"] else task.command
        yield "url", row["url"] if row else ""
        yield "output", (row["output"] or "") if row else ""

    def action_scroll(self, by: int) -> None:
        self.query_one("#explain", VerticalScroll).scroll_relative(y=by, animate=False)

    def action_page(self, by: int) -> None:
        box = self.query_one("#explain", VerticalScroll)
        box.scroll_relative(y=by * max(1, box.size.height - 1), animate=False)

    def action_edge(self, end: int) -> None:
        box = self.query_one("#explain", VerticalScroll)
        box.scroll_to(y=box.max_scroll_y if end else 0, animate=False)

    def action_copy(self) -> None:
        task = self._fleet.tasks.get(self._about)
        text = self._head(task).plain.rstrip() + "\n\n"
        for label, value in self._rows(task):
            text += f"{label:{_LABEL}} " + value.plain.replace("\n", "\n" + " " * (_LABEL + 1)) + "\n"
        self.app.copy_to_clipboard(text)
        self.tell(f"copied {len(text.splitlines())} lines")


def _running_since(task: TaskView | None) -> int:
    """The youngest age on show decides when to draw again; 0: none grows."""
    if task is None or task.state != "running":
        return 0
    return max(task.activity.since if task.activity.word else 0, task.started_at or 0)


def _shell(argv: list[str]) -> str:
    """As it would be typed; a `sh -c` line as it was given."""
    return argv[2] if argv[:2] == ["sh", "-c"] and len(argv) == 3 else shlex.join(argv)
