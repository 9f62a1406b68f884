"""The table of transitions."""

from __future__ import annotations

from itertools import product

import pytest

from lite.errors import IllegalState
from lite.model.event import EventKind
from lite.model.task import State
from lite.states import TRANSITIONS, Action, apply

PAIRS = list(product([None, *State], Action))


@pytest.mark.parametrize(("state", "action"), PAIRS)
def test_every_pair_is_in_the_table_or_refused(state: State | None, action: Action) -> None:
    if (state, action) in TRANSITIONS:
        assert apply(state, action) == TRANSITIONS[state, action]
    else:
        with pytest.raises(IllegalState, match="cannot"):
            apply(state, action)


def test_an_ended_task_leaves_its_state_only_by_being_reopened_and_a_success_never() -> None:
    leaving = {(state, action) for state, action in TRANSITIONS if state is not None and state.terminal}
    assert leaving == {(state, Action.REOPEN) for state in (State.FAILED, State.CANCELLED, State.SKIPPED)}
    assert all(TRANSITIONS[pair][0] is State.QUEUED for pair in leaving)


def test_each_end_has_its_one_event() -> None:
    ends = {
        State.SUCCEEDED: EventKind.TASK_SUCCEEDED,
        State.FAILED: EventKind.TASK_FAILED,
        State.CANCELLED: EventKind.TASK_CANCELLED,
        State.SKIPPED: EventKind.TASK_SKIPPED,
    }
    for target, event in TRANSITIONS.values():
        assert (event in ends.values()) == target.terminal
        if target.terminal:
            assert ends[target] is event


def test_a_task_runs_only_by_a_claim_and_begins_only_by_submission() -> None:
    into_running = {
        pair for pair, (to, _) in TRANSITIONS.items() if to is State.RUNNING and pair[0] is not State.RUNNING
    }
    assert into_running == {(State.QUEUED, Action.CLAIM)}
    assert {action for state, action in TRANSITIONS if state is None} == {Action.SUBMIT}
    assert {to for to, _ in TRANSITIONS.values()} == set(State)
