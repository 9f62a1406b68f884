"""What each transition makes of a row, with the one event it appends. Pure; every backend in Python uses these.

Every function goes through `lite.states.apply`, so a transition that is not in the table raises `IllegalState`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import asdict, fields
from operator import attrgetter
from typing import Any

from lite.errors import IllegalState, LeaseLost, OutputTooLarge
from lite.model.attempt import Attempt
from lite.model.event import Event, EventKind
from lite.model.run import RunState
from lite.model.task import (
    MAX_OUTPUT,
    NO_USAGE,
    Assignment,
    Lease,
    Outcome,
    Progress,
    Reason,
    State,
    Task,
    TaskSpec,
    Waiting,
)
from lite.rules.dag import Consequence
from lite.rules.retry import settle
from lite.states import Action, apply

Change = tuple[Task, Event]

_NAMES = tuple(field.name for field in fields(Task))
_values = attrgetter(*_NAMES)
_SETTERS = {name: getattr(Task, name).__set__ for name in _NAMES}
_ALL_SETTERS = tuple(_SETTERS.values())


def evolve(task: Task, **changed: Any) -> Task:
    """`dataclasses.replace` at a third of its cost, slot by slot: every verb makes a row."""
    row = object.__new__(Task)
    for set_value, value in zip(_ALL_SETTERS, _values(task), strict=True):
        set_value(row, value)
    for name, value in changed.items():
        _SETTERS[name](row, value)
    return row


def submitted(spec: TaskSpec, seq: int, now: int) -> Change:
    state, kind = apply(None, Action.SUBMIT)
    task = Task(spec, seq, state, run_at=spec.run_at or 0, created_at=now)
    data: dict[str, Any] = {"name": spec.name, "agent": spec.agent}
    for key, value in (("rule", spec.rule), ("lane", spec.lane), ("needs", list(spec.needs))):
        if value:
            data[key] = value
    if task.run_at:
        data["run_at"] = task.run_at
    return task, Event(kind, now, spec.run, spec.id, data=data)


def check_seen(task: Task, assignment: Assignment, index: Mapping[tuple[str, str], int]) -> None:
    """Raise `IllegalState` when the task or its team is not where `assignment` takes it to be. A task that is not
    queued any more is told of by `assigned`."""
    if task.state is not State.QUEUED:
        return
    if assignment.before is not None and assignment.before != task.assigned:
        where = f"assigned to {task.assigned}" if task.assigned else "not assigned"
        raise IllegalState(f"task {task.id} is {where} by now", hint="place it again")
    if assignment.seen is None:
        return
    team = task.spec.team
    there = {worker: count for (worker, name), count in index.items() if name == team and count > 0}
    if there != {worker: count for worker, count in assignment.seen.items() if count > 0}:
        raise IllegalState(f"the tasks of team {team} have moved meanwhile", hint="place it again")


def assigned(task: Task, assignment: Assignment, now: int) -> Change:
    """Placed, routed, or parked as unroutable."""
    if assignment.park:
        state, kind = apply(task.state, Action.PARK)
        data = {"reason": str(Reason.UNROUTABLE), "detail": assignment.why}
        task = evolve(task, state=state, reason=Reason.UNROUTABLE, detail=assignment.why, assigned="", assigned_why="")
        return task, Event(kind, now, task.spec.run, task.id, data=data)
    state, kind = apply(task.state, Action.ROUTE)
    data = {"why": assignment.why}
    if assignment.agent is not None:
        spec = dataclasses.replace(
            task.spec,
            agent=assignment.agent,
            provider=assignment.provider or task.spec.provider,
            mode=assignment.mode,
            rule=assignment.why,
        )
        task = evolve(task, spec=spec, state=state, reason=Reason.NONE, detail="", assigned="", assigned_why="")
        data["agent"] = assignment.agent
    if assignment.worker is not None:
        why = assignment.why if assignment.worker else ""
        task = evolve(task, state=state, assigned=assignment.worker, assigned_why=why)
        data["worker"] = assignment.worker
    return task, Event(kind, now, task.spec.run, task.id, data=data)


def claimed(task: Task, lease: Lease, now: int) -> Change:
    """A new attempt: what the one before left in the row is gone, but for `provider_session` (to resume it)."""
    state, kind = apply(task.state, Action.CLAIM)
    task = evolve(
        task,
        state=state,
        reason=Reason.NONE,
        detail="",
        attempt=lease.attempt,
        run_at=0,
        lease=lease,
        cancel="",
        handle="",
        waiting=None,
        exit_code=None,
        signal=None,
        output=None,
        usage=NO_USAGE,
        started_at=None,
    )
    return task, _leased(kind, task, now, {"agent": task.spec.agent})


def held(task: Task | None, lease: Lease) -> Task:
    """The task, when `lease` is the right to run it; else `LeaseLost`. Time plays no part."""
    if task is None or task.state is not State.RUNNING or task.lease is None or task.lease.token != lease.token:
        raise LeaseLost(f"lease {lease.token} of task {lease.task} is lost", hint="stop the attempt; write nothing")
    return task


def recorded(task: Task, progress: Progress, now: int) -> tuple[Task, tuple[Event, ...]]:
    """Saying `started` or the same `waiting` again appends nothing."""
    events: list[Event] = []
    changed: dict[str, Any] = {}
    if progress.handle is not None:
        changed["handle"] = progress.handle
    if progress.provider_session is not None:
        changed["provider_session"] = progress.provider_session
    if progress.usage is not None:
        changed["usage"] = progress.usage
    if progress.started and task.started_at is None:
        _, kind = apply(task.state, Action.START)
        changed["started_at"] = now
        events.append(_leased(kind, task, now, {}))
    waiting: Waiting | None = task.waiting
    if progress.answered and waiting is not None:
        events.append(Event(EventKind.SESSION_ANSWERED, now, task.spec.run, task.id, data={"id": waiting.id}))
        waiting = None
    if progress.waiting is not None and progress.waiting != waiting:
        waiting = progress.waiting
        events.append(Event(EventKind.SESSION_WAITING, now, task.spec.run, task.id, data=asdict(waiting)))
    if waiting is not task.waiting:
        changed["waiting"] = waiting
    return (evolve(task, **changed) if changed else task), tuple(events)


def finished(task: Task, outcome: Outcome, now: int, delay_ms: int) -> Change:
    """The attempt's end; `OutputTooLarge` refuses it."""
    output = outcome.output
    if output is not None and len(output) * 4 > MAX_OUTPUT and len(output.encode()) > MAX_OUTPUT:
        raise OutputTooLarge(f"the output of task {task.id} is over {MAX_OUTPUT} bytes", hint="write a path instead")
    following = settle(
        outcome,
        retries=task.spec.retries,
        failures=task.failures,
        faults=task.faults,
        cancel=task.cancel,
        now=now,
        delay_ms=delay_ms,
    )
    state, kind = apply(task.state, following.action)
    usage = outcome.usage or task.usage
    data = {
        "reason": str(following.reason),
        "detail": outcome.detail,
        "exit_code": outcome.exit_code,
        "signal": outcome.signal,
        "failures": following.failures,
        "faults": following.faults,
    }
    if following.run_at:
        data["run_at"] = following.run_at
    if usage is not NO_USAGE and usage != NO_USAGE:
        data.update({key: value for key, value in asdict(usage).items() if value is not None})
    event = _leased(kind, task, now, data)
    task = evolve(
        task,
        state=state,
        reason=following.reason,
        detail=outcome.detail,
        failures=following.failures,
        faults=following.faults,
        run_at=following.run_at,
        assigned="" if state is State.QUEUED else task.assigned,
        assigned_why="" if state is State.QUEUED else task.assigned_why,
        lease=None,
        cancel="",
        waiting=None,
        exit_code=outcome.exit_code,
        signal=outcome.signal,
        output=output,
        usage=usage,
        provider_session=task.provider_session if outcome.provider_session is None else outcome.provider_session,
        ended_at=now if state.terminal else None,
    )
    return task, event


