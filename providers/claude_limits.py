"""When Claude Code says that things may go better: the reset of an account's limit, and what a Retry-After made of
its own waits.

The time comes as seconds since the epoch, or as text: "resets 4pm (Europe/Berlin)", "resets Nov 26, 2:11pm (...)".
The text means something only together with the time at which it was said, which the line itself carries.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

from providers.parsing import count_of, mapping_of, text_of

_HIT = re.compile(r"usage limit reached|hit your [\w\s'-]{0,60}limit", re.IGNORECASE)
_EPOCH = re.compile(r"limit reached\|(\d{9,13})\b")
_RESETS = re.compile(
    r"resets (?:at )?(?:(?P<month>[A-Z][a-z]{2}) (?P<day>\d{1,2}),? (?:(?P<year>\d{4}),? )?(?:at )?)?"
    r"(?P<hour>\d{1,2})(?::(?P<minute>\d\d))? ?(?P<half>[ap])m(?: \((?P<zone>[\w/+-]{1,64})\))?",
)
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_OWN_WAIT_MS = 500  # before its first repetition, doubled each time, and a quarter of jitter
_NOT_ITS_OWN = 1.5  # times its own wait


def tells_of_limit(text: str) -> bool:
    """Whether the words say that the account has nothing left."""
    return _HIT.search(text) is not None


def reset_of(info: object, text: str, said_at: str) -> int | None:
    """When the limit is over, in ms since the epoch; None when that was not said, or not so that one can know it.

    `info` is its `rate_limit_info`, `said_at` the ISO time of the line with the text.
    """
    told = count_of(mapping_of(info).get("resetsAt"))
    if told is None and (found := _EPOCH.search(text)):
        told = int(found[1])
    if told:
        return told if told >= 10**11 else told * 1000
    return _from_words(text, said_at)


def _from_words(text: str, said_at: str) -> int | None:
    found = _RESETS.search(text)
    if found is None or found["zone"] is None:
        return None  # whose afternoon?
    try:
        zone: tzinfo = UTC if found["zone"] == "UTC" else ZoneInfo(found["zone"])
        now = datetime.fromisoformat(said_at).astimezone(zone)
        hour = int(found["hour"]) % 12 + (12 if found["half"] == "p" else 0)
        reset = now.replace(hour=hour, minute=int(found["minute"] or 0), second=0, microsecond=0, fold=0)
        if not found["month"]:
            if reset < now:
                reset += timedelta(days=1)
        else:
            year = int(found["year"] or now.year)
            reset = reset.replace(year=year, month=_MONTHS.index(found["month"]) + 1, day=int(found["day"]))
            if reset < now and not found["year"]:
                reset = reset.replace(year=year + 1)
        return round(reset.timestamp() * 1000)
    except (KeyError, ValueError, OverflowError, OSError):  # no such zone, month or day; no time of its own
        return None


def wait_told(retry: dict[str, Any]) -> int | None:
    """The wait in ms that the service asked for, seen in an `api_retry` line: one longer than its own would be."""
    wait, attempt = count_of(retry.get("retry_delay_ms")), count_of(retry.get("attempt"))
    if not wait or not attempt or text_of(retry.get("error")) not in ("rate_limit", "overloaded", "server_error"):
        return None
    own = _OWN_WAIT_MS * 2 ** min(attempt - 1, 6)
    return wait if wait > own * _NOT_ITS_OWN else None
