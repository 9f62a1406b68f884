"""Members of a fleet that die, restart, sleep and come back: who takes over what, and when."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from lite.errors import BackendError
from lite.executors.fake import Behaviour
from lite.model.task import State, Task, TaskQuery
from tests.engine.conftest import Build
from tests.support.engines import SETTINGS, Engine
from tests.support.history import check_all_ended, check_history
from tests.support.machines import Machines

FLEETS = ("memory", "sqlite", "redis")

LONG = Behaviour(seconds=300)
HANGS = Behaviour(hangs=True)
LEASE = SETTINGS.lease_ms / 1000
BEAT = SETTINGS.heartbeat_ms / 1000


async def pass_time(engine: Engine, seconds: float, step: float = 0.5) -> None:
    for _ in range(round(seconds / step)):
        await engine.settle()
        await engine.clock.advance(step)
    await engine.settle()


async def check(engine: Engine, *, all_ended: bool = True) -> None:
    events = [
        {"cursor": one.cursor, "kind": one.kind.value, "task": one.task, "attempt": one.attempt}
        for one in await engine.events()
    ]
    check_history(events)
    if all_ended:
        check_all_ended(events)


async def started_on(machines: Machines, worker: str, name: str = "a", **fields: Any) -> Task:
    """A task whose program runs on that worker, which alone could claim it."""
    engine = await machines.start(worker, "worker")
    await engine.submit(name, **fields)
    await engine.until_started(name)
    task = await engine.task(name)
    assert task.worker == worker
    return task


async def test_restarted_in_time_it_adopts_its_own_at_once_and_no_other_touches_it(fleet: Build) -> None:
    machines = fleet({"a": LONG})
    orchestrator = await machines.start("o", "orchestrator")
    first = await started_on(machines, "w1")
    await machines.start("w2", "worker")
    await machines.kill("w1")
    await pass_time(orchestrator, LEASE - BEAT - 2)  # its program goes on for as long as its lease
    again = await machines.start("w1")
    row = await again.task("a")
    assert (row.state, row.worker, row.attempt) == (State.RUNNING, "w1", 1)
    assert first.lease is not None
    assert row.lease is not None
    assert row.lease.token > first.lease.token
    await again.until_states(a="succeeded", step=0.5)
    verbs = [verb for verb, _, _ in again.executor.calls]
    assert (verbs.count("recover"), verbs.count("start")) == (1, 0)
    assert not any(verb == "start" for verb, _, _ in machines.engines["w2"].executor.calls)
    await check(again)


async def test_restarted_after_its_lease_ran_out_it_tells_at_once_that_the_program_has_ended(fleet: Build) -> None:
    """The program ended with the lease; who comes back before anybody takes over need not wait for that."""
    machines = fleet({"a": [LONG, Behaviour()]})
    orchestrator = await machines.start("o", "orchestrator")
    await started_on(machines, "w1")
    await machines.kill("w1")
    await pass_time(orchestrator, 2 * LEASE - BEAT - 2)
    assert (await orchestrator.task("a")).worker == "w1"
    assert not machines.alive((await orchestrator.task("a")).id)
    begun = orchestrator.clock.now()
    await machines.start("w1")
    await orchestrator.until_states(a="succeeded", step=0.1)
    assert orchestrator.clock.now() - begun < 2000  # one back-off
    row = await orchestrator.task("a")
    assert (row.attempt, row.failures, row.faults) == (2, 0, 1)
    await check(orchestrator)


async def test_without_a_restart_it_runs_elsewhere_after_two_lease_lengths_and_not_before(fleet: Build) -> None:
    machines = fleet({"a": [HANGS, Behaviour()]})
    orchestrator = await machines.start("o", "orchestrator")
    await started_on(machines, "w1")
    await machines.start("w2", "worker")
    await machines.kill("w1", machine=True)
    row = await orchestrator.task("a")
    assert row.lease is not None
    expires = row.lease.expires_at
    await orchestrator.until_states(a="succeeded", step=0.1)
    events = await orchestrator.events()
    (lost,) = [one.at for one in events if one.kind.value == "lease.lost"]
    assert SETTINGS.lease_ms <= lost - expires <= SETTINGS.lease_ms + 1000  # prompt, too: the silence was foreseen
    row = await orchestrator.task("a")
    assert (
        row.attempt,
        row.failures,
        row.faults,
        [one.worker for one in events if one.kind.value == "task.succeeded"],
    ) == (
        2,
        0,
        1,
        ["w2"],
    )
    assert orchestrator.supervisor.rescuer.rescued == 1
    assert not orchestrator.executor.calls  # it never tried to run or to reach anything
    await check(orchestrator)


async def test_of_several_orchestrators_exactly_one_takes_each(fleet: Build) -> None:
    machines = fleet({"*": [HANGS, Behaviour()]})
    several = [await machines.start(f"o{at}", "orchestrator") for at in range(3)]
    worker = await machines.start("w1", "worker")
    for at in range(4):
        await worker.submit(f"t{at}")
    for at in range(4):
        await worker.until_started(f"t{at}")
    await machines.kill("w1", machine=True)
    await machines.start("w2", "worker")
    await several[0].until_states(t0="succeeded", t1="succeeded", t2="succeeded", t3="succeeded", step=0.5)
    assert sum(one.supervisor.rescuer.rescued for one in several) == 4
    kinds = [one.kind.value for one in await several[0].events()]
    assert kinds.count("lease.lost") == 4
    await check(several[0])


async def test_a_worker_looks_after_its_own_leases_only(fleet: Build) -> None:
    machines = fleet({"*": HANGS})
    await started_on(machines, "w1")
    other = await machines.start("w2", "worker")
    await machines.kill("w1", machine=True)
    await pass_time(other, 5 * LEASE)
    row = await other.task("a")
    assert (row.state, row.worker) == (State.RUNNING, "w1")


async def test_a_cancel_asked_of_a_dead_worker_is_carried_out_by_an_orchestrator(fleet: Build) -> None:
    machines = fleet({"a": HANGS})
    orchestrator = await machines.start("o", "orchestrator")
    await started_on(machines, "w1")
    await machines.kill("w1", machine=True)
    await orchestrator.operations.cancel((await orchestrator.task("a")).id)
    await orchestrator.until_states(a="cancelled", step=0.5)
    await check(orchestrator)


async def test_an_orchestrator_that_dies_between_the_rescue_and_its_outcome_is_followed_by_another(
    fleet: Build,
) -> None:
    machines = fleet({"a": [HANGS, Behaviour()]})
    dying = await machines.start("o1", "orchestrator")
    await started_on(machines, "w1")
    await machines.kill("w1", machine=True)
    real = machines.backend.finish

    async def dies(*_: object, **__: object) -> Task:
        await asyncio.Event().wait()
        raise AssertionError

    machines.backend.finish = dies  # type: ignore[method-assign]

    async def taken() -> bool:
        return (await dying.task("a")).worker == "o1"

    await dying.until(taken, step=0.5)
    await machines.kill("o1")
    machines.backend.finish = real  # type: ignore[method-assign]
    second = await machines.start("o2", "orchestrator")
    await machines.start("w2", "worker")
    await second.until_states(a="succeeded", step=0.5)
    assert (await second.task("a")).faults == 1
    await check(second)


async def test_an_orchestrator_restarted_under_its_id_records_what_it_owed_at_once(fleet: Build) -> None:
    machines = fleet({"a": [HANGS, Behaviour()]})
    dying = await machines.start("o1", "orchestrator")
    await started_on(machines, "w1")
    await machines.kill("w1", machine=True)
    real = machines.backend.finish
    refused = 0

    async def refuses(*_: object, **__: object) -> Task:
        nonlocal refused
        refused += 1
        raise BackendError("gone")

    machines.backend.finish = refuses  # type: ignore[method-assign]

    async def tried() -> bool:
        return refused >= 2  # and it tries again by itself

    await dying.until(tried, step=0.1)
    await machines.kill("o1")
    machines.backend.finish = real  # type: ignore[method-assign]
    again = await machines.start("o1")
    assert (await again.task("a")).state is State.QUEUED


async def test_a_worker_silent_for_long_that_holds_nothing_is_forgotten_and_comes_back_by_itself(fleet: Build) -> None:
    machines = fleet()
    orchestrator = await machines.start("o", "orchestrator")
    sleeper = await machines.start("w1", "worker")
    await machines.start("w2", "worker")
    await sleeper.supervisor.registry.service.stop()  # paused: it does not know
    await pass_time(orchestrator, 3 * LEASE)
    assert [one.id for one in await machines.backend.workers()] == ["w1", "w2"]
    await pass_time(orchestrator, 4 * LEASE)
    assert [one.id for one in await machines.backend.workers()] == ["w2"]
    left = [one for one in await orchestrator.events() if one.kind.value == "worker.left"]
    assert [(one.worker, one.data["reason"]) for one in left] == [("w1", "lost")]
    await sleeper.supervisor.registry.service.start()
    await pass_time(orchestrator, BEAT + 1)
    assert [one.id for one in await machines.backend.workers()] == ["w1", "w2"]
    await machines.engines["w2"].supervisor.stop(keep_sessions=False)
    await orchestrator.submit("a")
    await orchestrator.until_states(a="succeeded")  # and claims


async def test_a_worker_that_holds_leases_is_not_forgotten_before_they_are_taken(fleet: Build) -> None:
    machines = fleet({"a": HANGS}, replace(SETTINGS))
    await machines.start("o", "orchestrator")
    await started_on(machines, "w1")
    await machines.kill("w1", machine=True)
    orchestrator = machines.engines["o"]
    order: list[str] = []
    for _ in range(int(8 * LEASE)):
        await pass_time(orchestrator, 1)
        order = [
            one.kind.value for one in await orchestrator.events() if one.kind.value in ("lease.lost", "worker.left")
        ]
    assert order == ["lease.lost", "worker.left"]


async def test_stopped_with_its_sessions_kept_it_stays_registered_and_adopts_them_again(fleet: Build) -> None:
    machines = fleet({"a": LONG})
    await machines.start("o", "orchestrator")
    await started_on(machines, "w1")
    await machines.engines["w1"].supervisor.stop(keep_sessions=True)
    (row,) = await machines.backend.workers()
    assert (row.id, len(row.running)) == ("w1", 1)
    again = await machines.start("w1")
    await again.until_states(a="succeeded", step=0.5)
    assert await again.history("a") == [
        "task.submitted",
        "task.claimed",
        "task.started",
        "lease.lost",
        "task.succeeded",
    ]


async def test_stopped_with_nothing_left_it_is_deregistered(fleet: Build) -> None:
    machines = fleet({"a": HANGS})
    await started_on(machines, "w1")
    await machines.engines["w1"].supervisor.stop(keep_sessions=False)
    assert not await machines.backend.workers()
    (row,) = await machines.backend.tasks(TaskQuery(name="a"))
    assert (row.state, row.reason, row.failures, row.faults) == (State.QUEUED, "shutdown", 0, 0)
    idle = await machines.start("w2", "orchestrator")
    worker = await machines.start("w3", "worker", settings=replace(SETTINGS, slots=0))
    await worker.supervisor.stop(keep_sessions=True)
    assert not await machines.backend.workers()
    await idle.supervisor.stop(keep_sessions=True)


async def test_paused_past_its_lease_it_comes_back_to_refused_writes(fleet: Build) -> None:
    """The outcome it brings is of an attempt that was given to nobody else until it had been silent long enough."""
    machines = fleet({"a": [Behaviour(seconds=100), Behaviour(seconds=30)]})
    orchestrator = await machines.start("o", "orchestrator")
    await started_on(machines, "w1")
    paused = machines.engines["w1"]
    await paused.supervisor.registry.service.stop()
    await paused.supervisor.dispatcher.service.stop()
    await machines.start("w2", "worker")

    async def elsewhere() -> bool:
        return (await orchestrator.task("a")).worker == "w2"

    await orchestrator.until(elsewhere, step=0.5)
    await paused.supervisor.registry.service.start()
    await paused.supervisor.dispatcher.service.start()
    await orchestrator.until_states(a="succeeded", step=0.5)
    await pass_time(orchestrator, 120)
    row = await orchestrator.task("a")
    assert (row.attempt, row.faults) == (2, 1)
    assert not len(paused.supervisor.sessions)
    assert not machines.alive(row.id)
    await check(orchestrator)


async def test_what_a_worker_that_was_cut_off_says_too_late_is_refused_and_counted(fleet: Build) -> None:
    """Its program ended in time, but word of it arrives when the attempt has long been another's."""
    machines = fleet({"a": [Behaviour(seconds=5), Behaviour(seconds=40)]})
    orchestrator = await machines.start("o", "orchestrator")
    cut = await machines.start("w1", "worker", line=True)
    await cut.submit("a")
    await cut.until_started("a")
    await machines.start("w2", "worker")
    machines.lines["w1"].up.clear()

    async def elsewhere() -> bool:
        return (await orchestrator.task("a")).worker == "w2"

    await orchestrator.until(elsewhere, step=0.5)
    machines.lines["w1"].up.set()
    await pass_time(orchestrator, 2)
    assert cut.supervisor.sessions.fenced_writes == 1
    assert not len(cut.supervisor.sessions)
    await orchestrator.until_states(a="succeeded", step=0.5)
    row = await orchestrator.task("a")
    assert (row.attempt, row.faults) == (2, 1)
    await check(orchestrator)


