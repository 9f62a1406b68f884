"""`qd` alone: the dashboard when one is installed, else the fleet as a list."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lite.cli.context import Context

GROUP = "quarterdeck.dashboard"  # entry points: called with the home's path, return an exit code


def bare(context: Context) -> int:
    client = context.client_starting()
    if sys.stdin.isatty() and sys.stdout.isatty() and not context.json:
        from importlib.metadata import entry_points

        for entry in entry_points(group=GROUP):
            return int(entry.load()(str(context.home.root)) or 0)
    from lite.cli.fleet import DEFAULT_LIMIT, list_tasks

    tasks = client.tasks(limit=DEFAULT_LIMIT, newest=True)
    return list_tasks(context, client, tasks, empty="no tasks yet: qd submit -- echo hello, or qd run PLAN.yaml")
