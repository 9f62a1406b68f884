"""Engine: no-op inline tasks until durably succeeded, against huey and a bare group-commit loop on the same disk."""

from __future__ import annotations

import asyncio
import os
import resource
import statistics
import tempfile
import threading
import time
from pathlib import Path

from lite.aio.probe import watch
from lite.backends.sqlite import SqliteBackend
from lite.clock import SystemClock
from lite.engine.context import Context
from lite.engine.operations import Operations
from lite.engine.supervisor import Supervisor
from lite.executors.inline import InlineExecutor
from lite.home import Home
from lite.model.order import Order
from lite.model.settings import Agent, Settings
from lite.model.task import State, TaskQuery
from providers.registry import Registry
from tests.benchmarks.bare_loop import bare_rate
from tests.benchmarks.report import Line, against, percentile

TASKS = {1: 1500, 10: 6000}


def run() -> list[Line]:
    lines: list[Line] = []
    with tempfile.TemporaryDirectory(prefix="qd-bench-") as folder:
        root = Path(folder)
        for submitters in (1, 10):
            full = _median(lambda n=submitters: asyncio.run(_ours(root, n, "full"))["rate"])  # type: ignore[misc]
            normal = _median(lambda n=submitters: asyncio.run(_ours(root, n, "normal"))["rate"])  # type: ignore[misc]
            synced = _median(lambda n=submitters: _huey(root, n, True))  # type: ignore[misc]
            default = _median(lambda n=submitters: _huey(root, n, False))  # type: ignore[misc]
            bare = _median(lambda n=submitters: bare_rate(root, n, TASKS[n]))  # type: ignore[misc]
            who = f"{submitters} submitter{'s' if submitters > 1 else ''}"
            lines.append(
                against(f"{who}, FULL, vs huey fsync", full, synced, "tasks/s", at_least=1 if submitters == 1 else 3)
            )
            lines.append(against(f"{who}, NORMAL, vs huey default", normal, default, "tasks/s"))
            lines.append(against(f"{who}, FULL, vs bare loop FULL", full, bare, "tasks/s", at_least=0.5))
        fsync = _fsync_ms(root)
        latency = asyncio.run(_latency(root))
        lines.append(against("submit to start p50, in fsyncs", latency["start"], fsync, "ms"))
        lines.append(against("hop between needs p50, in fsyncs", latency["hop"], fsync, "ms"))
        lines.append(Line("idle CPU of the engine", f"{asyncio.run(_idle(root)):.2f} %", "", None, "<= 0.5 %"))
    return lines


def _median(measure):  # type: ignore[no-untyped-def]
    return statistics.median(measure() for _ in range(3))


def _supervisor(root: Path, synchronous: str) -> Supervisor:
    home = Home(root / f"home-{time.monotonic_ns()}")
    home.create()
    settings = Settings(
        agents={"noop": Agent("noop", "noop")}, slots=100, synchronous=synchronous, path="", heartbeat_ms=5000
    )
    context = Context(
        backend=SqliteBackend(home.database, synchronous=synchronous),
        executors={"inline": InlineExecutor()},
        providers=Registry.with_installed(),
        clock=SystemClock(),
        settings=settings,
        home=home,
        worker="bench",
        node="bench",
        load_plan=lambda *_: (_ for _ in ()).throw(NotImplementedError),
        load_settings=lambda: settings,
        read_order=lambda _: (_ for _ in ()).throw(NotImplementedError),
    )
    return Supervisor(context)


