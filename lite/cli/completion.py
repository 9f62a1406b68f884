"""Shell completion (argcomplete): commands, options, and the ids of live tasks. Loaded only under `_ARGCOMPLETE`."""

from __future__ import annotations

from importlib import import_module

from lite.cli.commands import FAMILIES
from lite.cli.parsing import Parser, add_globals

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace
    from typing import Any

_SECONDS = 0.5  # a supervisor that is slower than this gets no say in a completion


def main() -> int:
    """Answer the shell and leave."""
    import argcomplete

    argcomplete.autocomplete(full_parser(), always_complete_options=False)
    return 0


def full_parser() -> Parser:
    """All commands in one parser, live completers attached to what takes ids."""
    parser = Parser(prog="qd")
    add_globals(parser)
    commands = parser.add_subparsers(dest="command", parser_class=Parser)
    for name, (module, line) in FAMILIES.items():
        sub = commands.add_parser(name, help=line)
        import_module(f"lite.cli.{module}").COMMANDS[name].configure(sub)
        add_globals(sub)
        for action in sub._actions:
            if action.dest in ("id", "ids", "needs"):
                action.completer = task_ids  # type: ignore[attr-defined]
            elif action.dest == "run":
                action.completer = run_ids  # type: ignore[attr-defined]
            elif action.dest == "agent":
                action.completer = agent_names  # type: ignore[attr-defined]
            elif action.dest == "worker":
                action.completer = worker_ids  # type: ignore[attr-defined]
    return parser


def task_ids(prefix: str, parsed_args: Namespace, **_: Any) -> dict[str, str]:
    """id -> a description, for shells that show one."""
    found = _ask(parsed_args, lambda client: client.tasks(limit=500, newest=True))
    return {task["id"]: f"{task['name']} {task['state']}" for task in found if task["id"].startswith(prefix)}


def run_ids(prefix: str, parsed_args: Namespace, **_: Any) -> dict[str, str]:
    return {
        run["id"]: run["name"]
        for run in _ask(parsed_args, lambda client: client.runs(limit=100, newest=True))
        if prefix in run["id"]
    }


def agent_names(prefix: str, parsed_args: Namespace, **_: Any) -> list[str]:
    return [agent["name"] for agent in _ask(parsed_args, lambda client: client.agents()) if prefix in agent["name"]]


def worker_ids(prefix: str, parsed_args: Namespace, **_: Any) -> dict[str, str]:
    found = _ask(parsed_args, lambda client: client.workers())
    return {worker["id"]: worker["state"] for worker in found if worker["id"].startswith(prefix)}


def _ask(parsed_args: Namespace, question: Any) -> Any:
    from lite.api.client import Client
    from lite.errors import QuarterdeckError
    from lite.home import find_home

    home = find_home(getattr(parsed_args, "home", None))
    try:
        with Client(str(home.socket), timeout=_SECONDS) as client:
            return question(client)
    except (QuarterdeckError, OSError):
        return []
