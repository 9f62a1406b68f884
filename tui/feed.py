"""The feed: follows one supervisor and hands on every new state of the fleet.

Two threads read, each over connections of its own: one the event log (`tui.log_reader`), one the activities. They never
fold; what they bring is folded in the loop, together with all else that has come, at most twenty times a second.
Nothing is polled while the supervisor answers.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
import threading
import time
from collections import deque
from collections.abc import Callable

from lite.api.client import Client
from lite.errors import QuarterdeckError
from tui.folding import Activities, Linked, Update, fold, rows
from tui.log_reader import LogReader
from tui.state import EMPTY, Fleet, Link

log = logging.getLogger(__name__)

_BETWEEN = 0.05  # seconds from one delivery to the next, at least
_AGAIN = (0.05, 1.0)  # seconds between attempts to find a supervisor: at first, at most


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
        self._live = threading.Event()
        self._told = ""  # why the link is lost
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
        self._live.set()  # nobody need wait for it
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
            reader = LogReader(client, self._bring)
            pause = _AGAIN[0]
            while not self._closed.is_set():
                try:
                    reader.load()
                    pause = _AGAIN[0]
                    self._told = ""
                    self._bring(Linked(Link.LIVE, self._now()))
                    self._live.set()
                    reader.follow()
                except QuarterdeckError as error:
                    self._lost(str(error))
                except Exception as error:  # something we do not understand; a dead thread would be a silent lie
                    log.exception("the feed stumbled")
                    self._lost(f"not understood: {error!r}")
                self._closed.wait(pause)  # nobody is there to be waited on
                pause = min(pause * 2, _AGAIN[1])

    def _lost(self, why: str) -> None:
        self._live.clear()
        if self._closed.is_set():
            self._live.set()
        elif why != self._told:
            self._told = why
            self._bring(Linked(Link.LOST, self._now(), why))

    def _watch(self) -> None:
        """Activities are not logged: what was missed between two connections is read once the new one stands."""
        with self._client() as client:
            pause = _AGAIN[0]
            while not self._closed.is_set():
                self._live.wait()
                try:
                    with contextlib.closing(client.activities()) as pages:
                        next(pages)
                        cursor = client.status()["cursor"]
                        self._bring(rows(client.tasks(state=("running",)), cursor))
                        pause = _AGAIN[0]
                        for changes in pages:
                            if changes:
                                self._bring(Activities(changes))
                except QuarterdeckError:
                    pass  # the other thread says so
                except Exception:
                    log.exception("the feed's activities stumbled")
                self._closed.wait(pause)
                pause = min(pause * 2, _AGAIN[1])

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
        try:
            self._fleet = fold(self._fleet, updates)
        except Exception as error:  # a supervisor of another version; what is shown is not true any more
            log.exception("the feed brought what cannot be folded")
            lost = Linked(Link.LOST, self._now(), f"not understood: {error!r}")
            self._fleet = fold(self._fleet, [lost])
        self._delivered_at = self._loop.time()
        self._deliver(self._fleet)
