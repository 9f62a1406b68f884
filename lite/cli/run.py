"""`run`: hand in a plan."""

from __future__ import annotations

from lite.cli.commands import Command
from lite.cli.plans import read_plan
from lite.cli.watching import WATCH, somebody_is_there
from lite.terminal.sanitize import safe

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from lite.cli.context import Context


def _options(parser: ArgumentParser) -> None:
    parser.add_argument("plan", metavar="PLAN.yaml", help="the plan")
    parser.add_argument("--dry-run", action="store_true", help="check it and show what would run, store nothing")
    parser.add_argument("--wait", action="store_true", help="wait for its end; the exit code is its worst task's")
    parser.add_argument("--watch", action="store_true", help=WATCH)
    parser.add_argument("--key", metavar="K", default="", help="idempotency: the same key gives the same run")


def _run(context: Context, arguments: Namespace) -> int:
    text, source, cwd = read_plan(arguments.plan)
    client = context.client_starting()
    answer = client.submit_plan(
        text,
        source=source,
        cwd=cwd,
        key=arguments.key,
        dry_run=arguments.dry_run,
        watched=arguments.watch or somebody_is_there(),
    )
    tasks = answer["tasks"]
    if arguments.dry_run:
        if context.json:
            context.emit(answer)
        else:
            names = {task["id"]: task["name"] for task in tasks}
            rows = [
                [
                    task["name"],
                    task["agent"] or "-",
                    task["lane"],
                    ", ".join(names.get(need, need) for need in task["needs"]),
                    task["rule"],
                ]
                for task in tasks
            ]
            context.table(["NAME", "AGENT", "LANE", "NEEDS", "ROUTED BY"], rows)
            context.note(f"{len(tasks)} task(s); nothing was stored")
        return 0
    run = answer["run"]
    assert run is not None
    if not arguments.wait:
        if context.json:
            context.emit(answer)
        else:
            print(safe(run["id"]))
            context.note(f"run {run['name']}: {len(tasks)} task(s); qd ls --run {run['id']} shows them")
        return 0
    from lite.cli.wait import wait_for

    context.note(f"run {run['name']} ({run['id']}): {len(tasks)} task(s)")
    return wait_for(context, client, [], run=run["id"])


COMMANDS = {
    "run": Command(
        _options,
        _run,
        """
qd run plan.yaml               submit it, print the run's id
qd run --wait plan.yaml        wait for all its tasks
qd run --dry-run plan.yaml     which agent would do what, and by which rule""",
    )
}
