"""A supervisor that dies or stops, and the one after it."""

from __future__ import annotations

import pytest

from lite.executors.fake import Behaviour
from lite.model.task import Outcome, OutcomeKind, State
from providers.registry import Registry
from tests.engine.conftest import Make
from tests.support.agents import BOT, agent, said, with_agents
from tests.support.engines import Engine
from tests.support.history import check_all_ended, check_history


async def next_one(engine: Engine, make: Make) -> Engine:
    following = engine.again()
    make.made.append(following)  # type: ignore[attr-defined]
    return await following.start()


async def test_a_running_program_is_adopted_and_ends_once(make: Make) -> None:
    engine = await make({"a": Behaviour(seconds=30)})
    await engine.submit("a")
    await engine.until_started("a")
    await engine.crash()
    second = await next_one(engine, make)
    row = await second.task("a")
    assert (row.state, row.attempt, row.worker) == (State.RUNNING, 1, "w2")
    await second.until_states(a="succeeded")
    assert [verb for verb, _, _ in second.executor.calls].count("start") == 0
    assert await second.history("a") == [
        "task.submitted",
        "task.claimed",
        "task.started",
        "lease.lost",
        "task.succeeded",
    ]


async def test_an_end_while_nobody_looked_is_found(make: Make) -> None:
    engine = await make({"a": Behaviour(seconds=5, output="x")})
    await engine.submit("a")
    await engine.until_started("a")
    await engine.crash()
    await engine.clock.advance(60)
    second = await next_one(engine, make)
    await second.until_states(a="succeeded")
    assert ((await second.task("a")).attempt, (await second.task("a")).output) == (1, "x")


async def test_a_session_that_is_gone_is_a_fault_and_runs_again(make: Make) -> None:
    engine = await make({"a": [Behaviour(hangs=True, lost_on_recover=True), Behaviour()]})
    await engine.submit("a")
    await engine.until_started("a")
    await engine.crash()
    second = await next_one(engine, make)
    await second.until_states(a="succeeded")
    row = await second.task("a")
    assert (row.attempt, row.failures, row.faults) == (2, 0, 1)


async def test_a_timeout_counts_from_the_launch_across_supervisors(make: Make) -> None:
    engine = await make({"a": Behaviour(hangs=True)})
    begun = engine.clock.now()
    await engine.submit("a", timeout_ms=20_000)
    await engine.until_started("a")
    await engine.clock.advance(15)
    await engine.crash()
    second = await next_one(engine, make)
    await second.until_states(a="failed")
    assert 20_000 <= second.clock.now() - begun <= 22_000


async def test_a_cancel_asked_before_the_crash_is_carried_out_after_it(make: Make) -> None:
    engine = await make({"a": Behaviour(hangs=True)})
    task = await engine.submit("a")
    await engine.until_started("a")
    await engine.crash()
    await engine.context.backend.cancel(task.id, now=engine.clock.now())
    second = await next_one(engine, make)
    await second.until_states(a="cancelled")


async def test_down_queues_again_without_using_a_retry(make: Make) -> None:
    engine = await make({"a": Behaviour(hangs=True)})
    await engine.submit("a")
    await engine.until_started("a")
    backend = engine.context.backend
    for service in (engine.supervisor.registry.service, engine.supervisor.rescuer.service):
        await service.stop()
    from lite.engine.dispatcher import SHUTDOWN

    await engine.supervisor.dispatcher.drain(SHUTDOWN)
    (row,) = [await backend.get((await engine.task("a")).id)]
    assert (row.state, row.reason, row.attempt, row.failures, row.faults) == (State.QUEUED, "shutdown", 1, 0, 0)
    second = await next_one(engine, make)
    await second.until_started("a")
    assert (await second.task("a")).attempt == 2


async def test_elsewhere_only_an_expired_lease_is_taken_and_only_after_another_of_its_lengths(make: Make) -> None:
    """Several workers on one backend: silence alone condemns nobody."""
    first = await make({"a": Behaviour(hangs=True)}, alone=False)
    await first.submit("a")
    await first.until_started("a")
    begun = first.clock.now()
    second = Engine(
        first.context.backend,
        first.home.root,
        first.script,
        clock=first.clock,
        world=first.world,
        worker="w2",
        alone=False,
    )
    make.made.append(second)  # type: ignore[attr-defined]
    await second.start()
    for _ in range(60):
        await second.clock.advance(1)
        await second.settle()
    assert (await second.task("a")).worker == "w1", "its holder renews"
    await first.crash()
    dead = first.clock.now()

    async def taken() -> bool:
        return (await second.task("a")).worker == "w2"

    await second.until(taken, step=0.5)
    assert second.clock.now() - dead >= 2 * second.context.settings.lease_ms - second.context.settings.heartbeat_ms
    assert second.clock.now() > begun


async def test_many_deaths_and_every_attempt_has_one_outcome(make: Make) -> None:
    engine = await make({"*": Behaviour(seconds=1.5)})
    for at in range(12):
        await engine.submit(f"t{at}", lane=f"lane{at % 3}")
    for death in range(6):
        await engine.clock.advance(0.7)
        await engine.settle()
        await engine.crash()
        engine = engine.again(f"w{death + 2}")
        make.made.append(engine)  # type: ignore[attr-defined]
        await engine.start()
    await engine.until_states(**{f"t{at}": "succeeded" for at in range(12)})
    events = [
        {"cursor": one.cursor, "kind": one.kind.value, "task": one.task, "attempt": one.attempt}
        for one in await engine.events()
    ]
    check_history(events)
    check_all_ended(events)


@pytest.mark.parametrize(("code", "reason"), [(0, "no-result"), (3, "exit")])
async def test_what_nobody_can_read_any_more_is_no_success(make: Make, code: int, reason: str) -> None:
    outcome = Outcome(
        OutcomeKind.SUCCEEDED if code == 0 else OutcomeKind.FAILED, "" if code == 0 else "exit", exit_code=code
    )
    first = await make(
        {"*": agent(said("result", "done", ok=True), outcome=outcome, seconds=5)}, settings=with_agents(BOT)
    )
    await first.submit("a", agent="bot", prompt="do it", command=())
    await first.until_started("a")
    await first.crash()
    second = first.again()
    make.made.append(second)  # type: ignore[attr-defined]
    without = Registry()
    without.register("shell", second.context.providers.get("shell"))
    second.context.providers = without
    await second.start()
    await second.until_states(a="failed")
    row = await second.task("a")
    assert (row.reason, row.exit_code) == (reason, code)
