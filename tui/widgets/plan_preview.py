"""What a plan would run, as a table, and the file itself; of a refused one, the line that is wrong."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Vertical, VerticalScroll
from textual.widgets import DataTable, Static

from tui.cells import clip, line, paragraphs, style_of

if TYPE_CHECKING:
    from textual.events import Resize

    from lite.api.messages import PlanSubmittedJson, TaskJson

_ROWS = 1_000
_CELL = 32  # cells of a column
_LINES, _LINE = 2_000, 300  # lines of a file, and characters of one
_BOTH = 24  # rows from which table and file are shown together
_PLACE = re.compile(r":(\d{1,7}):\d+\Z")
_COLUMNS = ("task", "agent", "lane", "needs", "why this agent")


class PlanPreview(Vertical):
    """`show_plan`, `show_error` or `say` what there is; `turn` changes between table and file where one has room."""

    DEFAULT_CSS = """
    PlanPreview { width: 1fr; height: 1fr; padding: 0 1; }
    PlanPreview > Static { height: auto; }
    PlanPreview > DataTable { height: 1fr; background: $surface; }
    PlanPreview > VerticalScroll { height: 1fr; }
    PlanPreview.-both > DataTable { height: auto; max-height: 60%; margin-bottom: 1; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._file = False  # the file rather than the table, when there is room for one only
        self._has_table = False
        self._wrong = 0  # line of the error

    def compose(self) -> ComposeResult:
        yield Static("", id="plan-said", markup=False)
        yield DataTable[Text](id="plan-table", cursor_type="none", zebra_stripes=True)
        with VerticalScroll(id="plan-file", can_focus=False):
            yield Static("", id="plan-text", markup=False)

    def on_mount(self) -> None:
        self._arrange()

    def on_resize(self, event: Resize) -> None:
        self.set_class(event.size.height >= _BOTH, "-both")
        self._arrange()

    @property
    def _table(self) -> DataTable[Text]:
        return self.query_one(DataTable)

    @property
    def _scroll(self) -> VerticalScroll:
        return self.query_one("#plan-file", VerticalScroll)

    def say(self, text: str) -> None:
        self._show(Text(line(text), "dim"), "", [])

    def show_plan(self, text: str, found: PlanSubmittedJson) -> None:
        self._show(_summary(found["tasks"]), text, found["tasks"])

    def show_error(self, text: str, place: str) -> None:
        at = _PLACE.search(place)
        self._show(Text("It would be refused.", "bold") if text else Text(), text, [], int(at[1]) if at else 0)

    def turn(self) -> None:
        self._file = not self._file
        self._arrange()

    def scroll_page(self, by: int) -> None:
        target: DataTable[Text] | VerticalScroll = self._scroll if self._scroll.display else self._table
        target.scroll_relative(y=by * max(1, target.size.height - 2), animate=False)

    def _show(self, said: Text, text: str, tasks: list[TaskJson], wrong: int = 0) -> None:
        self.query_one("#plan-said", Static).update(said)
        self._table.clear(columns=True)
        self._has_table, self._wrong = bool(tasks), wrong
        if tasks:
            rows = _rows(tasks)
            used = [at for at in range(len(_COLUMNS)) if any(row[at].plain for row in rows)]
            self._table.add_columns(*(_COLUMNS[at] for at in used))
            self._table.add_rows([row[at] for at in used] for row in rows[:_ROWS])
        error = style_of("error", self.app.theme_variables)
        numbered = Text(no_wrap=True, overflow="ellipsis")
        first = max(1, wrong - _LINES // 2)
        lines = text.splitlines()[first - 1 : first - 1 + _LINES]
        for number, each in enumerate(lines, first):
            here = number == wrong
            numbered.append(f"{'>' if here else ' '}{number:4} ", error if here else "dim")
            numbered.append(paragraphs(each[:_LINE]).expandtabs(4) + "\n", error if here else "")
        self.query_one("#plan-text", Static).update(numbered)
        self._arrange()
        if wrong:
            self.call_after_refresh(self._reveal, wrong - first)
        else:
            self._scroll.scroll_home(animate=False)

    def _reveal(self, row: int) -> None:
        self._scroll.scroll_to(y=max(0, row - self._scroll.size.height // 2), animate=False)

    def _arrange(self) -> None:
        both = self.has_class("-both")
        self._table.display = self._has_table and (both or not self._file)
        self._scroll.display = both or self._file or not self._has_table


def _summary(tasks: list[TaskJson]) -> Text:
    """`9 tasks would run · dev 7, shell 2 · 2 lanes`, and what would be in the way."""
    agents = Counter(line(task["agent"]) for task in tasks if task["agent"])
    lanes = len({task["lane"] for task in tasks if task["lane"]})
    parts = [", ".join(f"{name} {count}" for name, count in agents.most_common(4))]
    parts.append(f"{lanes} lane{'s' * (lanes != 1)}" if lanes else "")
    text = Text(f"{len(tasks)} task{'s' * (len(tasks) != 1)} would run", "bold")
    for part in filter(None, parts):
        text.append(f" · {part}", "not bold")
    homeless = sum(not task["agent"] for task in tasks)
    if homeless:
        text.append(f"\n! no agent yet for {homeless}: parked until the configuration knows one", "not bold")
    return text.append("\n")


def _rows(tasks: list[TaskJson]) -> list[tuple[Text, ...]]:
    names = {task["id"]: task["name"] for task in tasks}
    return [_row(task, names) for task in tasks]


def _row(task: TaskJson, names: dict[str, str]) -> tuple[Text, ...]:
    needs = ", ".join(names.get(need, need) for need in task["needs"])
    cells = (task["name"], task["agent"], task["lane"], needs, task["rule"])
    return tuple(Text(clip(line(cell), _CELL), no_wrap=True) for cell in cells)
