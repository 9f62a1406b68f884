"""The API server's refusals: `Status` objects, with the words of a real one."""

from __future__ import annotations

from typing import Any

_REASONS = {
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    405: "MethodNotAllowed",
    409: "Conflict",
    410: "Expired",
    415: "UnsupportedMediaType",
    422: "Invalid",
    429: "TooManyRequests",
    500: "InternalError",
    503: "ServiceUnavailable",
    504: "Timeout",
}


class Refused(Exception):
    """Ends a request with that status. `retry_after`: seconds, as a header."""

    def __init__(
        self,
        code: int,
        message: str,
        *,
        reason: str = "",
        kind: str = "",
        name: str = "",
        causes: list[dict[str, Any]] | None = None,
        retry_after: int | None = None,
        resume: str = "",
    ) -> None:
        super().__init__(message)
        self.code = code
        self.retry_after = retry_after
        details: dict[str, Any] = {"name": name, "kind": kind, "causes": causes, "retryAfterSeconds": retry_after}
        self.body: dict[str, Any] = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {"continue": resume} if resume else {},
            "status": "Failure",
            "message": message,
            "reason": reason or _REASONS.get(code, ""),
            "details": {key: value for key, value in details.items() if value},
            "code": code,
        }


def missing(resource: str, name: str) -> Refused:
    return Refused(404, f'{resource} "{name}" not found', kind=resource, name=name)


def invalid(kind: str, name: str, causes: list[tuple[str, str, str]]) -> Refused:
    """`causes`: field, reason, message."""
    listed = [{"field": field, "reason": reason, "message": text} for field, reason, text in causes]
    texts = [f"{field}: {text}" for field, _, text in causes]
    joined = texts[0] if len(texts) == 1 else "[" + ", ".join(texts) + "]"
    return Refused(422, f'{kind} "{name}" is invalid: {joined}', kind=kind, name=name, causes=listed)


def conflict(resource: str, name: str, why: str) -> Refused:
    return Refused(409, f'Operation cannot be fulfilled on {resource} "{name}": {why}', kind=resource, name=name)


def expired(message: str, resume: str = "") -> Refused:
    return Refused(410, message, reason="Expired", resume=resume)


def success() -> dict[str, Any]:
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}
