"""How a conversation ended, and which failure a protocol's or a program's own words mean."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any, Literal

from providers.base import Failure


@dataclass(frozen=True, slots=True)
class Outcome:
    """`text` is the final message, or what went wrong in the agent's own words; the rest as in `Verdict`."""

    ok: bool
    text: str = ""
    reason: Failure | Literal[""] = ""
    infrastructure: bool = False
    until: int | None = None
    after_ms: int | None = None
    account: bool = False

    def data(self) -> dict[str, Any]:
        """Of the result line."""
        said: dict[str, Any] = {"ok": self.ok}
        if not self.ok:
            said |= {"reason": str(self.reason), "infrastructure": self.infrastructure, "account": self.account}
            said |= {key: value for key in ("until", "after_ms") if (value := getattr(self, key)) is not None}
        return said


class Failed(Exception):
    """The conversation cannot go on."""

    def __init__(self, reason: Failure, text: str, *, infrastructure: bool = False, account: bool = False) -> None:
        super().__init__(text)
        self.outcome = Outcome(False, text, reason, infrastructure, account=account)

    @classmethod
    def of(cls, outcome: Outcome) -> Failed:
        made = cls(Failure.AGENT, outcome.text)
        made.outcome = outcome
        return made


_RATE = Outcome(False, reason=Failure.RATE_LIMIT, infrastructure=True)
_USAGE = Outcome(False, reason=Failure.USAGE_LIMIT, infrastructure=True, account=True)
_OVERLOADED = Outcome(False, reason=Failure.OVERLOADED, infrastructure=True)
_CONNECTION = Outcome(False, reason=Failure.CONNECTION, infrastructure=True)
_LOGIN = Outcome(False, reason=Failure.NOT_LOGGED_IN, account=True)
_BILLING = Outcome(False, reason=Failure.BILLING, account=True)
_MODEL = Outcome(False, reason=Failure.BAD_MODEL)
_CUT = Outcome(False, reason=Failure.CUT_STREAM, infrastructure=True)

_BY_STATUS = {401: _LOGIN, 402: _BILLING, 403: _LOGIN, 404: _MODEL, 429: _RATE}
_BY_WORDS = tuple(
    (re.compile(words, re.IGNORECASE), outcome)
    for words, outcome in (
        (r"usage limit|daily limit|quota (?:has been )?(?:exceeded|exhausted)|exceeded your current quota", _USAGE),
        (r"rate.?limit|too many requests|RESOURCE_EXHAUSTED|\b429\b", _RATE),
        (r"overloaded|service unavailable|\b(?:503|529)\b", _OVERLOADED),
        (r"insufficient (?:credit|fund|balance)|payment required|billing", _BILLING),
        (r"ECONNREFUSED|ENOTFOUND|ECONNRESET|EAI_AGAIN|ETIMEDOUT|fetch failed|unable to connect", _CONNECTION),
        (r"connection (?:refused|reset|error)|network (?:error|is unreachable)", _CONNECTION),
        (r"stream (?:ended|closed|disconnected)|premature close|incomplete (?:response|json)", _CUT),
        (r"terminated mid|^terminated$", _CUT),
        (r"\b40[13]\b|authentication_error|api.?key|unauthori[sz]ed|unauthenticated|not logged in", _LOGIN),
        (r"log ?in (?:again|first|required)", _LOGIN),
        (r"authenticat\w+ (?:required|failed|error|expired)|invalid (?:credentials|token)|auth method", _LOGIN),
        (r"(?:model|deployment)\S* (?:\S+ ){0,4}(?:not found|not exist|not supported|invalid|unknown)", _MODEL),
        (r"\b404\b|not_found_error", _MODEL),
        (r"(?:unknown|invalid|no such|unsupported) model", _MODEL),
        (r"internal server error|bad gateway|gateway timeout|\b50[0-4]\b", _OVERLOADED),
    )
)
_AFTER = re.compile(
    r"(?:retry|try again|reset\w*) (?:in|after) ([0-9]{1,6}(?:\.[0-9]{1,6})?) ?(ms|s|m|h)", re.IGNORECASE
)
_UNIT_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000}
_READ = 8 << 10  # characters of a message that are looked at


def judge(text: str, status: int | None = None, otherwise: Failure = Failure.AGENT) -> Outcome:
    """The failure these words mean; `status` is an HTTP status the agent handed on, if it did."""
    found = _by_words(text[:_READ])
    if found is None or (found.reason in (Failure.OVERLOADED, Failure.BAD_MODEL) and status in _BY_STATUS):
        found = _BY_STATUS.get(status or 0) or found
    if found is None and status is not None and 500 <= status < 600:
        found = _OVERLOADED
    if found is None:
        return Outcome(False, text, otherwise)
    waits = _AFTER.search(text[:_READ])
    after = round(float(waits[1]) * _UNIT_MS[waits[2].lower()]) if waits and found.infrastructure else None
    return replace(found, text=text, after_ms=after)


def _by_words(text: str) -> Outcome | None:
    return next((outcome for words, outcome in _BY_WORDS if words.search(text)), None)
