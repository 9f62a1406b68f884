"""A worker that loses its lease stops what runs under it, dead, paused or cut off as it may be; alone it never does."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import Any, NamedTuple

import pytest

from lite.engine.runner import Runner
from lite.errors import BackendError, HandleGone
from lite.executors.fake import Behaviour
from lite.model.session import Activity, Status
from lite.model.task import State, Task
from tests.engine.conftest import Build, Make
from tests.support.engines import SETTINGS, Engine
from tests.support.machines import Machines

HANGS = Behaviour(hangs=True)
LEASE = SETTINGS.lease_ms / 1000
BEAT = SETTINGS.heartbeat_ms / 1000


async def pass_time(engine: Engine, seconds: float, step: float = 0.25) -> None:
    """`engine` must not be cut off: the backend takes part."""
    for _ in range(round(seconds / step)):
        await engine.settle()
        await engine.clock.advance(step)
    await engine.settle()


async def running(machines: Machines) -> tuple[Engine, Task]:
    """A worker over a line of its own, on which task a runs."""
    worker = await machines.start("w1", "worker", line=True)
    await worker.submit("a")
    await worker.until_started("a")
    return worker, await worker.task("a")


def runner_of(engine: Engine) -> Runner:
    (runner,) = engine.supervisor.sessions.all()
    return runner


class Kept(NamedTuple):
    seconds: float  # asked for
    spare: float  # s by which the lease outlasts it, as the backend knows it
    runs: bool  # it was let go already


def note_kept(engine: Engine) -> list[Kept]:
    """What `keep` is asked for from now on."""
    kept: list[Kept] = []
    real = engine.executor.keep

    async def keep(handle: str, ttl_ms: int) -> None:
        until = engine.clock.now() + ttl_ms
        row = await engine.context.backend.get(handle.removeprefix("1:").rpartition("-")[0])
        assert row.lease is not None
        kept.append(Kept(ttl_ms / 1000, (row.lease.expires_at - until) / 1000, handle in engine.world.sessions))
        await real(handle, ttl_ms)

    engine.executor.keep = keep  # type: ignore[method-assign]
    return kept


async def test_a_session_is_kept_from_before_it_is_let_go_and_never_beyond_its_lease(fleet: Build) -> None:
    machines = fleet({"a": HANGS})
    worker = await machines.start("w1", "worker")
    kept = note_kept(worker)
    task = await worker.submit("a")
    await worker.until_started("a")
    await pass_time(worker, 3 * LEASE)
    assert [one.runs for one in kept] == [False] + [True] * (len(kept) - 1)
    assert len(kept) >= 3 * LEASE // BEAT
    assert all(LEASE - 1 < one.seconds <= LEASE and one.spare >= 0 for one in kept)
    assert machines.alive(task.id)


async def test_how_long_is_counted_from_when_the_renewal_was_asked_for(fleet: Build) -> None:
    machines = fleet({"a": HANGS})
    worker, _ = await running(machines)
    kept = note_kept(worker)
    real = machines.backend.renew

    async def slow(*args: Any, **fields: Any) -> Any:
        answer = await real(*args, **fields)
        if args != ([],):
            await worker.clock.sleep(2)
        return answer

    machines.backend.renew = slow  # type: ignore[method-assign]
    await pass_time(worker, 2 * BEAT + 3)
    assert len(kept) >= 2
    assert all(LEASE - 2.5 < one.seconds <= LEASE - 2 and one.spare >= 0 for one in kept)


async def test_the_session_of_a_dead_worker_ends_with_its_lease_and_before_it_runs_elsewhere(fleet: Build) -> None:
    machines = fleet({"a": [HANGS, Behaviour(seconds=5)]})
    orchestrator = await machines.start("o", "orchestrator")
    _, task = await running(machines)
    await machines.kill("w1")
    assert task.lease is not None
    left = (task.lease.expires_at - orchestrator.clock.now()) / 1000
    await machines.start("w2", "worker")
    await pass_time(orchestrator, left - 1)
    assert machines.alive(task.id) == [f"w1:1:{task.id}-1"]
    await pass_time(orchestrator, 1)
    assert not machines.alive(task.id)

    async def elsewhere() -> bool:
        return bool(machines.alive(task.id))

    await orchestrator.until(elsewhere)
    assert machines.alive(task.id) == [f"w2:1:{task.id}-2"]
    await orchestrator.until_states(a="succeeded")


async def test_a_worker_that_is_cut_off_stops_its_program_when_its_lease_runs_out_and_writes_nothing(
    fleet: Build, caplog: pytest.LogCaptureFixture
) -> None:
    machines = fleet({"a": [Behaviour(hangs=True, stubborn=600), Behaviour(seconds=5)]})
    orchestrator = await machines.start("o", "orchestrator")
    worker, task = await running(machines)
    runner = runner_of(worker)
    said: list[Status] = []
    worker.supervisor.sessions.publish = lambda task, status: said.append(status)  # type: ignore[method-assign]
    machines.lines["w1"].up.clear()
    cursor = (await orchestrator.events())[-1].cursor
    with caplog.at_level(logging.WARNING):
        await pass_time(orchestrator, LEASE - BEAT - 1)
        assert machines.alive(task.id)
        await pass_time(orchestrator, BEAT + 2)
    assert not machines.alive(task.id)
    assert not len(worker.supervisor.sessions)
    assert "lease lost, stopping: its lease ran out" in caplog.text
    assert [(one.activity, one.source, one.rule) for one in said] == [(Activity.STOPPED, "engine", "lease")]
    assert runner.status == said[-1]
    await machines.start("w2", "worker")
    await orchestrator.until_states(a="succeeded")
    machines.lines["w1"].up.set()
    await pass_time(orchestrator, 3 * LEASE)
    events = [one for one in await orchestrator.events() if one.cursor > cursor and one.task == task.id]
    assert {one.worker for one in events if one.kind.value in ("task.claimed", "task.succeeded")} == {"w2"}
    row = await orchestrator.task("a")
    assert (row.state, row.attempt, row.faults) == (State.SUCCEEDED, 2, 1)


async def test_a_short_cut_stops_nothing(fleet: Build) -> None:
    machines = fleet({"a": Behaviour(seconds=60)})
    witness = await machines.start("o", "orchestrator")
    worker, task = await running(machines)
    for _ in range(3):
        machines.lines["w1"].up.clear()
        await pass_time(witness, LEASE - BEAT - 1)
        machines.lines["w1"].up.set()
        await pass_time(witness, BEAT)
    assert machines.alive(task.id)
    await worker.until_states(a="succeeded")
    assert (await worker.task("a")).attempt == 1


async def test_a_lease_that_another_has_ends_it_at_once_and_the_late_writes_are_counted(fleet: Build) -> None:
    machines = fleet({"a": Behaviour(hangs=True, stubborn=600)})
    worker, task = await running(machines)
    assert task.lease is not None
    await machines.backend.rescue(task.lease, "w9", now=worker.clock.now(), ttl_ms=600_000)
    assert worker.operations.metrics()["quarterdeck_fenced_writes_total"] == 0
    await pass_time(worker, BEAT + 1)
    assert not machines.alive(task.id)
    assert not len(worker.supervisor.sessions)
    assert worker.operations.metrics()["quarterdeck_fenced_writes_total"] == 1
    assert (await worker.task("a")).worker == "w9"


async def test_an_outcome_that_comes_too_late_is_refused_and_counted(fleet: Build) -> None:
    """Its program ended in time; telling so took too long."""
    machines = fleet({"a": Behaviour(seconds=3)})
    witness = await machines.start("o", "orchestrator")
    worker, task = await running(machines)
    machines.lines["w1"].up.clear()
    await pass_time(witness, 4)
    assert not machines.alive(task.id)
    assert task.lease is not None
    taken = await machines.backend.rescue(task.lease, "w9", now=worker.clock.now(), ttl_ms=600_000)
    machines.lines["w1"].up.set()
    await pass_time(worker, 1)
    assert worker.operations.metrics()["quarterdeck_fenced_writes_total"] >= 1
    row = await worker.task("a")
    assert (row.state, row.lease) == (State.RUNNING, taken.lease)


async def test_an_outcome_is_told_however_late_as_long_as_nobody_else_has_the_lease(fleet: Build) -> None:
    machines = fleet({"a": Behaviour(seconds=3)})
    worker, _ = await running(machines)
    real = machines.backend.finish
    down = True

    async def finish(*args: Any, **fields: Any) -> Any:
        if down:
            raise BackendError("connection refused")
        return await real(*args, **fields)

    machines.backend.finish = finish  # type: ignore[method-assign]
    await pass_time(worker, 2 * LEASE)
    down = False
    await worker.until_states(a="succeeded")
    assert (await worker.task("a")).attempt == 1


async def test_a_gentle_end_is_cut_short_by_the_end_of_the_lease(fleet: Build) -> None:
    machines = fleet({"a": Behaviour(hangs=True, stubborn=600)})
    witness = await machines.start("o", "orchestrator")
    worker, task = await running(machines)
    await worker.operations.cancel(task.id)
    await pass_time(witness, BEAT + 1)
    assert machines.alive(task.id)
    machines.lines["w1"].up.clear()
    await pass_time(witness, LEASE + 1)
    assert not machines.alive(task.id)
    assert not len(worker.supervisor.sessions)


async def test_a_program_is_not_let_go_when_its_lease_ran_out_while_it_was_prepared(fleet: Build) -> None:
    machines = fleet({"a": HANGS})
    worker = await machines.start("w1", "worker")
    real = machines.backend.record
    answer = asyncio.Event()

    async def late(*args: Any, **fields: Any) -> Any:
        done = await real(*args, **fields)
        await answer.wait()
        return done

    async def refused(*args: Any, **fields: Any) -> Any:
        if args != ([],):
            raise BackendError("connection refused")

    machines.backend.record = late  # type: ignore[method-assign]
    machines.backend.renew = refused  # type: ignore[method-assign]
    task = await worker.submit("a")
    await pass_time(worker, LEASE + 1)
    answer.set()
    await pass_time(worker, 1)
    assert task.id not in [one.request.task for one in machines.worlds["w1"].sessions.values()]
    assert not len(worker.supervisor.sessions)


async def test_adopted_after_a_restart_it_is_kept_again(fleet: Build) -> None:
    machines = fleet({"a": HANGS})
    await running(machines)
    await machines.kill("w1")
    await pass_time(machines.engines["w1"], LEASE / 3)
    again = await machines.start("w1")
    await pass_time(again, 3 * LEASE)
    task = await again.task("a")
    assert machines.alive(task.id)
    assert task.attempt == 1
    verbs = [verb for verb, _, _ in again.executor.calls]
    assert verbs[:3] == ["open", "recover", "keep"]


async def test_what_ended_by_itself_with_its_lease_is_an_infrastructure_fault(fleet: Build) -> None:
    """The worker was away for longer than its lease, but nobody had taken it over yet."""
    machines = fleet({"a": [HANGS, Behaviour()]}, replace(SETTINGS, slots=1))
    await running(machines)
    await machines.kill("w1")
    await pass_time(machines.engines["w1"], LEASE + 1)
    again = await machines.start("w1")
    await again.until_states(a="succeeded")
    row = await again.task("a")
    assert (row.attempt, row.failures, row.faults) == (2, 0, 1)


async def test_alone_nothing_is_ever_kept_and_nothing_ends_with_a_lease(make: Make) -> None:
    """A laptop that slept, or whose supervisor is dead, keeps its sessions."""
    engine = await make({"a": HANGS})
    task = await engine.submit("a")
    await engine.until_started("a")
    await engine.supervisor.registry.service.stop()
    await pass_time(engine, 3 * LEASE)
    await engine.crash()
    await pass_time(engine, 3 * LEASE)
    (session,) = engine.world.sessions.values()
    assert not session.ended.is_set()
    assert session.request.task == task.id
    assert not [verb for verb, _, _ in engine.executor.calls if verb in ("keep", "stop")]
    again = await engine.again().start()
    await pass_time(again, LEASE)
    assert (await again.task("a")).attempt == 1
    assert not [verb for verb, _, _ in again.executor.calls if verb in ("keep", "stop")]
    await again.close()


async def test_who_cannot_be_told_is_left_to_tell_by_its_end(fleet: Build) -> None:
    machines = fleet({"a": Behaviour(seconds=40)})
    worker, _ = await running(machines)
    refused = asyncio.Event()
    (session,) = machines.worlds["w1"].sessions.values()
    machines.worlds["w1"].keep(session, 600)  # as if it knew nothing of leases

    async def gone(handle: str, ttl_ms: int) -> None:
        refused.set()
        raise HandleGone("nobody there")

    worker.executor.keep = gone  # type: ignore[method-assign]
    await worker.until_states(a="succeeded", step=0.5)
    assert refused.is_set()
