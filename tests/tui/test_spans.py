"""Ages tick coarser as they grow, and say when they tick."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui import spans

S, M, H, D = spans.SECOND, spans.MINUTE, spans.HOUR, spans.DAY


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (-5 * S, "0s"),
        (0, "0s"),
        (59_999, "59s"),
        (M, "1m"),
        (H - 1, "59m"),
        (3 * H + 5 * M, "3h05m"),
        (10 * H + 59 * M, "10h"),
        (2 * D, "2d"),
        (10**18, "9999d"),
    ],
)
def test_ages_read_as_people_say_them(ms: int, text: str) -> None:
    assert spans.age(ms) == text


@pytest.mark.parametrize(
    ("ms", "text"),
    [(0, "0ms"), (840, "840ms"), (4_290, "4.2s"), (42_000, "42s"), (192_000, "3m12s"), (11_100_000, "3h05m")],
)
def test_durations_are_finer_than_ages(ms: int, text: str) -> None:
    assert spans.duration(ms) == text


@given(st.integers(-D, 20 * D))
def test_an_age_changes_exactly_when_it_says_and_not_before(ms: int) -> None:
    wait = spans.changes_in(ms)
    assert wait >= 1
    assert spans.age(ms + wait) != spans.age(ms)
    assert spans.age(ms + wait - 1) == spans.age(ms)


@given(st.integers(0, 100 * D))
def test_an_age_fits_its_column(ms: int) -> None:
    assert len(spans.age(ms)) <= spans.WIDEST
    assert len(spans.duration(ms)) <= spans.WIDEST + 1


@given(st.integers(1, 9 * H))
def test_the_time_left_is_never_nothing_and_changes_when_it_says(ms: int) -> None:
    assert spans.ahead(ms) != "0s"
    wait = spans.ahead_changes_in(ms)
    assert wait is not None
    assert spans.ahead(ms - wait + 1) == spans.ahead(ms)
    assert spans.ahead(ms - wait) != spans.ahead(ms)


def test_many_old_ages_are_redrawn_together() -> None:
    now = 1_700_000_000_000
    at = {spans.due(now - 3 * M - offset, now) for offset in range(0, M, 777)}
    assert len(at) <= M // spans.GRID + 1
    assert all(each % spans.GRID == 0 and each > now for each in at)


def test_young_ages_are_redrawn_at_their_second() -> None:
    assert spans.due(1_000, 4_300) == 5_000


def test_the_soonest_of_what_there_is() -> None:
    assert spans.soonest(None, 7, None, 3) == 3
    assert spans.soonest(None) is None
