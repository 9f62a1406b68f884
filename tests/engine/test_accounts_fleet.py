"""An account is held for the whole fleet, and released for the whole of it."""

from __future__ import annotations

from lite.model.task import State
from tests.engine.conftest import Build
from tests.support.agents import BOT, badly, well, with_agents
from tests.support.engines import Engine

FLEETS = ("memory", "sqlite", "redis")
LOGIN = badly("not-logged-in", "run /login", session="", account=True)


async def test_what_one_worker_finds_out_stops_the_others_and_a_release_anywhere_frees_all(fleet: Build) -> None:
    machines = fleet({"*": [LOGIN, well()]}, with_agents(BOT))
    orchestrator = await machines.start("o", "orchestrator")
    one, two = await machines.start("w1", "worker"), await machines.start("w2", "worker")
    await one.submit("a", agent="bot", prompt="do it", command=())
    everybody = (orchestrator, one, two)

    async def heard() -> bool:
        return all(engine.context.gate.holds(engine.clock.now()) for engine in everybody)

    await one.until(heard)
    await two.submit("b", agent="bot", prompt="do it", command=())
    for _ in range(50):
        await one.settle()
        await machines.clock.advance(1)
    rows = [await one.task(name) for name in "ab"]
    assert [(row.state, row.attempt) for row in rows] == [(State.QUEUED, 1), (State.QUEUED, 0)]
    for engine in everybody:
        assert (await explained(engine, "b")).startswith("b is held: account scripted: not logged in")
    await orchestrator.operations.release("bot")

    async def tried() -> bool:
        return (await one.task("a")).attempt == 2 and (await one.task("b")).attempt == 1

    await one.until(tried)


async def explained(engine: Engine, name: str) -> str:
    return (await engine.operations.explain((await engine.task(name)).id)).summary
