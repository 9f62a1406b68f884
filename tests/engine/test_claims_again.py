"""Claims and offers that fail, answers that are lost, a store that lost its last moments."""

from __future__ import annotations

import asyncio
import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lite.aio.probe import watch
from lite.backends.memory import MemoryBackend
from lite.errors import BackendError
from lite.executors.fake import Behaviour
from lite.model.settings import RetryPolicy
from lite.model.task import Outcome, OutcomeKind, State
from tests.engine.conftest import Build, Shared
from tests.support.engines import SETTINGS, Engine
from tests.support.machines import Machines

FLEETS = ("memory", "sqlite", "redis")

HANGS = Behaviour(hangs=True)


async def pass_time(engine: Engine, seconds: float) -> None:
    for _ in range(round(seconds * 10)):
        await engine.settle()
        await engine.clock.advance(0.1)


@pytest.mark.parametrize("verb", ["claim", "offered", "next_due"])
async def test_an_outage_of_any_length_is_followed_by_work_within_seconds(fleet: Build, verb: str) -> None:
    machines = fleet()
    orchestrator = await machines.start("o", "orchestrator")
    down = False
    real = getattr(machines.backend, verb)

    async def failing(*args: Any, **fields: Any) -> Any:
        if down:
            raise BackendError("connection reset")
        return await real(*args, **fields)

    setattr(machines.backend, verb, failing)
    worker = await machines.start("w", "worker")
    await pass_time(worker, 1)
    down = True
    await orchestrator.submit("a")
    await pass_time(worker, 120)
    (health,) = [one for one in worker.supervisor.info().services if one.name == "dispatch"]
    assert "connection reset" in health.last_error
    await orchestrator.submit("b")
    down = False
    begun = worker.clock.now()
    await worker.until_states(a="succeeded", b="succeeded")
    assert worker.clock.now() - begun <= 3000


async def test_a_claim_whose_answer_was_lost_is_run_once_all_the_same(fleet: Build) -> None:
    machines = fleet({"*": Behaviour(seconds=1)})
    worker = await machines.start("w", "worker")
    await worker.settle()
    real = machines.backend.claim
    lost = 0

    async def losing(*args: Any, **fields: Any) -> Any:
        nonlocal lost
        claims = await real(*args, **fields)
        if claims and not lost:
            lost = len(claims)
            raise BackendError("connection reset")
        return claims

    machines.backend.claim = losing  # type: ignore[method-assign]
    await worker.submit("a")
    await worker.until_states(a="succeeded")
    row = await worker.task("a")
    assert (lost, row.attempt, row.faults) == (1, 1, 0)
    assert [verb for verb, _, _ in worker.executor.calls].count("start") == 1
    assert worker.clock.monotonic() < 5  # it did not wait for its lease to run out


async def test_a_rescue_whose_answer_was_lost_is_adopted_all_the_same(fleet: Build) -> None:
    machines = fleet({"a": Behaviour(seconds=60)})
    await machines.start("w1", "all")
    first = machines.engines["w1"]
    await first.submit("a")
    await first.until_started("a")
    machines.worlds["w2"] = machines.worlds["w1"]  # a session that both can reach
    second = await machines.start("w2", "all")
    await machines.kill("w1")
    real = machines.backend.rescue
    lost = 0

    async def losing(*args: Any, **fields: Any) -> Any:
        nonlocal lost
        claim = await real(*args, **fields)
        lost += 1
        if lost == 1:
            raise BackendError("connection reset")
        return claim

    machines.backend.rescue = losing  # type: ignore[method-assign]
    await second.until_states(a="succeeded", step=0.5)
    assert (lost, (await second.task("a")).attempt) == (1, 2)  # what it adopted had ended with its lease
    assert [verb for verb, _, _ in second.executor.calls].count("recover") == 1


async def test_a_lease_just_being_taken_over_is_not_found_a_second_time(fleet: Build) -> None:
    machines = fleet({"a": Behaviour(seconds=60)})
    first = await machines.start("w1", "all")
    await first.submit("a")
    await first.until_started("a")
    second = await machines.start("w2", "all")
    await machines.kill("w1", machine=True)
    real = machines.backend.rescue
    told = asyncio.Event()

    async def slow(*args: Any, **fields: Any) -> Any:
        claim = await real(*args, **fields)
        await told.wait()
        return claim

    machines.backend.rescue = slow  # type: ignore[method-assign]

    async def taken() -> bool:
        return (await second.task("a")).worker == "w2"

    await second.until(taken, step=0.5)
    second.supervisor.dispatcher.doubt()
    await pass_time(second, 3)
    assert not len(second.supervisor.sessions)
    told.set()
    await pass_time(second, 3)
    assert [verb for verb, _, _ in second.executor.calls].count("recover") == 1


