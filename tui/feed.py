"""The feed: follows one supervisor and hands on every new state of the fleet.

Two threads read, each over a connection of its own: one the event log, one the activities. They never fold; what they
bring is folded in the loop, together with all else that has come, at most twenty times a second. Nothing is polled
while the supervisor answers.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from lite.api.client import Client
from lite.errors import NoSupervisor, QuarterdeckError
from tui.folding import Activities, Events, Forget, Linked, Rows, Runs, Status, Update, Workers, fold
from tui.state import EMPTY, Fleet, Link

if TYPE_CHECKING:
    from lite.api.messages import EventJson, TaskJson

_FIRST = 500  # tasks of the first page: what is on screen comes first
_PAGE = 2000
_BETWEEN = 0.05  # seconds from one delivery to the next, at least
_AGAIN = (0.05, 1.0)  # seconds between attempts to find a supervisor: at first, at most
_FAR = 10_000  # events; further behind, rows are read anew instead


class Feed:
    """`deliver` is called in the loop (and the context) that called `start`."""

    def __init__(
        self,
        client: Callable[[], Client],
        deliver: Callable[[Fleet], None],
        *,
        now: Callable[[], int] = lambda: int(time.time() * 1000),
    ) -> None:
        self._make = client
        self._deliver = deliver
        self._now = now
        self._fleet = EMPTY
        self._brought: deque[Update] = deque()
        self._lock = threading.Lock()
        self._called = False  # the loop knows that something has come
        self._delivered_at = 0.0
        self._closed = threading.Event()
        self._connected = threading.Event()
        self._watching = threading.Event()
        self._clients: list[Client] = []
        self._threads: list[threading.Thread] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._context = contextvars.copy_context()

    def __repr__(self) -> str:
        return f"<Feed {self._fleet.link.value} at {self._fleet.cursor}, {len(self._fleet.tasks)} tasks>"

    def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._context = contextvars.copy_context()
        for work in (self._follow, self._watch):
            thread = threading.Thread(target=work, name=f"feed {work.__name__}", daemon=True)
            self._threads.append(thread)
            thread.start()

    async def aclose(self) -> None:
        """Ends both threads; nothing is delivered after it."""
        self._closed.set()
        self._connected.set()
        with self._lock:
            for client in self._clients:
                client.abort()
        for thread in self._threads:
            await asyncio.to_thread(thread.join)

    # in the threads

    def _client(self) -> Client:
        client = self._make()
        with self._lock:
            self._clients.append(client)
            if self._closed.is_set():
                client.abort()
        return client

    def _follow(self) -> None:
        with self._client() as client:
            reader = _Reader(client, self._bring)
            pause = _AGAIN[0]
            while not self._closed.is_set():
                try:
                    self._connected.set()
                    self._watching.wait(1.0)  # activities first: what changes while rows are read is not missed
                    reader.load()
                    self._bring(Linked(Link.LIVE, self._now()))
                    reader.older()
                    pause = _AGAIN[0]
                    reader.follow()
                except QuarterdeckError as error:
                    self._connected.clear()
                    self._watching.clear()
                    if not self._closed.is_set():
                        self._bring(Linked(Link.LOST, self._now(), str(error)))
                self._closed.wait(pause)  # nobody is there to be waited on
                pause = min(pause * 2, _AGAIN[1])

    def _watch(self) -> None:
        with self._client() as client:
            while not self._closed.is_set():
                self._connected.wait()
                with contextlib.suppress(QuarterdeckError):
                    for changes in client.activities():
                        self._watching.set()
                        if changes:
                            self._bring(Activities(changes))
                self._watching.set()  # whoever waits for us need not
                self._closed.wait(_AGAIN[0] * 4)

    def _bring(self, update: Update) -> None:
        with self._lock:
            self._brought.append(update)
            if self._called or self._closed.is_set():
                return
            self._called = True
        assert self._loop is not None
        with contextlib.suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._arrived, context=self._context)

    # in the loop

    def _arrived(self) -> None:
        assert self._loop is not None
        wait = self._delivered_at + _BETWEEN - self._loop.time()
        if wait > 0:
            self._loop.call_later(wait, self._hand_on, context=self._context)
        else:
            self._hand_on()

    def _hand_on(self) -> None:
        assert self._loop is not None
        with self._lock:
            self._called = False
            updates = list(self._brought)
            self._brought.clear()
        if self._closed.is_set():
            return
        self._fleet = fold(self._fleet, updates)
        self._delivered_at = self._loop.time()
        self._deliver(self._fleet)


class _Reader:
    """What the event thread knows of the log: its cursor, and which rows were read."""

    def __init__(self, client: Client, bring: Callable[[Update], None]) -> None:
        self._client = client
        self._bring = bring
        self._cursor = -1  # nothing is loaded
        self._highest = 0  # seq of the newest row read
        self._lowest = 0  # of the oldest of the first page; 0: all are read
        self._ahead: set[str] = set()  # rows read before their event came

    def load(self) -> None:
        """The newest page, or after a break what may have changed without an event."""
        status = self._client.status()
        anew = not 0 <= self._cursor <= status["cursor"] < self._cursor + _FAR
        if anew:
            if self._cursor >= 0:
                self._bring(Forget())
            self._cursor = status["cursor"]
            self._highest = self._lowest = 0
            self._ahead.clear()
        self._bring(Status(status))
        self._bring(Workers(self._client.workers()))
        if anew:
            self._bring(Runs(self._client.runs(limit=_PAGE, newest=True)))
            tasks = self._client.tasks(limit=_FIRST, newest=True)
            self._lowest = tasks[0]["seq"] if len(tasks) == _FIRST else 0
            self._rows(tasks, complete=not self._lowest)
        else:
            self._rows(self._client.tasks(state=("running",)))

    def older(self) -> None:
        """The pages before the first."""
        after = 0
        while self._lowest:
            tasks = self._client.tasks(after=after, limit=_PAGE)
            older = [task for task in tasks if task["seq"] < self._lowest]
            if len(older) < _PAGE:
                self._lowest = 0
            else:
                after = older[-1]["seq"]
            self._bring(Rows(older, complete=not self._lowest))

    def follow(self) -> None:
        """The log, for as long as the connection lasts; raises `NoSupervisor` then."""
        for events in self._client.event_pages(self._cursor):
            if events:
                self._bring(Events(events))
                self._cursor = events[-1]["cursor"]
                self._answer(events)
        raise NoSupervisor("the supervisor has ended")

    def _answer(self, events: list[EventJson]) -> None:
        """Fetch what the events only name."""
        named = {event["task"] for event in events if event["kind"] == "task.submitted"}
        if named - self._ahead:
            self._ahead -= named
            tasks = self._client.tasks(after=self._highest)
            self._ahead |= {task["id"] for task in tasks} - named
            self._rows(tasks)
        else:
            self._ahead -= named
        if any(event["kind"].startswith("worker.") for event in events):
            self._bring(Workers(self._client.workers()))
        if any(event["kind"].startswith("config.") for event in events):
            self._bring(Status(self._client.status()))

    def _rows(self, tasks: list[TaskJson], *, complete: bool = False) -> None:
        if tasks:
            self._highest = max(self._highest, tasks[-1]["seq"])
        if tasks or complete:
            self._bring(Rows(tasks, complete=complete))
