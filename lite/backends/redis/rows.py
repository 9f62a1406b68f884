"""Rows as the Lua shows them, to objects; objects to what it takes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from lite.backends.texts import decode, spec_from_text, spec_to_text, worker_from_text
from lite.model.attempt import Attempt
from lite.model.event import Event, EventKind
from lite.model.run import Run, RunSpec, RunState
from lite.model.task import NO_USAGE, Lease, Outcome, Progress, State, Task, TaskSpec, Waiting
from lite.model.worker import Worker
from providers.base import Source, Usage

_encoder = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, default=dict)
STATES = {str(state): state for state in State}
_COUNTED = (State.QUEUED, State.RUNNING, State.SUCCEEDED, State.FAILED, State.CANCELLED, State.SKIPPED)


def encode(value: Any) -> str:
    """Compact JSON with its characters as they are: an escaped half of a surrogate pair is refused by Lua's reader."""
    return _encoder.encode(value)


def spec_to_fields(spec: TaskSpec) -> dict[str, Any]:
    """What a submission tells of one task: its text, and what the Lua decides by."""
    data: dict[str, Any] = {"name": spec.name, "agent": spec.agent}
    if spec.rule:
        data["rule"] = spec.rule
    if spec.lane:
        data["lane"] = spec.lane
    if spec.run_at:
        data["run_at"] = spec.run_at
    said: dict[str, Any] = {
        "id": spec.id,
        "name": spec.name,
        "agent": spec.agent,
        "spec": spec_to_text(spec),
        "data": encode(data),
    }
    for name in ("run", "lane", "key", "priority", "team", "touches", "needs", "retries", "run_at"):
        value = getattr(spec, name)
        if value:
            said[name] = value
    if spec.on_failure != "skip":
        said["on_failure"] = spec.on_failure
    if spec.placed:
        said["placed"] = 1
    return said


def task_from_row(row: Sequence[Any], known: TaskSpec | None = None) -> Task:
    """A row of the Lua's columns, then the spec's text. `known`: the spec, where the text was left out."""
    spec = known if known is not None else spec_of(row)
    attempt, token = int(row[6] or 0), row[12]
    output = row[21]
    return Task(
        spec=spec,
        seq=int(row[1]),
        state=STATES[row[2]],
        reason=row[3] or "",
        detail=row[4] or "",
        cause=row[5] or "",
        attempt=attempt,
        failures=int(row[7] or 0),
        faults=int(row[8] or 0),
        run_at=int(row[9] or 0),
        assigned=row[10] or "",
        assigned_why=row[11] or "",
        lease=Lease(spec.id, attempt, int(token), row[13], int(row[14])) if token else None,
        cancel=row[15] or "",
        handle=row[16] or "",
        provider_session=row[17] or "",
        waiting=Waiting(**decode(row[18])) if row[18] else None,
        exit_code=_number(row[19]),
        signal=_number(row[20]),
        output=output[1:] if output else None,
        usage=usage_from_text(row[22]) if row[22] else NO_USAGE,
        created_at=int(row[23]),
        started_at=_number(row[24]),
        ended_at=_number(row[25]),
    )


def rerouted(row: Sequence[Any]) -> bool:
    """Is its spec another than the one submitted (but for needs that others stood for)?"""
    return bool(row[31])


def spec_of(row: Sequence[Any]) -> TaskSpec:
    """The spec as submitted, with what has been decided about it since."""
    spec = spec_from_text(row[32])
    if row[26]:
        spec = replace(spec, needs=tuple(decode(row[26])))
    elif spec.needs:
        spec = replace(spec, needs=())
    if rerouted(row):
        spec = replace(
            spec, agent=row[27], provider=row[28] or spec.provider, mode=row[29] or spec.mode, rule=row[30] or ""
        )
    return spec


def _number(value: Any) -> int | None:
    return None if value is False or value is None else int(value)


def usage_to_text(usage: Usage) -> str:
    """As events tell it: a JSON object of what is known; "" for nothing at all."""
    if usage is NO_USAGE or usage == NO_USAGE:
        return ""
    return encode({name: value for name, value in asdict(usage).items() if value is not None})


def usage_from_text(text: str) -> Usage:
    said = decode(text)
    sources = {name: Source(said[name]) for name in ("source", "cost_source") if name in said}
    return Usage(**{**said, **sources})


def attempt_from_text(line: int, text: str) -> Attempt:
    said = decode(text)
    return Attempt(line, *said[:9], usage_from_text(said[9]) if said[9] else NO_USAGE)  # type: ignore[call-arg]


def outcome_to_fields(outcome: Outcome) -> dict[str, Any]:
    said: dict[str, Any] = {"kind": str(outcome.kind)}
    for name in ("reason", "detail", "exit_code", "signal", "provider_session", "until"):
        value = getattr(outcome, name)
        if value is not None and value != "":
            said[name] = value
    if outcome.provider_session == "":
        said["provider_session"] = ""
    if outcome.output is not None:
        said["output"] = "=" + outcome.output  # so that an empty one is not none
    if outcome.usage is not None:
        said["usage"] = usage_to_text(outcome.usage)
    return said


def progress_to_fields(progress: Progress) -> dict[str, Any]:
    said: dict[str, Any] = {"started": progress.started, "answered": progress.answered}
    if progress.handle is not None:
        said["handle"] = progress.handle
    if progress.provider_session is not None:
        said["provider_session"] = progress.provider_session
    if progress.usage is not None:
        said["usage"] = usage_to_text(progress.usage)
    if progress.waiting is not None:
        said["waiting"] = encode(asdict(progress.waiting))
    return said


def lease_to_fields(lease: Lease) -> dict[str, Any]:
    return {"task": lease.task, "token": lease.token, "worker": lease.worker}


def event_from_entry(entry: Sequence[Any]) -> Event:
    """An entry of the stream: its id, and names and values in turn."""
    identity, flat = entry
    said: Mapping[str, str] = dict(zip(flat[::2], flat[1::2], strict=True))
    return Event(
        EventKind(said["kind"]),
        int(said["at"]),
        said.get("run", ""),
        said.get("task", ""),
        int(said.get("attempt", 0)),
        said.get("worker", ""),
        decode(said["data"]) if "data" in said else {},
        int(identity.partition("-")[0]),
    )


def run_from_row(row: Sequence[Any]) -> Run:
    run, seq, name, key, source, state, created_at, ended_at, *counts = row
    counted = {state: int(count) for state, count in zip(_COUNTED, counts, strict=True) if count and int(count)}
    spec = RunSpec(run, name or "", key or "", source or "")
    return Run(spec, int(seq), RunState(state), counted, int(created_at), _number(ended_at))


def worker_from_row(row: Sequence[Any]) -> Worker:
    text, registered_at, heartbeat_at, cordoned, load, running = row
    return replace(
        worker_from_text(text),
        registered_at=int(registered_at),
        heartbeat_at=int(heartbeat_at),
        cordoned=cordoned == "1" or cordoned == 1,
        load=float(load or 0),
        running=tuple(running or ()),
    )
