"""Lanes: tasks of one lane run strictly one after the other, in the order of submission. The scope is the run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from lite.model.task import State, Task


def predecessors(members: Iterable[tuple[str, str]]) -> Mapping[str, str]:
    """For (task, lane) pairs of one run in the order of the file: each task to the one just before it in its lane.
    A lane of "" is none."""
    last: dict[str, str] = {}
    before: dict[str, str] = {}
    for task, lane in members:
        if not lane:
            continue
        if lane in last:
            before[task] = last[lane]
        last[lane] = task
    return before


def head(lane: Iterable[Task]) -> Task | None:
    """The task of one lane whose turn it is: the running one, else the first that has not ended."""
    unfinished = sorted((task for task in lane if not task.state.terminal), key=lambda task: task.seq)
    for task in unfinished:
        if task.state is State.RUNNING:
            return task
    return unfinished[0] if unfinished else None


def same_lane(one: Task, other: Task) -> bool:
    return bool(one.spec.lane) and (one.spec.run, one.spec.lane) == (other.spec.run, other.spec.lane)


def blocker(task: Task, others: Iterable[Task]) -> Task | None:
    """The task of its lane that keeps `task` from its turn, None when it is its turn (or it has no lane)."""
    if not task.spec.lane:
        return None
    first = head([task, *(other for other in others if other.id != task.id and same_lane(task, other))])
    return None if first is None or first.id == task.id else first
