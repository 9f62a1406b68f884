"""What the feed's thread does with a supervisor: read all rows, the newest first, then follow the event log.

It blocks, and gives what it reads to `bring`. Every row goes with a cursor known before the row was read.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from lite.api.client import Client
from lite.errors import NotFound
from tui.folding import Events, Forget, Runs, Status, Update, Workers, rows
from tui.views import run_view, supervisor_view, worker_view

if TYPE_CHECKING:
    from lite.api.messages import EventJson, StatusJson, TaskJson

_PAGE = 500  # tasks; parsing one page keeps the loop's thread waiting for some milliseconds
_RUNS = 5000
_FAR = 10_000  # events; further behind, rows are read anew instead
_SINGLY = 20  # tasks that are fetched one by one


class LogReader:
    """`load`, then `follow`; after a break again, with the same object: it goes on where it was."""

    def __init__(self, client: Client, bring: Callable[[Update], None]) -> None:
        self._client = client
        self._bring = bring
        self._cursor = -1  # of the newest event brought; -1: nothing is loaded
        self._highest = 0  # seq of the newest row read
        self._newest = ""  # its id
        self._lowest = 0  # seq of the oldest row read page by page; 0: all older ones are read
        self._ahead: set[str] = set()  # rows read before the event that names them came

    def __repr__(self) -> str:
        return f"<LogReader at {self._cursor}, rows {self._lowest}..{self._highest}>"

    def load(self) -> None:
        """The newest page; after a break what may have changed without an event. The errors of `Client.call`."""
        status = self._client.status()
        if self._cursor >= 0 and not self._same_log(status):
            self._bring(Forget())
            self._cursor, self._highest, self._newest = -1, 0, ""
        anew = self._cursor < 0 or status["cursor"] - self._cursor > _FAR
        self._bring(Status(supervisor_view(status), status["cursor"] if anew else None))
        self._workers()
        if anew:
            self._cursor = status["cursor"]
            self._ahead.clear()
            self._runs(_RUNS, self._cursor)
            tasks = self._client.tasks(limit=_PAGE, newest=True)
            self._lowest = tasks[0]["seq"] if len(tasks) == _PAGE else 0
            self._rows(tasks, self._cursor, complete=not self._lowest)

    def follow(self) -> None:
        """The pages before the first with what happens meanwhile, then the log for as long as the connection lasts;
        raises `NoSupervisor` then."""
        while self._lowest:
            self._take(list(self._client.events(self._cursor)))
            self._older()
        for events in self._client.event_pages(self._cursor):
            self._take(events)

    def _same_log(self, status: StatusJson) -> bool:
        """A home may have been emptied and used again."""
        if status["cursor"] < self._cursor:
            return False
        try:
            return not self._newest or self._client.task(self._newest)["seq"] == self._highest
        except NotFound:
            return False

    def _older(self) -> None:
        """One page before those that are read."""
        after = max(0, self._lowest - 1 - _PAGE)
        tasks = [task for task in self._client.tasks(after=after, limit=_PAGE) if task["seq"] < self._lowest]
        self._lowest = after + 1 if after else 0
        self._rows(tasks, self._cursor, complete=not self._lowest)

    def _take(self, events: list[EventJson]) -> None:
        if not events:
            return  # a heartbeat
        self._bring(Events(events))
        self._cursor = events[-1]["cursor"]
        self._fetch_what_is_named(events)

    def _fetch_what_is_named(self, events: list[EventJson]) -> None:
        """Submitted tasks by one call for all, however many came while it was made."""
        named = {event["task"] for event in events if event["kind"] == "task.submitted"}
        missing = named - self._ahead
        self._ahead -= named
        if missing:
            cursor = self._cursor_now()
            tasks = self._client.tasks(after=self._highest)
            self._ahead |= {task["id"] for task in tasks} - named
            self._rows(tasks, cursor)
        kinds = {event["kind"] for event in events}
        if "task.routed" in kinds:
            self._routed(
                [event["task"] for event in events if event["kind"] == "task.routed" and event["data"].get("agent")]
            )
        if "run.submitted" in kinds:
            cursor = self._cursor_now()
            count = sum(event["kind"] == "run.submitted" for event in events)
            self._runs(count + 10, cursor)
        if any(kind.startswith("worker.") for kind in kinds):
            self._workers()
        if any(kind.startswith("config.") for kind in kinds):
            self._bring(Status(supervisor_view(self._client.status())))

    def _routed(self, tasks: list[str]) -> None:
        """They have another provider now, which the event does not tell."""
        if not tasks:
            return
        cursor = self._cursor_now()
        if len(tasks) <= _SINGLY:
            self._bring(rows([self._client.task(task) for task in tasks], cursor))
        else:
            self._bring(rows(self._client.tasks(state=("queued", "running")), cursor))

    def _cursor_now(self) -> int:
        return self._client.status()["cursor"]

    def _workers(self) -> None:
        self._bring(Workers([worker_view(worker) for worker in self._client.workers()]))

    def _runs(self, count: int, cursor: int) -> None:
        self._bring(Runs([run_view(run, cursor) for run in self._client.runs(limit=count, newest=True)]))

    def _rows(self, tasks: list[TaskJson], cursor: int, *, complete: bool = False) -> None:
        if tasks and tasks[-1]["seq"] > self._highest:
            self._highest, self._newest = tasks[-1]["seq"], tasks[-1]["id"]
        if tasks or complete:
            self._bring(rows(tasks, cursor, complete=complete))
