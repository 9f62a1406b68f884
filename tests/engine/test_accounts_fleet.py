"""A login is there on one machine or another; limits are those of the account, on all of them."""

from __future__ import annotations

from dataclasses import replace

from lite.model.event import EventKind
from lite.model.task import State
from tests.engine.conftest import Build
from tests.support.agents import BOT, badly, well, with_agents
from tests.support.engines import Engine
from tests.support.machines import Machines

FLEETS = ("memory", "sqlite", "redis")
LOGIN = badly("not-logged-in", "run /login", session="", account=True)
LIMIT = badly("usage-limit", "weekly limit", after_ms=24 * 3_600_000, account=True)


async def later(machines: Machines, engine: Engine, seconds: int = 50) -> None:
    for _ in range(seconds):
        await engine.settle()
        await machines.clock.advance(1)


async def test_who_is_not_logged_in_leaves_the_work_to_others(fleet: Build) -> None:
    machines = fleet({"*": LOGIN}, with_agents(BOT))
    one = await machines.start("w1", "all")
    await one.submit("a", agent="bot", prompt="do it", command=(), retries=0)
    await one.until(lambda: held(one, "a"))
    assert (await explained(one, "a")).startswith(
        'a is held: account scripted: not logged in on node-w1 ("run /login")'
    )
    await later(machines, one)
    assert (await one.task("a")).attempt == 1, "nobody else is there"
    machines.script = {"*": well()}
    two = await machines.start("w2", "worker")
    await one.until_states(a="succeeded")
    await one.submit("b", agent="bot", prompt="do it", command=(), retries=0)
    await one.until_states(b="succeeded")
    assert [(row.attempt, row.failures) for row in (await one.task("a"), await one.task("b"))] == [(2, 0), (1, 0)]
    assert [await claimed(one, name) for name in "ab"] == [["w1", "w2"], ["w2"]]
    held_on = [hold.node for hold in two.context.gate.holds(two.clock.now())]
    assert held_on == ["node-w1"], "its login is still not there"


async def test_a_task_that_was_placed_there_goes_elsewhere(fleet: Build) -> None:
    machines = fleet({"*": LOGIN}, with_agents(BOT))
    labelled = replace(with_agents(BOT), labels={"gpu": "yes"})
    one = await machines.start("w1", "all", settings=labelled)
    wanted = {"agent": "bot", "prompt": "do it", "command": (), "selector": {"gpu": "yes"}}
    await one.submit("a", **wanted)
    await one.until(lambda: held(one, "a"))
    await later(machines, one)
    machines.script = {"*": well()}
    await machines.start("w2", "worker", settings=labelled)
    await one.until_states(a="succeeded")
    await one.submit("b", **wanted)
    await one.until_states(b="succeeded")
    assert [await claimed(one, name) for name in "ab"] == [["w1", "w2"], ["w2"]]


async def test_a_limit_stops_all_machines(fleet: Build) -> None:
    machines = fleet({"*": LIMIT}, with_agents(BOT))
    one = await machines.start("w1", "all")
    await one.submit("a", agent="bot", prompt="do it", command=())
    await one.until(lambda: one.has("a", reason="parked"))
    machines.script = {"*": well()}
    two = await machines.start("w2", "worker")
    await one.submit("b", agent="bot", prompt="do it", command=())
    await later(machines, one)
    assert [(await one.task(name)).attempt for name in "ab"] == [1, 0]
    assert (await explained(two, "b")).startswith('b is held: account scripted: usage limit ("weekly limit")')


async def test_where_nobody_is_logged_in_a_release_anywhere_frees_all(fleet: Build) -> None:
    machines = fleet({"*": [LOGIN, LOGIN, well()]}, with_agents(BOT))
    orchestrator = await machines.start("o", "orchestrator")
    one, two = await machines.start("w1", "worker"), await machines.start("w2", "worker")
    await one.submit("a", agent="bot", prompt="do it", command=(), retries=0)
    everybody = (orchestrator, one, two)

    async def heard() -> bool:
        return all(len(engine.context.gate.holds(engine.clock.now())) == 2 for engine in everybody)

    await one.until(heard)
    await two.submit("b", agent="bot", prompt="do it", command=())
    await later(machines, one)
    rows = [await one.task(name) for name in "ab"]
    assert [(row.state, row.attempt) for row in rows] == [(State.QUEUED, 2), (State.QUEUED, 0)]
    for engine in everybody:
        told = await explained(engine, "b")
        assert told.startswith("b is held: account scripted: not logged in on node-w")
        assert "node-w1" in told
        assert "node-w2" in told
    await orchestrator.operations.release("bot")
    assert orchestrator.context.gate.holds(orchestrator.clock.now()) == []

    async def tried() -> bool:
        return (await one.task("a")).attempt == 3 and (await one.task("b")).attempt >= 1

    await one.until(tried)


async def claimed(engine: Engine, name: str) -> list[str]:
    """By whom, in order."""
    events = await engine.context.backend.events(task=(await engine.task(name)).id)
    return [event.worker for event in events if event.kind is EventKind.TASK_CLAIMED]


async def held(engine: Engine, name: str) -> bool:
    return " is held: " in await explained(engine, name)


async def explained(engine: Engine, name: str) -> str:
    return (await engine.operations.explain((await engine.task(name)).id)).summary
