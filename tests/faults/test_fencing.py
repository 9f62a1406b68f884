"""A supervisor that is killed or paused leaves the sessions it kept behind: they end with their lease, whole trees."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from lite.executors.local.handle import parse_handle
from lite.model.task import OutcomeKind, Reason
from tests.executors.sessions import Desk, alive, ended, holder_of, pid_in, until
from tests.executors.test_trees import SLEEPER, escapee

TTL_MS = 2000
LATE_SECONDS = 3.0  # what a busy machine may add

# Starts a session, keeps it for so many ms once its daemon is there, or again and again, and goes on for ever.
SUPERVISOR = """
import asyncio, sys
from pathlib import Path
from tests.executors.sessions import Desk, pid_in

async def main(root, ttl, how, *argv):
    executor, handle = await Desk(Path(root)).run(*argv)
    await pid_in(Path(root) / 'pid')
    while True:
        await executor.keep(handle, int(ttl))
        print(handle, flush=True)
        await asyncio.sleep(int(ttl) / 5000 if how == 'again' else 3600)

asyncio.run(main(*sys.argv[1:]))
"""

Start = Callable[..., tuple[subprocess.Popen[bytes], str]]


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    made = Desk(tmp_path)
    try:
        yield made
        await made.close()
    finally:
        made.kill_all()


@pytest.fixture
def supervise(desk: Desk) -> Iterator[Start]:
    """Start a supervisor of its own process over this home, with a program that has a daemon which ignores signals;
    the process and the session's handle."""
    made: list[subprocess.Popen[bytes]] = []

    def start(how: str = "once") -> tuple[subprocess.Popen[bytes], str]:
        argv = (sys.executable, "-c", SUPERVISOR, str(desk.root), str(TTL_MS), how, *escapee(desk, "daemon+ignore"))
        process = subprocess.Popen(argv, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2])
        made.append(process)
        assert process.stdout is not None
        return process, process.stdout.readline().decode().strip()

    yield start
    for process in made:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def program_of(handle: str) -> int:
    return int((Path(parse_handle(handle).directory) / "started").read_text().split()[0])


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGSTOP])
async def test_what_a_lost_supervisor_kept_ends_with_its_lease(
    desk: Desk, supervise: Start, signum: signal.Signals
) -> None:
    process, handle = supervise()
    kept = time.monotonic()
    os.kill(process.pid, signum)
    daemon, program = await pid_in(desk.root / "pid"), program_of(handle)
    assert alive(program)
    await until(lambda: not any(alive(pid) for pid in (program, daemon)))
    assert TTL_MS / 1000 - 0.2 < time.monotonic() - kept < TTL_MS / 1000 + LATE_SECONDS
    found = Path(parse_handle(handle).directory) / "exit.json"
    await until(found.exists)
    fields = json.loads(found.read_text())
    assert (fields["kind"], fields["left"]) == ("lapsed", 0)
    assert fields["message"].startswith("its lease ran out: nobody renewed it for 2")
    await until(lambda: not alive(holder_of(handle)))
    again = await desk.executor()
    await again.recover(handle, 2)
    outcome = await ended(again, handle)
    assert (outcome.kind, outcome.reason, outcome.detail) == (
        OutcomeKind.UNEXECUTABLE,
        Reason.LOST,
        fields["message"],
    )


async def test_what_is_kept_again_lives_and_ends_when_it_is_not_any_more(desk: Desk, supervise: Start) -> None:
    process, handle = supervise("again")
    daemon, program = await pid_in(desk.root / "pid"), program_of(handle)
    executor, other = await desk.run("sleep", "600", task="yardstick")
    await executor.keep(other, 3 * TTL_MS)
    assert (await ended(executor, other)).reason == Reason.LOST
    assert all(alive(pid) for pid in (program, daemon))
    process.kill()
    await until(lambda: not any(alive(pid) for pid in (program, daemon)), TTL_MS / 1000 + LATE_SECONDS)


async def test_who_adopts_it_in_time_keeps_it_on(desk: Desk, supervise: Start) -> None:
    process, handle = supervise()
    process.kill()
    daemon, program = await pid_in(desk.root / "pid"), program_of(handle)
    second = await desk.executor()
    await second.recover(handle, 2)
    await second.keep(handle, 60_000)
    _, other = await desk.run("sleep", "600", task="yardstick")
    await second.keep(other, 2 * TTL_MS)
    assert (await ended(second, other)).reason == Reason.LOST
    assert all(alive(pid) for pid in (program, daemon))
    await second.keep(handle, 0)
    assert (await ended(second, handle)).detail == "its lease is over"
    assert not any(alive(pid) for pid in (program, daemon))


async def test_a_program_that_is_stopped_is_killed_all_the_same(desk: Desk) -> None:
    executor, handle = await desk.run(sys.executable, "-c", SLEEPER, "stop", str(desk.root / "pid"), SLEEPER)
    program = await pid_in(desk.root / "pid")
    await executor.keep(handle, 100)
    outcome = await ended(executor, handle)
    assert (outcome.kind, outcome.reason) == (OutcomeKind.UNEXECUTABLE, Reason.LOST)
    assert not alive(program)


async def test_a_holder_that_was_stopped_itself_gives_no_more_time_than_was_meant(desk: Desk) -> None:
    """What it was told while it was stopped is read when it goes on, and was said for a time that has passed."""
    executor, handle = await desk.run("sleep", "600")
    _, other = await desk.run("sleep", "600", task="yardstick")
    holder, program = holder_of(handle), (await executor.inspect(handle)).pid
    os.kill(holder, signal.SIGSTOP)
    await executor.keep(handle, 1500)
    await executor.keep(other, 1600)
    await ended(executor, other)
    assert alive(program)
    resumed = time.monotonic()
    os.kill(holder, signal.SIGCONT)
    assert (await ended(executor, handle)).reason == Reason.LOST
    assert time.monotonic() - resumed < 1.4
    assert not alive(program)
