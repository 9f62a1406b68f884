"""The one thread that writes. What arrives while a commit runs goes into the next transaction, together.

Verbs check before they write, so a refused one leaves nothing behind. Should one fail after it has written, the whole
transaction is rolled back and the others run again without it: that costs the good case nothing, where a savepoint
around each verb costs a tenth of the throughput. Answers go out after the commit, all of a batch in one call into the
event loop. There they cause further verbs, a few turns of the loop later: these too go over together, because every
commit, and every change from thread to thread, costs as much as several verbs.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import queue
import sqlite3
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from lite.aio.probe import hit
from lite.backends.sqlite import migrations
from lite.backends.sqlite.failures import mapped
from lite.backends.sqlite.store import Heads, Store
from lite.errors import BackendError, QuarterdeckError

log = logging.getLogger(__name__)
T = TypeVar("T")

_TURNS = 4  # an answer wakes the dispatcher, it spawns an attempt, that ends at once, the dispatcher claims again
_BATCH = 1024  # verbs in one transaction at most
_WAL_PAGES = 4000  # checkpoint beyond

Work = Callable[[Any], Any]


class Pending:
    """A verb on its way."""

    __slots__ = ("error", "future", "result", "work")

    def __init__(self, work: Work, future: asyncio.Future[Any]) -> None:
        self.work = work
        self.future = future
        self.result: Any = None
        self.error: BaseException | None = None


class Writer:
    """`make` builds what the verbs are called with, around the store. `advanced` is called in the loop with the heads
    after each commit, before the verbs' callers go on."""

    def __init__(
        self,
        path: Path,
        synchronous: str,
        make: Callable[[Store], Any],
        advanced: Callable[[Heads], None],
        known: Mapping[int, str] | None = None,
    ) -> None:
        self._path = path
        self._synchronous = synchronous
        self._make = make
        self._advanced = advanced
        self._migrations = migrations.shipped() if known is None else known
        self._queue: queue.SimpleQueue[list[Pending] | None] = queue.SimpleQueue()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._outgoing: list[Pending] = []
        self._stale = False  # the store's caches may hold what was rolled back
        self.commits = 0
        self.verbs = 0

    def __repr__(self) -> str:
        return f"<Writer {self._path}, {self.verbs} verbs in {self.commits} commits>"

    async def open(self) -> None:
        self._loop = asyncio.get_running_loop()
        opened: asyncio.Future[Heads] = self._loop.create_future()
        self._thread = threading.Thread(target=self._run, args=(opened,), name="sqlite writer", daemon=True)
        self._thread.start()
        try:
            self._advanced(await opened)
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Everything asked for before is committed first."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._hand_over()
            self._queue.put(None)
            await asyncio.to_thread(thread.join)

    async def call(self, work: Callable[[Any], T]) -> T:
        """Run `work` in the writer's next transaction; its result, once that is on disk."""
        if self._thread is None or self._loop is None:
            raise BackendError("the database is not open", place=str(self._path))
        future: asyncio.Future[T] = self._loop.create_future()
        if not self._outgoing:
            self._soon(self._loop, _TURNS)
        self._outgoing.append(Pending(work, future))
        return await future

    def _soon(self, loop: asyncio.AbstractEventLoop, turns: int) -> None:
        """Hand over what is asked for until `turns` turns of the loop from now."""
        if turns:
            loop.call_soon(self._soon, loop, turns - 1)
        else:
            self._hand_over()

    def _hand_over(self) -> None:
        batch, self._outgoing = self._outgoing, []
        if batch:
            self._queue.put(batch)

    # -- in the thread -------------------------------------------------------------------------------------------

    def _run(self, opened: asyncio.Future[Heads]) -> None:
        try:
            store = Store(self._connect())
            target = self._make(store)
        except BaseException as error:
            self._tell(_settle, opened, None, self._problem(error))
            return
        self._tell(_settle, opened, store.heads(), None)
        try:
            going_on = True
            while going_on:
                batch, going_on = self._gather()
                if batch:
                    self._commit(store, target, batch)
                    self._tell(self._answer, batch, store.heads())
        finally:
            store.connection.close()

    def _connect(self) -> sqlite3.Connection:
        version = migrations.examine(self._path, max(self._migrations, default=0))
        with contextlib.suppress(FileExistsError, OSError):
            os.close(os.open(self._path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        connection = sqlite3.connect(self._path, isolation_level=None, cached_statements=256, timeout=5)
        try:
            for pragma in (
                "journal_mode = WAL",
                f"synchronous = {self._synchronous}",
                f"wal_autocheckpoint = {_WAL_PAGES}",
                "cache_size = -32768",
                "temp_store = MEMORY",
            ):
                connection.execute(f"PRAGMA {pragma}").close()
            migrations.migrate(connection, self._path, version, self._migrations)
        except BaseException:
            connection.close()
            raise
        return connection

    def _gather(self) -> tuple[list[Pending], bool]:
        """Wait for verbs, then take all that are there. False: asked to end."""
        batch: list[Pending] = []
        handed = self._queue.get()
        while handed is not None:
            batch += handed
            if len(batch) >= _BATCH:
                return batch, True
            try:
                handed = self._queue.get_nowait()
            except queue.Empty:
                return batch, True
        return batch, False

    def _commit(self, store: Store, target: Any, batch: list[Pending]) -> None:
        going, careful = batch, False
        while going:
            spoiler: Pending | None = None
            try:
                self._begin(store)
                for spoiler in going:
                    self._attempt(store, target, spoiler)
                    if careful:
                        store.flush()
                spoiler = None
                store.flush()
                store.execute("COMMIT")
                self.commits += 1
                self.verbs += len(going)
                return
            except BaseException as error:
                self._roll_back(store)
                if isinstance(error, sqlite3.OperationalError) or (careful and spoiler is None):
                    # Not one verb's fault (disk full, locked, damaged): nobody's verb has happened.
                    for pending in going:
                        pending.error = self._problem(error)
                    return
                if careful and spoiler is not None:
                    spoiler.error = self._problem(error)
                    going = [pending for pending in going if pending is not spoiler]
                careful = True  # rows are written late, perhaps in another verb's turn: once more, each at once

    def _begin(self, store: Store) -> None:
        if self._stale:
            store.forget()
            self._stale = False
        store.execute("BEGIN IMMEDIATE")

    def _attempt(self, store: Store, target: Any, pending: Pending) -> None:
        """Run one verb. What it wrote before it failed cannot stay: then the error goes up."""
        mark = store.mark()
        pending.result = pending.error = None
        try:
            pending.result = pending.work(target)
        except QuarterdeckError as error:
            if not store.undo(mark):
                raise
            pending.error = error

    def _roll_back(self, store: Store) -> None:
        self._stale = True
        with contextlib.suppress(sqlite3.Error):
            if store.connection.in_transaction:
                store.connection.rollback()

    def _problem(self, error: BaseException) -> BaseException:
        return mapped(error, self._path) if isinstance(error, sqlite3.Error) else error

    def _tell(self, callback: Callable[..., None], *args: Any) -> None:
        assert self._loop is not None
        try:
            self._loop.call_soon_threadsafe(callback, *args)
        except RuntimeError:
            log.debug("the event loop ended before its answers")

    # -- in the loop ---------------------------------------------------------------------------------------------

    def _answer(self, batch: list[Pending], heads: Heads) -> None:
        hit("sqlite.committed", verbs=len(batch))
        self._advanced(heads)
        for pending in batch:
            _settle(pending.future, pending.result, pending.error)


def _settle(future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)
