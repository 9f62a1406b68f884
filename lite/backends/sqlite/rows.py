"""Rows to objects and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lite.backends.texts import decode, encode, spec_from_text
from lite.model.attempt import Attempt
from lite.model.event import Event, EventKind
from lite.model.run import Run, RunSpec, RunState
from lite.model.task import NO_USAGE, Lease, State, Task, Waiting
from providers.base import Source, Usage

STATES = tuple(State)
CODES = {state: code for code, state in enumerate(STATES)}

TASK_COLUMNS = (
    "s.spec, t.seq, t.state, t.reason, t.detail, t.cause, t.attempt, t.failures, t.faults, t.run_at, t.assigned, "
    "t.assigned_why, t.token, t.worker, t.expires_at, t.cancel, t.handle, t.provider_session, t.waiting, t.exit_code, "
    "t.signal, t.output, t.usage, t.created_at, t.started_at, t.ended_at"
)
SELECT_TASKS = f"SELECT {TASK_COLUMNS} FROM tasks t JOIN specs s ON s.seq = t.seq"
EVENT_COLUMNS = "kind, at, run, task, attempt, worker, data, cursor"


def usage_to_text(usage: Usage) -> str | None:
    if usage is NO_USAGE or usage == NO_USAGE:
        return None
    said: list[Any] = [usage.tokens_in, usage.tokens_out, usage.cost_usd, usage.source]
    if usage.tokens_cached is not None or usage.model or usage.cost_source is not None:
        said += [usage.tokens_cached, usage.model, usage.cost_source]
    return encode(said)


def usage_from_text(text: str) -> Usage:
    tokens_in, tokens_out, cost_usd, source, *more = decode(text)
    cached, model, cost_source = more or (None, "", None)
    known = None if cost_source is None else Source(cost_source)
    return Usage(tokens_in, tokens_out, cost_usd, Source(source), cached, model, known)


def attempt_to_row(attempt: Attempt) -> tuple[Any, ...]:
    """A row of the ledger without its number."""
    return (
        attempt.task,
        attempt.number,
        attempt.run,
        attempt.agent,
        attempt.worker,
        attempt.ended,
        attempt.reason,
        attempt.started_at,
        attempt.ended_at,
        usage_to_text(attempt.usage),
    )


def attempt_from_row(row: Sequence[Any]) -> Attempt:
    usage = NO_USAGE if row[10] is None else usage_from_text(row[10])
    return Attempt(*row[:10], usage)  # type: ignore[call-arg]  # ten of them


def waiting_to_text(waiting: Waiting | None) -> str | None:
    return None if waiting is None else encode([waiting.id, waiting.kind, waiting.text, waiting.hash, waiting.ref])


def task_from_row(row: Sequence[Any]) -> Task:
    """A row of `TASK_COLUMNS`."""
    spec = spec_from_text(row[0])
    attempt, token, worker, expires_at = row[6], row[12], row[13], row[14]
    return Task(
        spec=spec,
        seq=row[1],
        state=STATES[row[2]],
        reason=row[3],
        detail=row[4],
        cause=row[5],
        attempt=attempt,
        failures=row[7],
        faults=row[8],
        run_at=row[9],
        assigned=row[10],
        assigned_why=row[11],
        lease=None if token is None else Lease(spec.id, attempt, token, worker, expires_at),
        cancel=row[15],
        handle=row[16],
        provider_session=row[17],
        waiting=None if row[18] is None else Waiting(*decode(row[18])),
        exit_code=row[19],
        signal=row[20],
        output=row[21],
        usage=NO_USAGE if row[22] is None else usage_from_text(row[22]),
        created_at=row[23],
        started_at=row[24],
        ended_at=row[25],
    )


def event_to_row(event: Event, cursor: int) -> tuple[Any, ...]:
    """Plain strings and integers only: the driver looks for an adapter of everything else."""
    data = encode(event.data) if event.data else "{}"
    return (cursor, event.at, event.kind.value, event.run, event.task, event.attempt, event.worker, data)


def event_from_row(row: Sequence[Any]) -> Event:
    """A row of `EVENT_COLUMNS`."""
    kind, at, run, task, attempt, worker, data, cursor = row
    return Event(EventKind(kind), at, run, task, attempt, worker, decode(data), cursor)


def run_from_row(row: Sequence[Any]) -> Run:
    """A row of `queries.RUN_COLUMNS`: the run and its number of tasks in each state."""
    seq, run, name, key, source, state, created_at, ended_at, *counts = row
    counted: Mapping[State, int] = {STATES[code]: count for code, count in enumerate(counts) if count}
    return Run(RunSpec(run, name, key, source), seq, RunState(state), counted, created_at, ended_at)
