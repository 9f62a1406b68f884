"""Which rows the fleet list has, in which order: tasks under their runs. Pure. Ten thousand take some milliseconds."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from itertools import repeat
from operator import attrgetter
from typing import Any, NamedTuple

from tui.badges import badge_of
from tui.filters import Filter
from tui.state import Fleet, TaskView
from tui.tally import URGENCY


class Row(NamedTuple):
    """A task, or (`task` None) the heading of a run. `run` "" stands for the tasks of no run."""

    run: str
    task: TaskView | None = None


@dataclass(frozen=True, slots=True)
class Sort:
    """An order within a run. The runs themselves always come newest first."""

    key: str
    reverse: bool = False

    def __str__(self) -> str:
        return f"{self.key} {'↑' if self.reverse else '↓'}"

    def next(self) -> Sort:
        """The next of `SORTS`, in its natural direction."""
        keys = [sort.key for sort in SORTS]
        return SORTS[(keys.index(self.key) + 1) % len(keys)]

    def reversed(self) -> Sort:
        return replace(self, reverse=not self.reverse)


SORTS = tuple(Sort(key) for key in ("attention", "submission", "name", "state", "age", "agent"))

_RANKS = {word: rank for rank, word in enumerate(URGENCY)}
_STRANGE = len(URGENCY)
_OVER = _RANKS["succeeded"]  # how it ended is no matter of attention


def rows(fleet: Fleet, filter: Filter, sort: Sort, collapsed: Collection[str], now: int) -> list[Row]:
    """Each run's heading and, unless it is `collapsed`, its tasks that match. A run comes before all that was submitted
    before its newest task. Where there are only tasks of no run, they need no heading. `now`: ms."""
    groups = _groups(fleet, filter)
    if not groups:
        return []
    newest = sorted(groups, key=lambda run: groups[run][-1].seq, reverse=True)
    listed: list[Row] = []
    headed = len(groups) > 1 or "" not in groups
    for run in newest:
        if headed:
            listed.append(Row(run))
        if not headed or run not in collapsed:
            listed.extend(map(Row, repeat(run), ordered(groups[run], sort, now)))
    return listed


def ordered(tasks: list[TaskView], sort: Sort, now: int) -> Iterable[TaskView]:
    """`tasks` come in order of submission, and stay so where the key does not tell them apart."""
    if sort.key == "submission":
        found = tasks
    elif sort.key == "attention":
        found = _by_attention(tasks)
    elif sort.key == "age":
        found = sorted(tasks, key=lambda task: -_age(task, now))
    else:
        found = sorted(tasks, key=_KEYS[sort.key])
    return reversed(found) if sort.reverse else found


def _groups(fleet: Fleet, filter: Filter) -> dict[str, list[TaskView]]:
    groups: dict[str, list[TaskView]] = {}
    everything = not filter
    names = {run.id: run.name for run in fleet.runs.values()}
    matches = filter.matches
    for task in fleet.tasks.values():
        run = task.run
        if everything or matches(task, names.get(run, "")) is not None:
            group = groups.get(run)
            if group is None:
                groups[run] = [task]
            else:
                group.append(task)
    return groups


def _by_attention(tasks: list[TaskView]) -> list[TaskView]:
    """Buckets instead of a sort: this is what is asked for with every change."""
    buckets: list[list[TaskView]] = [[] for _ in range(_STRANGE + 1)]
    ranks = _RANKS
    for task in tasks:
        state = task.state
        if state == "running":
            rank = ranks[badge_of(task).word]
        else:
            rank = min(ranks.get(state, _STRANGE), _OVER) if state in ranks else _STRANGE
        buckets[rank].append(task)
    return [task for bucket in buckets for task in bucket]


def _age(task: TaskView, now: int) -> int:
    """ms it has run, or ran; what has not begun has none."""
    if task.started_at is None:
        return -1
    return (task.ended_at if task.ended_at is not None else now) - task.started_at


_KEYS: dict[str, Callable[[TaskView], Any]] = {
    "name": lambda task: task.name.lower(),
    "state": lambda task: _RANKS.get(badge_of(task).word, _STRANGE),
    "agent": attrgetter("agent"),
}
