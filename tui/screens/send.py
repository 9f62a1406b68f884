"""Type an answer into a session, and hear what became of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, NamedTuple

from rich.text import Text
from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.widgets import Static, TextArea

from lite.errors import IllegalState, QuarterdeckError, SessionRefused, UsageError
from tui.cells import line, paragraphs
from tui.screens.dialog import Dialog, Problem, in_turn
from tui.widgets.entry import Editor
from tui.widgets.key_bar import KeyBar

if TYPE_CHECKING:
    from lite.api.messages import SendJson, TaskJson
    from tui.gateway import Gateway
    from tui.state import Fleet, TaskView

_SHOWN = 4_000  # characters of a question


class Question(NamedTuple):
    """What a session asks; no `id`: nothing."""

    id: str = ""
    hash: str = ""
    kind: str = ""
    text: str = ""

    @property
    def mark(self) -> tuple[str, str]:
        return self.id, self.hash


class Send(Dialog[bool]):
    """True when the session took it.

    An answer goes to the question that was read and to no other: what is asked now is compared with what is shown when
    the fleet changes, and once more just before anything is sent.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "send", "Send it, then Enter", priority=True, id="send.send"),
        Binding("ctrl+j,shift+enter", "newline", "Line break", priority=True, id="send.newline"),
        Binding("pageup", "scroll(-1)", "Question up", show=False, priority=True, id="send.up"),
        Binding("pagedown", "scroll(1)", "Question down", show=False, priority=True, id="send.down"),
        Binding("escape", "close", "Close", id="send.close"),
    ]

    def __init__(self, gateway: Gateway, task: TaskView) -> None:
        super().__init__()
        self._gateway = gateway
        self._about = task
        self._asked = _of_view(task)
        self._past: set[tuple[str, str]] = set()  # the feed may still tell of these
        self._sending = False
        self._unread = False  # the question changed under somebody's hands

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog", id="send") as box:
            box.border_title = Content(f"Send to {line(self._about.name or self._about.id)}")
            with VerticalScroll(id="send-asked", can_focus=False):
                yield Static(self._text(), id="send-question", markup=False)
            yield Editor(id="send-text", placeholder="what to type")
            yield Problem()
        yield KeyBar(last="escape")

    def on_mount(self) -> None:
        self.query_one(TextArea).focus()

    def show(self, fleet: Fleet) -> None:
        task = fleet.tasks.get(self._about.id)
        if task is None or not self.is_mounted:
            return
        ended = task.state != "running" and self._about.state == "running"
        said, self._about = self._about.activity.text, task
        asked = _of_view(task)
        if asked.mark != self._asked.mark and asked.mark not in self._past:
            self._ask(asked, "read it; the first Enter only says that you have")
            self._unread = True
        elif said != task.activity.text:
            self.query_one("#send-question", Static).update(self._text())
        if ended:
            self.complain(SessionRefused(f"it is {line(task.state)} now"))

    def _ask(self, asked: Question, hint: str) -> None:
        """It asks something else now: nothing is sent before that was read."""
        self._past.add(self._asked.mark)
        self._past.discard(asked.mark)
        self._asked = asked
        self.query_one("#send-question", Static).update(self._text())
        what = "it asks something else now" if asked.id else "it does not ask that any more"
        self.complain(IllegalState(what, hint=hint))

    def _text(self) -> Text:
        if self._asked.id:
            text = Text(f"{line(self._asked.kind) or 'it asks'}: ", "bold")
            return text.append(paragraphs(self._asked.text[:_SHOWN]), "not bold")
        if self._about.asks and self._about.activity.text:
            return Text("it waits: ", "bold").append(paragraphs(self._about.activity.text[:_SHOWN]), "not bold")
        if self._about.asks:
            return Text("It waits for a person; its terminal shows for what.", "dim")
        return Text("It asks nothing now. What you type goes to its terminal.", "dim")

    @in_turn
    def action_newline(self) -> None:
        self.query_one(TextArea).insert("\n")

    def action_scroll(self, by: int) -> None:
        asked = self.query_one("#send-asked", VerticalScroll)
        asked.scroll_relative(y=by * max(1, asked.size.height - 1), animate=False)

    def action_close(self) -> None:
        if self._sending:
            self.tell("closed before it was told what became of the answer", warn=True)
        self.dismiss(False)

    @in_turn
    def action_send(self) -> None:
        if self._sending:
            return
        if self._unread:  # this Enter was meant for the question before
            self._unread = False
            self.complain(IllegalState("the question has changed", hint="press Enter again to answer the one above"))
            return
        self._sending = True
        self._send(self.query_one(TextArea).text)

    async def _give(self, row: TaskJson, text: str) -> SendJson:
        asked = row["waiting"]
        verbs = asked.get("verbs", []) if asked is not None else []
        if asked is None or not {"approve", "deny"} & set(verbs):  # what is typed has no other form
            return await self._gateway.send(self._about.id, text + "\r")
        decision, said = _decision(verbs, text)
        return await self._gateway.answer(self._about.id, asked["id"], decision, said, asked["hash"])

    @work
    async def _send(self, text: str) -> None:
        try:
            row = await self._gateway.task(self._about.id)
            asked = _of_row(row)
            if asked.mark != self._asked.mark or self._unread:
                if asked.mark != self._asked.mark:
                    self._ask(asked, "nothing was sent; read it, then press Enter again")
                self._unread = False  # this Enter was for the one before, and is spent
                return
            answer = await self._give(row, text)
        except QuarterdeckError as error:
            self.complain(error)
            return
        finally:
            self._sending = False
        if answer["result"] == "refused":
            self.complain(SessionRefused(f"refused: {answer['reason'] or 'the session did not take it'}"))
            return
        reason = f": {answer['reason']}" if answer["reason"] else ""
        self.tell(f"{answer['result']} to {line(self._about.name or self._about.id)}{line(reason)}")
        self.dismiss(True)


_YES, _NO = ("y", "yes", "allow", "approve"), ("n", "no", "deny")


def _decision(verbs: list[str], text: str) -> tuple[str, str]:
    """(decision, text) of an answer to a question that has a name. Raises `UsageError`."""
    if "approve" not in verbs:
        return "answer", text
    word, _, rest = text.strip().partition(" ")
    if word.lower() in _YES and not rest:
        return "allow", ""
    if word.lower() in _NO:
        return "deny", rest.strip()
    raise UsageError("it asks for approval", hint="type y, or n and why not")


def _of_view(task: TaskView) -> Question:
    asked = task.waiting
    return Question(asked.id, asked.hash, asked.kind, asked.text) if asked else Question()


def _of_row(row: TaskJson) -> Question:
    asked = row["waiting"]
    return Question(asked["id"], asked["hash"], asked["kind"], asked["text"]) if asked else Question()
