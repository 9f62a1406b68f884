"""What may go better later is parked, durably and free of charge, and goes on with its conversation."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lite.errors import NotFound
from lite.model.settings import Agent
from lite.model.task import State
from tests.engine.conftest import Make
from tests.support.agents import BOT, badly, well, with_agents
from tests.support.engines import Engine

SETTINGS = with_agents(BOT)
HOUR = 3_600_000


def resumes(engine: Engine) -> list[str]:
    """The conversation each attempt was told to go on with; "": a new one."""
    found: list[str] = []
    for argv in engine.launched:
        found.append(argv[argv.index("--resume") + 1] if "--resume" in argv else "")
    return found


async def test_a_usage_limit_parks_until_its_time_and_goes_on_with_the_conversation(make: Make) -> None:
    engine = await make({"*": [badly("usage-limit", "limit reached", after_ms=2 * HOUR), well()]}, settings=SETTINGS)
    begun = engine.clock.now()
    task = await engine.submit("a", agent="bot", prompt="do it", command=(), retries=0)
    await engine.until(lambda: engine.has("a", reason="parked"))
    row = await engine.task("a")
    assert (row.state, row.failures, row.faults, row.provider_session) == (State.QUEUED, 0, 0, "c1")
    assert abs(row.run_at - begun - 2 * HOUR) < 10_000
    explained = await engine.operations.explain(task.id)
    assert explained.code == "parked"
    assert "usage-limit: limit reached" in explained.summary
    await engine.until_states(a="succeeded", step=60.0)
    assert engine.clock.now() >= row.run_at
    row = await engine.task("a")
    assert (row.attempt, row.failures, row.faults) == (2, 0, 0)
    assert resumes(engine) == ["", "c1"]


async def test_parked_outlives_the_supervisor(make: Make) -> None:
    engine = await make({"*": [badly("usage-limit", after_ms=2 * HOUR), well()]}, settings=SETTINGS)
    await engine.submit("a", agent="bot", prompt="do it", command=())
    await engine.until(lambda: engine.has("a", reason="parked"))
    await engine.crash()
    second = engine.again()
    make.made.append(second)  # type: ignore[attr-defined]
    await second.start()
    await second.clock.advance(HOUR / 1000)
    assert (await second.task("a")).attempt == 1
    await second.until_states(a="succeeded", step=60.0)
    assert resumes(second) == ["c1"]


async def test_a_long_row_of_parkings_uses_up_nothing_and_is_told(make: Make) -> None:
    parked = badly("rate-limit", "slow down", after_ms=30_000, infrastructure=True)
    engine = await make({"*": [*([parked] * 15), well()]}, settings=SETTINGS)
    task = await engine.submit("a", agent="bot", prompt="do it", command=(), retries=0)

    async def often() -> bool:
        row = await engine.task("a")
        return row.attempt == 15 and row.reason == "parked"

    await engine.until(often, step=5.0)
    facts = (await engine.operations.explain(task.id)).facts
    assert "parked 15 times in a row, which costs it neither retries nor faults" in facts
    await engine.until_states(a="succeeded", step=5.0)
    row = await engine.task("a")
    assert (row.attempt, row.failures, row.faults) == (16, 0, 0)


LOGIN = badly("not-logged-in", "Please run /login", session="", account=True)
OTHER = Agent("other", "scripted", mode="headless", account="other")


async def held(engine: Engine, name: str) -> bool:
    found = await engine.operations.explain((await engine.task(name)).id)
    return found.code == "held"


async def test_who_is_not_logged_in_holds_the_account_with_one_reason_until_somebody_acts(make: Make) -> None:
    second = replace(BOT, name="second")
    engine = await make({"*": [LOGIN, well()]}, settings=with_agents(BOT, second, OTHER))
    await engine.submit("a", agent="bot", prompt="do it", command=(), retries=0)
    await engine.until(lambda: held(engine, "a"))
    await engine.submit("b", agent="second", prompt="do it", command=())
    await engine.submit("c", agent="other", prompt="do it", command=())
    await engine.submit("d")
    await engine.until_states(d="succeeded")
    await engine.clock.advance(3600)
    rows = {name: await engine.task(name) for name in "abc"}
    assert (rows["a"].state, rows["a"].reason, rows["a"].attempt) == (State.QUEUED, "held", 1)
    assert (rows["b"].state, rows["b"].attempt) == (State.QUEUED, 0), "it has the same account"
    assert rows["c"].attempt >= 1, "it has another"
    explained = await engine.operations.explain(rows["b"].id)
    node = engine.context.node
    assert f'is held: account scripted: not logged in on {node} ("Please run /login")' in explained.summary
    assert explained.hint == "qd agents release scripted"
    hold = await engine.operations.release("second")
    assert hold.account == "scripted"
    await engine.until(lambda: ran(engine, "a", "b"))
    with pytest.raises(NotFound):
        await engine.operations.release("scripted")


async def ran(engine: Engine, *names: str) -> bool:
    rows = [await engine.task(name) for name in names]
    return all(row.attempt >= 1 and row.reason != "held" for row in rows) and (await engine.task("a")).attempt == 2


async def test_one_usage_limit_stops_the_others_of_its_account_until_its_time(make: Make) -> None:
    limit = badly("usage-limit", "5-hour limit", after_ms=2 * HOUR, account=True)
    engine = await make({"*": [limit, well()]}, settings=with_agents(BOT))
    begun = engine.clock.now()
    await engine.submit("a", agent="bot", prompt="do it", command=())
    await engine.until(lambda: engine.has("a", reason="parked"))
    await engine.submit("b", agent="bot", prompt="do it", command=())
    await engine.clock.advance(HOUR / 1000)
    assert (await engine.task("b")).attempt == 0
    assert await held(engine, "b")
    await engine.until(lambda: engine.has("b", attempt=1), step=60.0)
    assert engine.clock.now() >= begun + 2 * HOUR


async def test_a_hold_outlives_the_supervisor_and_a_release_too(make: Make) -> None:
    engine = await make({"*": [LOGIN, well()]}, settings=with_agents(BOT))
    await engine.submit("a", agent="bot", prompt="do it", command=())
    await engine.until(lambda: held(engine, "a"))
    await engine.crash()
    second = engine.again()
    make.made.append(second)  # type: ignore[attr-defined]
    await second.start()
    await second.clock.advance(100)
    assert (await second.task("a")).attempt == 1
    assert await held(second, "a")
    await second.operations.release("scripted")
    await second.until_states(a="succeeded")
    await second.crash()
    third = second.again("w3")
    make.made.append(third)  # type: ignore[attr-defined]
    await third.start()
    assert third.context.gate.holds(third.clock.now()) == []


async def test_without_the_gate_it_is_a_failure_and_holds_nobody(make: Make) -> None:
    engine = await make({"*": LOGIN}, settings=with_agents(replace(BOT, gate=False)))
    await engine.submit("a", agent="bot", prompt="do it", command=(), retries=0)
    await engine.until_states(a="failed")
    assert (await engine.task("a")).reason == "not-logged-in"
    assert engine.context.gate.holds(engine.clock.now()) == []
