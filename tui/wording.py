"""What panes say of a task in words, made safe: all of it comes from agents, plans and programs. No Textual."""

from __future__ import annotations

import json

from lite.terminal.sanitize import safe
from tui.state import TaskView

_LONGEST = 120


def short(text: str, most: int = _LONGEST) -> str:
    """One harmless line. Cut first: nobody makes 10 000 characters safe for the sake of 100."""
    cut = safe(text[: most * 4]).strip()
    return cut if len(cut) <= most else cut[: most - 1] + "…"


def asked_of(task: TaskView) -> str:
    """What it wants of a person, or "": `? approval: run tests?`."""
    if not task.asks:
        return ""
    if task.waiting is not None:
        kind = short(task.waiting.kind, 20) or "asks"
        text = short(task.waiting.text)
    else:
        kind, text = "waits", short(task.activity.text)
    return f"? {kind}: {text}" if text else f"? {kind}"


def instead_of_terminal(task: TaskView | None) -> str:
    """What a pane says when there is no session to show."""
    if task is None:
        return "no task is chosen"
    why = short(task.detail or task.reason)
    state = short(task.state, 20)
    if task.state == "queued":
        return f"queued{': ' + why if why else ''}; its terminal appears when it starts"
    if task.state == "running":
        return "starting"
    return f"{state}{': ' + why if why else ''}; it never had a terminal"


def ending_of(task: TaskView) -> str:
    """How an ended task ended: "succeeded, exit 0"."""
    if task.open:
        return "the last attempt has ended"
    how = ""
    if task.signal:
        how = f", killed by signal {task.signal}"
    elif task.exit_code is not None:
        how = f", exit {task.exit_code}"
    return f"{short(task.state, 20)}{how}"


def how_it_ended(exit_json: bytes) -> str:
    """One line of a holder's `exit.json`: "exit 0", "killed by signal 9"; `short` makes it safe."""
    try:
        told = json.loads(exit_json)
    except ValueError:
        return "ended"
    if not isinstance(told, dict):
        return "ended"
    message = told.get("message")
    return ending_text(told.get("exit_code"), told.get("signal"), message if isinstance(message, str) else "")


def ending_text(exit_code: object, signum: object, message: str = "") -> str:
    if isinstance(signum, int) and signum:
        return f"killed by signal {signum}"
    if isinstance(exit_code, int):
        return f"exit {exit_code}" + (f": {message}" if message else "")
    return message or "ended"
