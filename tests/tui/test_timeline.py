"""A run's attempts over time, as the event log tells them."""

from __future__ import annotations

import itertools
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.support.dashboards import NOW, event_json, task
from tui.timeline import History, Scale, fitting, tracks

S = 1000


def log(*told: tuple[int, str, str, int]) -> list[Any]:
    """(seconds, kind, task, attempt)"""
    return [
        event_json(cursor, kind, each, at=NOW + seconds * S, attempt=attempt, worker="w1")
        for cursor, (seconds, kind, each, attempt) in enumerate(told, 1)
    ]


LIFE = log(
    (0, "task.submitted", "a", 0),
    (1, "task.claimed", "a", 1),
    (2, "task.started", "a", 1),
    (5, "task.retrying", "a", 1),
    (8, "task.claimed", "a", 2),
    (9, "task.started", "a", 2),
    (10, "session.waiting", "a", 0),
    (14, "session.answered", "a", 0),
    (15, "session.waiting", "a", 0),
    (20, "task.succeeded", "a", 2),
)


def test_each_attempt_is_one_bar_with_its_times() -> None:
    history = History()
    history.take(LIFE)
    first, second = history.attempts.values()
    assert (first.outcome, first.claimed_at, first.ended_at) == ("retrying", NOW + S, NOW + 5 * S)
    assert (second.outcome, second.started_at) == ("succeeded", NOW + 9 * S)
    assert second.asked == ((NOW + 10 * S, NOW + 14 * S), (NOW + 15 * S, NOW + 20 * S))


@given(st.lists(st.integers(0, len(LIFE)), max_size=5))
def test_pages_and_repetition_change_nothing(cuts: list[int]) -> None:
    whole, paged = History(), History()
    whole.take(LIFE)
    for cut in [*sorted(cuts), len(LIFE)]:
        paged.take(LIFE[:cut])
    assert paged.attempts == whole.attempts


def test_what_the_log_does_not_begin_is_passed_over() -> None:
    history = History()
    history.take(log((1, "task.started", "x", 1), (2, "session.answered", "x", 0), (3, "task.succeeded", "x", 1)))
    assert history.attempts == {}


@given(st.integers(1, 10**9), st.integers(1, 300))
def test_a_run_fits_its_width_and_ticks_stand_apart(length: int, width: int) -> None:
    ended = task("a", state="succeeded", created_at=NOW, started_at=NOW, ended_at=NOW + length)
    scale = fitting([ended], NOW + length + 5, width)
    assert scale.x(NOW) == 0
    assert scale.x(NOW + length) <= max(1, width - 1)
    columns = [x for x, _ in scale.ticks(width)]
    assert columns[0] == 0
    assert all(after - before >= 10 for before, after in itertools.pairwise(columns))


def test_lanes_share_a_line_and_a_short_attempt_is_still_seen() -> None:
    history = History()
    history.take(LIFE)
    known = [
        task("a", lane="web", state="succeeded", created_at=NOW),
        task("b", lane="web", created_at=NOW),
        task("c", created_at=NOW),
    ]
    found = tracks(known, history, Scale(NOW, 60 * S), NOW + 120 * S)
    assert [(track.label, track.lane) for track in found] == [("web", "web"), ("c", "")]
    assert [bar.width for bar in found[0].bars] == [1, 1]
    assert found[1].waits == ((0, 2),)  # submitted, and nothing runs it


def test_the_columns_in_which_it_asked_are_marked() -> None:
    history = History()
    history.take(LIFE)
    (track,) = tracks([task("a", created_at=NOW)], history, Scale(NOW, S), NOW + 30 * S)
    assert track.bars[1].asked == frozenset({10, 11, 12, 13, *range(15, 20)})
