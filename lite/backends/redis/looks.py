"""Queries as pieces the server can answer quickly, put together here. `backends.selection` is the reference."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from lite.model.run import RunQuery
from lite.model.task import State, TaskQuery

Look = Callable[[str, Any], Awaitable[Any]]
Rows = list[Any]

_PIECE = 500  # ids asked for at once; events too


async def tasks(look: Look, query: TaskQuery) -> Rows:
    """Rows in order of submission."""
    if query.limit == 0:
        return []
    asked = _conditions(query)
    if query.ids or query.prefix:
        ids = list(dict.fromkeys(query.ids)) if query.ids else await _with_prefix(look, "ids", query.prefix)
        return _cut(_by_seq(await _by_id(look, "tasks_by_id", ids, asked)), query)
    if query.lease_before is not None or query.states == (State.RUNNING,):
        return _cut(_by_seq(await look("running", asked) or []), query)
    return await _scan(look, "tasks_by_seq", {**asked, "key": _index_of(query)}, query.newest, query.limit)


async def runs(look: Look, query: RunQuery) -> Rows:
    """Rows in order of submission."""
    if query.limit == 0:
        return []
    if query.ids or query.prefix:
        ids = list(dict.fromkeys(query.ids)) if query.ids else await _with_prefix(look, "run-ids", query.prefix)
        found = await _by_id(look, "runs_by_id", ids, {})
        fitting = [
            row
            for row in _by_seq(found)
            if row[0].startswith(query.prefix)
            and (not query.name or row[2] == query.name)
            and (not query.states or row[5] in query.states)
        ]
        return _cut(fitting, query)
    asked: dict[str, Any] = {"key": f"run-name:{query.name}" if query.name else "runs"}
    if query.states:
        asked["states"] = [str(state) for state in query.states]
    return await _scan(look, "runs_by_seq", asked, query.newest, query.limit)


async def events(look: Look, after: int, limit: int, run: str, task: str) -> Rows:
    """Entries of the stream."""
    found: Rows = []
    after = max(after, 0)
    while len(found) < limit:
        asked: dict[str, Any] = {"after": after, "limit": min(limit - len(found), _PIECE)}
        if task:
            asked["task"] = task
        elif run:
            asked["run"] = run
        piece = [entry for entry in await look("events", asked) or () if entry]
        if not piece:
            break
        found += [entry for entry in piece if not (run and task) or _of_run(entry, run)]
        after = int(piece[-1][0].partition("-")[0])
        if len(piece) < asked["limit"]:
            break
    return found


def _of_run(entry: Any, run: str) -> bool:
    flat = entry[1]
    return ("run", run) in zip(flat[::2], flat[1::2], strict=True)


def _conditions(query: TaskQuery) -> dict[str, Any]:
    asked: dict[str, Any] = {}
    for name in ("name", "agent", "worker", "prefix", "after_seq", "assigned", "dead"):
        value = getattr(query, name)
        if value:
            asked[name] = value
    if query.run is not None:
        asked["run"] = query.run
    if query.lease_before is not None:
        asked["lease_before"] = query.lease_before
    if query.states:
        asked["states"] = [str(state) for state in query.states]
    return asked


def _index_of(query: TaskQuery) -> str:
    """The smallest sorted set (by seq) that holds all that fits."""
    if query.worker:
        return f"running:{query.worker}"
    if query.assigned:
        return "assigned"
    if query.dead:
        return "dead"
    if query.name:
        return f"name:{query.name}"
    if query.run:
        return f"run-tasks:{query.run}"
    if query.states and set(query.states) <= {State.QUEUED, State.RUNNING}:
        return "open"
    return "tasks"


async def _scan(look: Look, verb: str, asked: dict[str, Any], newest: bool, limit: int | None) -> Rows:
    backwards = newest and limit is not None
    found: Rows = []
    asked = {**asked, "newest": backwards}
    while True:
        if limit is not None:
            asked["limit"] = limit - len(found)
        told = await look(verb, asked)
        found += told["rows"] or ()
        if not told.get("next") or (limit is not None and len(found) >= limit):
            return found[::-1] if backwards else found
        asked["from"] = told["next"]


async def _with_prefix(look: Look, key: str, prefix: str) -> list[str]:
    found: list[str] = []
    asked = {"key": key, "prefix": prefix}
    while True:
        piece = await look("ids", asked) or []
        found += piece
        if len(piece) < _PIECE:
            return found
        asked["from"] = piece[-1]


async def _by_id(look: Look, verb: str, ids: Sequence[str], asked: dict[str, Any]) -> Rows:
    found: Rows = []
    for start in range(0, len(ids), _PIECE):
        found += await look(verb, {**asked, "ids": ids[start : start + _PIECE]}) or ()
    return found


def _by_seq(rows: Rows) -> Rows:
    return sorted(rows, key=lambda row: int(row[1]))


def _cut(rows: Rows, query: TaskQuery | RunQuery) -> Rows:
    if query.limit is None:
        return rows
    return rows[max(len(rows) - query.limit, 0) :] if query.newest else rows[: query.limit]
