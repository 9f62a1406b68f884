"""Counts of tasks, and the sentences a confirmation is made of."""

from __future__ import annotations

from tui import tally
from tui.state import Activity, Asked, TaskView


def tasks(**states: int) -> list[TaskView]:
    return [TaskView(id=f"{state}{n}", state=state) for state, count in states.items() for n in range(count)]


ASKS = TaskView(id="a", state="running", waiting=Asked("q", "question", "?", "h", 0))
SLOWED = TaskView(id="t", state="running", activity=Activity("throttled"))


def test_what_needs_a_person_comes_first() -> None:
    counts = tally.count([*tasks(queued=2, running=3, failed=1, succeeded=4), ASKS, SLOWED])
    assert list(counts.items()) == [
        ("waiting", 1),
        ("failed", 1),
        ("throttled", 1),
        ("running", 3),
        ("queued", 2),
        ("succeeded", 4),
    ]
    assert (tally.total(counts), tally.over(counts)) == (12, 5)


def test_a_state_of_a_newer_supervisor_is_counted_in_the_total() -> None:
    assert tally.total(tally.count(tasks(paused=2, queued=1))) == 3


def test_a_breakdown_tells_what_is_meant() -> None:
    assert tally.breakdown(tasks(running=3, queued=9)) == "12 tasks (3 running, 9 queued)"
    assert tally.breakdown(tasks(queued=4)) == "4 tasks (queued)"
    assert tally.breakdown([ASKS]) == "1 task (waiting)"
    assert tally.breakdown([]) == "0 tasks"


def test_a_question_says_what_it_leaves_out() -> None:
    cancellable = frozenset({"queued", "running"})
    assert tally.question("cancel", tasks(running=3, queued=9)) == "cancel 12 tasks (3 running, 9 queued)"
    assert tally.question("cancel", tasks(running=2), eligible=cancellable) == "cancel 2 tasks (running)"
    mixed = tasks(running=2, succeeded=1)
    assert tally.question("cancel", mixed, eligible=cancellable) == "cancel 2 tasks (running); 1 succeeded is left out"
    ended = tasks(succeeded=2, failed=1)
    assert tally.question("cancel", ended, eligible=cancellable) == (
        "cancel 0 tasks; 1 failed, 2 succeeded are left out"
    )
