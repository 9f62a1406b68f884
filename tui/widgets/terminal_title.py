"""The title on a pane's border: which task it is, where it runs if elsewhere, how it stands, what it asks, what its
program calls itself."""

from __future__ import annotations

from collections.abc import Mapping

from textual.content import Content

from tui.badges import badge_of
from tui.state import TaskView
from tui.wording import asked_of, short


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
    if task.elsewhere:
        parts.append(Content.styled(f" on {short(task.worker, 40)}", "dim"))
    asked = asked_of(task)
    if asked:
        text = f" {asked}"
        parts.append(Content.styled(text, colour) if colour else Content(text))
    title = short(program_title, 80)
    if title and title != name:
        parts.append(Content(f" — {title}"))
    return Content("").join(parts)
