"""One run: its graph, its lanes over time, and why what waits waits."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, ClassVar

from textual import work
from textual.app import ComposeResult
from textual.await_remove import AwaitRemove
from textual.binding import Binding, BindingType
from textual.screen import Screen
from textual.widgets import ContentSwitcher, Static

from lite.errors import QuarterdeckError
from tui.badges import BADGES
from tui.cells import MUTED, STRONG, Piece, clip, coloured, line, width_of
from tui.messages import TaskChosen, TaskOpened
from tui.state import EMPTY, Fleet, TaskView
from tui.tally import breakdown, count
from tui.timeline import History
from tui.widgets.canvas import Canvas
from tui.widgets.dag import Dag
from tui.widgets.key_bar import KeyBar
from tui.widgets.lanes import Lanes
from tui.widgets.waits import Waits

if TYPE_CHECKING:
    from tui.app import Dashboard
    from tui.gateway import Gateway

_VIEWS = {"graph": "1 graph", "lanes": "2 timeline", "waits": "3 waiting"}
_PAUSE = 0.5  # seconds between two readings of the same, however fast the fleet changes
_TICK = 1.0  # seconds between redraws while something of the run goes on


class Paced:
    """Does a job whenever it is wanted: never two at once, never again within `_PAUSE` of its end, never not at all."""

    def __init__(self, screen: Screen[None], job: Callable[[], Awaitable[None]]) -> None:
        self._screen = screen
        self._job = job
        self._busy = False
        self._again = False

    def want(self) -> None:
        self._again = True
        if not self._busy:
            self._busy = True
            self._screen.run_worker(self._work(), group="paced")

    async def _work(self) -> None:
        self._again = False
        await self._job()
        self._screen.set_timer(_PAUSE, self._rested)

    def _rested(self) -> None:
        self._busy = False
        if self._again:
            self.want()


class RunScreen(Screen[None]):
    """`show(fleet)` gives it each new state."""

    DEFAULT_CSS = """
    RunScreen {
        #run-head { height: 1; background: $panel; padding: 0 1; }
        ContentSwitcher { height: 1fr; padding: 1 1 0 1; }
        Canvas { height: 1fr; width: 1fr; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("1", "view('graph')", "Graph", id="run.graph"),
        Binding("2", "view('lanes')", "Timeline", id="run.timeline"),
        Binding("3", "view('waits')", "Waiting", id="run.waiting"),
        Binding("tab", "next", "Next view", show=False, id="run.next_view"),
        Binding("e", "explain", "Explain", id="run.explain"),
        Binding("c", "cancel", "Cancel", id="run.cancel"),
        Binding("r", "retry", "Retry", id="run.retry"),
        Binding("escape", "close", "Back", id="run.close"),
    ]

    def __init__(self, gateway: Gateway, run: str, now: Callable[[], int]) -> None:
        super().__init__()
        self._gateway = gateway
        self._about = run
        self._now = now
        self._fleet = EMPTY
        self._tasks: list[TaskView] = []
        self._history = History()
        self._ready = False
        self._wanted: list[str] = []  # tasks whose reasons are to be asked for
        self._reading = Paced(self, self._read_events)
        self._asking = Paced(self, self._ask_reasons)

    def remove(self) -> AwaitRemove:
        """As `Dialog.remove`."""
        self.workers.cancel_node(self)
        return super().remove()

    @property
    def deck(self) -> Dashboard:
        app: Dashboard = self.app  # type: ignore[assignment]
        return app

    def compose(self) -> ComposeResult:
        yield Static(id="run-head", markup=False)
        with ContentSwitcher(initial="graph"):
            yield Dag(self._now, id="graph")
            yield Lanes(self._now, id="lanes")
            yield Waits(id="waits")
        yield KeyBar()

    def on_mount(self) -> None:
        self._ready = True
        self.query_one(Dag).focus()
        self.show(self.deck.fleet)
        self._reading.want()

    def show(self, fleet: Fleet) -> None:
        self._fleet = fleet
        tasks = fleet.of_run(self._about)
        if not self._ready or (tasks and tasks == self._tasks):
            return
        self._tasks = tasks
        self.query_one(Waits).forget()
        self._draw()
        self._reading.want()

    def _draw(self) -> None:
        self._head()
        self.query_one(Dag).show(self._tasks)
        self.query_one(Lanes).show(self._tasks, self._history)
        waits = self.query_one(Waits)
        waits.show(self._tasks)
        if self._view == "waits":
            waits.ask()
        if any(task.state == "running" for task in self._tasks):
            self.set_timer(_TICK, self._tick, name="tick") if not self._ticking else None
            self._ticking = True

    _ticking = False

    def _tick(self) -> None:
        """Durations grow while something runs; a screen nobody sees waits until it is seen again."""
        self._ticking = False
        if self.is_current:
            self._draw()

    def on_screen_resume(self) -> None:
        if self._ready:
            self._draw()

    def _head(self) -> None:
        run = self._fleet.runs.get(self._about)
        pieces = [Piece(f"{clip(line(run.name) if run else self._about, max(8, self.size.width // 3))}  ", STRONG)]
        for word, number in count(self._tasks).items():
            pieces.append(Piece(f"{BADGES[word].shape} {number}  ", BADGES[word].role))
        tabs = list(_VIEWS.items())
        if (
            width_of(pieces) + sum(len(text) + 2 for _, text in tabs) > self.size.width - 2
        ):  # the one on show by its name
            tabs = [(view, text if view == self._view else text[:1]) for view, text in tabs]
        for view, text in tabs:
            pieces.append(Piece(f" {text} ", STRONG if view == self._view else MUTED))
        self.query_one("#run-head", Static).update(coloured(pieces, self.app.theme_variables))

    @property
    def _view(self) -> str:
        return self.query_one(ContentSwitcher).current or "graph"

    @property
    def _canvas(self) -> Dag | Lanes | Waits:
        found: Dag | Lanes | Waits = self.query_one(f"#{self._view}", Canvas)  # type: ignore[assignment]
        return found

    async def _read_events(self) -> None:
        try:
            events = await self._gateway.events(self._about, self._history.cursor)
        except QuarterdeckError:
            return  # the header of the main screen tells that the supervisor is gone; what is known stays
        if events:
            self._history.take(events)
            self.query_one(Lanes).show(self._tasks, self._history)

    def on_waits_asked(self, message: Waits.Asked) -> None:
        message.stop()
        self._wanted = list(message.tasks)
        self._asking.want()

    async def _ask_reasons(self) -> None:
        """In the order of the list, without those that have gone out of sight meanwhile."""
        wanted, self._wanted = self._wanted, []
        for task in wanted:
            if self._wanted and task not in self._wanted:
                continue
            try:
                found = await self._gateway.explain(task)
            except QuarterdeckError as error:
                self.query_one(Waits).tell(task, error.message)
            else:
                hint = f" ({found['hint']})" if found["hint"] else ""
                self.query_one(Waits).tell(task, found["summary"] + hint)

    def on_task_chosen(self, message: TaskChosen) -> None:
        message.stop()

    def on_task_opened(self, message: TaskOpened) -> None:
        message.stop()
        self.deck.go_to_task(message.task)

    # actions

    def action_view(self, view: str) -> None:
        self.query_one(ContentSwitcher).current = view
        self._canvas.focus()
        self._draw()

    def action_next(self) -> None:
        views = list(_VIEWS)
        self.action_view(views[(views.index(self._view) + 1) % len(views)])

    def action_close(self) -> None:
        self.app.pop_screen()

    def action_explain(self) -> None:
        from tui.screens.explain import Explain

        if self._canvas.chosen:
            self.app.push_screen(Explain(self._gateway, self._fleet, self._canvas.chosen, now=self._now))

    @work
    async def action_cancel(self) -> None:
        from tui.screens.confirm import Confirm

        task = self._fleet.tasks.get(self._canvas.chosen)
        if task is None or not task.open:
            self.deck.tell("it is neither queued nor running", warn=True)
        elif await self.app.push_screen_wait(Confirm(f"cancel {breakdown([task])}?", [task.name], yes="cancel")):
            await self._do(self._gateway.cancel, task, "is being cancelled")

    @work
    async def action_retry(self) -> None:
        task = self._fleet.tasks.get(self._canvas.chosen)
        if task is None or task.state not in ("failed", "cancelled", "skipped"):
            self.deck.tell("it has not failed, nor was it cancelled or skipped", warn=True)
        else:
            await self._do(self._gateway.retry, task, "is queued again")

    async def _do(self, call: Callable[[str], object], task: TaskView, done: str) -> None:
        try:
            await call(task.id)  # type: ignore[misc]
        except QuarterdeckError as error:
            self.deck.complain(error, task.name)
        else:
            self.deck.tell(f"{task.name} {done}")
