"""What follows the end of an attempt: another one, and when, or the task's end."""

from __future__ import annotations

from dataclasses import dataclass

from lite.model.settings import RetryPolicy
from lite.model.task import MAX_FAULTS, Outcome, OutcomeKind, Reason
from lite.states import Action


@dataclass(frozen=True, slots=True)
class Next:
    """The transition to apply, with the row's new counters, reason and earliest start (ms; 0: at once)."""

    action: Action
    reason: str
    failures: int
    faults: int
    run_at: int = 0


def settle(outcome: Outcome, *, retries: int, failures: int, faults: int, cancel: str, now: int, delay_ms: int) -> Next:
    """Decide what an attempt's `outcome` means.

    `failures` and `faults` are the row's counters before it; `delay_ms` is the back-off the caller computed for a
    further attempt; `cancel` the reason of a cancel that was asked for. A cancel wins over everything but success.
    Infrastructure faults never use up the user's retries; after `MAX_FAULTS` of them the task is poison.
    """
    kind = outcome.kind
    again = now + delay_ms if delay_ms else 0
    if kind is OutcomeKind.SUCCEEDED:
        return Next(Action.SUCCEED, Reason.NONE, failures, faults)
    if kind is OutcomeKind.CANCELLED or cancel:
        return Next(Action.CANCEL, cancel or outcome.reason or Reason.USER, failures, faults)
    if kind is OutcomeKind.RESCHEDULED:
        until = outcome.until or 0
        return Next(Action.RESCHEDULE, outcome.reason or Reason.PARKED, failures, faults, until)
    if kind is OutcomeKind.UNEXECUTABLE:
        faults += 1
        if faults >= MAX_FAULTS:
            return Next(Action.FAIL, Reason.POISON, failures, faults)
        return Next(Action.RETRY, outcome.reason or Reason.INFRASTRUCTURE, failures, faults, again)
    failures += 1
    if failures <= retries:
        return Next(Action.RETRY, Reason.RETRY, failures, faults, again)
    return Next(Action.FAIL, outcome.reason or Reason.EXIT, failures, faults)


def backoff(count: int, policy: RetryPolicy, spread: float) -> int:
    """The delay in ms before another attempt after `count` failures (1 or more); `spread` in [-1, 1] is the jitter
    drawn by the caller."""
    bare = min(policy.base_ms * policy.factor ** min(max(count - 1, 0), 64), policy.cap_ms)
    return max(0, round(bare * (1 + policy.jitter * spread)))