def accounted(before: Task, after: Task, outcome: Outcome, event: Event) -> Attempt | None:
    """The ledger's line (still without its number) of the attempt that `finished` has just ended."""
    if outcome.usage is None and after.usage == NO_USAGE:
        return None
    return Attempt(
        0,
        before.id,
        before.attempt,
        before.spec.run,
        before.spec.agent,
        before.worker,
        event.kind.value,
        str(after.reason),
        before.started_at,
        event.at,
        after.usage,
    )


def cancelled(task: Task, reason: str, now: int) -> tuple[Task, Event | None]:
    """Ended at once while queued, asked for once while running, else unchanged."""
    reason = reason or Reason.USER
    if task.state is State.QUEUED:
        state, kind = apply(task.state, Action.CANCEL)
        task = evolve(task, state=state, reason=reason, detail="", ended_at=now)
        return task, Event(kind, now, task.spec.run, task.id, data={"reason": str(reason)})
    if task.state is State.RUNNING and not task.cancel:
        _, kind = apply(task.state, Action.ASK_CANCEL)
        return evolve(task, cancel=reason), _leased(kind, task, now, {"reason": str(reason)})
    return task, None


def condemned(task: Task, consequence: Consequence, cause: str, now: int) -> Change:
    """Skipped or failed because of the need `cause`."""
    state, kind = apply(task.state, Action.CONDEMN if consequence is Consequence.FAIL else Action.SKIP)
    task = evolve(task, state=state, reason=Reason.NEED, detail="", cause=cause, ended_at=now)
    return task, Event(kind, now, task.spec.run, task.id, data={"reason": str(Reason.NEED), "cause": cause})


def rescued(task: Task, lease: Lease, now: int) -> Change:
    state, kind = apply(task.state, Action.RESCUE)
    data = {"from": task.worker, "to": lease.worker}
    task = evolve(task, state=state, lease=lease)
    return task, _leased(kind, task, now, data)


def reopened(task: Task, now: int) -> Change:
    """Counters anew; `attempt` keeps counting, `handle` stays readable until the next claim."""
    state, kind = apply(task.state, Action.REOPEN)
    task = evolve(
        task,
        state=state,
        reason=Reason.REOPENED,
        detail="",
        cause="",
        failures=0,
        faults=0,
        run_at=0,
        assigned="",
        assigned_why="",
        cancel="",
        waiting=None,
        exit_code=None,
        signal=None,
        output=None,
        ended_at=None,
    )
    return task, Event(kind, now, task.spec.run, task.id)


def run_state(failed: bool, cancelled: bool) -> RunState:
    """Of a run whose tasks have all ended."""
    if failed:
        return RunState.FAILED
    return RunState.CANCELLED if cancelled else RunState.SUCCEEDED


def _leased(kind: EventKind, task: Task, now: int, data: dict[str, Any]) -> Event:
    return Event(kind, now, task.spec.run, task.id, task.attempt, task.worker, data)
