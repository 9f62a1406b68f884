"""From `exit.json` to the outcome of an attempt."""

from __future__ import annotations

import json
import signal
from typing import Any

from lite.executors.local import exitfile
from lite.model.task import Outcome, OutcomeKind, Reason


def parse_exit(data: bytes | None) -> dict[str, Any] | None:
    """None when there is none (or it is none of ours)."""
    try:
        fields = json.loads(data) if data else None
    except ValueError:
        return None
    return fields if isinstance(fields, dict) and "kind" in fields else None


def outcome_of(fields: dict[str, Any]) -> Outcome:
    kind, message = fields["kind"], str(fields.get("message") or "")
    code, signum = fields.get("exit_code"), fields.get("signal")
    if kind == exitfile.EXITED:
        if signum is not None:
            return Outcome(OutcomeKind.FAILED, Reason.SIGNAL, f"ended by {_name(signum)}", signal=signum)
        if code == 0:
            return Outcome(OutcomeKind.SUCCEEDED, exit_code=0)
        return Outcome(OutcomeKind.FAILED, Reason.EXIT, f"exit code {code}", exit_code=code)
    if kind == exitfile.LAUNCH:
        return Outcome(OutcomeKind.FAILED, Reason.LAUNCH, message, exit_code=code)
    if kind == exitfile.NEVER_STARTED:
        return Outcome(OutcomeKind.RESCHEDULED, Reason.INFRASTRUCTURE, message)
    reason = Reason.LOST if kind in (exitfile.LAPSED, exitfile.HOLDER_LOST) else Reason.INFRASTRUCTURE
    return Outcome(OutcomeKind.UNEXECUTABLE, reason, message)


def _name(signum: int) -> str:
    try:
        return signal.Signals(signum).name
    except ValueError:
        return f"signal {signum}"
