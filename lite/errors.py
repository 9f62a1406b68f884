"""Every error Quarterdeck raises on purpose: a stable `code`, a message, a `hint`, the `place` it is about.

Foreign errors (sqlite3, OSError, httpx, ...) are mapped to these once, at the edge where they appear.
"""

from __future__ import annotations

TYPE_CHECKING = False  # type checkers take it for true; importing typing costs as much as argparse
if TYPE_CHECKING:
    from typing import ClassVar


class QuarterdeckError(Exception):
    """The root. `exit_code` is what the command line ends with; `place` is `file:line:column` or a field's name."""

    code: ClassVar[str] = "error"
    exit_code: ClassVar[int] = 1
    status: ClassVar[int] = 500  # of the HTTP answer

    def __init__(self, message: str, *, hint: str = "", place: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.place = place

    def __str__(self) -> str:
        return f"{self.place}: {self.message}" if self.place else self.message

    def to_json(self) -> dict[str, str]:
        """`{"code", "message", "hint", "place"}`, the body of an error answer."""
        return {"code": self.code, "message": self.message, "hint": self.hint, "place": self.place}


class UsageError(QuarterdeckError):
    """A command or a request was called wrongly."""

    code, exit_code, status = "usage", 2, 400


class InvalidTask(QuarterdeckError):
    """A task cannot be accepted; `place` names the field."""

    code, exit_code, status = "invalid-task", 2, 422


class ConfigInvalid(QuarterdeckError):
    """The configuration file is wrong; `place` is file:line:column."""

    code, exit_code, status = "config-invalid", 3, 422


class PlanInvalid(QuarterdeckError):
    """A plan is refused as a whole; `place` is file:line:column."""

    code, exit_code, status = "plan-invalid", 3, 422


class NotSupported(QuarterdeckError):
    """Asked for something that is not built yet."""

    code, exit_code, status = "not-supported", 3, 501


class NotFound(QuarterdeckError):
    """No such task, run, worker or file."""

    code, exit_code, status = "not-found", 4, 404


class Ambiguous(NotFound):
    """An id prefix that fits several."""

    code = "ambiguous"


class NoSupervisor(QuarterdeckError):
    """Nothing answers on this home's socket."""

    code, exit_code, status = "no-supervisor", 5, 503


class IllegalState(QuarterdeckError):
    """The verb does not apply to the task's present state."""

    code, exit_code, status = "illegal-state", 2, 409


class WrongToken(QuarterdeckError):
    """Who asks did not show what this worker was given at its registration."""

    code, status = "wrong-token", 403


class LeaseLost(QuarterdeckError):
    """This lease is not (or no longer) the right to run the attempt: stop at once."""

    code, status = "lease-lost", 409


class OutputTooLarge(QuarterdeckError):
    """A task's output is over 64 KiB."""

    code, status = "output-too-large", 413


class BackendError(QuarterdeckError):
    """The store cannot do what was asked: unreachable, full, locked."""

    code, status = "backend", 503


class BackendUnusable(BackendError):
    """The store must not be touched: corrupt, or written by a newer version."""

    code, exit_code = "backend-unusable", 3


class BackendSwitch(QuarterdeckError):
    """Another backend is configured than this home last ran on, and leaving that one would strand running work."""

    code, exit_code, status = "backend-switch", 3, 409


class SecretUnavailable(QuarterdeckError):
    """A secret cannot be had from where it is said to be; the message names the source, never a value."""

    code, exit_code, status = "secret-unavailable", 3, 422


class ExecutorError(QuarterdeckError):
    """An executor could not do what was asked. `reason` names it in a task's row, where it has a name of its own."""

    code = "executor"
    reason: str = ""


class ExecutorUnavailable(ExecutorError):
    """It gives no answer, or says "later": whatever was asked for is put off, at nobody's cost."""

    code, status = "executor-unavailable", 503


class PeerUnavailable(QuarterdeckError):
    """The worker that has (or had) the session cannot be asked."""

    code, status = "not-available", 502


class HandleGone(ExecutorError):
    """The session behind this handle is not there any more; nothing was started."""

    code, status = "handle-gone", 410


class SessionRefused(ExecutorError):
    """A session did not take what was sent to it: ended, not a terminal, or fenced off."""

    code, status = "refused", 409
