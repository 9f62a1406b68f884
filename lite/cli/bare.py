"""`qd` alone: the dashboard when one is installed, else the fleet as a list."""

from __future__ import annotations

import os
import sys
from importlib import import_module

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lite.cli.context import Context

GROUP = "quarterdeck.dashboard"  # entry points: called with the home's path, return an exit code


def bare(context: Context) -> int:
    client = context.client_starting()
    if sys.stdin.isatty() and sys.stdout.isatty() and not context.json:
        if context.color == "never":
            os.environ["NO_COLOR"] = "1"
        found = _entry_point()
        if found:
            module, _, name = found.partition(":")
            return int(getattr(import_module(module), name)(str(context.home.root)) or 0)
    from lite.cli.fleet import DEFAULT_LIMIT, list_tasks

    tasks = client.tasks(limit=DEFAULT_LIMIT, newest=True)
    return list_tasks(context, client, tasks, empty="no tasks yet: qd submit -- echo hello, or qd run PLAN.yaml")


def _entry_point() -> str:
    """`module:function` of the first dashboard that is installed, "" without one. importlib.metadata does the same in
    25 ms, a tenth of the time to the first paint: it is asked only when nothing lies beside our own modules."""
    for folder in sys.path:
        try:
            names = sorted(name for name in os.listdir(folder or ".") if name.endswith(".dist-info"))
        except OSError:
            continue
        for name in names:
            try:
                with open(f"{folder or '.'}/{name}/entry_points.txt", encoding="utf-8") as file:
                    text = file.read()
            except (OSError, UnicodeDecodeError):
                continue
            section = text.partition(f"[{GROUP}]\n")[2].partition("[")[0]
            for line in section.splitlines():
                if "=" in line:
                    return line.partition("=")[2].strip()
    from importlib.metadata import entry_points

    return next((entry.value for entry in entry_points(group=GROUP)), "")
