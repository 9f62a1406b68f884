"""A line of references to tasks, with commas, and below it the open tasks that fit what is being typed."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widgets import Input, OptionList
from textual.widgets.option_list import Option

from tui.badges import badge_of
from tui.cells import line, style_of
from tui.filters import FilterError, parse
from tui.widgets.entry import Entry

if TYPE_CHECKING:
    from textual.events import DescendantBlur, DescendantFocus

    from tui.state import Fleet, TaskView

_SHOWN = 5
_PLAIN = re.compile(r"[A-Za-z0-9._/-]{1,130}\Z")
_LONGEST = 2_000  # characters of the line


class TaskChooser(Vertical):
    """`value` is the text; `ids` makes task ids of the references chosen here and leaves others as they are."""

    DEFAULT_CSS = """
    TaskChooser { height: auto; }
    TaskChooser OptionList { height: auto; max-height: 5; border: none; padding: 0; background: $boost; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,ctrl+n", "move(1)", "Next", show=False, priority=True, id="new.need_next"),
        Binding("up,ctrl+p", "move(-1)", "Previous", show=False, priority=True, id="new.need_previous"),
        Binding("enter", "take", "Take this task", show=False, priority=True, id="new.need_take"),
    ]

    def __init__(self, fleet: Fleet, value: str = "", *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._fleet = fleet
        self._initial = value
        self._fitting: list[str] = []
        self._choices = _references(fleet)
        self._taken: dict[str, str] = {}  # they mean what they meant when they were chosen
        self._stale = False

    def compose(self) -> ComposeResult:
        yield Entry(
            self._initial,
            placeholder="type to find open tasks, Enter takes one",
            select_on_focus=False,
            compact=True,
            max_length=_LONGEST,
        )
        yield OptionList(compact=True)

    def on_mount(self) -> None:
        self._options.can_focus = False
        self._options.display = False

    @property
    def input(self) -> Input:
        return self.query_one(Input)

    @property
    def value(self) -> str:
        return self.input.value

    @property
    def _options(self) -> OptionList:
        return self.query_one(OptionList)

    def show(self, fleet: Fleet) -> None:
        """What is open may be chosen; what was chosen stays."""
        self._fleet = fleet
        self._stale = True

    def ids(self, references: list[str]) -> list[str]:
        self._refreshed()
        return [self._choices.get(each, each) for each in references]

    def _refreshed(self) -> None:
        if self._stale:
            self._stale = False
            self._choices = _references(self._fleet) | self._taken

    # what fits

    def on_descendant_focus(self, event: DescendantFocus) -> None:
        del event
        self._list()

    def on_descendant_blur(self, event: DescendantBlur) -> None:
        del event
        self._options.display = False

    @on(Input.Changed)
    def _typed(self) -> None:
        if self.input.has_focus:
            self._list()

    def _list(self) -> None:
        self._refreshed()
        done, word = self._parts()
        self._fitting = self._best(word, {self._choices.get(each, each) for each in done})
        self._options.clear_options()
        self._options.add_options(Option(self._line(each)) for each in self._fitting)
        self._options.display = bool(self._fitting)
        if self._fitting:
            self._options.highlighted = 0

    def _best(self, word: str, without: set[str]) -> list[str]:
        """References of open tasks, the best first; the newest of equals."""
        try:
            wanted = parse(word.replace("/", " "))
        except FilterError:
            return []
        scored: list[tuple[int, int, str]] = []
        for reference, task_id in self._choices.items():
            task = self._fleet.tasks.get(task_id)
            if task is None or not task.open or task_id in without:
                continue
            score = wanted.matches(task, _run_name(self._fleet, task))
            if score is not None:
                scored.append((score, task.seq, reference))
        scored.sort(reverse=True)
        return [reference for _, _, reference in scored[:_SHOWN]]

    def _line(self, reference: str) -> Text:
        task = self._fleet.tasks[self._choices[reference]]
        badge = badge_of(task)
        text = Text(no_wrap=True, overflow="ellipsis")
        text.append(f"{badge.shape} {badge.letter} ", style_of(badge.role, self.app.theme_variables))
        text.append(reference if reference != task.id else line(f"{task.name or 'unnamed'} {task.id}"))
        return text.append(f"  {line(task.prompt or task.command)}", "dim")

    def _parts(self) -> tuple[list[str], str]:
        """What stands before the last comma, and the word being typed."""
        *done, word = self.value.split(",")
        return [each.strip() for each in done if each.strip()], word.strip()

    # choosing

    def action_move(self, by: int) -> None:
        if not self._options.display:
            self._list()
        elif by > 0:
            self._options.action_cursor_down()
        else:
            self._options.action_cursor_up()

    def action_take(self) -> None:
        at = self._options.highlighted
        if self._options.display and at is not None:
            self._take(self._fitting[at])

    @on(OptionList.OptionSelected)
    def _clicked(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        self._take(self._fitting[event.option_index])

    def _take(self, reference: str) -> None:
        done, _ = self._parts()
        self._taken[reference] = self._choices[reference]
        self.input.value = ", ".join([*done, reference]) + ", "
        self.input.cursor_position = len(self.input.value)
        self.input.focus()


def _run_name(fleet: Fleet, task: TaskView) -> str:
    run = fleet.runs.get(task.run)
    return run.name if run else ""


def _references(fleet: Fleet) -> dict[str, str]:
    """Reference -> id of the open tasks: `run/name` or the name where that is unique and plain, else the id."""
    open_tasks = [task for task in fleet.tasks.values() if task.open]
    names = {task.id: "/".join(filter(None, (_run_name(fleet, task), task.name))) for task in open_tasks}
    count = Counter(names.values())
    return {
        name if count[name] == 1 and _PLAIN.match(name) and name not in fleet.tasks else task: task
        for task, name in names.items()
    }