async def test_a_lease_that_ran_out_and_that_nobody_took_is_ended_by_its_own_worker_as_soon_as_it_can(
    fleet: Build,
) -> None:
    machines = fleet({"a": [LONG, Behaviour()]})
    orchestrator = await machines.start("o", "orchestrator")
    await started_on(machines, "w1")
    down = outage(machines)
    down |= {"heartbeat", "renew"}
    await pass_time(orchestrator, LEASE + 3)
    assert not machines.alive((await orchestrator.task("a")).id)
    assert (await orchestrator.task("a")).worker == "w1"
    down.clear()
    begun = orchestrator.clock.now()
    await orchestrator.until_states(a="succeeded", step=0.1)
    assert orchestrator.clock.now() - begun < 5000
    assert "lease.lost" not in await orchestrator.history("a")
    await check(orchestrator)


async def test_an_outage_of_the_backend_condemns_nobody(fleet: Build) -> None:
    """Who could not reach it had no chance to renew: what was seen before it is no evidence after it."""
    machines = fleet({"a": [LONG, Behaviour()]})
    orchestrator = await machines.start("o", "orchestrator")
    await started_on(machines, "w1")
    beats = {"heartbeat", "renew"}
    down = outage(machines)
    down |= beats
    await pass_time(orchestrator, LEASE + 5)  # expired, and seen to be
    down |= {"tasks", "workers", "claim", "rescue", "offered"}
    await pass_time(orchestrator, 4 * LEASE)
    down &= beats
    assert await orchestrator.supervisor.rescuer.sweep() == 0
    down.clear()
    await pass_time(orchestrator, LEASE - 1)  # silence is counted anew: whoever holds it has stopped it by itself
    kinds = [one.kind.value for one in await orchestrator.events()]
    assert "lease.lost" not in kinds


