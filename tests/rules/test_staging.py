"""When a staging volume goes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lite.model.run import Run, RunSpec, RunState
from lite.model.staging import Volume
from lite.rules.staging import end_of

KEEP = 1000


def run(state: RunState, ended_at: int | None = 50) -> Run:
    return Run(RunSpec("r", "r"), 1, state, ended_at=ended_at)


@pytest.mark.parametrize(
    ("known", "end"),
    [
        (run(RunState.RUNNING, None), None),
        (run(RunState.FAILED, None), None),  # its end is not recorded yet
        (run(RunState.SUCCEEDED), (50, "succeeded")),
        (run(RunState.FAILED), (1050, "failed and kept")),
        (run(RunState.CANCELLED), (1050, "cancelled and kept")),
        (None, (1007, "orphan")),
    ],
)
def test_by_what_became_of_the_run(known: Run | None, end: tuple[int, str] | None) -> None:
    assert end_of(Volume("r", 7), known, KEEP) == end


@given(
    state=st.sampled_from(RunState), created=st.integers(0, 100), ended=st.integers(100, 200), keep=st.integers(0, 99)
)
def test_nothing_goes_before_its_run_has_ended(state: RunState, created: int, ended: int, keep: int) -> None:
    end = end_of(Volume("r", created), run(state, ended), keep)
    assert end is None if state is RunState.RUNNING else end is not None and end[0] >= ended
