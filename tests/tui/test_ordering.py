"""Which rows the list has: runs newest first, tasks below by what the sort says, folds and filters."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.dashboards import NOW, fleet, large, task
from tui.filters import EVERYTHING, parse
from tui.ordering import SORTS, Row, Sort, rows
from tui.state import EMPTY

M = 60_000
PLAN = fleet(
    task("b-done", run="old", state="succeeded", agent="z", started_at=NOW - 9 * M, ended_at=NOW - 8 * M),
    task("a-queued", run="old", agent="a"),
    task("alone", state="cancelled"),
    task("d-failed", run="new", state="failed", agent="b", started_at=NOW - 5 * M, ended_at=NOW - M),
    task("c-busy", run="new", doing="working", agent="a", started_at=NOW - 3 * M),
    task("late", run="old"),
    task("E-asks", run="new", asks="?", agent="c", started_at=NOW - 2 * M),
    task("f-limited", run="new", doing="throttled", agent="a", started_at=NOW - 7 * M),
    task("g-strange", run="new", state="dreaming"),
    task("h-skipped", run="new", state="skipped"),
)


def listed(sort: Sort = SORTS[0], text: str = "", collapsed: tuple[str, ...] = (), of: Any = PLAN) -> list[str]:
    """Headings as `[run]`."""
    found = rows(of, parse(text), sort, frozenset(collapsed), NOW)
    return [row.task.name if row.task is not None else f"[{row.run}]" for row in found]


def of_new(sort: Sort) -> list[str]:
    return [name for name in listed(sort) if PLAN.tasks.get(name) and PLAN.tasks[name].run == "new"]


def test_runs_come_newest_first_and_what_needs_a_person_comes_first_in_them() -> None:
    assert listed() == [
        "[new]",
        "E-asks",
        "d-failed",
        "f-limited",
        "c-busy",
        "h-skipped",
        "g-strange",
        "[old]",
        "a-queued",
        "late",
        "b-done",
        "[]",
        "alone",
    ]


def test_by_attention_what_is_over_stays_in_order_of_submission_however_it_ended() -> None:
    ends = ("skipped", "cancelled", "succeeded", "cancelled", "skipped")
    over = fleet(*(task(f"t{at}", state=state) for at, state in enumerate(ends)), task("wanted"))
    assert listed(of=over) == ["wanted", "t0", "t1", "t2", "t3", "t4"]


@pytest.mark.parametrize(
    ("key", "names"),
    [
        ("submission", ["d-failed", "c-busy", "E-asks", "f-limited", "g-strange", "h-skipped"]),
        ("name", ["c-busy", "d-failed", "E-asks", "f-limited", "g-strange", "h-skipped"]),
        ("state", ["E-asks", "d-failed", "f-limited", "c-busy", "h-skipped", "g-strange"]),
        ("agent", ["c-busy", "f-limited", "d-failed", "E-asks", "g-strange", "h-skipped"]),
    ],
)
def test_every_sort(key: str, names: list[str]) -> None:
    assert of_new(Sort(key)) == names
    assert of_new(Sort(key, reverse=True)) == names[::-1]


def test_by_age_the_longest_comes_first_and_what_has_not_begun_last() -> None:
    assert of_new(Sort("age")) == ["f-limited", "d-failed", "c-busy", "g-strange", "E-asks", "h-skipped"]


def test_sorts_go_round_and_say_their_direction() -> None:
    seen = [SORTS[0]]
    while (following := seen[-1].reversed().next()) != SORTS[0]:
        seen.append(following)
    assert seen == list(SORTS)
    assert len({str(sort) for sort in (*SORTS, *(sort.reversed() for sort in SORTS))}) == 2 * len(SORTS)
    assert SORTS[1].reversed().reversed() == SORTS[1]


def test_a_folded_run_keeps_its_heading() -> None:
    assert listed(collapsed=("new", "", "nobody")) == ["[new]", "[old]", "a-queued", "late", "b-done", "[]"]


def test_a_filter_leaves_out_runs_without_a_match_folded_or_not() -> None:
    assert listed(text="state:queued") == ["[old]", "a-queued", "late"]
    assert listed(text="state:queued", collapsed=("old", "new")) == ["[old]"]
    assert listed(text="nothing-like-it") == []


def test_tasks_of_no_run_need_no_heading_among_themselves() -> None:
    alone = fleet(task("a"), task("b", state="failed"))
    assert listed(of=alone) == ["b", "a"]
    assert listed(of=alone, collapsed=("",)) == ["b", "a"]
    assert listed(of=PLAN, text="alone") == ["alone"]
    assert rows(EMPTY, EVERYTHING, SORTS[0], frozenset(), NOW) == []


words = st.sampled_from(["queued", "running", "succeeded", "failed", "skipped", "odd"])
some = st.lists(
    st.tuples(words, st.sampled_from(["", "r1", "r2"]), st.sampled_from(["", "waiting", "idle"])), max_size=9
)


@given(some, st.sampled_from(SORTS), st.booleans(), st.sets(st.sampled_from(["", "r1", "r2"])))
def test_every_task_has_one_row_below_its_own_heading(
    made: list[tuple[str, str, str]], sort: Sort, reverse: bool, collapsed: set[str]
) -> None:
    many = fleet(*(task(f"t{at}", state=state, run=run, doing=doing) for at, (state, run, doing) in enumerate(made)))
    found = rows(many, EVERYTHING, Sort(sort.key, reverse), collapsed, NOW)
    headings = [row.run for row in found if row.task is None]
    assert len(set(headings)) == len(headings)
    shown = [row.task for row in found if row.task is not None]
    hidden = collapsed if headings else set()
    assert sorted(view.id for view in shown) == sorted(t.id for t in many.tasks.values() if t.run not in hidden)
    heading = ""
    for row in found:
        heading = row.run if row.task is None else heading
        assert row.task is None or row.task.run == row.run == heading


def test_ten_thousand_are_all_there() -> None:
    many = large(10_000)
    for sort in SORTS:
        found = rows(many, EVERYTHING, sort, frozenset(), NOW)
        assert len({row.task.id for row in found if row.task is not None}) == 10_000
        assert isinstance(found[0], Row)
