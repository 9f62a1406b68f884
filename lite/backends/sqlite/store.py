"""The rows as the writer thread sees them: cached, changed, logged. Nobody else may touch a `Store`.

Caches hold what the running transaction sees; `forget` drops them when (part of) it is rolled back. Changes of tasks
are written down together, before anything else is asked of the database and before the commit: a statement for many
rows costs a fraction of as many statements, above all of the interpreter's lock, which each lets go and takes again.
"""

from __future__ import annotations

import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any, NamedTuple

from lite.backends.sqlite.rows import (
    CODES,
    SELECT_TASKS,
    attempt_to_row,
    event_to_row,
    task_from_row,
    usage_to_text,
    waiting_to_text,
)
from lite.backends.sqlite.statements import SQL
from lite.backends.texts import spec_to_text, worker_from_text
from lite.errors import NotFound
from lite.model.attempt import Attempt
from lite.model.event import Event
from lite.model.task import State, Task
from lite.model.worker import Worker

_CACHED = 4096  # tasks
Row = tuple[Any, ...]


class Mark(NamedTuple):
    cursor: int
    events: int
    changes: int  # of rows


class Heads(NamedTuple):
    """What the event loop knows without a look into the file, as of the newest commit."""

    cursor: int = 0
    timed: bool = True  # may a queued task have a `run_at`?
    unplaced: bool = True  # may a queued task wait for a worker to be assigned?
    assigned: bool = True  # may a queued task be assigned to a worker?


