"""`workers` and `agents`."""

from __future__ import annotations

import time

from lite.cli.commands import Command
from lite.cli.quantities import span
from lite.cli.tables import Cell
from lite.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from lite.cli.context import Context

_COLOURS = {"idle": "green", "busy": "cyan", "draining": "yellow", "unhealthy": "red"}


def _workers_options(parser: ArgumentParser) -> None:
    parser.add_argument("verb", nargs="?", choices=("cordon", "uncordon"), help="stop (or go on) claiming work")
    parser.add_argument("worker", nargs="?", metavar="ID", help="its id or a unique prefix")


def _workers(context: Context, arguments: Namespace) -> int:
    client = context.client()
    if arguments.verb:
        if not arguments.worker:
            raise UsageError("which worker?", hint="qd workers lists them", place="ID")
        changed = client.cordon(arguments.worker, arguments.verb == "cordon")
        if context.json:
            context.emit(changed)
        else:
            context.note(f"{changed['id']} is {'cordoned' if changed['cordoned'] else 'not cordoned'}")
        return 0
    workers = client.workers()
    if context.json:
        context.emit(workers)
        return 0
    now = time.time() * 1000
    rows: list[list[Cell | str]] = [
        [
            worker["id"],
            Cell(worker["state"] + (", cordoned" if worker["cordoned"] else ""), _COLOURS.get(worker["state"], "")),
            f"{len(worker['running'])}/{worker['slots']}",
            worker["node"],
            ", ".join(worker["agents"]),
            f"{span(now - worker['heartbeat_at'])} ago",
        ]
        for worker in workers
    ]
    context.table(["ID", "STATE", "SLOTS", "NODE", "AGENTS", "HEARD"], rows)
    return 0


def _agents(context: Context, arguments: Namespace) -> int:
    agents = context.client().agents()
    if context.json:
        context.emit(agents)
        return 0
    rows: list[list[Cell | str]] = [
        [
            agent["name"],
            agent["provider"],
            ", ".join(agent["roles"]),
            str(agent["slots"] or ""),
            agent["mode"] or "",
            agent["version"],
            Cell(agent["problem"] or "ready", "red" if agent["problem"] else "green"),
        ]
        for agent in agents
    ]
    context.table(["NAME", "PROVIDER", "ROLES", "SLOTS", "MODE", "VERSION", "STATUS"], rows)
    return 0


def _none(parser: ArgumentParser) -> None:
    """No options of its own."""


COMMANDS = {
    "workers": Command(
        _workers_options,
        _workers,
        """
qd workers                   who runs work, and how much
qd workers cordon laptop-1   it finishes what it has and takes nothing more""",
    ),
    "agents": Command(_none, _agents, "qd agents    what is configured, and whether its program is there"),
}
