"""Why Gemini CLI failed: from its own words, its exit code and the HTTP status behind it.

Facts it rests on, seen with 0.61: the exit code of a failed call is the HTTP status modulo 256; a quota that is not
back within five minutes fails at once, all else it tries ten times; a refused call is told as text or as the server's
JSON.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from providers.base import Failure
from providers.parsing import count_of, mapping_of, read_json, text_of

_LONG_MS = 300_000  # a wait it does not take on itself
_LOOKED_AT = 16 << 10  # characters of an error


@dataclass(frozen=True, slots=True)
class Cause:
    """`after_ms`: when it may go better, where that was said."""

    reason: Failure
    infrastructure: bool = False
    account: bool = False
    after_ms: int | None = None


_NOT_LOGGED_IN = Cause(Failure.NOT_LOGGED_IN, account=True)
_OVERLOADED = Cause(Failure.OVERLOADED, infrastructure=True)
_RATE_LIMIT = Cause(Failure.RATE_LIMIT, infrastructure=True)
_USAGE_LIMIT = Cause(Failure.USAGE_LIMIT, infrastructure=True, account=True)
_CONNECTION = Cause(Failure.CONNECTION, infrastructure=True)
_CUT = Cause(Failure.CUT_STREAM, infrastructure=True)

_BY_STATUS = {
    400: Cause(Failure.API_ERROR),
    401: _NOT_LOGGED_IN,
    402: Cause(Failure.BILLING, account=True),
    403: _NOT_LOGGED_IN,
    404: Cause(Failure.BAD_MODEL),
    408: _CONNECTION,
    413: Cause(Failure.API_ERROR),
    429: _RATE_LIMIT,
    499: _CUT,
    500: _OVERLOADED,
    502: _OVERLOADED,
    503: _OVERLOADED,
    504: _OVERLOADED,
    529: _OVERLOADED,
}
_BY_CODE = {
    41: _NOT_LOGGED_IN,
    53: Cause(Failure.MAX_TURNS),
    55: Cause(Failure.UNTRUSTED),
    130: Cause(Failure.CANCELLED),
}
_BY_HTTP_CODE = {status % 256: status for status in _BY_STATUS if status % 256 > 128}

# in the order they are tried; told in a result, in an error event or as a retry
_WORDS: tuple[tuple[re.Pattern[str], Cause], ...] = tuple(
    (re.compile(words, re.IGNORECASE), cause)
    for words, cause in (
        (r"API key not valid|API_KEY_INVALID|API key expired|account validation required", _NOT_LOGGED_IN),
        (r"requires billing|billing to be enabled|INSUFFICIENT_G1_CREDITS", Cause(Failure.BILLING, account=True)),
        (r"exhausted your daily quota|limit:\s*0(?![.\d])", _USAGE_LIMIT),
        (r"exhausted your capacity|capacity exceeded|MODEL_CAPACITY|no capacity available|overloaded", _OVERLOADED),
        (r"exceeded your current quota|RESOURCE_EXHAUSTED|resource has been exhausted|quota exceeded", _RATE_LIMIT),
        (r"fetch failed|ECONNREFUSED|ECONNRESET|ENOTFOUND|EAI_AGAIN|ETIMEDOUT|socket hang up", _CONNECTION),
        (r"without a finish reason|incomplete json segment|empty response|premature close", _CUT),
        (r"\A(?:\[API Error: )?terminated(?:\]|\Z)", _CUT),
        (r"models?/\S{1,200} is not found|model not found|requested entity was not found", Cause(Failure.BAD_MODEL)),
        (r"session turns", Cause(Failure.MAX_TURNS)),
        (r"Operation cancelled", Cause(Failure.CANCELLED)),
    )
)
# what only stderr tells, before there is a session
_TOLD: tuple[tuple[str, Cause], ...] = (
    # of a conversation whose first answer failed it keeps nothing; to begin anew is no new failure
    ("Error resuming session", Cause(Failure.UNKNOWN_SESSION, infrastructure=True)),
    ("Error starting session", Cause(Failure.SESSION_IN_USE)),
    # it waits half a second for its input; the prompt is never empty, so the machine was too busy
    ("No input provided via stdin", Cause(Failure.EXIT, infrastructure=True)),
    ("not running in a trusted directory", Cause(Failure.UNTRUSTED)),
    ("Please set an Auth method", _NOT_LOGGED_IN),
    ("Invalid auth method", _NOT_LOGGED_IN),
    ("you must specify the GEMINI_API_KEY", _NOT_LOGGED_IN),
    ("Usage: gemini [options]", Cause(Failure.BAD_FLAG)),
)
_WAIT = re.compile(
    r"re(?:try|set) (?:in|after) (?:(\d{1,6})h)?(?:(\d{1,6})m(?!s))?(?:(\d{1,12}(?:\.\d{0,12})?)(ms|s))?",
    re.IGNORECASE,
)
_WRAPPED = re.compile(r"\[API Error: (.*?)(?:\](?:\n(?:Please wait|Possible quota).*)?)?\Z", re.DOTALL)
_STATUS = re.compile(r"\bstatus:? (\d{3})\b")
_NOISE = re.compile(
    r"YOLO mode|Warning: |Ripgrep is not|\[STARTUP\]|Approval mode overridden|Loaded cached|Attempt \d+ failed|\(node:"
    r"|\(Use `node|\s+at |Error executing tool|Error when talking to"
)


def cause_of_call(words: str, exit_code: int | None = None) -> Cause | None:
    """Of a call to the model that failed, from what was said about it; None when that says nothing."""
    words = words[:_LOOKED_AT]
    found = next((cause for pattern, cause in _WORDS if pattern.search(words)), None) or _BY_CODE.get(exit_code or 0)
    if found is None:
        status = _status_in(words) or _BY_HTTP_CODE.get(exit_code or 0)
        if status is not None:
            found = _BY_STATUS.get(status) or (_OVERLOADED if status >= 500 else Cause(Failure.API_ERROR))
    if found is None or found.reason not in (Failure.RATE_LIMIT, Failure.USAGE_LIMIT, Failure.OVERLOADED):
        return found
    wait = wait_in(words)
    if wait is None:
        return found
    base = _USAGE_LIMIT if wait > _LONG_MS else found
    return Cause(base.reason, base.infrastructure, base.account, wait)


def cause_of_exit(exit_code: int | None, stderr: str) -> Cause | None:
    """Of a program that ended without a result."""
    if not exit_code:
        return None
    return next((cause for words, cause in _TOLD if words in stderr), None) or _BY_CODE.get(exit_code)


def wait_in(words: str) -> int | None:
    """The ms it says to wait ("Please retry in 12.5s", "will reset after 8h44m7s")."""
    found = _WAIT.search(words)
    if found is None or not any(found.groups()):
        return None
    hours, minutes, seconds, unit = found.groups()
    last = float(seconds or 0) * (1 if unit and unit.lower() == "ms" else 1000)
    return int(hours or 0) * 3_600_000 + int(minutes or 0) * 60_000 + round(last)


def plain_words(message: str) -> str:
    """What is meant by `[API Error: ...]`: the text, or the message of the JSON in it."""
    found = _WRAPPED.match(message[:_LOOKED_AT])
    text = found[1] if found else message[:_LOOKED_AT]
    return text_of(_error_in(text).get("message")) or text


def first_words(stderr: str) -> str:
    """The first line that is no noise, with the next where it ends in a colon; "" when there is none."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip() and not _NOISE.match(line)]
    return " ".join(lines[: 2 if lines and lines[0].endswith(":") else 1])


def _status_in(words: str) -> int | None:
    if status := count_of(_error_in(words).get("code")):
        return status
    found = _STATUS.search(words)
    return int(found[1]) if found else None


def _error_in(words: str) -> dict[str, object]:
    """The server's JSON where it is told as it came: `{"error": {...}}`, also in a list."""
    start, end = words.find("{"), words.rfind("}")
    if start < 0 or end < start:
        return {}
    return mapping_of((read_json(words[start : end + 1].encode("utf-8", "replace")) or {}).get("error"))
