"""kill -9 of holder, nursery, program, in every combination: an outcome with its reason, and nothing left behind."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from lite.errors import HandleGone
from lite.executors.local.handle import parse_handle
from lite.model.task import OutcomeKind, Reason
from tests.executors.sessions import Desk, alive, ended, finish, holder_of, pid_in, recorded, until
from tests.executors.test_trees import SLEEPER


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    made = Desk(tmp_path)
    try:
        yield made
        await made.close()
    finally:
        made.kill_all()


async def running(desk: Desk, how: str = "daemon+ignore") -> tuple[str, dict[str, int], int]:
    """A program with a daemon; its handle, the pids that can be killed, the daemon's."""
    command = (sys.executable, "-c", SLEEPER, how, str(desk.root / "pid"), SLEEPER)
    script = "import subprocess,sys,time; subprocess.Popen(sys.argv[1:]); time.sleep(600)"
    executor, handle = await desk.run(sys.executable, "-c", script, *command)
    daemon = await pid_in(desk.root / "pid")
    nursery = desk.nursery()
    assert nursery is not None
    program = (await executor.inspect(handle)).pid
    return handle, {"program": program, "holder": holder_of(handle), "nursery": nursery}, daemon


VICTIMS = ["program", "holder", "nursery"]
COMBINATIONS = [chosen for size in (1, 2, 3) for chosen in itertools.permutations(VICTIMS, size)]


@pytest.mark.parametrize("victims", COMBINATIONS, ids="-".join)
async def test_killed(desk: Desk, victims: tuple[str, ...]) -> None:
    handle, pids, daemon = await running(desk)
    executor = desk.executors[0]
    begun = time.monotonic()
    for victim in victims:
        try:
            os.kill(pids[victim], signal.SIGKILL)
        except ProcessLookupError:
            assert victim == "program"  # cleaned up already
            assert "holder" in victims
    if victims == ("nursery",):
        assert (await executor.inspect(handle)).alive
        _, other = await desk.run("true")
        assert (await ended(executor, other)).kind is OutcomeKind.SUCCEEDED
        assert alive(pids["program"])
        await finish(executor, handle)
    else:
        outcome = await ended(executor, handle, 10)
        assert time.monotonic() - begun < 10
        if "holder" in victims:
            assert (outcome.kind, outcome.reason) == (OutcomeKind.UNEXECUTABLE, Reason.LOST)
        else:
            assert (outcome.kind, outcome.signal) == (OutcomeKind.FAILED, signal.SIGKILL)
    assert not alive(pids["program"])
    assert not alive(daemon)
    assert (Path(parse_handle(handle).directory) / "exit.json").exists()


@pytest.mark.parametrize("nursery_too", [False, True])
async def test_a_holder_that_died_while_nobody_looked_is_gone_with_all_it_had(desk: Desk, nursery_too: bool) -> None:
    handle, pids, daemon = await running(desk)
    await desk.executors[0].close()
    if nursery_too:
        os.kill(pids["nursery"], signal.SIGKILL)
    os.kill(pids["holder"], signal.SIGKILL)
    second = await desk.executor()
    try:
        await second.recover(handle, 2)
    except HandleGone:
        pass
    else:  # the nursery was there and has written down how it ended
        assert (await ended(second, handle)).reason == Reason.LOST
    assert not alive(pids["program"])
    assert not alive(daemon)


async def test_what_hid_its_marks_is_found_by_the_nursery(desk: Desk) -> None:
    handle, pids, daemon = await running(desk, "clearenv+daemon")
    os.kill(pids["holder"], signal.SIGKILL)
    assert (await ended(desk.executors[0], handle)).reason == Reason.LOST
    assert not alive(daemon)


async def test_other_sessions_survive_a_holder_s_death(desk: Desk) -> None:
    handle, pids, _ = await running(desk)
    executor, other = await desk.run("cat")
    os.kill(pids["holder"], signal.SIGKILL)
    assert (await ended(executor, handle)).reason == Reason.LOST
    assert (await executor.inspect(other)).alive
    await finish(executor, other)


async def test_a_stopped_holder_is_woken(desk: Desk) -> None:
    """It neither answers nor dies."""
    handle, pids, daemon = await running(desk)
    await desk.executors[0].close()
    os.kill(pids["holder"], signal.SIGSTOP)
    second = await desk.executor()
    second.connect_seconds = 0.5
    await second.recover(handle, 2)
    assert (await second.inspect(handle)).alive
    await finish(second, handle)
    assert not alive(daemon)


async def test_a_holder_that_stays_silent_must_not_go_on_unseen(desk: Desk) -> None:
    """Another supervisor would run the attempt a second time."""
    handle, pids, daemon = await running(desk)
    await desk.executors[0].close()
    Path(parse_handle(handle).socket).unlink()
    second = await desk.executor()
    with pytest.raises(HandleGone):
        await second.recover(handle, 2)
    assert not any(alive(pid) for pid in (pids["holder"], pids["program"], daemon))


async def test_a_killed_holder_leaves_a_readable_recording(desk: Desk) -> None:
    executor, handle = await desk.run("sh", "-c", "i=0; while :; do i=$((i+1)); echo line $i; done")
    await until(lambda: len(recorded(handle)) > 200_000)
    os.kill(holder_of(handle), signal.SIGKILL)
    await ended(executor, handle)
    lines = recorded(handle).split(b"\r\n")
    assert lines[:-1] == [b"line %d" % number for number in range(1, len(lines))]


async def test_a_supervisor_that_dies_before_go_starts_nothing(desk: Desk) -> None:
    executor = await desk.executor()
    evidence = desk.root / "evidence"
    handles: list[str] = []

    async def die(handle: str) -> None:
        handles.append(handle)
        await asyncio.Event().wait()

    async def attempt() -> None:
        await executor.start(desk.request("touch", str(evidence)), die)

    from lite.aio.tasks import spawn

    job = spawn(attempt())
    await until(lambda: handles)
    job.cancel()
    await asyncio.gather(job, return_exceptions=True)
    second = await desk.executor()
    await second.recover(handles[0], 2)
    assert (await ended(second, handles[0])).kind is OutcomeKind.RESCHEDULED
    assert not evidence.exists()


async def test_two_supervisors_start_one_nursery(desk: Desk) -> None:
    first, second = await desk.executor(), await desk.executor()
    results = await asyncio.gather(
        *(desk.run("true", executor=executor) for executor in (first, second) for _ in range(5))
    )
    for executor, handle in results:
        assert (await ended(executor, handle)).kind is OutcomeKind.SUCCEEDED
    await until(lambda: len(desk.survivors()) == 1)
    assert desk.survivors() == [desk.nursery()]
