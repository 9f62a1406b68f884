"""How many tasks stand how: counts by badge, and the sentences made of them. No Textual."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from operator import attrgetter

from tui.badges import BADGES, UNKNOWN, Badge, badge_of
from tui.state import TaskView

# what needs a person first, then what goes on, then what is over
URGENCY = ("waiting", "failed", "throttled", "running", "queued", "succeeded", "cancelled", "skipped")
_state = attrgetter("state")


def count(tasks: Iterable[TaskView]) -> dict[str, int]:
    """Badge -> number of tasks, those with any, in order of urgency. Ten thousand tasks take about a millisecond."""
    tasks = list(tasks)
    counts = Counter(map(_state, tasks))
    if counts["running"]:
        running = counts.pop("running")
        special = Counter(badge_of(task).word for task in tasks if task.state == "running")
        assert special.total() == running
        counts.update(special)
    known = {word: counts.pop(word) for word in URGENCY if counts[word]}
    if strange := counts.total():  # states of a newer supervisor
        known[UNKNOWN.word] = strange
    return known


def badge(word: str) -> Badge:
    return BADGES.get(word, UNKNOWN)


def total(counts: Mapping[str, int]) -> int:
    return sum(counts.values())


def over(counts: Mapping[str, int]) -> int:
    """How many have ended, in whatever way."""
    return sum(counts.get(word, 0) for word in ("succeeded", "failed", "cancelled", "skipped"))


def breakdown(tasks: Sequence[TaskView]) -> str:
    """`1 task (running)`, `12 tasks (3 running, 9 queued)`, `4 tasks (queued)`: what an action is about to touch."""
    counts = count(tasks)
    noun = "task" if len(tasks) == 1 else "tasks"
    words = list(counts)
    if not words:
        return f"{len(tasks)} {noun}"
    parts = words if len(words) == 1 else [f"{number} {word}" for word, number in counts.items()]
    return f"{len(tasks)} {noun} ({', '.join(parts)})"


def question(verb: str, tasks: Sequence[TaskView], *, eligible: frozenset[str] = frozenset()) -> str:
    """`cancel 12 tasks (3 running, 9 queued)`, and with `eligible` states, how many of the marked ones are left out:
    `cancel 2 tasks (running); 1 succeeded is left out`."""
    meant = [task for task in tasks if not eligible or task.state in eligible]
    text = f"{verb} {breakdown(meant)}"
    rest = count(task for task in tasks if eligible and task.state not in eligible)
    if not rest:
        return text
    left = ", ".join(f"{number} {word}" for word, number in rest.items())
    return f"{text}; {left} {'is' if total(rest) == 1 else 'are'} left out"
