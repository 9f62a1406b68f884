"""What the end of a task means for those that need it, and what makes a set of tasks impossible."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum

from lite.model.task import OnFailure, State


class Consequence(StrEnum):
    """For one dependent, of one need."""

    WAIT = "wait"
    GO = "go"
    SKIP = "skip"
    FAIL = "fail"


def consequence(need: State, on_failure: OnFailure) -> Consequence:
    """What a need in state `need`, declared `on_failure`, means for its dependents.

    `continue` makes a task's end, however it went, as good as a success. `fail` passes a failure on as a failure, and a
    cancel or skip as a skip.
    """
    if not need.terminal:
        return Consequence.WAIT
    if need is State.SUCCEEDED or on_failure == "continue":
        return Consequence.GO
    if need is State.FAILED and on_failure == "fail":
        return Consequence.FAIL
    return Consequence.SKIP


def combine(needs: Iterable[tuple[str, State, OnFailure]]) -> tuple[Consequence, str]:
    """The consequence of all needs together, with the id of the need that decided it ("" for go and wait).

    One fail wins, then one skip (the first in the order given), then one wait.
    """
    decided, cause = Consequence.GO, ""
    for task, state, on_failure in needs:
        one = consequence(state, on_failure)
        if one is Consequence.FAIL:
            return one, task
        if one is Consequence.SKIP and decided is not Consequence.SKIP:
            decided, cause = one, task
        elif one is Consequence.WAIT and decided is Consequence.GO:
            decided = one
    return decided, cause


def find_cycle(edges: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """A cycle in `edges` (each node to those it waits for) as a path that begins and ends with the same node; empty
    when there is none. Nodes are visited in the order given, so the answer is stable."""
    done: set[str] = set()
    for root in edges:
        if root in done:
            continue
        path: list[str] = [root]
        on_path = {root}
        stack = [iter(edges.get(root, ()))]
        while stack:
            following = next(stack[-1], None)
            if following is None:
                stack.pop()
                on_path.discard(path[-1])
                done.add(path.pop())
            elif following in on_path:
                return (*path[path.index(following) :], following)
            elif following not in done:
                path.append(following)
                on_path.add(following)
                stack.append(iter(edges.get(following, ())))
    return ()
