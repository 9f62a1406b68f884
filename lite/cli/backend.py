"""`backend`: where truth is kept, and what that is worth."""

from __future__ import annotations

from lite.cli.commands import Command
from lite.errors import NoSupervisor
from lite.home import config_for
from lite.terminal.sanitize import safe

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from typing import Any

    from lite.cli.context import Context


def _options(parser: ArgumentParser) -> None:
    """No options of its own."""


def _backend(context: Context, arguments: Namespace) -> int:
    told = _configured(context)
    try:
        status = context.client().status()
    except NoSupervisor:
        told |= {"running": False, "describe": "", "warnings": [], "role": "", "worker": ""}
    else:
        told |= {
            "running": True,
            "describe": status["backend"],
            "warnings": list(status.get("backend_warnings", ())),
            "role": status.get("role", "all"),
            "worker": status["worker"],
        }
    if context.json:
        context.emit(told)
        return 0
    print(safe(told["describe"] or f"{_named(told)}: not open, no supervisor runs (qd up)"))
    for warning in told["warnings"]:
        print(safe(f"WARNING: {warning}"))
    print(safe(f"  configured  {_named(told)}, by {told['origin']}"))
    if told["running"]:
        print(safe(f"  here        {told['worker']}, role {told['role']}"))
    return 0


def _configured(context: Context) -> dict[str, Any]:
    """Of the supervisor that runs, else of file and environment."""
    try:
        answer: dict[str, Any] = dict(context.client().config())
    except NoSupervisor:
        from lite.cli.config import local_settings, plain

        answer = plain(local_settings(config_for(context.home)))
    settings = answer["settings"]
    backend = str(settings.get("backend", ""))
    shared = backend != "sqlite"
    return {
        "backend": backend,
        "prefix": str(settings.get("redis", {}).get("prefix", "")) if shared else "",
        "origin": str(answer["origins"].get("backend", "default")),
    }


def _named(told: dict[str, Any]) -> str:
    return f"{told['backend']}, keys {told['prefix']}:*" if told["prefix"] else str(told["backend"])


COMMANDS = {
    "backend": Command(
        _options,
        _backend,
        """
qd backend          what is durable, and how; each thing one should know of it as a WARNING
qd backend --json   the same for a script
QD_BACKEND=redis://host:6379/0 qd up -d   run on another one; the password by QD_REDIS_PASSWORD""",
    )
}
