"""Sessions that are not bound to a machine: when a worker is gone, another one goes on with them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from lite.errors import ExecutorUnavailable
from lite.executors.fake import Behaviour, FakeExecutor, World
from lite.model.session import ExecutorCapabilities
from lite.model.task import State
from tests.engine.conftest import Build, Make
from tests.engine.test_dead_members import LEASE, check, pass_time, started_on
from tests.support.machines import Machines

LONG = Behaviour(seconds=300)


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs run elsewhere, and whoever kept them there is gone with the worker."""

    async def keep(_self: FakeExecutor, _handle: str, _ttl_ms: int) -> None:
        pass

    able = ExecutorCapabilities(terminal=True, recover=True, adopt=True)
    monkeypatch.setattr(FakeExecutor, "keep", keep)
    monkeypatch.setattr(FakeExecutor, "capabilities", lambda _self: able)


def over_one_world(fleet: Build, script: dict[str, Any]) -> Machines:
    machines = fleet(script)
    world = World(machines.clock)
    machines.worlds |= dict.fromkeys(("o", "w1", "w2", "w3"), world)
    return machines


def verbs(machines: Machines, name: str) -> list[str]:
    return [verb for verb, _, _ in machines.engines[name].executor.calls]


@pytest.mark.usefixtures("cluster")
async def test_exactly_one_of_the_other_workers_goes_on_with_it(fleet: Build) -> None:
    machines = over_one_world(fleet, {"a": LONG})
    orchestrator = await machines.start("o", "orchestrator")
    await started_on(machines, "w1")
    await machines.start("w2", "worker")
    await machines.start("w3", "worker")
    await machines.kill("w1")

    async def taken() -> bool:
        return (await orchestrator.task("a")).worker in ("w2", "w3")

    await orchestrator.until(taken)
    row = await orchestrator.task("a")
    assert (row.state, row.attempt) == (State.RUNNING, 1)
    await orchestrator.until_states(a="succeeded", step=0.5)
    assert [verbs(machines, name).count("recover") for name in ("w2", "w3")].count(1) == 1
    assert verbs(machines, "w2").count("start") == verbs(machines, "w3").count("start") == 0
    row = await orchestrator.task("a")
    assert (row.attempt, row.faults) == (1, 0)
    assert orchestrator.supervisor.rescuer.rescued == 0
    await check(orchestrator)


@pytest.mark.usefixtures("cluster")
async def test_a_worker_that_is_alive_keeps_its_own(fleet: Build) -> None:
    machines = over_one_world(fleet, {"a": LONG})
    orchestrator = await machines.start("o", "orchestrator")
    await started_on(machines, "w1")
    await machines.start("w2", "worker")
    await pass_time(orchestrator, 4 * LEASE)
    assert (await orchestrator.task("a")).worker == "w1"
    assert "recover" not in verbs(machines, "w2")


@pytest.mark.usefixtures("cluster")
async def test_where_nobody_may_go_on_with_it_the_orchestrator_queues_it_again_as_soon_as_ever(fleet: Build) -> None:
    machines = over_one_world(fleet, {"a": LONG})
    orchestrator = await machines.start("o", "orchestrator")
    await started_on(machines, "w1")
    await machines.start("w2", "worker")
    await orchestrator.context.backend.cordon("w2", True, now=orchestrator.clock.now())
    await machines.kill("w1")
    await orchestrator.until(lambda: orchestrator.has("a", faults=1))
    assert "recover" not in verbs(machines, "w2")


@pytest.mark.usefixtures("cluster")
async def test_a_worker_that_could_and_does_not_is_waited_for_and_not_for_ever(fleet: Build) -> None:
    machines = over_one_world(fleet, {"a": LONG})
    orchestrator = await machines.start("o", "orchestrator")
    await started_on(machines, "w1")
    second = await machines.start("w2", "worker")
    await second.supervisor.rescuer.service.stop()
    await machines.kill("w1")
    await pass_time(orchestrator, 3 * LEASE)
    assert (await orchestrator.task("a")).worker == "w1"
    await orchestrator.until(lambda: orchestrator.has("a", faults=1))
    assert orchestrator.supervisor.rescuer.rescued == 1


async def test_who_cannot_be_asked_what_became_of_it_is_asked_again(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = await make({"a": LONG})
    await engine.submit("a")
    await engine.until_started("a")
    await engine.crash()
    second = engine.again()
    make.made.append(second)  # type: ignore[attr-defined]
    real, asked, away = second.executor.recover, asyncio.Event(), True

    async def recover(handle: str, token: int) -> None:
        asked.set()
        if away:
            raise ExecutorUnavailable("no answer")
        await real(handle, token)

    monkeypatch.setattr(second.executor, "recover", recover)
    await second.start()
    await second.settle()
    await second.clock.advance(4 * LEASE)
    await second.settle()
    assert asked.is_set()
    row = await second.task("a")
    assert (row.state, row.attempt, row.faults) == (State.RUNNING, 1, 0)
    away = False
    await second.until_states(a="succeeded", step=0.5)
    row = await second.task("a")
    assert (row.attempt, row.faults) == (1, 0)
