"""The rows as the writer thread sees them: cached, changed, logged. Nobody else may touch a `Store`.

Caches hold what the running transaction sees; `forget` drops them when (part of) it is rolled back.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable
from typing import Any

from lite.backends.sqlite.rows import (
    CODES,
    SELECT_TASKS,
    event_to_row,
    spec_to_text,
    task_from_row,
    usage_to_text,
    waiting_to_text,
    worker_from_text,
)
from lite.backends.sqlite.statements import SQL
from lite.errors import NotFound
from lite.model.event import Event
from lite.model.task import State, Task
from lite.model.worker import Worker

_CACHED = 4096  # tasks


class Store:
    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        self.execute = connection.execute
        self.running: dict[str, Task] = {}
        self.workers: dict[str, Worker] = {}
        self.agents: Counter[str] = Counter()  # running, by agent
        self.touching: dict[str, tuple[str, ...]] = {}  # running, those that touch something
        self.next_promotion: int | None = None  # the earliest run_at of a task that counts as delayed
        self.cursor = 0
        self._seq = 0
        self._run_seq = 0
        self._newest = ""  # the greatest id
        self._cache: dict[str, Task] = {}
        self._unwritten: list[tuple[Any, ...]] = []
        self.forget()

    def __repr__(self) -> str:
        return f"<Store cursor {self.cursor}, {len(self.running)} running, {len(self._cache)} cached>"

    # -- transactions --------------------------------------------------------------------------------------------

    def mark(self) -> tuple[int, int]:
        """A point to `undo` to: what is logged so far."""
        return self.cursor, len(self._unwritten)

    def undo(self, mark: tuple[int, int]) -> None:
        """Back to `mark`; no row was written since."""
        self.cursor, length = mark
        del self._unwritten[length:]

    def forget(self) -> None:
        """Read everything again from the file."""
        self._cache.clear()
        self._unwritten = []
        heads = self.execute(SQL["heads"]).fetchone()
        self.cursor, self._seq, self._run_seq, self._newest, self.next_promotion = heads
        running = (task_from_row(row) for row in self.execute(f"{SELECT_TASKS} WHERE t.state = 1 ORDER BY t.seq"))
        self.running = {task.id: task for task in running}
        self.agents = Counter(task.spec.agent for task in self.running.values())
        self.touching = {task.id: task.spec.touches for task in self.running.values() if task.spec.touches}
        self.workers = {name: worker_from_text(row) for name, row in self.execute("SELECT id, row FROM workers")}

    def flush(self) -> None:
        """Write down the events logged so far."""
        if self._unwritten:
            rows, self._unwritten = self._unwritten, []
            self.connection.executemany(SQL["insert_event"], rows)

    # -- events --------------------------------------------------------------------------------------------------

    def log(self, event: Event) -> int:
        """Its cursor."""
        self.cursor += 1
        self._unwritten.append(event_to_row(event, self.cursor))
        return self.cursor

    # -- tasks ---------------------------------------------------------------------------------------------------

    def find(self, task: str) -> Task | None:
        found = self._cache.get(task)
        if found is not None:
            return found
        row = self.execute(f"{SELECT_TASKS} WHERE t.id = ?", (task,)).fetchone()
        return None if row is None else self._keep(task_from_row(row))

    def task(self, task: str) -> Task:
        found = self.find(task)
        if found is None:
            raise NotFound(f"no task {task}")
        return found

    def stored(self, task: str) -> bool:
        if task > self._newest:
            return False  # ids grow with time: hardly ever is a look needed
        return task in self._cache or self.execute(SQL["find_task"], (task,)).fetchone() is not None

    def next_seq(self) -> int:
        self._seq += 1
        return self._seq

    def next_run_seq(self) -> int:
        self._run_seq += 1
        return self._run_seq

    def insert(self, task: Task, blocked: int) -> None:
        spec = task.spec
        self.execute(
            SQL["insert_task"],
            (
                task.seq,
                spec.id,
                spec.run,
                spec.name,
                spec.lane,
                spec.agent,
                spec.key,
                spec.priority,
                spec.placed,
                blocked,
                task.run_at > 0,
                task.run_at,
                task.created_at,
            ),
        )
        self.execute(SQL["insert_spec"], (task.seq, spec_to_text(spec)))
        self._newest = max(self._newest, task.id)
        self._delay(task)
        self._keep(task)

    def claimed(self, task: Task) -> None:
        """A queued task now runs."""
        lease = task.lease
        assert lease is not None
        self.execute(SQL["update_claimed"], (lease.attempt, lease.token, lease.worker, lease.expires_at, task.seq))
        self.running[task.id] = self._keep(task)
        self.agents[task.spec.agent] += 1
        if task.spec.touches:
            self.touching[task.id] = task.spec.touches

    def promote(self, now: int) -> None:
        """Let those go whose time has come."""
        if self.next_promotion is not None and self.next_promotion <= now:
            self.execute(SQL["promote"], (now,))
            (self.next_promotion,) = self.execute(SQL["next_promotion"]).fetchone()

    def still_running(self, task: Task) -> None:
        """A running task goes on, with something new written down."""
        lease = task.lease
        assert lease is not None
        self.execute(
            SQL["update_running"],
            (
                lease.token,
                lease.worker,
                lease.expires_at,
                task.cancel,
                task.handle,
                task.provider_session,
                waiting_to_text(task.waiting),
                usage_to_text(task.usage),
                task.started_at,
                task.seq,
            ),
        )
        self.running[task.id] = self._keep(task)

    def still_queued(self, task: Task, blocked: int, *, respec: bool = False) -> None:
        """A queued task stays queued, placed, routed or parked."""
        self.execute(
            SQL["update_queued"],
            (task.spec.agent, blocked, task.reason, task.detail, task.assigned, task.assigned_why, task.seq),
        )
        if respec:
            self.execute(SQL["update_spec"], (spec_to_text(task.spec), task.seq))
        self._keep(task)

    def moved(self, task: Task, blocked: int = 0) -> None:
        """A task ended or returned to the queue."""
        self.execute(
            SQL["update_moved"],
            (
                CODES[task.state],
                blocked,
                task.state is State.QUEUED and task.run_at > 0,
                task.reason,
                task.detail,
                task.cause,
                task.failures,
                task.faults,
                task.run_at,
                task.assigned,
                task.assigned_why,
                task.cancel,
                task.provider_session,
                waiting_to_text(task.waiting),
                task.exit_code,
                task.signal,
                usage_to_text(task.usage),
                task.ended_at,
                task.output,
                task.seq,
            ),
        )
        if self.running.pop(task.id, None) is not None:
            self.agents[task.spec.agent] -= 1
            self.touching.pop(task.id, None)
        self._keep(task)
        self._delay(task)

    def _delay(self, task: Task) -> None:
        if task.run_at and task.state is State.QUEUED:
            self.next_promotion = min(self.next_promotion or task.run_at, task.run_at)

    def dependents(self, tasks: Iterable[Task]) -> list[Task]:
        """Those that need one of `tasks`, in order of submission."""
        found: dict[int, str] = {}
        for task in tasks:
            found.update({seq: one for one, seq in self.execute(SQL["dependents"], (task.seq,))})
        return [self.task(found[seq]) for seq in sorted(found)]

    def _keep(self, task: Task) -> Task:
        cache = self._cache
        cache.pop(task.id, None)
        cache[task.id] = task
        if len(cache) > _CACHED:
            del cache[next(iter(cache))]
        return task
