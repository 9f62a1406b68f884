"""Badges: a state is told by shape, letter and colour, so that any one of the three will do."""

from __future__ import annotations

from typing import NamedTuple

from tui.state import TaskView


class Badge(NamedTuple):
    """`role` is the name of a theme colour variable without `$`: `state-running` and so on (`tui.themes`)."""

    shape: str  # one cell wide
    letter: str
    role: str
    word: str


BADGES = {
    "queued": Badge("○", "Q", "state-queued", "queued"),
    "running": Badge("●", "R", "state-running", "running"),
    "waiting": Badge("?", "W", "state-waiting", "waiting"),
    "throttled": Badge("◷", "T", "state-waiting", "throttled"),
    "succeeded": Badge("✓", "S", "state-succeeded", "succeeded"),
    "failed": Badge("✗", "F", "state-failed", "failed"),
    "cancelled": Badge("⊘", "C", "state-cancelled", "cancelled"),
    "skipped": Badge("↷", "K", "state-skipped", "skipped"),
}
UNKNOWN = Badge("·", "-", "state-skipped", "unknown")


def badge_of(task: TaskView) -> Badge:
    """Waiting for a person and throttled are shown before running: they are why nothing moves."""
    if task.asks:
        return BADGES["waiting"]
    if task.state == "running" and task.activity.word == "throttled":
        return BADGES["throttled"]
    return BADGES.get(task.state, UNKNOWN)
