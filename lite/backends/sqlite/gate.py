"""What keeps a queued task from being claimed, compiled to the integer `blocked` so that a claim is an index scan.

The low bits count unmet needs, the flags stand above them. Kept in the transaction that changes the cause: the end or
the reopening of a need, of a lane's member, an assignment. `rules.dag` and the lane rule of `backends.memory` are the
reference; the state machine test proves them equal.
"""

from __future__ import annotations

from lite.backends.sqlite.statements import SQL
from lite.backends.sqlite.store import Store
from lite.model.task import Reason, Task
from lite.rules.dag import Consequence, combine, consequence

LANE = 1 << 32  # not the first unfinished of its lane, or one of the lane runs
UNPLACED = 1 << 33
PARKED = 1 << 34


class Gate:
    def __init__(self, store: Store) -> None:
        self._store = store

    def blocked(self, task: Task) -> int:
        """Computed anew from the stored rows; a lane member is held until `settle_lane`."""
        blocked = self.blocked_by_itself(task)
        if task.spec.lane:
            blocked |= LANE
        for need in task.spec.needs:
            blocked += not _met(self._store.task(need))
        return blocked

    def blocked_by_itself(self, task: Task) -> int:
        blocked = 0
        if task.spec.placed and not task.assigned:
            blocked |= UNPLACED
        if task.reason == Reason.UNROUTABLE:
            blocked |= PARKED
        return blocked

    def verdict(self, task: Task) -> tuple[Consequence, str]:
        """The consequence of its needs, and the need that decided."""
        if not task.spec.needs:
            return Consequence.GO, ""
        needs = [self._store.task(need) for need in task.spec.needs]
        return combine((need.id, need.state, need.spec.on_failure) for need in needs)

    def ended(self, task: Task, *, free: bool = True) -> None:
        """Its end, just stored, may free dependents (where there are any) and the next of its lane."""
        if free and _met(task):
            self._store.execute(SQL["need_met"], (task.seq,))
        self.settle_lane(task)

    def reopening(self, task: Task) -> None:
        """Before it is stored as queued again: those that went on without it wait again, its lane is held."""
        self._store.needed.add(task.seq)  # perhaps
        if _met(task):
            self._store.execute(SQL["need_open"], (task.seq,))
        if task.spec.lane:
            self._store.execute(SQL["lane_hold"], (LANE, task.spec.run, task.spec.lane))

    def settle_lane(self, task: Task) -> None:
        """Let the first unfinished of the task's lane go, unless one of the lane runs."""
        run, lane = task.spec.run, task.spec.lane
        if not lane:
            return
        if any(one.spec.lane == lane and one.spec.run == run for one in self._store.running.values()):
            return
        head = self._store.execute(SQL["lane_head"], (run, lane)).fetchone()
        if head is not None:
            self._store.execute(SQL["lane_release"], (LANE, head[0]))


def _met(need: Task) -> bool:
    return consequence(need.state, need.spec.on_failure) is Consequence.GO
