"""What an orchestrator does, what a worker does, and what each leaves to the other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

from lite.executors.fake import Behaviour
from lite.model.settings import Agent
from lite.model.task import State
from tests.engine.conftest import Build
from tests.support.engines import SETTINGS, Engine
from tests.support.machines import Machines

FLEETS = ("memory", "sqlite", "redis")

HANGS = Behaviour(hangs=True)


def parts(engine: Engine) -> set[str]:
    return {one.name for one in engine.supervisor.info().services}


async def pass_time(engine: Engine, seconds: float) -> None:
    for _ in range(int(seconds * 2)):
        await engine.settle()
        await engine.clock.advance(0.5)


async def test_each_role_runs_its_own_parts_and_says_which_it_is(fleet: Build) -> None:
    machines = fleet()
    everything = await machines.start("a", "all")
    orchestrator = await machines.start("o", "orchestrator")
    worker = await machines.start("w", "worker")
    assert parts(everything) == parts(orchestrator) | parts(worker)
    assert parts(orchestrator) - parts(worker) == {"route"}
    assert parts(worker) - parts(orchestrator) == {"dispatch", "health"}
    assert [one.supervisor.info().role for one in (everything, orchestrator, worker)] == [
        "all",
        "orchestrator",
        "worker",
    ]
    assert [one.id for one in await machines.backend.workers()] == ["a", "w"]


async def test_what_an_orchestrator_takes_in_a_worker_runs(fleet: Build) -> None:
    machines = fleet({"*": Behaviour(seconds=1)})
    orchestrator = await machines.start("o", "orchestrator")
    for at in range(4):
        await orchestrator.submit(f"t{at}")
    await pass_time(orchestrator, 20)
    assert set((await orchestrator.states()).values()) == {"queued"}
    worker = await machines.start("w", "worker")
    await worker.until_states(t0="succeeded", t1="succeeded", t2="succeeded", t3="succeeded")
    assert not orchestrator.executor.calls  # not even opened


async def test_without_an_orchestrator_nothing_is_placed(fleet: Build) -> None:
    machines = fleet()
    labelled = replace(SETTINGS, labels={"gpu": "1"})
    worker = await machines.start("w", "worker", settings=labelled)
    await worker.submit("a", selector={"gpu": "1"})
    await pass_time(worker, 20)
    assert (await worker.task("a")).state is State.QUEUED
    await machines.start("o", "orchestrator")
    await worker.until_states(a="succeeded")


async def test_a_worker_that_lacks_an_agent_does_not_route_others_work_again(fleet: Build) -> None:
    machines = fleet()
    with_dev = replace(SETTINGS, agents=SETTINGS.agents | {"dev": Agent("dev", "shell")})
    orchestrator = await machines.start("o", "orchestrator", settings=with_dev)
    task = await orchestrator.submit("a", agent="dev")
    narrow = replace(SETTINGS, slots=3)
    worker = await machines.start("w", "worker", load_settings=lambda: narrow)
    await worker.operations.reload()
    assert worker.context.settings is narrow
    row = await orchestrator.task("a")
    assert (row.id, row.state, row.reason, row.spec.agent) == (task.id, State.QUEUED, "", "dev")


async def test_an_agent_added_by_a_reload_is_served_at_once(fleet: Build) -> None:
    machines = fleet()
    with_dev = replace(SETTINGS, agents=SETTINGS.agents | {"dev": Agent("dev", "shell")})
    orchestrator = await machines.start("o", "orchestrator", settings=with_dev)
    worker = await machines.start("w", "worker", load_settings=lambda: with_dev)
    await orchestrator.submit("a", agent="dev")
    await pass_time(worker, 2)
    assert (await worker.task("a")).state is State.QUEUED
    await worker.operations.reload()
    await worker.until_states(a="succeeded")
    await worker.clock.advance(SETTINGS.heartbeat_ms / 1000)
    await worker.settle()
    (row,) = await machines.backend.workers()
    assert "dev" in row.agents  # the fleet was told as well


async def test_agents_added_by_a_reload_are_waited_for_though_nothing_of_theirs_is_there_yet(fleet: Build) -> None:
    machines = fleet()
    offer(machines, always=False)
    asked = watch_offers(machines)
    with_dev = replace(SETTINGS, agents=SETTINGS.agents | {"dev": Agent("dev", "shell")})
    worker = await machines.start("w", "worker", load_settings=lambda: with_dev)
    await pass_time(worker, 1)
    await worker.operations.reload()
    await pass_time(worker, 1)
    assert asked == [set(SETTINGS.agents), set(with_dev.agents)]


async def test_a_full_worker_waits_for_no_offers(fleet: Build) -> None:
    machines = fleet({"*": HANGS}, replace(SETTINGS, slots=1))
    waiting = count_waits(machines)
    worker = await machines.start("w", "worker")

    async def waits() -> bool:
        return waiting == {"w"}

    async def does_not_wait() -> bool:
        return not waiting

    await worker.until(waits)
    blocker = await worker.submit("a")
    await worker.until_started("a")
    await worker.until(does_not_wait)
    await worker.operations.cancel(blocker.id)
    await worker.until_states(a="cancelled")
    await worker.until(waits)


async def test_a_cordoned_worker_claims_nothing_and_goes_on_at_once_when_it_may(fleet: Build) -> None:
    machines = fleet()
    worker = await machines.start("w", "worker")
    await machines.backend.cordon("w", True, now=worker.clock.now())
    await worker.submit("a")
    await pass_time(worker, 20)
    assert (await worker.task("a")).state is State.QUEUED
    begun = worker.clock.now()
    await machines.backend.cordon("w", False, now=begun)
    await worker.until_states(a="succeeded")
    assert worker.clock.now() - begun <= 500


async def test_forgotten_and_registered_again_it_begins_its_wait_anew(fleet: Build) -> None:
    """What a backend was asked by a worker it did not know is not answered."""
    machines = fleet()
    offer(machines, always=False)
    asked = watch_offers(machines)
    worker = await machines.start("w", "worker")
    await pass_time(worker, 1)
    await machines.backend.deregister("w", now=worker.clock.now())
    worker.supervisor.dispatcher.wake()
    await pass_time(worker, 1)
    assert len(asked) == 1
    await pass_time(worker, SETTINGS.heartbeat_ms / 1000 + 1)
    assert len(asked) == 2


async def test_offers_nobody_can_take_are_not_passed_round_at_full_speed(fleet: Build) -> None:
    machines = fleet()
    said = trace(machines)
    await machines.start("o", "orchestrator")
    stop_offering = offer(machines, always=True)
    worker = await machines.start("w", "worker")
    await pass_time(worker, 2)
    assert 5 <= len(said) <= 2 / 0.05 + 5
    stop_offering()
    await pass_time(worker, 1)
    begun = worker.clock.now()
    await machines.engines["o"].submit("a")
    await worker.until_states(a="succeeded", step=0.01)
    assert worker.clock.now() - begun <= 200  # nor does it sleep through what comes then


async def test_after_a_wait_that_was_given_up_a_claim_passes_on_what_was_offered(fleet: Build) -> None:
    """Offers are handed to one of many; who gives up waiting may just have been handed one."""
    machines = fleet({"*": HANGS}, replace(SETTINGS, slots=2))
    offer(machines, always=False)
    said = trace(machines)
    worker = await machines.start("w", "worker")
    await worker.submit("a")  # said in this process: it is claimed while the wait goes on
    await worker.until_started("a")
    assert "gave up" not in said
    said.clear()
    await worker.submit("b")
    await worker.until_started("b")
    assert said == ["claimed for 1", "gave up", "claimed for 0"]


async def test_who_stops_passes_on_what_it_may_have_been_offered(fleet: Build) -> None:
    machines = fleet()
    said = trace(machines)
    worker = await machines.start("w", "worker")
    await worker.settle()
    said.clear()
    await worker.supervisor.stop(keep_sessions=True)
    assert said == ["gave up", "claimed for 0"]
    assert not await machines.backend.workers()


def watch_offers(machines: Machines) -> list[set[str]]:
    real = machines.backend.offered
    asked: list[set[str]] = []

    async def offered(worker: str, agents: frozenset[str]) -> None:
        asked.append(set(agents))
        await real(worker, agents)

    machines.backend.offered = offered  # type: ignore[method-assign, assignment]
    return asked


def count_waits(machines: Machines) -> set[str]:
    """The workers that wait; two waits of one at a time are an error."""
    real = machines.backend.offered
    waiting: set[str] = set()

    async def offered(worker: str, agents: frozenset[str]) -> None:
        assert worker not in waiting
        waiting.add(worker)
        try:
            await real(worker, agents)
        finally:
            waiting.discard(worker)

    machines.backend.offered = offered  # type: ignore[method-assign, assignment]
    return waiting


def offer(machines: Machines, *, always: bool) -> Callable[[], None]:
    """Something is offered all the time, or nothing ever; until the returned function is called."""
    real = machines.backend.offered
    as_ever = False

    async def offered(worker: str, agents: frozenset[str]) -> None:
        if as_ever:
            await real(worker, agents)
        elif not always:
            await asyncio.Event().wait()

    def stop() -> None:
        nonlocal as_ever
        as_ever = True

    machines.backend.offered = offered  # type: ignore[method-assign, assignment]
    return stop


def trace(machines: Machines) -> list[str]:
    said: list[str] = []
    real_offered, real_claim = machines.backend.offered, machines.backend.claim

    async def offered(worker: str, agents: frozenset[str]) -> None:
        try:
            await real_offered(worker, agents)
        except BaseException:
            said.append("gave up")
            raise

    async def claim(request: object, **fields: object) -> object:
        said.append(f"claimed for {request.limit}")  # type: ignore[attr-defined]
        return await real_claim(request, **fields)  # type: ignore[arg-type]

    machines.backend.offered, machines.backend.claim = offered, claim  # type: ignore[method-assign, assignment]
    return said
