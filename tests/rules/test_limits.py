"""Which limits hold, and when one is reached."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from lite.rules.limits import Count, limits_for
from providers.base import AgentEvent, EventKind, Limits
from tests.rules.making import spec

DEFAULT = Limits(wall_ms=100, idle_ms=10, steps=5, retries=2)


def test_the_task_speaks_before_its_agent_and_that_before_its_provider() -> None:
    assert limits_for(spec(), {}, DEFAULT, structured=True) == DEFAULT
    given_ = {"wall": 50, "steps": None}
    assert limits_for(spec(), given_, DEFAULT, structured=True) == replace(DEFAULT, wall_ms=50, steps=None)
    asked = spec(timeout_ms=7, idle_timeout_ms=3)
    assert limits_for(asked, {"wall": 50, "idle": None}, DEFAULT, structured=True) == replace(
        DEFAULT, wall_ms=7, idle_ms=3
    )


def test_a_persons_terminal_has_only_the_limits_that_were_asked_for() -> None:
    assert limits_for(spec(), {}, DEFAULT, structured=False) == Limits()
    assert limits_for(spec(), {"wall": 50}, DEFAULT, structured=False) == Limits(wall_ms=50)


kinds = st.sampled_from(list(EventKind))


@given(st.lists(kinds, max_size=40), st.integers(1, 5), st.integers(1, 5))
def test_a_limit_is_reached_exactly_when_it_is(seen: list[EventKind], steps: int, retries: int) -> None:
    count = Count(Limits(steps=steps, retries=retries))
    progress = {"message", "delta", "thinking", "tool_use", "tool_result", "result"}
    for at, kind in enumerate(seen):
        broken = count.over(AgentEvent(kind))
        row = 0
        for one in reversed(seen[: at + 1]):
            if one in progress:
                break
            row += one is EventKind.RETRY
        too_often = kind is EventKind.RETRY and row > retries
        too_far = kind is EventKind.TOOL_USE and seen[: at + 1].count(EventKind.TOOL_USE) > steps
        assert bool(broken) == (too_often or too_far)


def test_without_limits_nothing_is_reached() -> None:
    count = Count(Limits())
    assert not any(count.over(AgentEvent(kind)) for kind in (EventKind.RETRY, EventKind.TOOL_USE) * 1000)
