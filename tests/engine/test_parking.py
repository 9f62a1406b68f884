"""What may go better later is parked, durably and free of charge, and goes on with its conversation."""

from __future__ import annotations

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
