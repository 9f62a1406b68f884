"""Ending a session reaches everything it started, however it hid, and nothing else."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lite.model.task import OutcomeKind, Reason
from tests.executors.sessions import SECONDS, Desk, alive, ended, pid_in, recorded, until

# Says its pid once it is what it is to be, then sleeps.
SLEEPER = """
import os, signal, sys, time
how = sys.argv[1].split('+')
if 'clearenv' in how and 'QD_SESSION' in os.environ:
    os.execve(sys.executable, [sys.executable, '-c', sys.argv[3], *sys.argv[1:]], {})
if 'setsid' in how: os.setsid()
if 'fork' in how and os.fork(): os._exit(0)
if 'daemon' in how:
    if os.fork(): os._exit(0)
    os.setsid()
    if os.fork(): os._exit(0)
    os.chdir('/')
    for fd in range(3): os.close(fd)
if 'ignore' in how:
    for s in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT): signal.signal(s, signal.SIG_IGN)
draft = sys.argv[2] + '.draft'
with open(draft, 'w') as file: file.write(f'{os.getpid()}\\n')
os.rename(draft, sys.argv[2])
if 'stop' in how: os.kill(os.getpid(), signal.SIGSTOP)
while True: time.sleep(600)
"""
STYLES = {
    "plain": "plain",
    "setsid": "setsid",
    "double fork": "fork+setsid",
    "nohup": "nohup",
    "ignoring": "ignore",
    "daemon": "daemon",
    "stopped": "stop",
    "stopped daemon that ignores": "daemon+ignore+stop",
    "without our marks": "clearenv+daemon",
}


def escapee(desk: Desk, how: str) -> tuple[str, ...]:
    """A program that starts the sleeper and waits."""
    prefix = ["nohup"] if how == "nohup" else []
    command = [*prefix, sys.executable, "-c", SLEEPER, how, str(desk.root / "pid"), SLEEPER]
    script = "import subprocess, sys, time; subprocess.Popen(sys.argv[1:]); time.sleep(600)"
    return (sys.executable, "-c", script, *command)


@pytest.mark.parametrize("how", STYLES.values(), ids=STYLES.keys())
async def test_stop_reaches_it(desk: Desk, how: str) -> None:
    bystander = subprocess.Popen(
        [sys.executable, "-c", SLEEPER, how.replace("daemon", "").replace("fork", ""), str(desk.root / "bystander")]
    )
    try:
        executor, handle = await desk.run(*escapee(desk, how))
        sleeper = await pid_in(desk.root / "pid")
        begun = time.monotonic()
        await executor.stop(handle, grace_ms=600)
        outcome = await ended(executor, handle)
        assert not alive(sleeper)
        assert time.monotonic() - begun < 15
        assert (outcome.kind, outcome.reason) == (OutcomeKind.FAILED, Reason.SIGNAL)
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


@pytest.mark.parametrize("how", STYLES.values(), ids=STYLES.keys())
async def test_the_end_of_the_program_reaches_it(desk: Desk, how: str) -> None:
    script = (
        "import os,subprocess,sys,time; subprocess.Popen(sys.argv[2:])\n"
        "while not os.path.exists(sys.argv[1]): time.sleep(.01)"
    )
    command = escapee(desk, how)[3:]
    executor, handle = await desk.run(sys.executable, "-c", script, str(desk.root / "pid"), *command)
    sleeper = await pid_in(desk.root / "pid")
    assert (await ended(executor, handle)).kind is OutcomeKind.SUCCEEDED
    assert not alive(sleeper)


async def test_a_program_that_ends_itself_when_asked_may_finish(desk: Desk) -> None:
    script = "trap 'echo cleaning up; exit 9' INT; echo ready; while :; do sleep 0.05; done"
    executor, handle = await desk.run("sh", "-c", script)
    await until(lambda: b"ready" in recorded(handle))
    await executor.stop(handle, grace_ms=20_000)
    outcome = await ended(executor, handle)
    assert outcome.exit_code == 9
    assert b"cleaning up" in recorded(handle)


async def test_first_interrupt_then_terminate_then_kill(desk: Desk) -> None:
    script = (
        "import signal,sys,time,os\n"
        "for s in (signal.SIGINT, signal.SIGTERM): signal.signal(s, lambda n, f: os.write(1, b'%d ' % n))\n"
        "os.write(1, b'ready ')\nwhile 1: time.sleep(60)"
    )
    executor, handle = await desk.run(sys.executable, "-c", script)
    await until(lambda: b"ready" in recorded(handle))
    await executor.stop(handle, grace_ms=900)
    outcome = await ended(executor, handle)
    assert outcome.signal == signal.SIGKILL
    assert recorded(handle) == b"ready 2 15 "


async def test_a_second_stop_can_hurry(desk: Desk) -> None:
    executor, handle = await desk.run("sh", "-c", "trap '' INT TERM; echo ready; while :; do sleep 0.05; done")
    await until(lambda: b"ready" in recorded(handle))
    await executor.stop(handle, grace_ms=600_000)
    await executor.stop(handle, grace_ms=100)
    assert (await ended(executor, handle)).signal == signal.SIGKILL


async def test_many_processes_that_keep_forking(desk: Desk) -> None:
    """Each dies after a moment, having started another: no snapshot shows them all."""
    script = (
        "import os,sys,time\nfor _ in range(5):\n  if os.fork()==0: break\n"
        "else: open(sys.argv[1],'w').write('1\\n'); time.sleep(600)\n"
        "os.setsid()\nfor _ in range(10000):\n  if os.fork(): os._exit(0)\n  time.sleep(0.005)\n"
    )
    executor, handle = await desk.run(sys.executable, "-c", script, str(desk.root / "pid"))
    await pid_in(desk.root / "pid")
    await executor.stop(handle, grace_ms=100)
    await ended(executor, handle)
    assert not [pid for pid in desk.survivors() if is_python(pid, b"os.setsid()")]


def is_python(pid: int, text: bytes) -> bool:
    try:
        return text in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


async def test_a_signal_goes_to_the_foreground_group(desk: Desk) -> None:
    child = 'trap "echo child got it; exit" USR1; echo ready; while :; do sleep 0.05; done'
    script = f"trap 'echo shell got it' USR1; sh -c '{child}'; echo after"
    executor, handle = await desk.run("sh", "-c", script)
    await until(lambda: b"ready" in recorded(handle))
    await executor.signal(handle, signal.SIGUSR1)
    await asyncio.wait_for(executor.wait(handle), SECONDS)
    assert b"child got it" in recorded(handle)
    assert b"shell got it" in recorded(handle)


async def test_holders_end_their_sessions_when_the_machine_goes_down(desk: Desk) -> None:
    from tests.executors.sessions import holder_of

    executor, handle = await desk.run("sh", "-c", "trap 'exit 6' INT; echo ready; while :; do sleep 0.05; done")
    await until(lambda: b"ready" in recorded(handle))
    os.kill(holder_of(handle), signal.SIGTERM)
    assert (await ended(executor, handle)).exit_code == 6