class Store:
    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        self.running: dict[str, Task] = {}
        self.workers: dict[str, Worker] = {}
        self.agents: Counter[str] = Counter()  # running, by agent
        self.touching: dict[str, tuple[str, ...]] = {}  # running, those that touch something
        self.due: int | None = None  # no queued task has an earlier run_at; None: none has any
        self.needed: set[int] = set()  # unfinished tasks (seq) others need
        self.cursor = 0
        self._seq = 0
        self._run_seq = 0
        self._newest = ""  # the greatest id
        self._cache: dict[str, Task] = {}
        self._unplaced: set[int] = set()  # queued
        self._assigned: set[int] = set()  # queued
        self._unwritten: list[Row] = []  # events
        self._specs: list[Row] = []
        self._accounts: list[Row] = []  # lines of the ledger
        self._changes: defaultdict[str, list[Row]] = defaultdict(list)  # statement -> its parameters, the last a seq
        self._changed: set[int] = set()  # the tasks of those, each of them once
        self._deferred = 0  # changes so far, written or not
        self._by_write = 0  # those rows of `total_changes` which `write` accounts for
        self.forget()

    def __repr__(self) -> str:
        return f"<Store cursor {self.cursor}, {len(self.running)} running, {len(self._cache)} cached>"

    # -- transactions --------------------------------------------------------------------------------------------

    def mark(self) -> Mark:
        """A point to `undo` to."""
        rows = self.connection.total_changes - self._by_write
        return Mark(self.cursor, len(self._unwritten), self._deferred + rows)

    def undo(self, mark: Mark) -> bool:
        """Forget what was logged since; False, and nothing done, when a row was changed since."""
        if self.mark().changes != mark.changes:
            return False
        self.cursor = mark.cursor
        del self._unwritten[mark.events :]
        return True

    def heads(self) -> Heads:
        return Heads(self.cursor, self.due is not None, bool(self._unplaced), bool(self._assigned))

    def forget(self) -> None:
        """Read everything again from the file."""
        self._cache.clear()
        self._unwritten, self._specs, self._accounts = [], [], []
        self._changes.clear()
        self._changed.clear()
        self.cursor, self._seq, self._run_seq, self._newest, self.due = self.execute(SQL["heads"]).fetchone()
        self.needed = {seq for (seq,) in self.execute(SQL["needed"])}
        self._unplaced = {seq for (seq,) in self.execute(SQL["unplaced"])}
        self._assigned = {seq for _, seq in self.execute(SQL["assigned"])}
        running = (task_from_row(row) for row in self.execute(f"{SELECT_TASKS} WHERE t.state = 1 ORDER BY t.seq"))
        self.running = {task.id: task for task in running}
        self.agents = Counter(task.spec.agent for task in self.running.values())
        self.touching = {task.id: task.spec.touches for task in self.running.values() if task.spec.touches}
        self.workers = {name: worker_from_text(row) for name, row in self.execute("SELECT id, row FROM workers")}

    def flush(self) -> None:
        """Write down all that happened so far."""
        self.write()
        if self._unwritten:
            rows, self._unwritten = self._unwritten, []
            self.connection.executemany(SQL["insert_event"], rows)
        if self._accounts:
            rows, self._accounts = self._accounts, []
            self.connection.executemany(SQL["insert_attempt"], rows)

    def write(self) -> None:
        """Write down the changes of tasks."""
        if not self._changed:
            return
        before = self.connection.total_changes
        for name, rows in self._changes.items():
            self.connection.executemany(SQL[name], rows)
        if self._specs:
            self.connection.executemany(SQL["insert_spec"], self._specs)
            self._specs = []
        self._changes.clear()
        self._changed.clear()
        self._by_write += self.connection.total_changes - before

    def execute(self, sql: str, values: Row = ()) -> sqlite3.Cursor:
        """Any statement; it sees all changes."""
        if self._changed:
            self.write()
        return self.connection.execute(sql, values)

    # -- events --------------------------------------------------------------------------------------------------

    def log(self, event: Event) -> int:
        """Its cursor."""
        self.cursor += 1
        self._unwritten.append(event_to_row(event, self.cursor))
        return self.cursor

    def account(self, attempt: Attempt) -> None:
        """Only together with the change of a task, so that `undo` has nothing to forget here."""
        self._accounts.append(attempt_to_row(attempt))

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
        self._change(
            "insert_task",
            (
                spec.id,
                spec.run,
                spec.name,
                spec.lane,
                spec.agent,
                spec.key,
                spec.priority,
                int(spec.placed),
                blocked,
                int(task.run_at > 0),
                task.run_at,
                task.created_at,
                task.seq,
            ),
            task,
        )
        self._specs.append((task.seq, spec_to_text(spec)))
        self._newest = max(self._newest, spec.id)

    def claimed(self, task: Task) -> None:
        """A queued task now runs."""
        lease = task.lease
        assert lease is not None
        self._change("update_claimed", (lease.attempt, lease.token, lease.worker, lease.expires_at, task.seq), task)
        self.running[task.id] = task
        self.agents[task.spec.agent] += 1
        if task.spec.touches:
            self.touching[task.id] = task.spec.touches

    def promote(self, now: int) -> None:
        """Let those go whose time has come."""
        if self.due is not None and self.due <= now:
            (self.due,) = self.execute(SQL["earliest"]).fetchone()
            if self.due is not None and self.due <= now:
                self.execute(SQL["promote"], (now,))

    def still_running(self, task: Task) -> None:
        """A running task goes on, with something new written down."""
        lease = task.lease
        assert lease is not None
        self._change(
            "update_running",
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
            task,
        )
        self.running[task.id] = task

    def still_queued(self, task: Task, blocked: int, *, respec: bool = False) -> None:
        """A queued task stays queued, placed, routed or parked."""
        self._change(
            "update_queued",
            (task.spec.agent, blocked, task.reason, task.detail, task.assigned, task.assigned_why, task.seq),
            task,
        )
        if respec:
            self.execute(SQL["update_spec"], (spec_to_text(task.spec), task.seq))

    def moved(self, task: Task, blocked: int = 0) -> None:
        """A task ended or returned to the queue."""
        if task.ended_at is not None:
            self.needed.discard(task.seq)
        self._change(
            "update_moved",
            (
                CODES[task.state],
                blocked,
                int(task.state is State.QUEUED and task.run_at > 0),
                str(task.reason),
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
            task,
        )
        if self.running.pop(task.id, None) is not None:
            self.agents[task.spec.agent] -= 1
            self.touching.pop(task.id, None)

    def dependents(self, tasks: Iterable[Task]) -> list[Task]:
        """Those that need one of `tasks`, in order of submission."""
        found: dict[int, str] = {}
        for task in tasks:
            found.update({seq: one for one, seq in self.execute(SQL["dependents"], (task.seq,))})
        return [self.task(found[seq]) for seq in sorted(found)]

    def teams(self) -> Counter[tuple[str, str]]:
        """(worker, team) of what runs there or is assigned to it."""
        assigned = [self.task(task) for task, _ in self.execute(SQL["assigned"]).fetchall()]
        placed = (*self.running.values(), *assigned)
        return Counter((task.whereabouts, task.spec.team) for task in placed if task.spec.team)

    def _change(self, statement: str, row: Row, task: Task) -> None:
        """Note a row's change; `statement` takes `row`, whose last value is the task's seq."""
        seq = task.seq
        if seq in self._changed:
            self.write()  # in order: one change of a task is written at a time
        self._changes[statement].append(row)
        self._changed.add(seq)
        self._deferred += 1
        queued = task.state is State.QUEUED
        if queued and task.run_at:
            self.due = min(self.due or task.run_at, task.run_at)
        if queued and task.assigned:
            self._assigned.add(seq)
        else:
            self._assigned.discard(seq)
        if queued and task.spec.placed and not task.assigned:
            self._unplaced.add(seq)
        else:
            self._unplaced.discard(seq)
        self._keep(task)

    def _keep(self, task: Task) -> Task:
        cache = self._cache
        cache[task.spec.id] = task
        if len(cache) > _CACHED:
            del cache[next(iter(cache))]
        return task