async def test_a_sweep_reads_only_what_has_expired_and_comes_once_a_lease_length(fleet: Build) -> None:
    machines = fleet({"*": HANGS})
    await started_on(machines, "w1")
    sweeps: list[TaskQuery] = []
    real = machines.backend.tasks

    async def tasks(query: TaskQuery) -> Any:
        if State.RUNNING in query.states:
            sweeps.append(query)
        return await real(query)

    machines.backend.tasks = tasks  # type: ignore[method-assign]
    orchestrator = await machines.start("o", "orchestrator")
    sweeps.clear()  # that of its start
    await pass_time(orchestrator, 20 * LEASE)
    mine = [query for query in sweeps if not query.worker]
    assert all(query.lease_before is not None for query in sweeps)
    assert 19 <= len(mine) <= 32  # at times sooner: just after a lease would have expired had it not been renewed


def outage(machines: Machines) -> set[str]:
    """The verbs that fail: those in the set."""
    down: set[str] = set()
    for verb in ("heartbeat", "renew", "tasks", "workers", "claim", "rescue", "offered"):
        real = getattr(machines.backend, verb)

        async def failing(*args: Any, verb: str = verb, real: Any = real, **fields: Any) -> Any:
            if verb in down and args != ([],):
                raise BackendError("connection refused")
            return await real(*args, **fields)

        setattr(machines.backend, verb, failing)
    return down