async def test_claimed_again_while_it_runs_here_the_old_one_ends_before_the_new_one_begins(tmp_path: Path) -> None:
    """Redis restarted without its newest writes: the task is queued again as if it had never been claimed."""
    backend = MemoryBackend()
    machines = Machines(Shared(backend), tmp_path, {"a": Behaviour(seconds=20, output="whose?")})
    worker = await machines.start("w", "worker")
    await worker.operations.cordon("w", True)
    await worker.submit("a")
    before = snapshot(backend)
    await backend.cordon("w", False, now=worker.clock.now())
    await worker.until_started("a")
    world = machines.worlds["w"]
    (old,) = world.sessions.values()
    await worker.clock.advance(3)
    restore(backend, before)
    began: list[bool] = []  # had the old one ended?
    undo = watch("runner.started", lambda _: began.append(old.ended.is_set()))
    await backend.cordon("w", False, now=worker.clock.now())
    worker.supervisor.dispatcher.wake()
    await worker.until_states(a="succeeded")
    undo()
    row = await worker.task("a")
    assert (row.attempt, row.output, began) == (1, "whose?", [True])
    assert worker.clock.monotonic() >= 3 + 20
    kept = sorted(path.name for path in (tmp_path / "w" / "sessions").iterdir())
    assert len(kept) == 2  # what the forgotten one left is out of the way, not lost
    assert kept[0] == old.request.session
    await machines.close()


async def test_files_of_a_forgotten_attempt_are_not_taken_for_those_of_the_next(tmp_path: Path) -> None:
    backend = MemoryBackend()
    machines = Machines(Shared(backend), tmp_path, {"a": Behaviour(seconds=1)})
    orchestrator = await machines.start("o", "orchestrator")
    task = await orchestrator.submit("a")
    stale = tmp_path / "w" / "sessions" / f"{task.id}-1"
    stale.mkdir(parents=True)
    (stale / "output").write_text("of another life")
    worker = await machines.start("w", "worker")
    await worker.until_states(a="succeeded")
    assert (await worker.task("a")).output is None
    await machines.close()


async def test_the_next_attempt_waits_for_the_outcome_of_the_last_and_does_not_call_it_lost(fleet: Build) -> None:
    """Its claim may come while the answer to the last one's outcome is still on the way."""
    failed = Behaviour(Outcome(OutcomeKind.FAILED, exit_code=1))
    at_once = RetryPolicy(base_ms=0, factor=1, cap_ms=0, jitter=0)
    machines = fleet({"a": [failed, Behaviour()]}, replace(SETTINGS, retry=at_once))
    worker = await machines.start("w", "worker")
    real = machines.backend.finish
    answered = asyncio.Event()

    async def slow(*args: Any, **fields: Any) -> Any:
        done = await real(*args, **fields)
        if done.state is State.QUEUED:
            await answered.wait()
        return done

    machines.backend.finish = slow  # type: ignore[method-assign]
    await worker.submit("a", retries=1)

    async def claimed_again() -> bool:
        return (await worker.task("a")).attempt == 2

    await worker.until(claimed_again)
    await pass_time(worker, 1)
    verbs = [verb for verb, _, _ in worker.executor.calls]
    assert (verbs.count("start"), verbs.count("stop")) == (1, 0)
    answered.set()
    await worker.until_states(a="succeeded")
    verbs = [verb for verb, _, _ in worker.executor.calls]
    assert (verbs.count("start"), verbs.count("stop")) == (2, 0)


def snapshot(backend: MemoryBackend) -> dict[str, Any]:
    return {name: copy.copy(value) for name, value in vars(backend).items() if name not in ("_waiters", "_looked")}


def restore(backend: MemoryBackend, saved: dict[str, Any]) -> None:
    vars(backend).update(saved)
    backend._looked.clear()
    for waiter in list(backend._waiters):
        waiter.set_exception(BackendError("connection reset"))
