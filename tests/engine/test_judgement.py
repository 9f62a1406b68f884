"""The one outcome of an attempt: what wins over what."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lite.engine.environment import build_environment, need_variable
from lite.engine.judgement import (
    LONGEST_PARKING_MS,
    PAST_PARKING_MS,
    SHORTEST_PARKING_MS,
    Interruption,
    judge,
    parked_until,
)
from lite.model.task import MAX_OUTPUT, Outcome, OutcomeKind, Reason
from providers.base import Failure, Usage, Verdict

K = OutcomeKind
exited = Outcome(K.SUCCEEDED, exit_code=0)
failed = Outcome(K.FAILED, Reason.EXIT, exit_code=3)
lost = Outcome(K.UNEXECUTABLE, Reason.LOST)

kinds = st.sampled_from(list(OutcomeKind))
verdicts = st.none() | st.builds(
    Verdict, st.booleans(), st.text(max_size=5), infrastructure=st.booleans(), output=st.none() | st.text(max_size=20)
)


@given(kinds, verdicts, kinds, st.none() | st.binary(max_size=20))
def test_our_own_interruption_wins(
    kind: OutcomeKind, verdict: Verdict | None, why: OutcomeKind, output: bytes | None
) -> None:
    judged = judge(Outcome(kind, exit_code=0), verdict, Interruption(why, "because"), output)
    assert (judged.kind, judged.reason, judged.output) == (why, "because", None)


@given(verdicts, st.none() | st.binary(max_size=20))
def test_success_needs_both_exit_0_and_the_providers_word(verdict: Verdict | None, output: bytes | None) -> None:
    assert judge(failed, verdict, None, output).kind is not K.SUCCEEDED
    judged = judge(exited, verdict, None, output)
    assert (judged.kind is K.SUCCEEDED) == (verdict is None or verdict.ok)


@given(verdicts)
def test_a_lost_session_is_nobodys_verdict(verdict: Verdict | None) -> None:
    assert judge(lost, verdict, None, b"x").kind is K.UNEXECUTABLE


def test_an_infrastructure_fault_costs_no_retry() -> None:
    judged = judge(failed, Verdict(False, Failure.OVERLOADED, infrastructure=True), None, None)
    assert (judged.kind, judged.reason) == (K.UNEXECUTABLE, "overloaded")


def test_a_limit_reached_through_no_fault_of_the_task_is_not_the_reason() -> None:
    limit = Interruption(K.FAILED, Reason.LIMIT, "too often")
    offline = Verdict(False, Failure.CONNECTION, infrastructure=True)
    judged = judge(failed, offline, limit, None)
    assert (judged.kind, judged.reason) == (K.UNEXECUTABLE, "connection")
    stranger = Verdict(False, Failure.NOT_LOGGED_IN, account=True)
    assert judge(failed, stranger, limit, None).reason == "not-logged-in"
    assert judge(failed, stranger, limit, None, gated=True).reason == Reason.HELD
    own = Verdict(False, Failure.CANCELLED)
    for verdict in (None, own, Verdict(True, infrastructure=True)):
        assert judge(failed, verdict, limit, None).reason == Reason.LIMIT
    for other in (Reason.TIMEOUT, Reason.IDLE_TIMEOUT, "user"):
        assert judge(failed, offline, Interruption(K.FAILED, other), None).reason == other


def test_what_the_provider_knows_is_kept_whatever_the_end() -> None:
    verdict = Verdict(True, usage=Usage(tokens_in=7), session="s1")
    for ended, interruption in ((exited, None), (failed, None), (failed, Interruption(K.CANCELLED, "user"))):
        judged = judge(ended, verdict, interruption, None)
        assert judged.usage is not None
        assert (judged.usage.tokens_in, judged.provider_session) == (7, "s1")


@pytest.mark.parametrize(("size", "kind"), [(MAX_OUTPUT, K.SUCCEEDED), (MAX_OUTPUT + 1, K.FAILED)])
def test_an_output_too_large_is_refused_by_name(size: int, kind: OutcomeKind) -> None:
    judged = judge(exited, None, None, b"x" * size)
    assert judged.kind is kind
    if kind is K.FAILED:
        assert judged.reason == Reason.OUTPUT
        assert "$QD_OUTPUT" in judged.detail


def test_a_long_final_message_is_cut_not_refused() -> None:
    judged = judge(exited, Verdict(True, output="ä" * MAX_OUTPUT), None, None)
    assert judged.kind is K.SUCCEEDED
    assert judged.output is not None
    assert len(judged.output.encode()) <= MAX_OUTPUT


def test_the_environment_is_an_allow_list() -> None:
    ours = {"PATH": "/bin", "SECRET_TOKEN": "x", "LC_ALL": "C", "EXTRA": "1", "TERM": "dumb"}
    env = build_environment(ours, ["EXTRA"], {"PATH": "/opt"}, {"A": "1"}, {"A": "2"}, unset=["LC_ALL"])
    assert env == {"PATH": "/opt", "EXTRA": "1", "A": "2", "TERM": "xterm-256color", "COLORTERM": "truecolor"}


@given(st.from_regex(r"[a-z0-9][a-z0-9._-]{0,62}", fullmatch=True))
def test_a_needs_variable_is_a_variable(name: str) -> None:
    assert need_variable(name).isidentifier()


NOW = 1_800_000_000_000


@pytest.mark.parametrize(
    ("verdict", "wait"),
    [
        (Verdict(False, Failure.USAGE_LIMIT, until=NOW + 3_600_000), 3_600_000),
        (Verdict(False, Failure.RATE_LIMIT, after_ms=20_000, infrastructure=True), 20_000),
        (Verdict(False, Failure.USAGE_LIMIT, until=NOW + 90 * LONGEST_PARKING_MS), LONGEST_PARKING_MS),
        (Verdict(False, Failure.USAGE_LIMIT, until=NOW - 5), PAST_PARKING_MS),
        (Verdict(False, Failure.RATE_LIMIT, after_ms=-7), SHORTEST_PARKING_MS),
    ],
)
def test_until_a_time_is_parked_within_reason(verdict: Verdict, wait: int) -> None:
    judged = judge(failed, verdict, None, b"x", now=NOW)
    assert (judged.kind, judged.reason, judged.until) == (K.RESCHEDULED, Reason.PARKED, NOW + wait)
    assert judged.detail.startswith(verdict.reason)
    assert judged.output is None


def test_a_success_is_not_parked_whatever_it_says() -> None:
    assert judge(exited, Verdict(True, until=NOW + 5000), None, None, now=NOW).kind is K.SUCCEEDED


def test_an_account_that_needs_somebody_holds_the_task_only_where_it_can_be_held() -> None:
    verdict = Verdict(False, Failure.NOT_LOGGED_IN, "please run /login", account=True)
    judged = judge(failed, verdict, None, None, now=NOW, gated=True)
    assert (judged.kind, judged.reason, judged.detail) == (
        K.RESCHEDULED,
        Reason.HELD,
        "not-logged-in: please run /login",
    )
    judged = judge(failed, verdict, None, None, now=NOW, gated=False)
    assert (judged.kind, judged.reason) == (K.FAILED, "not-logged-in")


@pytest.mark.parametrize(
    ("rested", "wait"), [(0, 2500), (1, 2500), (2, 4000), (5, 32_000), (8, 256_000), (500, 256_000)]
)
def test_who_comes_back_in_vain_waits_longer(rested: int, wait: int) -> None:
    verdict = Verdict(False, Failure.RATE_LIMIT, after_ms=2500)
    assert parked_until(verdict, NOW, rested) == NOW + wait


def test_a_time_that_was_named_is_kept_however_often() -> None:
    assert parked_until(Verdict(False, Failure.USAGE_LIMIT, until=NOW + 5000), NOW, 7) == NOW + 5000
