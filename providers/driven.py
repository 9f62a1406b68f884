"""Agents one converses with: started not by themselves but by a driver, `qd _drive`, which speaks their protocol.

The driver is told what to do by a JSON file in the session's directory and prints JSON lines in neutral words:
`{"kind": KIND, "text": ..., "data": {...}, "raw": ...}`. Answers are lines on its stdin, made by `answer_line`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from providers.base import AgentEvent, EventKind, Failure, Launch, Request, Source, Usage, Verdict
from providers.checks import Kinds
from providers.durations import parse_duration
from providers.errors import InvalidRequest
from providers.parsing import JsonLinesParser, count_of, exit_verdict, mapping_of, number_of, text_of

SPEC = "drive.json"
SPEC_VERSION = 1
PERMISSIONS = ("ask", "allow", "deny", "wait")
DRIVEN_OPTIONS: Kinds = {"permissions": str, "wait_for": (str, int, float), "start_timeout": (str, int, float)}
START_MS = 60_000  # the slowest agent seen needed half of it
Decision = Literal["allow", "deny", "answer"]
_MODEL_KEPT = 200  # characters of its name


def driven_launch(
    driver: str, request: Request, spec: Mapping[str, Any], env: Mapping[str, str] | None = None
) -> Launch:
    """The launch of the driver named `driver`; `spec` holds what only it understands, plain JSON values."""
    options = request.options
    wait_for = options.get("wait_for")
    said = {
        "version": SPEC_VERSION,
        "driver": driver,
        "prompt": request.prompt,
        "cwd": request.cwd,
        "model": request.model,
        "resume": request.resume,
        "permissions": options.get("permissions", "ask"),
        "wait_ms": None if wait_for is None else _span_ms(wait_for, "options.wait_for"),
        "start_ms": _span_ms(options.get("start_timeout", START_MS / 1000), "options.start_timeout"),
        **spec,
    }
    return Launch(
        argv=(*request.python, "_drive", f"@{SPEC}"),
        env=dict(env or {}),
        stdio="pipes",
        files={SPEC: json.dumps(said).encode()},
    )


def wants_driver(request: Request) -> bool:
    """Whether an agent that also runs by itself is to be conversed with: headless, and told what to do about
    permissions. Raises `InvalidRequest` for an option that goes with those only."""
    if "permissions" in request.options:
        return request.mode == "headless"
    for name in DRIVEN_OPTIONS:
        if name in request.options:
            raise InvalidRequest(
                f"{name} goes with permissions only",
                hint="permissions: ask, allow, deny or wait",
                field=f"options.{name}",
            )
    return False


def check_driven(request: Request) -> None:
    """What every driven provider refuses. Raises `InvalidRequest`."""
    permissions = request.options.get("permissions", "ask")
    if permissions not in PERMISSIONS:
        known = ", ".join(PERMISSIONS)
        raise InvalidRequest(
            f"no policy {permissions!r} for permissions", hint=f"one of {known}", field="options.permissions"
        )
    if "wait_for" in request.options:
        if permissions != "wait":
            raise InvalidRequest("wait_for goes with permissions: wait only", field="options.wait_for")
        _span_ms(request.options["wait_for"], "options.wait_for")
    if "start_timeout" in request.options:
        _span_ms(request.options["start_timeout"], "options.start_timeout")
    if not request.python:
        raise InvalidRequest("it is not known how to start the driver", field="python")


def answer_line(ident: str, text_hash: str, decision: Decision, text: str = "") -> bytes:
    """What to write to the terminal of the session to answer the request `ident` whose text has that hash."""
    return json.dumps({"answer": ident, "hash": text_hash, "decision": decision, "text": text}).encode() + b"\n"


class DrivenParser(JsonLinesParser):
    """The driver's lines. Success is a result that says so and exit code 0; each usage line replaces the one before."""

    def __init__(self) -> None:
        super().__init__()
        self._session = ""
        self._usage = Usage()
        self._result: dict[str, Any] | None = None
        self._said = ""

    def on_object(self, said: dict[str, Any], raw: bytes) -> Iterator[AgentEvent]:
        data = mapping_of(said.get("data"))
        text = text_of(said.get("text"))
        try:
            kind = EventKind(text_of(said.get("kind")))
        except ValueError:
            kind, data = EventKind.UNKNOWN, {"type": said.get("kind")}
        if kind is EventKind.INIT:
            self._session = text_of(data.get("session")) or self._session
        elif kind is EventKind.USAGE:
            self._usage = Usage(
                count_of(data.get("tokens_in")),
                count_of(data.get("tokens_out")),
                number_of(data.get("cost_usd")),
                Source.REPORTED,
                count_of(data.get("tokens_cached")),
                text_of(data.get("model"))[:_MODEL_KEPT],
            )
        elif kind is EventKind.RESULT:
            self._result, self._said = data, text
        yield AgentEvent(kind, text, data, raw)

    def verdict(self, exit_code: int | None, signal: int | None) -> Verdict:
        ended = exit_verdict(exit_code, signal, self.stderr.last_line)
        if self._result is None:
            found = ended or Verdict(False, Failure.NO_RESULT, self.stderr.last_line or "it ended without a result")
        elif self._result.get("ok") is not True:
            found = _failed(self._result, self._said)
        else:
            found = ended or Verdict(True, output=self._said)
        return Verdict(
            ok=found.ok,
            reason=found.reason,
            message=found.message,
            output=found.output,
            usage=self._usage,
            session=self._session,
            infrastructure=found.infrastructure,
            until=found.until,
            after_ms=found.after_ms,
            account=found.account,
        )


def _failed(result: Mapping[str, Any], message: str) -> Verdict:
    said = text_of(result.get("reason"))
    return Verdict(
        ok=False,
        reason=Failure(said) if said in set(Failure) else Failure.AGENT,
        message=message,
        infrastructure=result.get("infrastructure") is True,
        until=count_of(result.get("until")),
        after_ms=count_of(result.get("after_ms")),
        account=result.get("account") is True,
    )


def _span_ms(value: Any, field: str) -> int:
    """As `parse_duration`, but not 0. Raises `InvalidRequest`."""
    try:
        found = parse_duration(value)
    except ValueError as error:
        raise InvalidRequest(f"the duration {error}", field=field) from None
    if found <= 0:
        raise InvalidRequest("the duration must be positive", field=field)
    return found
