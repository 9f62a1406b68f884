"""The main screen: fleet list, live terminal or grid of them, and everything that can be done to tasks from here."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import Screen

from lite.errors import QuarterdeckError
from lite.terminal.sanitize import safe
from tui.actions import Report, act
from tui.messages import RunOpened, TaskChosen, TaskOpened
from tui.state import EMPTY, Fleet, Link, TaskView
from tui.tally import breakdown
from tui.widgets.filter_bar import FilterBar
from tui.widgets.fleet_list import FleetList
from tui.widgets.header import FleetBar
from tui.widgets.key_bar import KeyBar
from tui.widgets.notice import Notice
from tui.widgets.terminal import TerminalPane

if TYPE_CHECKING:
    from textual.events import Resize
    from textual.timer import Timer

    from lite.home import Home
    from tui.app import Dashboard
    from tui.gateway import Gateway
    from tui.orders import Draft
    from tui.settings import Settings
    from tui.widgets.grid import TerminalGrid

_SETTLE = 0.08  # seconds the cursor rests on a task before its terminal is opened
_LIST_MIN, _LIST_MAX, _SESSION = 36, 72, 122  # cells; a session starts 120 wide


class MainScreen(Screen[None]):
    """`show(fleet)` gives it each new state; `go_to(task)` puts the cursor on a task."""

    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (100, "-wide")]  # noqa: RUF012 - as Textual declares it
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("tab", "other", "List / terminal", show=False, id="deck.other"),
        Binding("i", "type", "Type", id="deck.type"),
        Binding("a", "attach", "Attach", id="deck.attach"),
        Binding("z", "zoom", "Zoom", show=False, id="deck.zoom"),
        Binding("v", "grid", "Grid", id="deck.grid"),
        Binding("d", "run", "Run", id="deck.run"),
        Binding("n", "new", "New", id="deck.new"),
        Binding("p", "plans", "Plans", id="deck.plans"),
        Binding("c", "cancel", "Cancel", id="deck.cancel"),
        Binding("r", "retry", "Retry", id="deck.retry"),
        Binding("s", "send", "Send", id="deck.send"),
        Binding("e", "explain", "Explain", id="deck.explain"),
        Binding("t", "raw", "Transcript / raw output", show=False, id="deck.raw"),
        Binding("u", "start_supervisor", "Start the supervisor", show=False, id="deck.supervisor"),
        Binding("escape", "back", "Back", show=False, id="deck.back"),
    ]

    def __init__(self, gateway: Gateway, settings: Settings, home: Home, *, now: Callable[[], int], slow: bool) -> None:
        super().__init__()
        self._gateway = gateway
        self._settings = settings
        self._now = now
        self._slow = slow
        self._home = home
        self._fleet = EMPTY
        self._composed = False
        self._chosen = ""
        self._settling: Timer | None = None
        self._ageing: Timer | None = None
        self._draft: Draft | None = None
        self._grid: TerminalGrid | None = None

    def compose(self) -> ComposeResult:
        yield FleetBar(self._now)
        with Horizontal(id="deck"):
            with Vertical(id="side"):
                yield FleetList(self._now)
                yield FilterBar()
            yield TerminalPane(self._gateway, slow=self._slow, leave_key=self._settings.detach_key)
        yield Notice(self._now)
        yield KeyBar()

    # what there is to show

    @property
    def deck(self) -> Dashboard:
        app: Dashboard = self.app  # type: ignore[assignment]
        return app

    @property
    def _list(self) -> FleetList:
        return self.query_one(FleetList)

    @property
    def _pane(self) -> TerminalPane:
        return self.query_one(TerminalPane)

    def on_mount(self) -> None:
        self._composed = True
        self._list.focus()
        self.show(self.deck.fleet)

    def on_resize(self, event: Resize) -> None:
        width = max(_LIST_MIN, min(_LIST_MAX, event.size.width - _SESSION))
        self.query_one("#side").styles.width = width if event.size.width >= 100 else "1fr"

    def show(self, fleet: Fleet) -> None:
        before, self._fleet = self._fleet, fleet
        if not self._composed:
            return
        self.query_one(FleetBar).show(fleet)
        self._list.show(fleet)
        self.query_one(FilterBar).show(fleet)
        self.query_one(Notice).show(fleet)
        self._pane.show(fleet.tasks.get(self._chosen))
        if self._grid is not None:
            self._grid.show(fleet)
        if before.link is not Link.LIVE and fleet.link is Link.LIVE:
            self._pane.reconnect()
            if self._grid is not None:
                self._grid.reconnect()
        if bool(before.tasks) != bool(fleet.tasks):
            self.refresh_bindings()
        self._age()

    def _age(self) -> None:
        """One timer for the next age that changes; none while nothing does."""
        if self._ageing is not None:
            self._ageing.stop()
            self._ageing = None
        waits = [wait for wait in (each.next_change() for each in self._ageing_widgets()) if wait is not None]
        if waits:
            self._ageing = self.set_timer(max(0.05, min(waits) / 1000), self._aged)

    def _ageing_widgets(self) -> tuple[FleetBar, FleetList, Notice]:
        return self.query_one(FleetBar), self._list, self.query_one(Notice)

    def _aged(self) -> None:
        for each in self._ageing_widgets():
            each.tick()
        self._age()

    def go_to(self, task: str) -> None:
        """The cursor on this task, whatever the filter said."""
        self._list.go_to(task)
        self._list.focus()

    def on_task_chosen(self, message: TaskChosen) -> None:
        message.stop()
        self._chosen = message.task
        if self._settling is not None:
            self._settling.stop()
        self._settling = self.set_timer(_SETTLE, self._settled)

    def _settled(self) -> None:
        self._settling = None
        self._pane.show(self._fleet.tasks.get(self._chosen))

    def on_task_opened(self, message: TaskOpened) -> None:
        message.stop()
        self._chosen = message.task
        self._list.hold()
        self._settled()
        if not self._grid_shown:
            self.set_class(self.has_class("-narrow"), "-zoomed")
            self._pane.focus()

    def on_fleet_list_filter_asked(self, message: FleetList.FilterAsked) -> None:
        self.query_one(FilterBar).open(message.text)

    def on_filter_bar_filtered(self, message: FilterBar.Filtered) -> None:
        self._list.filter_by(message.filter)

    def on_filter_bar_closed(self) -> None:
        self._list.focus()

    def on_line_list_sooner(self) -> None:
        self._age()

    def on_run_opened(self, message: RunOpened) -> None:
        message.stop()
        self._open_run(message.run_id)

    # moving about

    def action_other(self) -> None:
        if self._grid is not None and self._grid_shown:
            self._grid.focus()
        elif self._list.has_focus:
            self._list.hold()
            self.set_class(self.has_class("-narrow"), "-zoomed")
            self._pane.focus()
        else:
            self.remove_class("-zoomed")
            self._list.focus()

    async def action_back(self) -> None:
        if self._grid_shown:
            await self.action_grid()
        self.remove_class("-zoomed")
        self._list.focus()

    def action_zoom(self) -> None:
        self.toggle_class("-zoomed")
        (self._pane if self.has_class("-zoomed") else self._list).focus()

    # the grid

    @property
    def _grid_shown(self) -> bool:
        return self.has_class("-grid")

    async def action_grid(self) -> None:
        if self._grid_shown:
            self.remove_class("-grid")
            if self._grid is not None:
                self._grid.hibernate()
            self._pane.wake()
            self._list.focus()
            return
        if self._grid is None:
            from tui.widgets.grid import TerminalGrid

            self._grid = TerminalGrid(self._gateway, slow=self._slow, leave_key=self._settings.detach_key)
            await self.query_one("#deck").mount(self._grid)
        self._pane.hibernate()
        self.add_class("-grid")
        self._grid.show(self._fleet)
        self._grid.wake()
        self._grid.focus()

    # what is done to tasks

    def _targets(self) -> list[TaskView]:
        """The marked tasks, else the one under the cursor; in the grid the focused pane's."""
        if self._grid is not None and self._grid_shown:
            ids: Sequence[str] = (self._grid.focused_task,) if self._grid.focused_task else ()
        else:
            self._list.hold()
            ids = self._list.selected()
        return [self._fleet.tasks[task] for task in ids if task in self._fleet.tasks]

    def _one(self) -> TaskView | None:
        """The one that a single-task action means."""
        if self._grid is not None and self._grid_shown:
            return self._fleet.tasks.get(self._grid.focused_task)
        self._list.hold()
        return self._fleet.tasks.get(self._list.chosen)

    def action_type(self) -> None:
        if self._grid is not None and self._grid_shown:
            self._grid.type_into()
        elif self._one() is not None:
            self.on_task_opened(TaskOpened(self._list.chosen))
            self._pane.type_into()

    def action_raw(self) -> None:
        if self._grid is not None and self._grid_shown:
            self._grid.toggle_raw()
        else:
            self._pane.toggle_raw()

    def action_attach(self) -> None:
        task = self._one()
        if task is not None:
            self.run_worker(self._lend_to(task), exclusive=True, group="attach")

    async def _lend_to(self, task: TaskView) -> None:
        from tui.attaching import attach

        try:
            told = await attach(self.deck, self._gateway, task, self._settings.detach_key)
        except QuarterdeckError as error:
            self.deck.complain(error, "not attached")
        else:
            if told:
                self.deck.tell(told)

    def action_run(self) -> None:
        task = self._one()
        run = self._list.run_id if task is None else task.run
        if run:
            self._open_run(run)
        else:
            self.deck.tell("this task belongs to no run", warn=True)

    def _open_run(self, run: str) -> None:
        from tui.screens.run import RunScreen

        self.app.push_screen(RunScreen(self._gateway, run, self._now))

    @work
    async def action_new(self) -> None:
        from tui.screens.new_task import NewTask

        screen = NewTask(self._gateway, self._fleet, self._draft, cwd=str(Path.cwd()))
        task = await self.app.push_screen_wait(screen)
        self._draft = screen.draft
        if task:
            self.go_to(task)

    @work
    async def action_plans(self) -> None:
        from tui.screens.plans import PlanPicker

        run = await self.app.push_screen_wait(PlanPicker(self._gateway, project_of(self._home)))
        if run:
            self._list.go_to_run(run)

    @work
    async def action_cancel(self) -> None:
        tasks = [task for task in self._targets() if task.open]
        if not tasks:
            self.deck.tell("nothing here is queued or running", warn=True)
        elif await self._sure("cancel", tasks):
            await self._act("cancelled", self._gateway.cancel, tasks)

    @work
    async def action_retry(self) -> None:
        tasks = [task for task in self._targets() if task.state in ("failed", "cancelled", "skipped")]
        if not tasks:
            self.deck.tell("nothing here has failed, was cancelled or skipped", warn=True)
        elif len(tasks) == 1 or await self._sure("retry", tasks):
            await self._act("queued again", self._gateway.retry, tasks)

    async def _sure(self, verb: str, tasks: Sequence[TaskView]) -> bool:
        from tui.screens.confirm import Confirm

        lines = [safe(task.name or task.id[:8]) for task in tasks[:8]]
        if len(tasks) > 8:
            lines.append(f"and {len(tasks) - 8} more")
        question = f"{verb} {breakdown(tasks)}?"
        sure: bool = await self.app.push_screen_wait(Confirm(question, lines, yes=verb))
        return sure

    async def _act(self, done: str, call: Callable[[str], Awaitable[object]], tasks: Sequence[TaskView]) -> None:
        report: Report = await act(call, [task.id for task in tasks])
        names = {task.id: task.name or task.id[:8] for task in tasks}
        if report.done:
            many = f"{len(report.done)} tasks" if len(report.done) > 1 else names[report.done[0]]
            self.deck.tell(f"{many} {done}")
        for task, error in report.refused[:3]:
            self.deck.complain(error, names[task])
        if len(report.refused) > 3:
            self.deck.tell(f"and {len(report.refused) - 3} more were refused", warn=True)
        self._list.clear_marks()

    @work
    async def action_send(self) -> None:
        from tui.screens.send import Send

        task = self._one()
        if task is not None:
            await self.app.push_screen_wait(Send(self._gateway, task))

    def action_explain(self) -> None:
        from tui.screens.explain import Explain

        task = self._one()
        if task is not None:
            self.app.push_screen(Explain(self._gateway, self._fleet, task.id, now=self._now))

    @work
    async def action_start_supervisor(self) -> None:
        if self._fleet.link is Link.LIVE:
            self.deck.tell("it runs")
            return
        from tui.starting import start_supervisor

        self.deck.tell("starting the supervisor")
        try:
            await start_supervisor(str(self._home.root), self.deck.environ)
        except QuarterdeckError as error:
            self.deck.complain(error)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Dim what makes no sense now."""
        del parameters
        if action in ("cancel", "retry", "send", "explain", "type", "attach") and not self._fleet.tasks:
            return None
        return True


def project_of(home: Home) -> Path:
    """Where its plans are looked for: beside `.quarterdeck/`, else where the dashboard was opened."""
    return home.root.parent if home.root.name == ".quarterdeck" else Path.cwd()
