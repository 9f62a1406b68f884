"""Why Codex failed, and when it may go better, in its own words.

It tells failures in sentences only, without a code. They are matched where a sentence is Codex's own, by its
beginning or by the HTTP status in it; a server's words can stand in the rest.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from datetime import datetime, timedelta

from providers.base import Failure
from providers.parsing import mapping_of, text_of

_READ = 4096  # characters of a message that are looked at


@dataclass(frozen=True, slots=True)
class Cause:
    """A failure with what follows from it; the fields are those of `Verdict`."""

    reason: Failure
    infrastructure: bool = False
    account: bool = False
    until: int | None = None
    after_ms: int | None = None


_LOGIN = Cause(Failure.NOT_LOGGED_IN, account=True)
_BILLING = Cause(Failure.BILLING, account=True)
_CONNECTION = Cause(Failure.CONNECTION, infrastructure=True)
_OVERLOADED = Cause(Failure.OVERLOADED, infrastructure=True)
_RATE_LIMIT = Cause(Failure.RATE_LIMIT, infrastructure=True)
_CUT = Cause(Failure.CUT_STREAM, infrastructure=True)
_API = Cause(Failure.API_ERROR)

_STATUS = re.compile(r"(?:unexpected status|exceeded retry limit, last status:) (\d{3})\b")
_BY_STATUS = {
    401: _LOGIN,
    403: _LOGIN,
    402: _BILLING,
    404: Cause(Failure.BAD_MODEL),
    408: _CONNECTION,
    429: _RATE_LIMIT,
}
# tried in this order. `’` and `'`: versions differ
_BY_WORDS = tuple(
    (re.compile(words, re.IGNORECASE), cause)
    for words, cause in (
        (r"you.ve (hit|reached) your usage limit|^usage limit reached", Cause(Failure.USAGE_LIMIT, account=True)),
        (r"out of credits|spend cap|^quota exceeded|^to use codex with your chatgpt plan", _BILLING),
        (r"^missing environment variable|log out and sign in|please (sign|log) in|^not logged in", _LOGIN),
        (r"^access blocked by cloudflare", _CONNECTION),
        (r"^rate limit exceeded|^rate limit reached", _RATE_LIMIT),
        (r"^the (requested )?model .*(does not exist|not found)|model is not supported", Cause(Failure.BAD_MODEL)),
        (r"model is at capacity|capacity is unavailable|currently experiencing high (demand|load)", _OVERLOADED),
        (r"^stream disconnected before completion: .*overloaded", _OVERLOADED),
        (r"^stream disconnected before completion: (rate limit|too many requests)", _RATE_LIMIT),
        (r"failed to lookup address|error sending request|connection refused|^connection failed", _CONNECTION),
        (r"^stream disconnected before completion|^error while reading the server response", _CUT),
        (r"^(request )?timed? ?out", _CONNECTION),
        (r"ran out of room in the model.s context window|^invalid prompt|has been flagged|was flagged|blocked", _API),
    )
)
# what only stderr tells, before anything has begun
_BY_STDERR = tuple(
    (re.compile(words, re.IGNORECASE | re.MULTILINE), cause)
    for words, cause in (
        # killed at once it leaves an id without a thread, killed a little later a lock: neither is the task's doing
        (r"no rollout found|thread not found|no thread with id", Cause(Failure.UNKNOWN_SESSION, infrastructure=True)),
        (r"already has an active writer", Cause(Failure.SESSION_IN_USE, infrastructure=True)),
        (r"^not inside a trusted directory", Cause(Failure.UNTRUSTED)),
        (r"^not logged in", _LOGIN),
        (r"^error: (unexpected argument|invalid value|the argument|a value is required|unrecognized)", None),
        (r"^error: .{1,100} is no longer supported", None),
        (r"^error loading config|^error: model provider .* not found|^error finding codex home|^error parsing", None),
    )
)
_BAD_FLAG = Cause(Failure.BAD_FLAG)


def cause_of(message: str, at: int = 0) -> Cause | None:
    """Why, from the message a turn failed with; None when it says nothing known. `at`: a moment (ms since the epoch)
    not long before it was said, for times of day; 0 when not known."""
    said = plain(message)[:_READ]
    if (cause := _named(said)) is None:
        return Cause(Failure.API_ERROR) if said != message else None  # an answer of the API's, taken out of its JSON
    if cause.reason not in (Failure.USAGE_LIMIT, Failure.RATE_LIMIT):
        return cause
    until, after_ms = moment_of(said, at)
    return Cause(cause.reason, cause.infrastructure, cause.account, until, after_ms)


def cause_in_stderr(text: str, exit_code: int | None) -> Cause | None:
    """Why it did not even begin."""
    for words, cause in _BY_STDERR:
        if words.search(text):
            return cause or _BAD_FLAG
    return _BAD_FLAG if exit_code == 2 else None


def plain(message: str) -> str:
    """What an API answered in JSON, without the JSON; any other message as it is."""
    if not message.startswith("{"):
        return message
    try:
        said = mapping_of(json.loads(message))
    except (ValueError, RecursionError):
        return message
    return text_of(mapping_of(said.get("error")).get("message")) or text_of(said.get("detail")) or message


def _named(said: str) -> Cause | None:
    if found := _STATUS.match(said):
        status = int(found[1])
        return _BY_STATUS.get(status) or (_OVERLOADED if status >= 500 else _API)
    return next((cause for words, cause in _BY_WORDS if words.search(said)), None)


_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_CLOCK = r"(\d{1,2}):(\d{2}) ?([AP])M\b"
_AT_TIME = re.compile(rf"try again at {_CLOCK}", re.IGNORECASE)
_AT_DATE = re.compile(
    rf"try again at ([a-z]{{3}})[a-z]* (\d{{1,2}})(?:st|nd|rd|th)?, (\d{{4}}) {_CLOCK}", re.IGNORECASE
)
_IN = re.compile(r"try again in ((?:\d+(?:\.\d+)? ?[a-z]+,? ?(?:and )?)+)", re.IGNORECASE)
_PART = re.compile(r"(\d+(?:\.\d+)?) ?(ms|millisecond|s|m|h|d)", re.IGNORECASE)
_MS = {"ms": 1, "millisecond": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_LONGEST_MS = 366 * 86_400_000


def moment_of(said: str, at: int) -> tuple[int | None, int | None]:
    """(until, after_ms) in what it says of when to try again. Its times are local ones, without a zone; a bare time of
    day is the next one after `at`, and nothing when that is 0."""
    said = said.replace("\u202f", " ")[:_READ]
    try:
        if found := _AT_DATE.search(said):
            month = _MONTHS.index(found[1].lower()) + 1
            day = datetime(int(found[3]), month, int(found[2]))
            return _ms(day + _since_midnight(found[4], found[5], found[6])), None
        if at and (found := _AT_TIME.search(said)):
            day = datetime.fromtimestamp(at / 1000).replace(hour=0, minute=0, second=0, microsecond=0)
            time = _since_midnight(found[1], found[2], found[3])
            until = _ms(day + time)
            # it tells minutes: within the one that has begun it is not tomorrow's
            return until if until > at - 60_000 else _ms(day + timedelta(days=1) + time), None
        if found := _IN.search(said):
            parts = _PART.findall(found[1])
            after_ms = sum(float(count) * _MS[unit.lower()] for count, unit in parts)
            return None, math.ceil(after_ms) if parts and after_ms <= _LONGEST_MS else None
    except (ValueError, OverflowError, OSError):
        pass  # no such day
    return None, None


def _since_midnight(hour: str, minute: str, half: str) -> timedelta:
    if not 1 <= int(hour) <= 12 or int(minute) > 59:
        raise ValueError("no such time")
    return timedelta(hours=int(hour) % 12 + (12 if half.upper() == "P" else 0), minutes=int(minute))


def _ms(local: datetime) -> int:
    return int(local.timestamp() * 1000)
