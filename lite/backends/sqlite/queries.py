"""The readers' SQL: queries as `(text, parameters)`. `backends.selection` is the reference."""

from __future__ import annotations

import json
from typing import Any

from lite.backends.sqlite.gate import UNPLACED
from lite.backends.sqlite.rows import CODES, EVENT_COLUMNS, SELECT_TASKS
from lite.model.run import RunQuery
from lite.model.task import Reason, State, TaskQuery

Query = tuple[str, tuple[Any, ...]]

_LAST = "\U0010ffff"
_COUNTS = ", ".join(f"coalesce(sum(t.state = {code}), 0)" for code in CODES.values())
RUN_COLUMNS = f"r.seq, r.id, r.name, r.key, r.source, r.state, r.created_at, r.ended_at, {_COUNTS}"
SELECT_WORKERS: Query = (
    "SELECT w.row, (SELECT json_group_array(id) FROM"
    " (SELECT id FROM tasks WHERE state = 1 AND worker = w.id ORDER BY seq)) FROM workers w ORDER BY w.id",
    (),
)


class _Where:
    def __init__(self) -> None:
        self._terms: list[str] = []
        self.values: list[Any] = []

    def __call__(self, term: str, *values: Any) -> None:
        self._terms.append(term)
        self.values.extend(values)

    def ids(self, column: str, ids: tuple[str, ...]) -> None:
        self(f"{column} IN (SELECT value FROM json_each(?))", json.dumps(ids))

    def prefix(self, column: str, prefix: str) -> None:
        self(f"{column} >= ? AND {column} < ?", prefix, prefix + _LAST)

    def __str__(self) -> str:
        return f" WHERE {' AND '.join(self._terms)}" if self._terms else ""


def select_tasks(query: TaskQuery) -> Query:
    """Rows of `TASK_COLUMNS`; newest first when `query.newest` and a limit."""
    where, select = _Where(), SELECT_TASKS
    if query.ids:
        where.ids("t.id", query.ids)
    if query.prefix:
        where.prefix("t.id", query.prefix)
    if query.run is not None:
        where("t.run = ?", query.run)
        if query.run:
            where("t.run <> ''")  # what the partial index wants to hear
    if query.name:
        where("t.name = ?", query.name)
    if query.states:
        codes = sorted(CODES[state] for state in query.states)
        where(f"t.state = {codes[0]}" if len(codes) == 1 else f"t.state IN ({', '.join(map(str, codes))})")
        if codes[-1] <= CODES[State.RUNNING]:
            where("t.ended_at IS NULL")
            if not (query.ids or query.prefix or query.run or query.limit is not None):
                # The planner would rather read all that ever ended, because it comes in order.
                select = select.replace("tasks t", "tasks t INDEXED BY tasks_open")
    if query.agent:
        where("t.agent = ?", query.agent)
    if query.worker:
        where("t.state = 1 AND t.worker = ?", query.worker)
    if query.lease_before is not None:
        where("t.state = 1 AND t.expires_at < ?", query.lease_before)
    if query.assigned:
        where("t.state = 0 AND t.assigned <> ''")
    if query.dead:
        where("t.state = 3 AND t.reason = ?", str(Reason.POISON))
    if query.after_seq:
        where("t.seq > ?", query.after_seq)
    order, values = _ordered("t.seq", query.newest, query.limit)
    return f"{select}{where}{order}", (*where.values, *values)


def select_unplaced(now: int, limit: int, skip: int) -> Query:
    """Rows of `TASK_COLUMNS`, best first: those whose only flag is `gate.UNPLACED`."""
    select = SELECT_TASKS.replace("tasks t", "tasks t INDEXED BY tasks_unplaced")
    where = f"t.state = 0 AND t.blocked = {UNPLACED} AND t.run_at <= ?"
    return f"{select} WHERE {where} ORDER BY t.priority DESC, t.seq LIMIT ? OFFSET ?", (now, limit, skip)


def select_runs(query: RunQuery) -> Query:
    """Rows of `RUN_COLUMNS`; newest first when `query.newest` and a limit."""
    where = _Where()
    if query.ids:
        where.ids("id", query.ids)
    if query.prefix:
        where.prefix("id", query.prefix)
    if query.name:
        where("name = ?", query.name)
    if query.states:
        where("state IN (SELECT value FROM json_each(?))", json.dumps(query.states))
    order, values = _ordered("seq", query.newest, query.limit)
    outer = "DESC" if query.newest and query.limit is not None else "ASC"
    return (
        f"SELECT {RUN_COLUMNS} FROM (SELECT * FROM runs{where}{order}) r"
        f" LEFT JOIN tasks t ON t.run = r.id AND t.run <> '' GROUP BY r.seq ORDER BY r.seq {outer}",
        (*where.values, *values),
    )


def select_events(after: int, limit: int, run: str, task: str) -> Query:
    """Rows of `EVENT_COLUMNS`."""
    where = _Where()
    where("cursor > ?", after)
    if run:
        where("run = ? AND run <> ''", run)
    if task:
        where("task = ? AND task <> ''", task)
    return f"SELECT {EVENT_COLUMNS} FROM events{where} ORDER BY cursor LIMIT ?", (*where.values, limit)


def _ordered(column: str, newest: bool, limit: int | None) -> Query:
    if limit is None:
        return f" ORDER BY {column}", ()
    return f" ORDER BY {column} {'DESC' if newest else 'ASC'} LIMIT ?", (limit,)
