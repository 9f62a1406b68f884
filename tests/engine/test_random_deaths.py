"""Three orchestrators, four workers, two hundred tasks with needs and lanes, and something dies all the time."""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lite.aio.probe import watch
from lite.aio.tasks import spawn
from lite.backends.memory import MemoryBackend
from lite.backends.redis import RedisBackend
from lite.executors.fake import Behaviour
from lite.model.event import Event
from lite.model.task import Outcome, OutcomeKind, TaskQuery
from tests.engine.conftest import Shared
from tests.support.engines import SETTINGS
from tests.support.history import check_all_ended, check_history, check_lanes
from tests.support.machines import Machines
from tests.support.redis_server import RedisServer

TASKS = 200
DANGEROUS_SECONDS = 200
FAILS = Outcome(OutcomeKind.FAILED, exit_code=1)
ORCHESTRATORS = ("o1", "o2", "o3")
WORKERS = ("w1", "w2", "w3", "w4")


class Plan:
    """What is to be done, and (known without running it) how each task must end."""

    def __init__(self, chance: random.Random) -> None:
        self.script: dict[str, Behaviour] = {}
        self.needs: list[list[int]] = []
        self.lanes: list[str] = []
        self.fails: set[int] = set()
        for at in range(TASKS):
            if chance.random() < 0.03:
                self.fails.add(at)
            outcome = FAILS if at in self.fails else Behaviour().outcome
            self.script[f"t{at}"] = Behaviour(outcome, seconds=chance.choice((0, 1, 5, 12, 60)))
            self.needs.append(chance.sample(range(max(at - 30, 0), at), chance.randint(0, min(2, at))))
            self.lanes.append(f"lane{chance.randrange(8)}" if chance.random() < 0.4 else "")

    def ends(self) -> dict[str, str]:
        states: list[str] = []
        for at in range(TASKS):
            if any(states[need] != "succeeded" for need in self.needs[at]):
                states.append("skipped")
            else:
                states.append("failed" if at in self.fails else "succeeded")
        return {f"t{at}": state for at, state in enumerate(states)}


async def submit(machines: Machines, plan: Plan) -> list[str]:
    """The tasks' ids; each is handed to another orchestrator."""
    ids: list[str] = []
    for at in range(TASKS):
        engine = machines.engines[ORCHESTRATORS[at % 3]]
        needs = tuple(ids[need] for need in plan.needs[at])
        ids.append((await engine.submit(f"t{at}", needs=needs, lane=plan.lanes[at])).id)
    return ids


async def something_happens(machines: Machines, chance: random.Random, down: dict[str, float]) -> None:
    """One member dies (with its machine or without), or is cut off, in the middle of whatever it does."""
    name = chance.choice([one for one in (*ORCHESTRATORS, *WORKERS) if one not in down])
    going_on = spawn(machines.clock.advance(chance.uniform(0.01, 0.6)), "time")
    for _ in range(chance.randrange(60)):
        await asyncio.sleep(0)
    down[name] = machines.clock.monotonic() + chance.choice((0.2, 1, 5, 20, 50))
    what = chance.choice(("kill", "kill", "power", "cut"))
    if what == "cut":
        machines.lines[name].up.clear()
    else:
        await machines.kill(name, machine=what == "power")
    await going_on


async def come_back(machines: Machines, down: dict[str, float], *, everybody: bool = False) -> None:
    for name, until in list(down.items()):
        if everybody or machines.clock.monotonic() >= until:
            del down[name]
            if machines.lines[name].up.is_set():
                await machines.start(name)
            else:
                machines.lines[name].up.set()


def as_json(events: list[Event]) -> list[dict[str, Any]]:
    return [
        {"cursor": one.cursor, "kind": one.kind.value, "task": one.task, "attempt": one.attempt, "worker": one.worker}
        for one in events
    ]


async def time_passes(machines: Machines, seconds: float, steps: int) -> None:
    """The more steps, the more often a backend whose answers take real time can give them."""
    for _ in range(steps):
        for _ in range(3 if steps > 1 else 0):
            await machines.backend.renew([], now=0, ttl_ms=1)
            await machines.backend.wait(0, timeout_ms=0)
        await machines.clock.advance(seconds / steps)


@pytest.mark.parametrize("seed", range(6))
async def test_every_task_ends_once_as_it_must_whoever_dies(seed: int, tmp_path: Path) -> None:
    await simulate(MemoryBackend(), tmp_path, seed)


@pytest.mark.slow
async def test_so_it_does_on_redis(tmp_path: Path, redis_server: RedisServer, redis_prefix: str) -> None:
    backend = RedisBackend(redis_server.options(redis_prefix))
    await backend.open()
    await simulate(Shared(backend), tmp_path, seed=7, steps=20)
    await backend.close()


async def simulate(backend: Any, folder: Path, seed: int, steps: int = 1) -> None:
    chance = random.Random(seed)
    plan = Plan(chance)
    machines = Machines(backend, folder, plan.script, replace(SETTINGS, slots=3))
    for name in ORCHESTRATORS:
        await machines.start(name, "orchestrator", line=True)
    for name in WORKERS:
        await machines.start(name, "worker", line=True)
    programs: list[list[str]] = []
    undo = watch("runner.started", lambda data: programs.append(machines.alive(data["task"])))
    ids = await submit(machines, plan)
    down: dict[str, float] = {}
    while machines.clock.monotonic() < DANGEROUS_SECONDS:
        if len(down) < 4:
            await something_happens(machines, chance, down)
        await time_passes(machines, chance.uniform(0.1, 2.0), steps)
        await come_back(machines, down)
    await come_back(machines, down, everybody=True)

    async def all_ended() -> bool:
        return all(task.state.terminal for task in await backend.tasks(TaskQuery()))

    await machines.engines["o1"].until(all_ended, step=0.5)
    undo()
    events = as_json(list(await backend.events(0, limit=1_000_000)))
    check_history(events)
    check_all_ended(events)
    lanes: defaultdict[str, list[str]] = defaultdict(list)
    for at, lane in enumerate(plan.lanes):
        if lane:
            lanes[lane].append(ids[at])
    check_lanes(events, lanes)
    assert all(len(alive) == 1 for alive in programs)  # never two programs of one task
    rows = await backend.tasks(TaskQuery())
    assert {row.spec.name: row.state.value for row in rows} == plan.ends()
    kinds = [event["kind"] for event in events]
    assert kinds.count("lease.lost") > 20  # it was worth the trouble
    await machines.close()
    assert not any(len(engine.supervisor.sessions) for engine in machines.engines.values())
