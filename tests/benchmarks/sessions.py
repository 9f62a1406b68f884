"""Sessions: start, many small ones, bytes to the recording, memory, adoption; against `script`, `xargs` and tmux."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shlex
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from lite.executors.local.handle import parse_handle
from lite.recordings.layout import FOLDER
from lite.terminal import packets
from tests.benchmarks.report import Line, against
from tests.executors.sessions import PATH, Desk, ended, finish, holder_of, read_kind, recording
from tests.support.fleet import Fleet, until

_STARTS = 30
_TASKS = 300
_LINES, _LINE = 2_500_000, b"x" * 79 + b"\n"  # 200 MB
_IDLE = 50
_MIB = 1 << 20

Measure = Callable[[Desk], Awaitable[float]]


def run() -> list[Line]:
    with tempfile.TemporaryDirectory(prefix="qd-bench-") as folder:
        root = Path(folder)
        ours = asyncio.run(_at(root / "start", _start_ms))
        lines = [against("start to first byte vs script -qc", ours, _script_ms(), "ms", at_most=0.5)]
        ours, theirs = _plan_seconds(root / "plan"), _xargs_seconds()
        lines.append(against(f"{_TASKS} tasks, 8 slots, vs xargs -P 8 script", ours, theirs, "s"))
        text = root / "text"
        with text.open("wb") as file:
            for _ in range(_LINES // 10_000):
                file.write(_LINE * 10_000)
        rates: list[tuple[float, float, float]] = [
            (
                asyncio.run(_at(root / f"bytes{at}", lambda desk: _recording_rate(desk, text))),
                _pipe_pane_rate(root, text),
                _drain_rate(text),
            )
            for at in range(3)
        ]
        ours, theirs, limit = (statistics.median(column) for column in zip(*rates, strict=True))
        text.unlink()
        lines.append(against("bytes to recording vs tmux pipe-pane", ours, theirs, "MB/s", at_least=2.5))
        lines.append(against("bytes to recording vs a bare read loop", ours, limit, "MB/s"))
        ours = asyncio.run(_at(root / "idle", _idle_mib))
        lines.append(against("private memory of an idle session", ours, 1.0, "MB", at_most=1))
        adoption = _adoption_seconds(root / "adopt")
        lines.append(Line(f"restart to ready, {_IDLE} sessions adopted", f"{adoption:.3g} s", ""))
        return lines


async def _at(root: Path, measure: Measure) -> float:
    root.mkdir()
    desk = Desk(root)
    try:
        return await measure(desk)
    finally:
        desk.kill_all()
        await desk.close()


async def _start_ms(desk: Desk) -> float:
    """From `start` until a watcher has the program's first byte, which is recorded before it is sent."""
    executor, first = await desk.run("true")  # the nursery is there now
    await ended(executor, first)
    times = []
    for _ in range(_STARTS):
        begun = time.perf_counter()
        _, handle = await desk.run("echo", "x")
        stream = await executor.attach(handle, control=False, offset=0)
        await read_kind(stream, packets.OUTPUT)
        times.append((time.perf_counter() - begun) * 1000)
        await stream.aclose()
        await ended(executor, handle)
    return statistics.median(times)


