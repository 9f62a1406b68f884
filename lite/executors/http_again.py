"""When an HTTP call is made again: what is safe to repeat, and how long to wait."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from email.utils import parsedate_to_datetime
from typing import TypeVar

from lite.model.task import Outcome, OutcomeKind, Reason
from lite.ports import Clock
from providers.base import Failure

TRIES = 4
_FIRST_SECONDS = 0.5  # before the second try; doubled from there
_LONGEST_SECONDS = 8 * 86_400.0
_BUSY = {429: Failure.RATE_LIMIT, 503: Failure.OVERLOADED}
_PASSING = frozenset({*_BUSY, 502, 504})

Made = TypeVar("Made")


class CallFailed(Exception):
    """The call did not succeed; the text is for people. `broken`: the line was, nothing is known of the request.
    `retry_after` is the header's value."""

    def __init__(
        self,
        detail: str,
        *,
        status: int | None = None,
        reason: str = Reason.HTTP,
        broken: bool = False,
        retry_after: str = "",
    ) -> None:
        super().__init__(detail)
        self.detail, self.status, self.reason = detail, status, reason
        self.broken, self.retry_after = broken, retry_after

    @property
    def passing(self) -> bool:
        """May the same call go well in a moment?"""
        return self.broken or self.status in _PASSING


async def persist(method: str, make: Callable[[], Awaitable[Made]], clock: Clock, deadline: float) -> Made | Outcome:
    """What `make` comes to. A GET is made up to four times for what passes by itself, within `deadline` (monotonic
    seconds). A server that asks to come back later than that is obeyed, whatever the method: the task is parked.
    Raises the last `CallFailed`."""
    for number in range(1, TRIES + 1):
        try:
            return await make()
        except CallFailed as failed:
            asked = seconds_of(failed.retry_after, clock.now()) if failed.status in _BUSY else None
            wait = _FIRST_SECONDS * 2 ** (number - 1) if asked is None else asked
            in_time = clock.monotonic() + wait < deadline
            if asked is not None and not in_time:
                until = clock.now() + round(asked * 1000)
                return Outcome(OutcomeKind.RESCHEDULED, _BUSY[failed.status or 0], failed.detail, until=until)
            if method != "GET" or not failed.passing or not in_time or number == TRIES:
                raise
        await clock.sleep(wait)
    raise AssertionError


def seconds_of(retry_after: str, now: int) -> float | None:
    """Of a `Retry-After`, which has seconds or a date; None when it is neither, or beyond eight days. `now` in ms."""
    text = retry_after.strip()
    if text.isascii() and text.isdigit() and len(text) < 10:
        seconds = float(text)
    else:
        try:
            seconds = max(0.0, parsedate_to_datetime(text).timestamp() - now / 1000)
        except (ValueError, OverflowError, OSError):
            return None
    return seconds if seconds <= _LONGEST_SECONDS else None
