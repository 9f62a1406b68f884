"""The fake executor: keeps the executor's contract, plays what it is told in virtual time."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from lite.aio.tasks import spawn
from lite.clock import SystemClock, VirtualClock
from lite.errors import ExecutorError, HandleGone
from lite.executors.fake import Behaviour, FakeExecutor, World
from lite.model.session import Activity, SessionRequest, Status
from lite.model.task import Outcome, OutcomeKind, Reason
from lite.ports import Executor
from providers.base import Launch
from tests.contracts.executor import ExecutorContract, Make

BROKEN = Outcome(OutcomeKind.FAILED, Reason.EXIT, exit_code=3)


class TestContract(ExecutorContract):
    @pytest.fixture
    async def make(self) -> AsyncIterator[Make]:
        world = World(SystemClock())
        script = {"bad": Behaviour(BROKEN), "last": Behaviour(hangs=True)}

        async def build() -> Executor:
            executor = FakeExecutor(world, script)
            await executor.open()
            return executor

        yield build
        await world.close()

    def succeeding(self) -> Launch:
        return Launch(argv=("fake", "good"))

    def failing(self) -> Launch:
        return Launch(argv=("fake", "bad"))

    def lasting(self) -> Launch:
        return Launch(argv=("fake", "last"))


@pytest.fixture
async def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
async def world(clock: VirtualClock) -> AsyncIterator[World]:
    made = World(clock)
    yield made
    await made.close()


def request(task: str, attempt: int = 1, token: int = 1, **env: str) -> SessionRequest:
    return SessionRequest(task, attempt, token, Launch(argv=("x",)), "/", env, "/nowhere")


async def record(handle: str) -> None:
    return None


async def test_it_takes_as_long_as_told(world: World, clock: VirtualClock) -> None:
    executor = FakeExecutor(world, {"slow": Behaviour(seconds=60)})
    handle = await executor.start(request("slow"), record)
    ended = spawn(executor.wait(handle))
    await clock.advance(59.9)
    assert not ended.done()
    await clock.advance(0.1)
    assert (await ended).kind is OutcomeKind.SUCCEEDED


async def test_each_attempt_has_its_own_outcome_and_the_last_goes_on(world: World, clock: VirtualClock) -> None:
    executor = FakeExecutor(world, {"flaky": [Behaviour(BROKEN), Behaviour(BROKEN), Behaviour()]})
    kinds = []
    for attempt in (1, 2, 3, 4):
        handle = await executor.start(request("flaky", attempt), record)
        kinds.append((await executor.wait(handle)).kind)
    failed, succeeded = OutcomeKind.FAILED, OutcomeKind.SUCCEEDED
    assert kinds == [failed, failed, succeeded, succeeded]


async def test_a_stubborn_one_goes_on_for_a_while(world: World, clock: VirtualClock) -> None:
    executor = FakeExecutor(world, {"mule": Behaviour(hangs=True, stubborn=5)})
    handle = await executor.start(request("mule"), record)
    await executor.stop(handle, grace_ms=1000)
    await clock.advance(4)
    assert (await executor.inspect(handle)).alive
    await clock.advance(1)
    assert (await executor.wait(handle)).signal == signal.SIGTERM


async def test_a_start_that_fails_records_nothing(world: World) -> None:
    executor = FakeExecutor(world, {"no": Behaviour(start_fails="no room")})

    async def refuse(handle: str) -> None:
        raise AssertionError("recorded")

    with pytest.raises(ExecutorError, match="no room"):
        await executor.start(request("no"), refuse)
    assert world.sessions == {}


async def test_when_the_record_fails_nothing_runs(world: World) -> None:
    async def refuse(handle: str) -> None:
        raise RuntimeError("the store is gone")

    with pytest.raises(RuntimeError):
        await FakeExecutor(world).start(request("x"), refuse)
    assert world.sessions == {}


async def test_a_lost_session_is_gone_for_the_next_executor(world: World) -> None:
    first = FakeExecutor(world, {"lost": Behaviour(hangs=True, lost_on_recover=True)})
    handle = await first.start(request("lost"), record)
    await first.close()
    with pytest.raises(HandleGone):
        await FakeExecutor(world).recover(handle, 2)


async def test_who_let_go_holds_nothing(world: World) -> None:
    executor = FakeExecutor(world, {"on": Behaviour(hangs=True)})
    handle = await executor.start(request("on"), record)
    await executor.close()
    with pytest.raises(HandleGone):
        await executor.wait(handle)


async def test_statuses_come_at_their_times_and_the_last_one_at_once(world: World, clock: VirtualClock) -> None:
    says = [(1.0, Activity.WORKING, ""), (3.0, Activity.WAITING, "which?")]
    executor = FakeExecutor(world, {"chatty": Behaviour(seconds=10, statuses=says)})
    handle = await executor.start(request("chatty"), record)
    early: list[Status] = []
    executor.watch_status(handle, early.append)
    began = clock.now()
    await clock.advance(5)
    assert [(status.activity, status.since - began) for status in early] == [
        (Activity.WORKING, 1000),
        (Activity.WAITING, 3000),
    ]
    late: list[Status] = []
    executor.watch_status(handle, late.append)
    assert late == early[1:]
    await clock.advance(5)
    assert not (await executor.inspect(handle)).alive


async def test_output_is_written_when_it_ends(world: World, clock: VirtualClock, tmp_path: Path) -> None:
    executor = FakeExecutor(world, {"writer": Behaviour(seconds=1, output="fine")})
    path = tmp_path / "session" / "output"
    handle = await executor.start(request("writer", QD_OUTPUT=str(path)), record)
    assert not path.exists()
    await clock.advance(1)
    await executor.wait(handle)
    assert path.read_text() == "fine"


async def test_names_may_be_made_by_the_caller(world: World) -> None:
    executor = FakeExecutor(world, {"build": Behaviour(BROKEN)}, name_of=lambda asked: asked.env["NAME"])
    bad = await executor.start(request("1", NAME="build"), record)
    good = await executor.start(request("2", NAME="other"), record)
    outcomes = await asyncio.gather(executor.wait(bad), executor.wait(good))
    assert [outcome.kind for outcome in outcomes] == [OutcomeKind.FAILED, OutcomeKind.SUCCEEDED]


async def test_every_call_is_remembered(world: World) -> None:
    executor = FakeExecutor(world, {"on": Behaviour(hangs=True)})
    await executor.open()
    handle = await executor.start(request("on", token=7), record)
    await executor.signal(handle, signal.SIGUSR1)
    await executor.stop(handle, grace_ms=50)
    await executor.wait(handle)
    await executor.destroy(handle)
    assert executor.calls == [
        ("open", "", None),
        ("start", "on-1", 7),
        ("signal", handle, signal.SIGUSR1),
        ("stop", handle, 50),
        ("destroy", handle, None),
    ]