def _script_ms() -> float:
    times = []
    for _ in range(_STARTS):
        begun = time.perf_counter()
        with subprocess.Popen(
            ["script", "-qc", "echo x", "/dev/null"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
        ) as process:
            assert process.stdout is not None
            assert os.read(process.stdout.fileno(), 1)
            times.append((time.perf_counter() - begun) * 1000)
    return statistics.median(times)


def _plan_seconds(root: Path) -> float:
    with Fleet(root, config="limits: {slots: 8}\n") as fleet:
        assert fleet.up() == "ready"
        tasks = "".join(f"  t{at}: {{command: echo {at}}}\n" for at in range(_TASKS))
        (root / "plan.yaml").write_text(f"name: many\ntasks:\n{tasks}")
        begun = time.perf_counter()
        fleet.qd("run", "--wait", "plan.yaml")  # fails unless all have succeeded
        return time.perf_counter() - begun


def _xargs_seconds() -> float:
    lines = "".join(f"{at}\n" for at in range(_TASKS))
    command = ["xargs", "-P", "8", "-I{}", "script", "-qec", "echo {}", "/dev/null"]
    begun = time.perf_counter()
    subprocess.run(command, input=lines, text=True, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - begun


async def _recording_rate(desk: Desk, text: Path) -> float:
    """MB of input a second, from start until `exit.json`."""
    executor = await desk.executor()
    size = text.stat().st_size
    begun = time.perf_counter()
    _, handle = await desk.run("cat", str(text), cap_bytes=4 * size)
    await ended(executor, handle, 120)
    elapsed = time.perf_counter() - begun
    assert recording(handle).end() == size + _LINES, "each line ends in CR LF"
    shutil.rmtree(Path(parse_handle(handle).directory) / FOLDER)
    return size / elapsed / 1e6


def _pipe_pane_rate(root: Path, text: Path) -> float:
    """The same until the last byte is in the file. The pane waits before and after: its end would cut the pipe."""
    out = root / "piped"
    server = ["tmux", "-S", str(root / "tmux.sock"), "-f", "/dev/null"]
    command = f"stty -echo; read _; cat {shlex.quote(str(text))}; read _"
    env = {**os.environ, "TERM": "xterm-256color", "PATH": PATH}
    size = text.stat().st_size
    subprocess.run([*server, "new-session", "-d", "-s", "b", command], check=True, env=env)
    try:
        subprocess.run([*server, "pipe-pane", "-o", "-t", "b", f"cat > {shlex.quote(str(out))}"], check=True, env=env)
        until(out.exists)
        begun = time.perf_counter()
        subprocess.run([*server, "send-keys", "-t", "b", "Enter"], check=True, env=env)
        until(lambda: out.stat().st_size >= size + _LINES, 120, lambda: f"{out.stat().st_size} of {size + _LINES}")
        return size / (time.perf_counter() - begun) / 1e6
    finally:
        subprocess.run([*server, "kill-server"], check=False, env=env)
        out.unlink(missing_ok=True)


def _drain_rate(text: Path) -> float:
    """The physical limit: the same program on a bare terminal, read and thrown away."""
    outer, inner = os.openpty()
    begun = time.perf_counter()
    with subprocess.Popen(["cat", str(text)], stdin=subprocess.DEVNULL, stdout=inner):
        os.close(inner)
        with contextlib.suppress(OSError):  # EIO is its end
            while os.read(outer, 1 << 16):
                pass
    os.close(outer)
    return text.stat().st_size / (time.perf_counter() - begun) / 1e6


async def _idle_mib(desk: Desk) -> float:
    """The mean of what a holder shares with nobody."""
    executor = await desk.executor()
    handles = [(await desk.run("sleep", "600"))[1] for _ in range(_IDLE)]
    await asyncio.sleep(0.5)
    mean = statistics.mean(_private_kib(holder_of(handle)) for handle in handles) * 1024 / _MIB
    for handle in handles:
        await finish(executor, handle)
    return mean


def _private_kib(pid: int) -> int:
    with Path(f"/proc/{pid}/smaps_rollup").open() as file:
        return sum(int(line.split()[1]) for line in file if line.startswith("Private_"))


def _adoption_seconds(root: Path) -> float:
    with Fleet(root, config=f"limits: {{slots: {_IDLE + 10}}}\n") as fleet:
        assert fleet.up() == "ready"
        for _ in range(_IDLE):
            fleet.client.call("POST", "/v1/tasks", {"command": ["sleep", "600"], "cwd": str(root)})
        until(lambda: _named("sleep", fleet.survivors()) == _IDLE, 60, fleet.describe)  # let go, so kept
        fleet.kill()
        assert fleet.up() == "ready"
        assert all(task["state"] == "running" and task["attempt"] == 1 for task in fleet.tasks()), fleet.describe()
        return fleet.ready_after


def _named(name: str, pids: list[int]) -> int:
    found = 0
    for pid in pids:
        with contextlib.suppress(OSError):  # it has ended meanwhile
            found += Path(f"/proc/{pid}/comm").read_text() == f"{name}\n"
    return found
