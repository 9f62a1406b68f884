"""From what was seen of an attempt to its one outcome. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

from lite.model.task import MAX_OUTPUT, Outcome, OutcomeKind, Reason
from providers.base import Failure, Verdict

LONGEST_PARKING_MS = 8 * 24 * 3_600_000  # weekly limits and a day to spare; more is a mistake of whoever said it
SHORTEST_PARKING_MS = 1_000  # the first time; doubled with each one in vain, up to _MOST_DOUBLINGS
_MOST_DOUBLINGS = 8
PAST_PARKING_MS = 60_000  # a time that has gone by already: clocks differ
HEARD_MS = 5_000  # by then every worker knows that an account is held


@dataclass(frozen=True, slots=True)
class Interruption:
    """Why we ended an attempt ourselves."""

    kind: OutcomeKind
    reason: str
    detail: str = ""


def judge(
    ended: Outcome,
    verdict: Verdict | None,
    interruption: Interruption | None,
    output: bytes | None,
    *,
    now: int = 0,
    gated: bool = False,
    rested: int = 0,
    resumed: bool = False,
) -> Outcome:
    """Combine how the program ended, what its provider makes of it, why we stopped it (if we did), and `$QD_OUTPUT`.

    Our own interruption wins: some agents exit 0 when interrupted. But one that reached a limit, and was kept from its
    work by what is no fault of the task's, is taken at its word. A lost or never started session is nobody's verdict.
    What may go better from a time on, or (`gated`: its account can be held) once somebody has acted, is parked: that
    is neither a failure nor a fault. `now` in ms; `rested`: attempts before this one that were neither.
    `resumed`: it was to go on with a conversation. That it is gone (it may be on another machine) is not the task's.
    """
    if verdict is not None:
        # a conversation that is gone: the next attempt begins anew
        known = "" if verdict.reason == Failure.UNKNOWN_SESSION else verdict.session or None
        ended = replace(ended, usage=verdict.usage, provider_session=known)
    if interruption is not None and not _explained(interruption, verdict):
        return replace(
            ended, kind=interruption.kind, reason=interruption.reason, detail=interruption.detail, output=None
        )
    if ended.kind in (OutcomeKind.UNEXECUTABLE, OutcomeKind.RESCHEDULED) or ended.reason == Reason.LAUNCH:
        return ended
    if verdict is not None and not verdict.ok:
        until = parked_until(verdict, now, rested)
        said = f"{verdict.reason}: {verdict.message}".strip(": ")
        if until is not None:
            return replace(ended, kind=OutcomeKind.RESCHEDULED, reason=Reason.PARKED, detail=said, until=until)
        if verdict.account and gated:
            return replace(ended, kind=OutcomeKind.RESCHEDULED, reason=Reason.HELD, detail=said, until=now + HEARD_MS)
        gone = resumed and verdict.reason == Failure.UNKNOWN_SESSION
        kind = OutcomeKind.UNEXECUTABLE if verdict.infrastructure or gone else OutcomeKind.FAILED
        return replace(
            ended, kind=kind, reason=verdict.reason or Reason.AGENT, detail=verdict.message, output=verdict.output
        )
    if ended.kind is not OutcomeKind.SUCCEEDED:
        return ended
    if output is not None:
        if len(output) > MAX_OUTPUT:
            return _too_large(ended, len(output), "what was written to $QD_OUTPUT")
        return replace(ended, output=output.decode("utf-8", "replace"))
    if verdict is not None and verdict.output is not None:
        final = verdict.output
        if len(final.encode("utf-8", "replace")) > MAX_OUTPUT:
            final = _cut(final)
        return replace(ended, output=final)
    return ended


def _explained(interruption: Interruption, verdict: Verdict | None) -> bool:
    if interruption.reason != Reason.LIMIT or verdict is None or verdict.ok:
        return False
    return verdict.infrastructure or verdict.account


def parked_until(verdict: Verdict, now: int, rested: int = 0) -> int | None:
    """When (ms) it is worth another try by the program's own words, within reason; None when it did not say. Who says
    "in a second" for hours would be started, and paid, thousands of times."""
    if verdict.ok or (verdict.until is None and verdict.after_ms is None):
        return None
    if verdict.until is None:
        wait = max(verdict.after_ms or 0, SHORTEST_PARKING_MS << min(rested, _MOST_DOUBLINGS))
    else:
        wait = verdict.until - now if verdict.until > now else PAST_PARKING_MS
    return now + min(wait, LONGEST_PARKING_MS)


def put_off(why: str, now: int, rested: int) -> Outcome:
    """Of an attempt that could not begin, for a reason which is over some time."""
    until = parked_until(Verdict(False, after_ms=0), now, rested)
    return Outcome(OutcomeKind.RESCHEDULED, Reason.PARKED, why, until=until)


def _too_large(ended: Outcome, size: int, what: str) -> Outcome:
    return replace(
        ended,
        kind=OutcomeKind.FAILED,
        reason=Reason.OUTPUT,
        detail=f"{what} is {size} bytes; the limit is {MAX_OUTPUT}: write a file and output its path",
        output=None,
    )


def _cut(text: str) -> str:
    mark = "\n[cut: the full message is in the recording]"
    return text.encode("utf-8", "replace")[: MAX_OUTPUT - len(mark)].decode("utf-8", "ignore") + mark
