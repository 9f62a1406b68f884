"""Lanes: one after the other, in order, within one run."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lite.model.task import State, Task
from lite.rules.lanes import blocker, head, predecessors, same_lane
from tests.rules.making import task

_rows = st.lists(
    st.tuples(st.sampled_from(["", "r1", "r2"]), st.sampled_from(["", "web", "api"]), st.sampled_from(list(State))),
    max_size=10,
).map(lambda rows: [task(f"t{at}", at, state, run=run, lane=lane) for at, (run, lane, state) in enumerate(rows)])


@given(st.lists(st.sampled_from(["", "a", "b"]), max_size=10))
def test_the_predecessor_is_the_nearest_earlier_one_of_the_lane(lanes: list[str]) -> None:
    found = predecessors((str(at), lane) for at, lane in enumerate(lanes))
    for at, lane in enumerate(lanes):
        earlier = [str(before) for before in range(at) if lane and lanes[before] == lane]
        assert found.get(str(at)) == (earlier[-1] if earlier else None)


@given(_rows)
def test_at_most_one_unfinished_task_of_a_lane_has_its_turn(rows: list[Task]) -> None:
    """While something runs, only that; what has no lane always has its turn."""
    for one in rows:
        mates = [other for other in rows if same_lane(one, other) or other is one]
        if not one.spec.lane:
            assert blocker(one, rows) is None
            continue
        waiting = [mate for mate in mates if not mate.state.terminal]
        turns = [mate for mate in waiting if blocker(mate, rows) is None]
        assert len(turns) == (1 if waiting else 0)
        assert head(mates) is (turns[0] if turns else None)
        running = [mate for mate in waiting if mate.state is State.RUNNING]
        if turns:
            assert turns[0] is (running[0] if running else waiting[0])


def test_another_run_or_lane_holds_nothing_up() -> None:
    one = task("one", 9, run="r1", lane="web")
    others = [task("two", 1, run="r2", lane="web"), task("three", 2, run="r1", lane="api")]
    assert blocker(one, others) is None
    assert blocker(one, [*others, task("four", 3, run="r1", lane="web")]) is not None


def test_a_reopened_task_waits_for_the_one_running_behind_it() -> None:
    reopened = task("one", 1, run="r", lane="web")
    behind = task("two", 2, State.RUNNING, run="r", lane="web")
    assert blocker(reopened, [behind]) is behind
