"""Nothing goes on for ever: the limits of provider, agent and task end an attempt, and say which it was."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lite.executors.fake import Behaviour
from lite.model.settings import Agent
from lite.model.task import Task
from providers.base import Limits
from tests.engine.conftest import Make
from tests.support.agents import BOT, agent, said, with_agents
from tests.support.engines import Engine

DEFAULT = Limits(wall_ms=100_000, idle_ms=40_000, steps=3, retries=2)
STEP, RETRY, SPEAKS = said("tool_use", "Bash"), said("retry", "529 overloaded"), said("message", "hm")


def hangs(*lines: bytes, at: float = 1.0) -> Behaviour:
    return replace(agent(), prints=((0.0, said("init", session="c1")), (at, b"".join(lines))), hangs=True)


def talks(every: float, times: int) -> Behaviour:
    return replace(agent(), prints=tuple((every * at, SPEAKS) for at in range(times)), hangs=True)


async def ended(make: Make, behaviour: Behaviour, bot: Agent = BOT, **fields: int) -> tuple[Task, float]:
    """The failed row, and after how many seconds it was stopped."""
    engine: Engine = await make({"*": behaviour}, settings=with_agents(bot))
    provider = engine.context.providers.get("scripted")
    able = replace(provider.capabilities(), limits=DEFAULT)
    provider.capabilities = lambda: able  # type: ignore[method-assign]
    begun = engine.clock.now()
    await engine.submit("a", agent="bot", prompt="do it", command=(), **fields)

    async def stopped() -> bool:
        return any(verb == "stop" for verb, _, _ in engine.executor.calls)

    await engine.until(stopped, step=0.25)
    took = (engine.clock.now() - begun) / 1000
    await engine.until_states(a="failed")
    return await engine.task("a"), took


async def test_the_fourth_step_of_three_ends_it(make: Make) -> None:
    row, took = await ended(make, hangs(STEP, STEP, STEP, STEP))
    assert (row.reason, row.detail) == ("limit", "it took more than 3 steps")
    assert took < 40
    assert row.provider_session == "c1", "its conversation is kept"


async def test_repeating_the_same_call_ends_it_unless_it_gets_on_between(make: Make) -> None:
    row, _ = await ended(make, hangs(RETRY, RETRY, SPEAKS, RETRY, RETRY, RETRY))
    assert row.reason == "limit"
    assert row.detail == "it repeated its call to the model 3 times in a row; the limit is 2: 529 overloaded"


@pytest.mark.parametrize(
    ("bot", "fields", "seconds"),
    [
        (BOT, {}, 40),
        (replace(BOT, limits={"idle": 20_000}), {}, 20),
        (replace(BOT, limits={"idle": 20_000}), {"idle_timeout_ms": 30_000}, 30),
    ],
)
async def test_silence_ends_it(make: Make, bot: Agent, fields: dict[str, int], seconds: int) -> None:
    row, took = await ended(make, hangs(at=0.0), bot, **fields)
    assert row.reason == "idle-timeout"
    assert seconds <= took <= seconds + 9


@pytest.mark.parametrize(
    ("bot", "fields", "seconds"),
    [(BOT, {}, 100), (replace(BOT, limits={"wall": 60_000}), {}, 60), (BOT, {"timeout_ms": 80_000}, 80)],
)
async def test_time_ends_it_however_much_it_talks(make: Make, bot: Agent, fields: dict[str, int], seconds: int) -> None:
    row, took = await ended(make, talks(5.0, 100), bot, **fields)
    assert row.reason == "timeout"
    assert seconds <= took <= seconds + 9


async def test_what_is_lifted_does_not_hold(make: Make) -> None:
    lifted = replace(BOT, limits={"wall": 300_000, "idle": None, "steps": None, "retries": None})
    row, took = await ended(make, hangs(*[STEP] * 50, *[RETRY] * 50), lifted)
    assert row.reason == "timeout"
    assert took >= 300
