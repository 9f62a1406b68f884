"""The door: `qd` calls `main` through the entry point `quarterdeck.dashboard`."""

from __future__ import annotations

import gc
import os
import sys
from typing import TYPE_CHECKING

from lite.home import Home
from lite.terminal.sanitize import safe
from tui.settings import Settings, is_slow, load

if TYPE_CHECKING:
    from tui.state import Fleet

_SLOW = {"TEXTUAL_FPS": "12", "TEXTUAL_ANIMATIONS": "none", "TEXTUAL_SMOOTH_SCROLL": "0"}


def main(home: str) -> int:
    """Open the dashboard on a home with a running supervisor; the exit code."""
    settings = load()
    slow = is_slow(settings.slow_link, os.environ)
    before = dict(os.environ)
    os.environ.setdefault("ESCDELAY", "25")
    gc.disable()  # what is imported stays; `Dashboard.on_ready` turns it on again
    if slow:
        for name, value in _SLOW.items():
            os.environ.setdefault(name, value)
    try:
        return _run(Home(home), settings, slow=slow)
    finally:
        os.environ.clear()
        os.environ.update(before)  # Textual takes NO_COLOR out


def _run(home: Home, settings: Settings, *, slow: bool) -> int:
    from tui.app import Dashboard  # reads the environment while it is imported

    app = Dashboard(home, settings, slow=slow)
    app.run(mouse=settings.mouse)
    code = app.return_code or 0
    if code == 0:
        sys.stdout.write(farewell(app.fleet, str(home.root)))
    return code


def farewell(fleet: Fleet, home: str) -> str:
    """What goes on without the dashboard, and how to come back or to end it."""
    running = sum(task.state == "running" for task in fleet.tasks.values())
    queued = sum(task.state == "queued" for task in fleet.tasks.values())
    asking = [task for task in fleet.tasks.values() if task.asks]
    parts = [f"{count} {word}" for count, word in ((running, "running"), (queued, "queued")) if count]
    lines = [f"qd: the supervisor of {safe(home)} goes on: {', '.join(parts) or 'nothing to do'}"]
    if asking:
        names = ", ".join(safe(task.name or task.id[:8]) for task in asking[:3])
        more = f" and {len(asking) - 3} more" if len(asking) > 3 else ""
        lines.append(f"qd: waiting for you: {names}{more}")
    lines.append("qd: `qd` comes back, `qd down` stops it")
    return "\n".join(lines) + "\n"
