"""What the API server's answers, and its silence, mean. Foreign errors are mapped to these in `client`, once."""

from __future__ import annotations

import json

from lite.errors import ExecutorError, ExecutorUnavailable

_NOT_FOUND, _CONFLICT, _EXPIRED = 404, 409, 410
_SAID = 500  # characters


class ApiUnavailable(ExecutorUnavailable):
    """No answer, or one that says "later": nothing is known, and nothing follows from it."""

    code, status = "kubernetes-unavailable", 503


class ApiRefused(ExecutorError):
    """The API server says no. `answer` is its HTTP status, `said` its own word for it."""

    code, status = "kubernetes-refused", 502

    def __init__(self, message: str, *, answer: int, said: str = "", hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.answer = answer
        self.said = said


class PodNotFound(ApiRefused):
    """There is no object of exactly this name: the one positive evidence that it is gone."""


class Conflicting(ApiRefused):
    """It exists already, or is not any more as it was read."""


class PodRefused(ExecutorError):
    """A pod could not be made; `reason` is one of `outcomes`."""

    code, status = "kubernetes-refused", 502

    def __init__(self, message: str, *, reason: str, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.reason = reason


class Expired(ApiRefused):
    """This version is too old to watch from: list again."""


def refusal(status: int, body: bytes, what: str) -> ExecutorError:
    """From an answer with an error's status, to `what` was asked."""
    reason, said = _told(body)
    message = f"{what}: {said or reason or f'HTTP {status}'}"
    if status == 429 or status >= 500:
        return ApiUnavailable(message)
    kinds = {_NOT_FOUND: PodNotFound, _CONFLICT: Conflicting, _EXPIRED: Expired}
    hint = ""
    if status in (401, 403) and "exceeded quota" not in said:
        hint = "the account in the kubeconfig needs the verbs of the Role in examples/06_kubernetes"
    return kinds.get(status, ApiRefused)(message, answer=status, said=reason, hint=hint)


def _told(body: bytes) -> tuple[str, str]:
    try:
        fields = json.loads(body)
        return str(fields.get("reason") or ""), str(fields.get("message") or "")[:_SAID]
    except (ValueError, AttributeError):
        return "", body[:_SAID].decode("utf-8", "replace").strip()
