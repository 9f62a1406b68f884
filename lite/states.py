"""The task's state machine: every transition in one table, each with the one event it appends.

Backends apply these and nothing else; a verb that is not in the table for the present state is refused.
"""

from __future__ import annotations

from enum import StrEnum

from lite.errors import IllegalState
from lite.model.event import EventKind
from lite.model.task import State


class Action(StrEnum):
    """What can be done to a task."""

    SUBMIT = "submit"
    ROUTE = "route"
    PARK = "park"
    CLAIM = "claim"
    START = "start"
    RESCUE = "rescue"
    ASK_CANCEL = "ask-cancel"
    SUCCEED = "succeed"
    FAIL = "fail"
    RETRY = "retry"
    RESCHEDULE = "reschedule"
    CANCEL = "cancel"
    SKIP = "skip"
    CONDEMN = "condemn"
    REOPEN = "reopen"


_Q, _R = State.QUEUED, State.RUNNING

TRANSITIONS: dict[tuple[State | None, Action], tuple[State, EventKind]] = {
    (None, Action.SUBMIT): (_Q, EventKind.TASK_SUBMITTED),
    (_Q, Action.ROUTE): (_Q, EventKind.TASK_ROUTED),
    (_Q, Action.PARK): (_Q, EventKind.TASK_PARKED),
    (_Q, Action.CLAIM): (_R, EventKind.TASK_CLAIMED),
    (_Q, Action.CANCEL): (State.CANCELLED, EventKind.TASK_CANCELLED),
    (_Q, Action.SKIP): (State.SKIPPED, EventKind.TASK_SKIPPED),
    (_Q, Action.CONDEMN): (State.FAILED, EventKind.TASK_FAILED),
    (_R, Action.START): (_R, EventKind.TASK_STARTED),
    (_R, Action.RESCUE): (_R, EventKind.LEASE_LOST),
    (_R, Action.ASK_CANCEL): (_R, EventKind.TASK_CANCELLING),
    (_R, Action.SUCCEED): (State.SUCCEEDED, EventKind.TASK_SUCCEEDED),
    (_R, Action.FAIL): (State.FAILED, EventKind.TASK_FAILED),
    (_R, Action.RETRY): (_Q, EventKind.TASK_RETRYING),
    (_R, Action.RESCHEDULE): (_Q, EventKind.TASK_PARKED),
    (_R, Action.CANCEL): (State.CANCELLED, EventKind.TASK_CANCELLED),
    (State.FAILED, Action.REOPEN): (_Q, EventKind.TASK_REOPENED),
    (State.CANCELLED, Action.REOPEN): (_Q, EventKind.TASK_REOPENED),
    (State.SKIPPED, Action.REOPEN): (_Q, EventKind.TASK_REOPENED),
}


def apply(state: State | None, action: Action) -> tuple[State, EventKind]:
    """The state after `action` and the event it appends; raises `IllegalState` when it does not apply."""
    found = TRANSITIONS.get((state, action))
    if found is None:
        raise IllegalState(f"a {state.value if state else 'new'} task cannot {action.value}")
    return found
