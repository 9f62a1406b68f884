"""The port on SQLite: verbs go to the writer, looks go to the readers, commits wake who waits."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from lite.backends.sqlite import queries
from lite.backends.sqlite.readers import Readers
from lite.backends.sqlite.rows import attempt_from_row, event_from_row, run_from_row, task_from_row
from lite.backends.sqlite.statements import SQL
from lite.backends.sqlite.store import Heads, Store
from lite.backends.sqlite.tasks import TaskVerbs
from lite.backends.sqlite.workers import WorkerVerbs
from lite.backends.sqlite.writer import Writer
from lite.backends.texts import worker_from_text
from lite.errors import BackendError, NotFound
from lite.model.attempt import Attempt
from lite.model.event import Event
from lite.model.run import Run, RunQuery, Submission, Submitted
from lite.model.task import (
    Assignment,
    Claim,
    ClaimRequest,
    Lease,
    Outcome,
    Progress,
    Renewal,
    Task,
    TaskQuery,
)
from lite.model.worker import Worker

T = TypeVar("T")


class Verbs:
    """What a closure in the writer thread may use."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.tasks = TaskVerbs(store)
        self.workers = WorkerVerbs(store)


class SqliteBackend:
    """Implements `lite.ports.Backend`. `synchronous` is `full` (default) or `normal`: a power cut may then take the
    last moments, never the file."""

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        synchronous: str = "full",
        migrations: Mapping[int, str] | None = None,
    ) -> None:
        if synchronous not in ("full", "normal"):
            raise BackendError(f"synchronous is full or normal, not {synchronous!r}", place="synchronous")
        self._path = Path(path)
        self._synchronous = synchronous
        self._heads = Heads()
        self._waiters: set[asyncio.Future[None]] = set()
        self._looked: dict[str, int] = {}  # worker -> newest cursor at its last claim
        self._readers = Readers(self._path)
        self.writer = Writer(self._path, synchronous, Verbs, self._advanced, migrations)
        self._call = self.writer.call

    def __repr__(self) -> str:
        return f"<SqliteBackend {self._path}, cursor {self._heads.cursor}>"

    async def open(self) -> None:
        await self.writer.open()
        try:
            await self._readers.open()
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        self._heads = Heads(self._heads.cursor)
        await self._readers.close()  # first: the last connection to close checkpoints, and that is the writer's duty
        await self.writer.close()
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_exception(BackendError("the database was closed", place=str(self._path)))

    def describe(self) -> str:
        if self._synchronous == "full":
            promise = "every accepted task and outcome is on disk before it is reported"
        else:
            promise = "survives a crash of any process; a power cut may take the last moments"
        return f"SQLite {self._path}, WAL, synchronous={self._synchronous.upper()}: {promise}"

    def warnings(self) -> Sequence[str]:
        return ()

    # -- tasks ---------------------------------------------------------------------------------------------------

    async def submit(self, submission: Submission, *, now: int) -> Submitted:
        return await self._call(lambda verbs: verbs.tasks.submit(submission, now))

    async def assign(self, task: str, assignment: Assignment, *, now: int) -> Task:
        return await self._call(lambda verbs: verbs.tasks.assign(task, assignment, now))

    async def claim(self, request: ClaimRequest, *, now: int) -> Sequence[Claim]:
        def taken(verbs: Verbs) -> tuple[list[Claim], int]:
            return verbs.tasks.claim(request, now), verbs.store.cursor

        claims, self._looked[request.worker] = await self._call(taken)
        return claims

    async def unplaced(self, *, now: int, limit: int, skip: int = 0) -> Sequence[Task]:
        if not self._heads.unplaced:
            return []
        return [task_from_row(row) for row in await self._readers.fetch(queries.select_unplaced(now, limit, skip))]

    async def offered(self, worker: str, agents: Collection[str]) -> None:
        await self.wait(self._looked.get(worker, 0))

    async def team_index(self) -> Mapping[tuple[str, str], int]:
        return await self._call(lambda verbs: verbs.store.teams())

    async def next_due(self, now: int) -> int | None:
        if not self._heads.timed:
            return None
        ((due,),) = await self._readers.fetch((SQL["next_due"], (now,)))
        return None if due is None else int(due)

    async def renew(self, leases: Sequence[Lease], *, now: int, ttl_ms: int) -> Sequence[Renewal]:
        return await self._call(lambda verbs: verbs.tasks.renew(leases, now, ttl_ms))

    async def record(self, lease: Lease, progress: Progress, *, now: int) -> Task:
        return await self._call(lambda verbs: verbs.tasks.record(lease, progress, now))

    async def finish(self, lease: Lease, outcome: Outcome, *, now: int, delay_ms: int = 0) -> Task:
        return await self._call(lambda verbs: verbs.tasks.finish(lease, outcome, now, delay_ms))

    async def retry(self, task: str, *, now: int) -> Task:
        return await self._call(lambda verbs: verbs.tasks.retry(task, now))

    async def cancel(self, task: str, *, now: int, reason: str = "user") -> Task:
        return await self._call(lambda verbs: verbs.tasks.cancel(task, now, reason))

    async def rescue(self, lease: Lease, worker: str, *, now: int, ttl_ms: int) -> Claim:
        return await self._call(lambda verbs: verbs.tasks.rescue(lease, worker, now, ttl_ms))

    async def get(self, task: str) -> Task:
        found = await self.tasks(TaskQuery(ids=(task,)))
        if not found:
            raise NotFound(f"no task {task}")
        return found[0]

    async def tasks(self, query: TaskQuery) -> Sequence[Task]:
        if query.assigned and not self._heads.assigned:
            return []
        rows = await self._readers.fetch(queries.select_tasks(query))
        return [task_from_row(row) for row in _in_order(rows, query.newest, query.limit)]

    async def runs(self, query: RunQuery) -> Sequence[Run]:
        rows = await self._readers.fetch(queries.select_runs(query))
        return [run_from_row(row) for row in _in_order(rows, query.newest, query.limit)]

    # -- events --------------------------------------------------------------------------------------------------

    async def append(self, event: Event) -> Event:
        return replace(event, cursor=await self._call(lambda verbs: verbs.store.log(event)))

    async def ledger(self, after: int = 0, *, limit: int = 1000) -> Sequence[Attempt]:
        return [attempt_from_row(row) for row in await self._readers.fetch((SQL["ledger"], (after, limit)))]

    async def events(self, after: int = 0, *, limit: int = 1000, run: str = "", task: str = "") -> Sequence[Event]:
        rows = await self._readers.fetch(queries.select_events(after, limit, run, task))
        return [event_from_row(row) for row in rows]

    async def wait(self, after: int, *, timeout_ms: int | None = None) -> int:
        try:
            async with asyncio.timeout(None if timeout_ms is None else timeout_ms / 1000):
                while self._heads.cursor <= after:
                    waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                    self._waiters.add(waiter)
                    try:
                        await waiter
                    finally:
                        self._waiters.discard(waiter)
        except TimeoutError:
            pass
        return self._heads.cursor

    # -- workers -------------------------------------------------------------------------------------------------

    async def register(self, worker: Worker, *, now: int) -> Worker:
        return await self._call(lambda verbs: verbs.workers.register(worker, now))

    async def heartbeat(self, worker: str, *, now: int, load: float = 0.0) -> Worker:
        return await self._call(lambda verbs: verbs.workers.heartbeat(worker, now, load))

    async def deregister(self, worker: str, *, now: int, reason: str = "") -> None:
        await self._call(lambda verbs: verbs.workers.deregister(worker, now, reason))

    async def workers(self) -> Sequence[Worker]:
        rows = await self._readers.fetch(queries.SELECT_WORKERS)
        return [replace(worker_from_text(row), running=tuple(json.loads(running))) for row, running in rows]

    async def cordon(self, worker: str, on: bool, *, now: int) -> Worker:
        return await self._call(lambda verbs: verbs.workers.cordon(worker, on, now))

    # -- inside --------------------------------------------------------------------------------------------------

    def _advanced(self, heads: Heads) -> None:
        grown = heads.cursor > self._heads.cursor
        self._heads = heads
        if grown:
            for waiter in self._waiters:
                if not waiter.done():
                    waiter.set_result(None)


def _in_order(rows: list[T], newest: bool, limit: int | None) -> list[T]:
    return rows[::-1] if newest and limit is not None else rows
