"""Our engine on Redis as one member of a fleet: whatever becomes ready is offered by the server."""

from __future__ import annotations

import asyncio
import resource
import statistics
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lite.aio.probe import watch
from lite.backends.redis import RedisBackend
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
from tests.benchmarks.redis_peers import Figures
from tests.support.redis_server import RedisServer

NOOP = Order(agent="noop", prompt="nothing")
FIRST_DELAY_MS = 30  # by then the one that needs it is submitted, too
PATIENCE = 60.0


def ours(root: Path, server: RedisServer, counts: Mapping[int, int], singles: int) -> Figures:
    """As `redis_peers.measured`."""
    server.ask("FLUSHALL")
    return asyncio.run(_ours(_supervisor(root, server), counts, singles))


def idle(root: Path, server: RedisServer, seconds: float) -> tuple[float, float]:
    """Per cent of a core: of an engine that has nothing to do, and of its server meanwhile."""
    server.ask("FLUSHALL")
    return asyncio.run(_idle(_supervisor(root, server), server, seconds))


def _supervisor(root: Path, server: RedisServer) -> Supervisor:
    home = Home(root / f"home-{time.monotonic_ns()}")
    home.create()
    settings = Settings(agents={"noop": Agent("noop", "noop")}, slots=100)
    context = Context(
        backend=RedisBackend(server.options("bench", server.url)),
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
    return Supervisor(context, alone=False)


async def _ours(supervisor: Supervisor, counts: Mapping[int, int], singles: int) -> Figures:
    await supervisor.start()
    operations = Operations(supervisor)
    seen = _Seen()
    await _start(operations, seen)  # connections, functions and groups are made
    rates = {submitters: await _rate(operations, seen, submitters, count) for submitters, count in counts.items()}
    starts = [await _start(operations, seen) for _ in range(singles)]
    hops = [await _hop(operations, seen) for _ in range(singles)]
    seen.close()
    tasks = await supervisor.context.backend.tasks(TaskQuery())
    assert len(tasks) == 1 + sum(counts.values()) + 3 * singles, len(tasks)
    assert {task.state for task in tasks} == {State.SUCCEEDED}
    assert all(task.attempt == 1 for task in tasks)
    await supervisor.stop(keep_sessions=False)
    return Figures(rates, statistics.median(starts), statistics.median(hops))


class _Seen:
    """When a task last began, when one last ended, and how many outcomes the server has confirmed."""

    def __init__(self) -> None:
        self.started: dict[str, float] = {}
        self.ended: dict[str, float] = {}
        self._awaited = 0
        self._reached = asyncio.Event()
        self._undo = (
            watch("runner.prepared", lambda data: self._note(self.started, data)),
            watch("runner.ended", lambda data: self._note(self.ended, data)),
            watch("runner.finished", self._finished),
        )

    def close(self) -> None:
        for undo in self._undo:
            undo()

    def expect(self, more: int) -> None:
        self.started.clear()
        self.ended.clear()
        self._awaited = more
        self._reached.clear()

    async def all_stored(self) -> None:
        async with asyncio.timeout(PATIENCE):
            await self._reached.wait()

    @staticmethod
    def _note(times: dict[str, float], data: dict[str, Any]) -> None:
        times[data["task"]] = time.perf_counter()

    def _finished(self, _: object) -> None:
        self._awaited -= 1
        if not self._awaited:
            self._reached.set()


async def _rate(operations: Operations, seen: _Seen, submitters: int, count: int) -> float:
    async def submit() -> None:
        for _ in range(count // submitters):
            await operations.submit(NOOP)

    seen.expect(count)
    begun = time.perf_counter()
    await asyncio.gather(*(submit() for _ in range(submitters)))
    await seen.all_stored()
    return count / (time.perf_counter() - begun)


async def _start(operations: Operations, seen: _Seen) -> float:
    seen.expect(1)
    begun = time.perf_counter()
    task, _ = await operations.submit(NOOP)
    await seen.all_stored()
    return 1000 * (seen.started[task.id] - begun)


async def _hop(operations: Operations, seen: _Seen) -> float:
    """From the end of a task's work to the start of the task that needs it."""
    seen.expect(2)
    first, _ = await operations.submit(Order(agent="noop", prompt="x", delay_ms=FIRST_DELAY_MS))
    second, _ = await operations.submit(Order(agent="noop", prompt="x", needs=(first.id,)))
    await seen.all_stored()
    return 1000 * (seen.started[second.id] - seen.ended[first.id])


async def _idle(supervisor: Supervisor, server: RedisServer, seconds: float) -> tuple[float, float]:
    def spent() -> tuple[float, float]:
        cpu = server.info("cpu")
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return usage.ru_utime + usage.ru_stime, float(cpu["used_cpu_user"]) + float(cpu["used_cpu_sys"])

    await supervisor.start()
    await asyncio.sleep(1)
    before, begun = spent(), time.perf_counter()
    await asyncio.sleep(seconds)
    after, elapsed = spent(), time.perf_counter() - begun
    await supervisor.stop(keep_sessions=False)
    return 100 * (after[0] - before[0]) / elapsed, 100 * (after[1] - before[1]) / elapsed
