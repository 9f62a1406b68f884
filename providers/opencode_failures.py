"""Why an attempt of opencode failed: from an `error` event, from what it logs of a failed call, from its plain words.

It ends on the first call that cannot succeed, and repeats five times those that may. What the endpoint asked for
(`retry-after`) it waits for in silence, however long, and tells only should it give up.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from typing import Any

from providers.base import Failure
from providers.parsing import count_of, mapping_of, read_json, text_of

_LONGEST_MS = 30 * 86_400_000  # nobody is asked to wait longer
_BODY_READ = 1 << 16  # characters of the endpoint's answer


@dataclass(frozen=True, slots=True)
class Cause:
    """The part of a verdict that tells of a failure."""

    reason: Failure
    message: str = ""
    infrastructure: bool = False
    account: bool = False
    until: int | None = None
    after_ms: int | None = None


_RATE = Cause(Failure.RATE_LIMIT, infrastructure=True)
_OVERLOADED = Cause(Failure.OVERLOADED, infrastructure=True)
_CONNECTION = Cause(Failure.CONNECTION, infrastructure=True)
_CUT = Cause(Failure.CUT_STREAM, infrastructure=True)
_USAGE_LIMIT = Cause(Failure.USAGE_LIMIT, infrastructure=True, account=True)
_LOGIN = Cause(Failure.NOT_LOGGED_IN, account=True)
_BILLING = Cause(Failure.BILLING, account=True)
_MODEL = Cause(Failure.BAD_MODEL)
_API = Cause(Failure.API_ERROR)
_CONFIG = Cause(Failure.BAD_FLAG)

_BY_STATUS = {
    401: _LOGIN,
    402: _BILLING,
    403: Cause(Failure.NOT_LOGGED_IN),  # this key for this model: another may do
    404: _MODEL,
    408: _CONNECTION,
    429: _RATE,
}
_BY_NAME = {
    "ProviderAuthError": _LOGIN,
    "MessageAbortedError": Cause(Failure.CANCELLED),
    "ContextOverflowError": _API,
    "ContentFilterError": _API,
    "ConfigInvalidError": _CONFIG,
    "ConfigJsonError": _CONFIG,
}
_SPENT = re.compile(r"insufficient_quota|insufficient_credits|billing|payment_required|credits", re.I)
_LIMITED = re.compile(r"(?:Free|Go)UsageLimitError|usage_limit_reached|usage_limit_exceeded", re.I)
_BY_WORDS = tuple(
    (re.compile(pattern, re.I), cause)
    for pattern, cause in (
        (r"Model ?Not ?Found|model_not_found|no such model", _MODEL),
        (r"(?:Free|Go)UsageLimit|usage limit|usage_limit|free usage exceeded", _USAGE_LIMIT),
        (r"insufficient.(?:quota|credits|funds)|credit balance|payment required", _BILLING),
        (r"(?:invalid|incorrect|missing).api.key|api key is missing|LoadAPIKey|unauthorized|authentication", _LOGIN),
        (r"rate.?limit|too many requests|\b429\b", _RATE),
        (r"overloaded|service.unavailable|server.error|internal.error|at capacity|resource.exhausted", _OVERLOADED),
        (r"\b(?:500|502|503|504|524|529)\b", _OVERLOADED),
        (
            r"cannot connect|unable to connect|connection refused|typo in the url|timed out|time.?out",
            _CONNECTION,
        ),
        (r"econnrefused|enotfound|eai_again|etimedout|getaddrinfo|network.error|connection reset", _CONNECTION),
        (r"econnreset|socket (?:connection was closed|hang up)|fetch failed|connection (?:lost|error)", _CUT),
        (r"\bterminated\b", _CUT),
    )
)


def cause_of_error(error: dict[str, Any], logged: str) -> Cause:
    """What an `error` event tells. `logged` is what it wrote of it into its log: for what went wrong within, the event
    only says that the log knows more."""
    data = mapping_of(error.get("data"))
    name, said = text_of(error.get("name")), text_of(data.get("message"))
    if name == "APIError":
        return _cause_of_answer(data, said)
    if known := _BY_NAME.get(name):
        return replace(known, message=said or name)
    if logged and "server logs" in said:
        said = logged
    found = cause_of_words(said) or Cause(Failure.AGENT)
    return replace(found, message=_readable(said) or name or "it failed")


def cause_of_words(text: str) -> Cause | None:
    """For what comes without a status; its message is the text."""
    head = text[:4096]
    found = next((cause for pattern, cause in _BY_WORDS if pattern.search(head)), None)
    return replace(found, message=text) if found else None


def _cause_of_answer(data: dict[str, Any], said: str) -> Cause:
    """A call that failed: the endpoint's status, what its answer says of it, and when it may be asked again."""
    status = count_of(data.get("statusCode"))
    body = text_of(data.get("responseBody"))[:_BODY_READ]
    told = mapping_of((read_json(body.encode("utf-8", "replace")) or {}).get("error"))
    code = f"{text_of(told.get('type'))} {text_of(told.get('code'))}"
    if _LIMITED.search(body):
        found = _USAGE_LIMIT
    elif status in (402, 403, 429) and _SPENT.search(code):
        found = _BILLING
    elif status is None:
        found = cause_of_words(said) or (_CONNECTION if data.get("isRetryable") is True else _API)
    else:
        found = _BY_STATUS.get(status) or (_OVERLOADED if status >= 500 else _API)
    until, after_ms = _retry_time(mapping_of(data.get("responseHeaders"))) if found.infrastructure else (None, None)
    return replace(found, message=said or f"the endpoint answered {status}", until=until, after_ms=after_ms)


def _retry_time(headers: dict[str, Any]) -> tuple[int | None, int | None]:
    """(until, after_ms), as far as the endpoint said."""
    for name, factor in (("retry-after-ms", 1), ("retry-after", 1000)):
        said = text_of(headers.get(name)).strip()
        if re.fullmatch(r"\d{1,12}(?:\.\d{1,9})?", said):
            return None, min(round(float(said) * factor), _LONGEST_MS)
        if said and factor == 1000 and len(said) < 64:
            try:
                return round(parsedate_to_datetime(said).timestamp() * 1000), None
            except (ValueError, TypeError, OverflowError, IndexError):
                continue
    return None, None


def _readable(said: str) -> str:
    """Some endpoints' errors arrive as the JSON they were: its message says it."""
    if not said.startswith("{"):
        return said
    return text_of((read_json(said[:_BODY_READ].encode("utf-8", "replace")) or {}).get("message")) or said
