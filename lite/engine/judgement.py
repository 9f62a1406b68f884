"""From what was seen of an attempt to its one outcome. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

from lite.model.task import MAX_OUTPUT, Outcome, OutcomeKind, Reason
from providers.base import Failure, Verdict


@dataclass(frozen=True, slots=True)
class Interruption:
    """Why we ended an attempt ourselves."""

    kind: OutcomeKind
    reason: str
    detail: str = ""


def judge(ended: Outcome, verdict: Verdict | None, interruption: Interruption | None, output: bytes | None) -> Outcome:
    """Combine how the program ended, what its provider makes of it, why we stopped it (if we did), and `$QD_OUTPUT`.

    Our own interruption wins: some agents exit 0 when interrupted. A lost or never started session is nobody's verdict.
    """
    if verdict is not None:
        # a conversation that is gone: the next attempt begins anew
        known = "" if verdict.reason == Failure.UNKNOWN_SESSION else verdict.session or None
        ended = replace(ended, usage=verdict.usage, provider_session=known)
    if interruption is not None:
        return replace(
            ended, kind=interruption.kind, reason=interruption.reason, detail=interruption.detail, output=None
        )
    if ended.kind in (OutcomeKind.UNEXECUTABLE, OutcomeKind.RESCHEDULED) or ended.reason == Reason.LAUNCH:
        return ended
    if verdict is not None and not verdict.ok:
        kind = OutcomeKind.UNEXECUTABLE if verdict.infrastructure else OutcomeKind.FAILED
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
