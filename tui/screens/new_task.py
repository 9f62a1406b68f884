"""Hand in one task: a real editor, the agent, and behind ctrl+o all else that a task may say."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.suggester import SuggestFromList
from textual.widget import Widget
from textual.widgets import Input, Select, Static, TextArea

from lite.errors import InvalidTask, NotFound, QuarterdeckError
from lite.model.ids import new_id
from tui.cells import line
from tui.orders import Draft, order_of, problem_of
from tui.screens.dialog import Dialog, Problem, in_turn
from tui.widgets.entry import Editor, Entry
from tui.widgets.field import Field
from tui.widgets.key_bar import KeyBar
from tui.widgets.task_chooser import TaskChooser

if TYPE_CHECKING:
    from lite.api.messages import AgentJson, SubmitBody
    from tui.gateway import Gateway
    from tui.state import Fleet

_ROUTED, _COMMAND = "", "\x00command"  # of the select; no agent is called so
_INPUTS = {
    "name": "a word for it",
    "lane": "its tasks run one after the other",
    "touches": "paths for it alone meanwhile, with commas",
    "priority": "0; from -100 to 100, higher goes first",
    "timeout": "none; 30m, 1h30m, 90s",
    "idle_timeout": "none; for how long it may be silent",
    "retries": "the agent's own",
    "cwd": "",
}
_FIELDS = ("name", "lane", "needs", "touches", "priority", "timeout", "idle_timeout", "retries", "mode", "cwd")
_MODES = (("the agent's own", ""), ("interactive, in a terminal", "interactive"), ("headless", "headless"))
_LONGEST = 2_000  # characters of a field


class NewTask(Dialog[str]):
    """The id of the task it made, "" when it was left; `draft` is what was typed, for the next time."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+s,ctrl+enter", "submit", "Submit", priority=True, id="new.submit"),
        Binding("ctrl+t", "command", "Prompt / command", priority=True, id="new.command"),
        Binding("ctrl+o", "more", "More", priority=True, id="new.more"),
        Binding("escape", "leave", "Close", tooltip="The draft is kept", id="new.close"),
    ]

    def __init__(self, gateway: Gateway, fleet: Fleet, draft: Draft | None = None, *, cwd: str = "") -> None:
        super().__init__()
        self._gateway = gateway
        self._fleet = fleet
        self.draft = draft or Draft()
        self._cwd = cwd
        self._agents: dict[str, AgentJson] = {}
        self._agent = self.draft.agent  # the one to come back to from a command
        self._sending = False
        self._sent: tuple[SubmitBody, str] | None = None  # and the key it went with

    def compose(self) -> ComposeResult:
        draft = self.draft
        with Vertical(classes="dialog", id="new") as box:
            box.border_title = "New task"
            yield Editor(draft.text, id="text")
            chosen = _COMMAND if draft.command else draft.agent
            yield Select[str](self._choices(), value=chosen, allow_blank=False, id="agent", compact=True)
            yield Static("", id="agent-note", markup=False)
            yield Problem()
            yield Static("", id="summary", markup=False)
            with VerticalScroll(id="more", can_focus=False):
                yield from self._fields(draft)
        yield KeyBar(last="escape")

    def _fields(self, draft: Draft) -> Iterator[Field]:
        lanes = sorted({line(task.lane) for task in self._fleet.tasks.values() if task.lane and task.open})
        for name in _FIELDS:
            body: Widget
            if name == "needs":
                body = TaskChooser(self._fleet, draft.needs, id="needs")
            elif name == "mode":
                body = Select[str](_MODES, value=draft.mode, allow_blank=False, id="mode", compact=True)
            else:
                hint = (self._cwd or "the supervisor's directory") if name == "cwd" else _INPUTS[name]
                body = Entry(getattr(draft, name), placeholder=hint, id=name, compact=True, max_length=_LONGEST)
                body.select_on_focus = False  # what is there stays
                if name == "lane":
                    body.suggester = SuggestFromList(lanes, case_sensitive=False)
            yield Field(name, body)

    def on_mount(self) -> None:
        self.query_one("#more").display = False
        self._tell_mode()
        self._summarise()
        editor = self.query_one(TextArea)
        editor.move_cursor(editor.document.end)
        editor.focus()
        self._load_agents()

    def show(self, fleet: Fleet) -> None:
        self._fleet = fleet
        if self.is_mounted:
            self.query_one(TaskChooser).show(fleet)

    # who does it

    @work
    async def _load_agents(self) -> None:
        try:
            agents = await self._gateway.agents()
        except QuarterdeckError as error:
            self.complain(error)
            return
        self._agents = {agent["name"]: agent for agent in agents if agent["provider"] not in ("shell", "http")}
        select = self.query_one("#agent", Select)
        if select.expanded:
            return  # somebody is choosing among what there is
        chosen = select.value
        with self.prevent(Select.Changed):
            select.set_options(self._choices())
            select.value = chosen
        self._tell_mode()

    def _choices(self) -> list[tuple[Text, str]]:
        found = [(Text("any agent: the configuration's routing decides"), _ROUTED)]
        found.append((Text("no agent: a command, under sh -c"), _COMMAND))
        for name, agent in sorted(self._agents.items(), key=lambda one: bool(one[1]["problem"])):
            roles = f": {', '.join(agent['roles'])}" if agent["roles"] else ""
            text = Text(line(f"{name} ({agent['provider']}){roles}"))
            if agent["problem"]:
                text = Text(f"! {text.plain}: {line(agent['problem'])}", "italic")
            found.append((text, name))
        if self._agent and self._agent not in self._agents:
            found.append((Text(line(self._agent)), self._agent))
        return found

    @on(Select.Changed, "#agent")
    def _chosen(self, event: Select.Changed) -> None:
        if event.value != _COMMAND:
            self._agent = str(event.value)
        self._tell_mode()

    def _tell_mode(self) -> None:
        """What the text above is, and what is wrong with who shall do it."""
        value = self.query_one("#agent", Select).value
        command = value == _COMMAND
        box = self.query_one("#new")
        box.border_subtitle = "command" if command else "prompt"
        box.set_class(command, "-command")
        self.query_one(TextArea).placeholder = "make test && make lint" if command else "What is to be done?"
        agent = self._agents.get(str(value))
        problem = agent["problem"] if agent else ""
        if self._agents and value not in (_COMMAND, _ROUTED) and agent is None:
            problem = "the configuration knows no such agent"
        note = self.query_one("#agent-note", Static)
        note.display = bool(problem)
        note.update(Text(f"! {line(problem)}"))

    def action_command(self) -> None:
        select = self.query_one("#agent", Select)
        select.value = self._agent if select.value == _COMMAND else _COMMAND
        self.query_one(TextArea).focus()

    # the other fields

    @on(Input.Changed)
    def _checked(self, event: Input.Changed) -> None:
        """While it is typed; what the supervisor said of a field goes when the field changes."""
        field = next((each for each in event.input.ancestors if isinstance(each, Field)), None)
        if field is not None:
            field.wrong(problem_of(field.field, event.value))
            self._summarise()

    @on(Select.Changed, "#mode")
    def _mode_chosen(self) -> None:
        self._summarise()

    def _summarise(self) -> None:
        """What is set behind ctrl+o is never out of sight."""
        draft = self._read()
        given = [f"{name.replace('_', ' ')} {value}" for name in _FIELDS if (value := getattr(draft, name).strip(" ,"))]
        summary = self.query_one("#summary", Static)
        summary.update(Text(line(" · ".join(given)), no_wrap=True, overflow="ellipsis"))
        summary.display = bool(given) and not self.query_one("#more").display

    def action_more(self) -> None:
        self._open_more(not self.query_one("#more").display)
        (self.query_one("#name") if self.query_one("#more").display else self.query_one(TextArea)).focus()

    def _open_more(self, shown: bool) -> None:
        self.query_one("#more").display = shown
        self.query_one("#new").set_class(shown, "-more")
        self._summarise()

    def _read(self) -> Draft:
        agent = str(self.query_one("#agent", Select).value)
        return Draft(
            text=self.query_one(TextArea).text,
            command=agent == _COMMAND,
            agent=self._agent,
            mode=str(self.query_one("#mode", Select).value),
            needs=self.query_one(TaskChooser).value,
            **{name: self.query_one(f"#{name}", Input).value for name in _INPUTS},
        )

    # what becomes of it

    def action_leave(self) -> None:
        self.draft = self._read()
        if self._sending:
            self.tell("closed before the supervisor answered: the task may have been made", warn=True)
        self.dismiss("")

    @in_turn
    def action_submit(self) -> None:
        if not self._sending:
            self._sending = True
            self.draft = self._read()
            self._submit()

    @work
    async def _submit(self) -> None:
        self.calm()
        try:
            made = await self._gateway.submit(await self._body())
        except QuarterdeckError as error:
            self._wrong(error)
            return
        finally:
            self._sending = False
        self.draft = Draft(agent=self.draft.agent, command=self.draft.command)
        self.dismiss(made["task"]["id"])

    async def _body(self) -> SubmitBody:
        """Raises `InvalidTask`. The same order goes with the same key: when the answer to it was lost, it is not done
        twice."""
        body = order_of(self.draft)
        if "needs" in body:
            body["needs"] = self.query_one(TaskChooser).ids(body["needs"])
        if self._cwd or "cwd" in body:
            body["cwd"] = await asyncio.to_thread(_directory, self._cwd, body.get("cwd", ""))
        key = self._sent[1] if self._sent is not None and self._sent[0] == body else new_id()
        self._sent = (body, key)
        return {**body, "key": key}

    def _wrong(self, error: QuarterdeckError) -> None:
        """Say it at the field it is about, else below the editor."""
        place = error.place.rsplit(":", 1)[-1].strip().removesuffix("_ms")
        if isinstance(error, NotFound) and self.draft.needs and not error.place:
            place = "needs"  # the only thing that a new task refers to
        if place in _FIELDS:
            self._open_more(True)
            field = self.query_one(f"#field-{place}", Field)
            field.wrong(" ".join(filter(None, (error.message, error.hint and f"({error.hint})"))))
            body = field.body
            (body.input if isinstance(body, TaskChooser) else body).focus()
            self.call_after_refresh(field.scroll_visible, animate=False)
            return
        self.complain(error)
        self.query_one("#agent" if place == "agent" else "#text").focus()


def _directory(base: str, given: str) -> str:
    """Absolute; links stay. Raises `InvalidTask`."""
    try:
        path = os.path.abspath(Path(base or ".") / Path(given).expanduser())  # noqa: PTH100 - resolve() follows links
        if Path(path).is_dir():
            return path
    except (OSError, RuntimeError, ValueError):  # too long, an unknown user, a NUL
        pass
    raise InvalidTask("no such directory", place="cwd")
