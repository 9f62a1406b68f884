"""What an attempt's end means."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lite.model.settings import RetryPolicy
from lite.model.task import MAX_FAULTS, Outcome, OutcomeKind, Reason
from lite.rules.retry import Next, backoff, settle
from lite.states import Action

_kinds = st.sampled_from(list(OutcomeKind))
_counts = st.integers(0, 12)
_cancels = st.sampled_from(["", "user", "shutdown"])


def _settle(kind: OutcomeKind, *, retries: int, failures: int, faults: int, cancel: str, delay: int = 50) -> Next:
    return settle(
        Outcome(kind, "why"),
        retries=retries,
        failures=failures,
        faults=faults,
        cancel=cancel,
        now=1_000,
        delay_ms=delay,
    )


@given(_kinds, _counts, _counts, st.integers(0, MAX_FAULTS - 1), _cancels)
def test_a_cancel_wins_over_all_but_success(
    kind: OutcomeKind, retries: int, failures: int, faults: int, cancel: str
) -> None:
    found = _settle(kind, retries=retries, failures=failures, faults=faults, cancel=cancel)
    if kind is OutcomeKind.SUCCEEDED:
        assert found.action is Action.SUCCEED
    elif cancel or kind is OutcomeKind.CANCELLED:
        assert (found.action, found.reason) == (Action.CANCEL, cancel or "why")
        assert (found.failures, found.faults) == (failures, faults)


@given(_counts, _counts, st.integers(0, MAX_FAULTS - 1), st.integers(0, 1000))
def test_a_fault_never_costs_a_retry_and_ten_are_poison(retries: int, failures: int, faults: int, delay: int) -> None:
    found = _settle(OutcomeKind.UNEXECUTABLE, retries=retries, failures=failures, faults=faults, cancel="", delay=delay)
    assert (found.failures, found.faults) == (failures, faults + 1)
    if faults + 1 < MAX_FAULTS:
        assert (found.action, found.reason) == (Action.RETRY, "why")
        assert found.run_at == (1_000 + delay if delay else 0)
    else:
        assert (found.action, found.reason) == (Action.FAIL, Reason.POISON)


@given(_counts, st.integers(0, MAX_FAULTS - 1))
def test_own_failures_are_tried_again_exactly_as_often_as_asked(retries: int, faults: int) -> None:
    failures = tries = 0
    while True:
        tries += 1
        found = _settle(OutcomeKind.FAILED, retries=retries, failures=failures, faults=faults, cancel="")
        assert (found.failures, found.faults) == (failures + 1, faults)
        if found.action is Action.FAIL:
            break
        assert (found.action, found.reason, found.run_at) == (Action.RETRY, Reason.RETRY, 1_050)
        failures = found.failures
    assert tries == retries + 1
    assert found.reason == "why"


@given(_counts, _counts, st.integers(0, MAX_FAULTS - 1))
def test_rescheduling_costs_nothing(retries: int, failures: int, faults: int) -> None:
    outcome = Outcome(OutcomeKind.RESCHEDULED, until=9_999)
    found = settle(outcome, retries=retries, failures=failures, faults=faults, cancel="", now=1_000, delay_ms=50)
    assert found == Next(Action.RESCHEDULE, Reason.PARKED, failures, faults, 9_999)


_policies = st.builds(
    RetryPolicy,
    base_ms=st.integers(0, 60_000),
    factor=st.floats(1, 100),
    cap_ms=st.integers(0, 10_000_000),
    jitter=st.floats(0, 1),
)


@given(st.integers(0, 10_000), _policies, st.floats(-1, 1))
def test_a_back_off_stays_within_its_bounds(count: int, policy: RetryPolicy, spread: float) -> None:
    bare = backoff(count, policy, 0)
    assert 0 <= bare <= policy.cap_ms
    assert bare <= backoff(count + 1, policy, 0)
    jittered = backoff(count, policy, spread)
    assert bare * (1 - policy.jitter) - 1 <= jittered <= bare * (1 + policy.jitter) + 1
    assert jittered >= 0


def test_the_back_off_doubles_up_to_its_cap() -> None:
    policy = RetryPolicy(base_ms=1_000, factor=2, cap_ms=5_000, jitter=0)
    assert [backoff(count, policy, 0.5) for count in (1, 2, 3, 4, 5)] == [1_000, 2_000, 4_000, 5_000, 5_000]
