"""The lines on a pane's border: which task it is, how it stands, what it asks. All of it hostile until made safe."""

from __future__ import annotations

from collections.abc import Mapping

from textual.content import Content

from lite.terminal.sanitize import safe
from tui.badges import badge_of
from tui.state import TaskView

_LONGEST = 120


def short(text: str, most: int = _LONGEST) -> str:
    """One harmless line. Cut first: nobody makes 10 000 characters safe for the sake of 100."""
    cut = safe(text[: most * 4]).strip()
    return cut if len(cut) <= most else cut[: most - 1] + "…"


def title_of(task: TaskView | None, program_title: str, colours: Mapping[str, str], *, bold: bool) -> Content:
    if task is None:
        return Content("no task")
    badge = badge_of(task)
    colour = colours.get(badge.role, "")
    parts: list[Content] = [
        Content.styled(f"{badge.shape}{badge.letter} ", colour) if colour else Content(f"{badge.shape}{badge.letter} ")
    ]
    name = short(task.name or task.id[:8], 40)
    parts.append(Content.styled(name, "bold") if bold else Content(name))
    asked = asked_of(task)
    if asked:
        text = f" {asked}"
        parts.append(Content.styled(text, colour) if colour else Content(text))
    title = short(program_title, 80)
    if title and title != name:
        parts.append(Content(f" — {title}"))
    return Content("").join(parts)


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
