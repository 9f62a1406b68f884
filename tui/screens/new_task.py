"""Hand in one task: a real editor, the agent, and behind ctrl+o all else that a task may say."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.suggester import SuggestFromList
from textual.widgets import Button, Footer, Input, Label, Select, TextArea

from lite.errors import QuarterdeckError
from lite.terminal.sanitize import safe
from tui.orders import Draft, order_of, problem_of
from tui.screens.dialog import Dialog, Problem

if TYPE_CHECKING:
    from lite.api.messages import AgentJson
    from tui.gateway import Gateway
    from tui.state import Fleet

_ROUTED, _COMMAND = "", "\x00command"  # of the select; no agent is called so
_FIELDS = (
    ("name", "its name"),
    ("lane", "one after the other"),
    ("needs", "ids or run/name, with commas"),
    ("touches", "paths, with commas"),
    ("priority", "-100 to 100"),
    ("timeout", "30m"),
    ("idle_timeout", "5m without output"),
    ("retries", "0"),
    ("cwd", "directory"),
)


class NewTask(Dialog[str]):
    """The id of the task it made, "" when it was left; `draft` is what was typed, for the next time."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+s,ctrl+enter", "submit", "Submit", id="new.submit"),
        Binding("ctrl+t", "command", "Prompt / command", id="new.command"),
        Binding("ctrl+o", "more", "More fields", id="new.more"),
        Binding("escape", "leave", "Close (the draft is kept)", id="new.close"),
    ]

    def __init__(self, gateway: Gateway, fleet: Fleet, draft: Draft | None = None, *, cwd: str = "") -> None:
        super().__init__()
        self._gateway = gateway
        self._fleet = fleet
        self.draft = draft or Draft()
        self._cwd = cwd
        self._more = any(getattr(self.draft, field) for field, _ in _FIELDS) or bool(self.draft.mode)

    def compose(self) -> ComposeResult:
        draft = self.draft
        with VerticalScroll(classes="dialog", id="new", can_focus=False) as box:
            box.border_title = "New task"
            yield TextArea(
                draft.text, id="text", soft_wrap=True, tab_behavior="focus", placeholder="What is to be done?"
            )
            yield Select[str](
                self._choices([]),
                value=_COMMAND if draft.command else _ROUTED,
                allow_blank=False,
                id="agent",
                compact=True,
            )
            yield Problem()
            with Vertical(id="more"):
                yield from self._fields(draft)
            with Horizontal(classes="buttons"):
                yield Button("Close", id="leave")
                yield Button("Submit (ctrl+s)", id="submit", variant="primary")
        yield Footer(show_command_palette=False)

    def _fields(self, draft: Draft) -> Iterator[Horizontal]:
        names = sorted({safe(task.name) for task in self._fleet.tasks.values() if task.open and task.name})
        lanes = sorted({safe(task.lane) for task in self._fleet.tasks.values() if task.lane})
        known = {"needs": names, "lane": lanes}
        for field, hint in _FIELDS:
            with Horizontal(classes="field"):
                yield Label(field.replace("_", " "))  # type: ignore[misc]
                yield Input(  # type: ignore[misc]
                    getattr(draft, field),
                    placeholder=hint,
                    id=field,
                    compact=True,
                    suggester=SuggestFromList(known[field], case_sensitive=False) if field in known else None,
                )
        with Horizontal(classes="field"):
            yield Label("mode")  # type: ignore[misc]
            modes = [("the agent's own", ""), ("interactive, in a terminal", "interactive"), ("headless", "headless")]
            yield Select[str](modes, value=draft.mode, allow_blank=False, id="mode", compact=True)  # type: ignore[misc]

    def on_mount(self) -> None:
        self.query_one("#more").display = self._more
        self.query_one(TextArea).focus()
        self._load_agents()

    @work
    async def _load_agents(self) -> None:
        try:
            agents = await self._gateway.agents()
        except QuarterdeckError as error:
            self.complain(error)
            return
        select = self.query_one("#agent", Select)
        if select.expanded:
            return  # somebody is choosing among what there is
        chosen = select.value
        choices = self._choices(agents)
        with self.prevent(Select.Changed):
            select.set_options(choices)
            wanted = chosen if chosen != _ROUTED else self.draft.agent
            select.value = wanted if wanted in {value for _, value in choices} else _ROUTED

    def _choices(self, agents: list[AgentJson]) -> list[tuple[Text, str]]:
        found = [(Text("a prompt, routed by the configuration"), _ROUTED), (Text("a command (sh -c)"), _COMMAND)]
        for agent in agents:
            if agent["provider"] in ("shell", "http"):
                continue
            roles = f": {', '.join(agent['roles'])}" if agent["roles"] else ""
            text = Text(safe(f"{agent['name']} ({agent['provider']}){roles}"))
            if agent["problem"]:
                text.append(f"  ! {safe(agent['problem'])}", "italic")
            found.append((text, agent["name"]))
        return found

    def _read(self) -> Draft:
        agent = str(self.query_one("#agent", Select).value)
        fields = {field: self.query_one(f"#{field}", Input).value for field, _ in _FIELDS}
        return Draft(
            text=self.query_one(TextArea).text,
            command=agent == _COMMAND,
            agent="" if agent in (_ROUTED, _COMMAND) else agent,
            mode=str(self.query_one("#mode", Select).value),
            **fields,
        )

    @on(Input.Changed)
    def _checked(self, event: Input.Changed) -> None:
        field = event.input.id or ""
        wrong = problem_of(field, event.value)
        event.input.set_class(bool(wrong), "-wrong")
        event.input.tooltip = wrong or None
        if wrong:
            self.complain(QuarterdeckError(wrong, place=field))
        else:
            self.calm()

    @on(Button.Pressed)
    def _pressed(self, event: Button.Pressed) -> None:
        event.stop()
        if event.button.id == "submit":
            self.action_submit()
        else:
            self.action_leave()

    def action_command(self) -> None:
        select = self.query_one("#agent", Select)
        select.value = (self.draft.agent or _ROUTED) if select.value == _COMMAND else _COMMAND
        self.query_one(TextArea).focus()

    def action_more(self) -> None:
        more = self.query_one("#more")
        more.display = not more.display
        (self.query_one("#name", Input) if more.display else self.query_one(TextArea)).focus()

    def action_leave(self) -> None:
        self.draft = self._read()
        self.dismiss("")

    def action_submit(self) -> None:
        self.draft = self._read()
        try:
            body = order_of(self.draft)
        except QuarterdeckError as error:
            self._wrong(error)
            return
        body.setdefault("cwd", self._cwd) if self._cwd else None
        self._submit(body)

    @work(exclusive=True)
    async def _submit(self, body: object) -> None:
        try:
            made = await self._gateway.submit(body)  # type: ignore[arg-type]
        except QuarterdeckError as error:
            self._wrong(error)
            return
        self.draft = Draft(agent=self.draft.agent, command=self.draft.command)
        self.dismiss(made["task"]["id"])

    def _wrong(self, error: QuarterdeckError) -> None:
        """Show it, and the field it is about."""
        self.complain(error)
        field = {"prompt": "text", "command": "text"}.get(error.place, error.place)
        if field in asdict(self.draft) and field not in ("command",):
            if field not in ("text", "agent"):
                self.query_one("#more").display = True
            self.query_one(f"#{field}").focus()