async def _ours(root: Path, submitters: int, synchronous: str) -> dict[str, float]:
    supervisor = _supervisor(root, synchronous)
    await supervisor.start()
    operations = Operations(supervisor)
    backend = supervisor.context.backend
    order = Order(agent="noop", prompt="nothing")
    count = TASKS[submitters]

    async def submit(many: int) -> None:
        for _ in range(many):
            await operations.submit(order)

    all_done = asyncio.Event()
    left = count

    def finished(_: object) -> None:  # the outcome is on disk when this is hit
        nonlocal left
        left -= 1
        if not left:
            all_done.set()

    undo = watch("runner.finished", finished)
    begun = time.perf_counter()
    await asyncio.gather(*(submit(count // submitters) for _ in range(submitters)))
    await all_done.wait()
    elapsed = time.perf_counter() - begun
    undo()
    states = {task.state for task in await backend.tasks(TaskQuery())}
    assert states == {State.SUCCEEDED}, states
    await supervisor.stop(keep_sessions=False)
    return {"rate": count / elapsed}


async def _latency(root: Path) -> dict[str, float]:
    """Medians over single tasks on an idle engine: submit to claimed-and-started, and end to dependent's end."""
    supervisor = _supervisor(root, "full")
    await supervisor.start()
    operations = Operations(supervisor)
    starts: list[float] = []
    hops: list[float] = []
    loop = asyncio.get_running_loop()
    for _ in range(200):
        started: asyncio.Future[float] = loop.create_future()
        undo = watch("runner.prepared", lambda _, s=started: s.done() or s.set_result(time.perf_counter()))  # type: ignore[misc]
        begun = time.perf_counter()
        task, _ = await operations.submit(Order(agent="noop", prompt="x"))
        starts.append((await started - begun) * 1000)
        undo()
        await _ended(supervisor, task.id)
    for _ in range(100):
        ends: list[float] = []
        both = asyncio.Event()

        def ended(_: object, ends: list[float] = ends, both: asyncio.Event = both) -> None:
            ends.append(time.perf_counter())
            if len(ends) == 2:
                both.set()

        undo = watch("runner.finished", ended)
        first, _ = await operations.submit(Order(agent="noop", prompt="x", delay_ms=30))
        second, _ = await operations.submit(Order(agent="noop", prompt="x", needs=(first.id,)))
        await _ended(supervisor, second.id)
        await both.wait()  # a reader may see the end before the runner is told of it
        undo()
        hops.append((ends[1] - ends[0]) * 1000)
    await supervisor.stop(keep_sessions=False)
    return {"start": percentile(starts, 0.5), "hop": percentile(hops, 0.5)}


async def _ended(supervisor: Supervisor, task: str) -> None:
    cursor = 0
    while (await supervisor.context.backend.get(task)).state is not State.SUCCEEDED:
        cursor = await supervisor.context.backend.wait(cursor, timeout_ms=100)


async def _idle(root: Path) -> float:
    supervisor = _supervisor(root, "full")
    await supervisor.start()
    await asyncio.sleep(1)
    before = resource.getrusage(resource.RUSAGE_SELF)
    begun = time.perf_counter()
    await asyncio.sleep(15)
    after = resource.getrusage(resource.RUSAGE_SELF)
    elapsed = time.perf_counter() - begun
    await supervisor.stop(keep_sessions=False)
    return 100 * (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) / elapsed


def _huey(root: Path, submitters: int, fsync: bool) -> float:
    """huey's SQLite backend with its threaded consumer, results kept: the nearest to our promise it offers. At its
    best: one worker (more contend for the file), and the ends are told by its signal instead of asked for."""
    from huey import SqliteHuey
    from huey.signals import SIGNAL_COMPLETE

    huey = SqliteHuey(filename=str(root / f"huey-{time.monotonic_ns()}.db"), fsync=fsync, results=True)
    count = TASKS[submitters] // 3 // submitters * submitters
    left = count
    all_done = threading.Event()

    @huey.task()  # type: ignore[untyped-decorator]
    def noop() -> int:
        return 1

    @huey.signal(SIGNAL_COMPLETE)  # type: ignore[untyped-decorator]
    def complete(*_: object) -> None:  # the result is stored when this is called
        nonlocal left
        left -= 1
        if not left:
            all_done.set()

    consumer = huey.create_consumer(workers=1, periodic=False, initial_delay=0.001, max_delay=0.005)
    consumer.start()

    def work(many: int) -> None:
        for _ in range(many):
            noop()

    threads = [threading.Thread(target=work, args=(count // submitters,)) for _ in range(submitters)]
    begun = time.perf_counter()
    for thread in threads:
        thread.start()
    assert all_done.wait(120)
    elapsed = time.perf_counter() - begun
    for thread in threads:
        thread.join()
    consumer.stop(graceful=True)
    return count / elapsed


def _fsync_ms(root: Path) -> float:
    """The median time of appending 4 KiB and fsync on this disk."""
    times = []
    descriptor = os.open(root / "fsync", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    for _ in range(200):
        os.write(descriptor, b"x" * 4096)
        begun = time.perf_counter()
        os.fsync(descriptor)
        times.append((time.perf_counter() - begun) * 1000)
    os.close(descriptor)
    return statistics.median(times)
