"""`workers` and `agents`."""

from __future__ import annotations

import time

from lite.cli.commands import Command
from lite.cli.quantities import duration_ms
from lite.cli.tables import Cell
from lite.errors import UsageError
from providers.durations import span

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from lite.cli.context import Context

_COLOURS = {"idle": "green", "busy": "cyan", "draining": "yellow", "unhealthy": "red"}


def _workers_options(parser: ArgumentParser) -> None:
    parser.add_argument(
        "verb",
        nargs="?",
        choices=("cordon", "uncordon", "drain", "deregister"),
        help="stop (or go on) claiming work; stop and wait until it runs nothing; forget a dead one",
    )
    parser.add_argument("worker", nargs="?", metavar="ID", help="its id or a unique prefix")
    parser.add_argument("--timeout", metavar="60s", help="of drain: give up waiting after this long (exit 8)")


def _workers(context: Context, arguments: Namespace) -> int:
    if arguments.timeout is not None and arguments.verb != "drain":
        raise UsageError("only drain takes --timeout", place="--timeout")
    if not arguments.verb:
        return _list(context)
    if not arguments.worker:
        raise UsageError("which worker?", hint="qd workers lists them", place="ID")
    client = context.client()
    if arguments.verb == "drain":
        from lite.cli.drain import drain

        seconds = None if arguments.timeout is None else duration_ms(arguments.timeout, "--timeout") / 1000
        return drain(context, client, arguments.worker, seconds)
    if arguments.verb == "deregister":
        changed = client.deregister(arguments.worker)
        done = "is forgotten; what was assigned to it may go elsewhere"
    else:
        changed = client.cordon(arguments.worker, arguments.verb == "cordon")
        done = f"is {'cordoned' if changed['cordoned'] else 'not cordoned'}"
    if context.json:
        context.emit(changed)
    else:
        context.note(f"{changed['id']} {done}")
    return 0


def _list(context: Context) -> int:
    workers = context.client().workers()
    if context.json:
        context.emit(workers)
        return 0
    now = time.time() * 1000
    rows: list[list[Cell | str]] = [
        [
            worker["id"],
            Cell(worker["state"] + (", cordoned" if worker["cordoned"] else ""), _COLOURS.get(worker["state"], "")),
            f"{len(worker['running'])}/{worker['slots']}",
            f"{worker['load']:.2f}",
            worker["node"],
            ",".join(f"{key}={value}" for key, value in sorted(worker["labels"].items()) if key != "node"),
            ", ".join(worker["executors"]),
            "yes" if worker["address"] else "no",
            ", ".join(worker["agents"]),
            f"{span(now - worker['heartbeat_at'])} ago",
        ]
        for worker in workers
    ]
    head = ["ID", "STATE", "SLOTS", "LOAD", "NODE", "LABELS", "RUNS", "REACHABLE", "AGENTS", "HEARD"]
    context.table(head, rows, spare=["AGENTS", "RUNS", "NODE", "LOAD"], whole=1)
    return 0


def _agents_options(parser: ArgumentParser) -> None:
    parser.add_argument("verb", nargs="?", choices=("release",), help="start the tasks of a held account again")
    parser.add_argument("account", nargs="?", metavar="ACCOUNT", help="as qd agents lists it, or an agent that uses it")


def _agents(context: Context, arguments: Namespace) -> int:
    if arguments.verb:
        if not arguments.account:
            raise UsageError("which account?", hint="qd agents lists them", place="ACCOUNT")
        released = context.client().release(arguments.account)
        if context.json:
            context.emit(released)
        else:
            context.note(f"{released['account']} is not held any more")
        return 0
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
            agent["account"],
            _readiness(agent["problem"], agent["held"]),
        ]
        for agent in agents
    ]
    context.table(["NAME", "PROVIDER", "ROLES", "SLOTS", "MODE", "VERSION", "ACCOUNT", "STATUS"], rows)
    return 0


def _readiness(problem: str, held: str) -> Cell:
    if problem:
        return Cell(problem, "red")
    return Cell(f"held: {held}", "yellow") if held else Cell("ready", "green")


COMMANDS = {
    "workers": Command(
        _workers_options,
        _workers,
        """
qd workers                              who runs work, and how much; REACHABLE: from other machines
qd workers cordon laptop-1              it finishes what it has and takes nothing more
qd workers drain laptop-1 --timeout 1h  the same, and wait until it runs nothing
qd workers uncordon laptop-1            it takes work again
qd workers deregister laptop-1          forget one that is gone; its work goes elsewhere""",
    ),
    "agents": Command(
        _agents_options,
        _agents,
        """
qd agents                   what is configured, and whether its program is there
qd agents release claude    its tasks were held: it was not logged in, or at its limit; start them again""",
    ),
}
