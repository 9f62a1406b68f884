"""Placement through real engines: what is required is kept, no place is given twice, what waits gets the next one."""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from lite.executors.fake import Behaviour
from lite.model.run import Submission
from lite.model.settings import Agent
from lite.model.task import ClaimRequest, Outcome, OutcomeKind, Task, TaskQuery, TaskSpec
from tests.engine.conftest import Build, Make
from tests.support.engines import SETTINGS, Engine
from tests.support.machines import Machines

HANGS = Behaviour(hangs=True)
SHORT = Behaviour(seconds=1)
Two = Callable[..., Awaitable[tuple[Machines, Engine, Engine]]]
ENDS = {"task.succeeded", "task.failed", "task.cancelled", "task.skipped", "task.retrying", "task.parked"}


@pytest.fixture(autouse=True)
def _idle(monkeypatch: pytest.MonkeyPatch) -> None:
    """The load of the machine that runs the tests must not decide them."""
    monkeypatch.setattr(os, "getloadavg", lambda: (0.0, 0.0, 0.0))


async def worker(machines: Machines, name: str, *, slots: int = 4, executor: str = "local", **fields: Any) -> Engine:
    engine = await machines.start(name, "worker", settings=replace(machines.settings, slots=slots, **fields))
    return await offers(engine, executor)


async def offers(engine: Engine, executor: str) -> Engine:
    """Whatever runs programs here, to the fleet it is this executor."""
    context = engine.context
    (row,) = [one for one in await context.backend.workers() if one.id == context.worker]
    await context.backend.register(replace(row, executors=(executor,)), now=context.clock.now())
    return engine


async def loaded(engine: Engine, load: float) -> None:
    """From now on its machine does this much."""
    engine.supervisor.registry.load = lambda: load
    await engine.supervisor.registry.beat()


async def pass_time(engine: Engine, seconds: float, step: float = 0.5) -> None:
    for _ in range(round(seconds / step)):
        await engine.settle()
        await engine.clock.advance(step)
    await engine.settle()


async def until_assigned(engine: Engine, name: str, where: str) -> Task:
    async def there() -> bool:
        return (await engine.task(name)).assigned == where

    await engine.until(there)
    return await engine.task(name)


async def attempts(engine: Engine, name: str) -> list[str]:
    """The worker of each attempt."""
    task = await engine.task(name)
    return [event.worker for event in await engine.events() if event.task == task.id and event.kind == "task.claimed"]


class Ledger:
    """Reads the event log alone: who was where when each task got its worker."""

    def __init__(self) -> None:
        self.where: dict[str, str] = {}
        self.most: Counter[str] = Counter()  # at once, assigned and running, per worker
        self.broken: list[str] = []
        self.choices = 0

    async def read(self, engine: Engine) -> Ledger:
        specs = {task.id: task.spec for task in await engine.context.backend.tasks(TaskQuery())}
        for event in await engine.events():
            if event.kind == "task.routed" and "worker" in event.data:
                self.where.pop(event.task, None)
                if event.data["worker"]:
                    self._chosen(specs[event.task], event.data["worker"], specs)
                    self.where[event.task] = event.data["worker"]
            elif event.kind == "task.claimed":
                self.where[event.task] = event.worker
            elif event.kind in ENDS:
                self.where.pop(event.task, None)
            for name, count in Counter(self.where.values()).items():
                self.most[name] = max(self.most[name], count)
        return self

    def _chosen(self, spec: TaskSpec, chosen: str, specs: dict[str, TaskSpec]) -> None:
        self.choices += 1
        team = {where for task, where in self.where.items() if spec.team and specs[task].team == spec.team}
        if spec.affinity == "require-spread" and chosen in team:
            self.broken.append(f"{spec.name} joins its team on {chosen}")
        if spec.affinity == "require-colocate" and team - {chosen}:
            self.broken.append(f"{spec.name} goes to {chosen}, its team is on {sorted(team)}")


class Interrupted:
    """A backend of one engine's own, in which something happens just before its next assignment is made."""

    def __init__(self, backend: Any, happening: Callable[[], Awaitable[Any]]) -> None:
        self._backend = backend
        self._happening: Callable[[], Awaitable[Any]] | None = happening

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)

    async def assign(self, *args: Any, **fields: Any) -> Any:
        happening, self._happening = self._happening, None
        if happening is not None:
            await happening()
        return await self._backend.assign(*args, **fields)


class Dawdling:
    """A backend whose every verb takes some turns of the loop, so that its users get into each other's way."""

    def __init__(self, backend: Any, seed: int) -> None:
        self._backend = backend
        self._random = random.Random(seed)

    def __getattr__(self, name: str) -> Any:
        verb = getattr(self._backend, name)
        if name not in ("assign", "team_index", "workers", "unplaced", "tasks"):
            return verb

        async def slow(*args: Any, **fields: Any) -> Any:
            for _ in range(self._random.randrange(3)):
                await asyncio.sleep(0)
            answer = await verb(*args, **fields)
            for _ in range(self._random.randrange(3)):
                await asyncio.sleep(0)
            return answer

        return slow


@pytest.fixture
async def two(fleet: Build) -> Two:
    """Two orchestrators; the second one looks only when told to."""

    async def build(*arguments: Any) -> tuple[Machines, Engine, Engine]:
        machines = fleet(*arguments)
        first, second = await machines.start("o1", "orchestrator"), await machines.start("o2", "orchestrator")
        await second.supervisor.orchestrator.service.stop()
        return machines, first, second

    return build


# -- required is required ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
async def test_two_orchestrators_together_keep_what_teams_require(fleet: Build, seed: int) -> None:
    machines = fleet({"*": SHORT})
    chance = random.Random(seed)
    both = [await machines.start(name, "orchestrator") for name in ("o1", "o2")]
    for at, engine in enumerate(both):
        engine.context.backend = Dawdling(engine.context.backend, seed + at)
    for name in ("w1", "w2", "w3"):
        await worker(machines, name, slots=2)
    names = []
    for at in range(12):
        team, affinity = chance.choice([("apart", "require-spread"), ("close", "require-colocate")])
        names.append(f"t{at}")
        await both[at % 2].submit(names[-1], team=team, affinity=affinity)
    await both[0].until_states(0.05, **dict.fromkeys(names, "succeeded"))
    ledger = await Ledger().read(both[0])
    assert ledger.broken == []
    assert ledger.choices >= 12


@pytest.mark.parametrize(("affinity", "others"), [("require-spread", "w1"), ("require-colocate", "w2")])
async def test_a_choice_overtaken_by_anothers_is_refused_and_made_again_at_once(
    two: Two, affinity: str, others: str
) -> None:
    machines, first, second = await two({"*": HANGS})
    for name in ("w1", "w2"):
        await (await worker(machines, name)).supervisor.dispatcher.service.stop()

    async def overtake() -> None:
        """The first has just chosen w1. The other gives the team's next one that place, or one elsewhere."""
        first.context.backend = backend
        await first.submit("b", team="web", affinity=affinity, priority=9)
        await machines.backend.cordon("w1", others != "w1", now=machines.clock.now())
        await second.supervisor.orchestrator.place_waiting()
        assert (await first.task("b")).assigned == others

    backend = first.context.backend
    first.context.backend = Interrupted(backend, overtake)
    await first.submit("a", team="web", affinity=affinity)
    begun = machines.clock.now()
    placed = await until_assigned(first, "a", "w2")
    assert machines.clock.now() - begun < machines.settings.heartbeat_ms / 2  # the other's event woke it, not time
    routed = [event for event in await first.events() if event.task == placed.id and event.kind == "task.routed"]
    assert [event.data["worker"] for event in routed] == ["w2"]
    assert (await Ledger().read(first)).broken == []


async def test_a_task_is_placed_by_one_of_two(
    two: Two,
) -> None:
    machines, first, second = await two({"*": HANGS})
    await (await worker(machines, "w1", slots=1)).supervisor.dispatcher.service.stop()

    async def overtake() -> None:
        await worker(machines, "w0", slots=9)  # where the other would put it
        await machines.engines["w0"].supervisor.dispatcher.service.stop()
        await second.supervisor.orchestrator.place_waiting()

    first.context.backend = Interrupted(first.context.backend, overtake)
    await first.submit("a", strategy="local")
    await pass_time(first, 12)
    task = await first.task("a")
    routed = [
        event.data["worker"] for event in await first.events() if event.task == task.id and "worker" in event.data
    ]
    assert (task.assigned, routed) == ("w0", ["w0"])


# -- slots -------------------------------------------------------------------------------------------------------------


async def test_no_worker_is_given_more_than_it_has_slots_for_and_all_slots_are_used(fleet: Build) -> None:
    machines = fleet({"*": SHORT})
    orchestrator = await machines.start("o", "orchestrator")
    names = [f"t{at}" for at in range(20)]
    for name in names:
        await orchestrator.submit(name, strategy="local")
    for name in ("w1", "w2"):
        await worker(machines, name, slots=2)
    await orchestrator.until_states(0.05, **dict.fromkeys(names, "succeeded"))
    assert (await Ledger().read(orchestrator)).most == {"w1": 2, "w2": 2}


async def test_one_look_places_a_whole_team(fleet: Build) -> None:
    """Each choice counts on those before it, so none of them is refused."""
    machines = fleet()
    engine = await machines.start("o", "orchestrator")
    await engine.supervisor.orchestrator.service.stop()
    for name in ("w1", "w2"):
        await (await worker(machines, name)).supervisor.dispatcher.service.stop()
    for at in range(6):
        await engine.submit(f"t{at}", team="web", affinity="require-colocate")
    looked = await engine.supervisor.orchestrator.place_waiting()
    assert (looked.placed, looked.pending) == (4, True)
    assert {(await engine.task(f"t{at}")).assigned for at in range(4)} == {"w1"}


async def test_what_waits_for_something_else_keeps_no_place(fleet: Build) -> None:
    """The only slot would go to the one that waits for the other."""
    machines = fleet({"*": SHORT})
    engine = await machines.start("o", "orchestrator")
    first = await engine.submit("first", strategy="local")
    await engine.submit("then", strategy="local", needs=(first.id,), priority=9)
    await engine.submit("later", strategy="local", delay_ms=30_000, priority=9)
    await worker(machines, "w1", slots=1)
    await engine.until_states(first="succeeded", then="succeeded")
    assert (await engine.states())["later"] == "queued"
    begun = machines.clock.now()
    await engine.until_states(later="succeeded")
    assert machines.clock.now() - begun < 32_000


@pytest.mark.parametrize("held", ["cap", "touches"])
async def test_what_must_not_run_yet_keeps_no_place(fleet: Build, held: str) -> None:
    agents = {**SETTINGS.agents, "dev": Agent("dev", "shell", slots=1 if held == "cap" else None)}
    machines = fleet({"*": HANGS}, replace(SETTINGS, agents=agents))
    engine = await machines.start("o", "orchestrator")
    touches = ("/p/src/*",) if held == "touches" else ()
    for at in range(3):
        await engine.submit(f"t{at}", agent="dev", strategy="local", touches=touches, cwd="/p", priority=9)
    await engine.submit("other", strategy="local")
    await worker(machines, "w1", slots=3)
    await engine.until_started("other")
    await pass_time(engine, 12)
    assert [(await engine.task(f"t{at}")).assigned for at in range(3)] == ["w1", "", ""]
    told = await engine.operations.explain((await engine.task("t1")).id)
    assert told.code == ("agent-slots" if held == "cap" else "touches")


@pytest.mark.parametrize("affinity", ["require-spread", "require-colocate"])
async def test_a_place_that_others_took_is_exchanged_for_a_free_one(fleet: Build, affinity: str) -> None:
    """It is no mate of its own."""
    machines = fleet({"*": HANGS})
    engine = await machines.start("o", "orchestrator")
    full = await worker(machines, "w1", slots=1)
    await full.supervisor.dispatcher.service.stop()
    await engine.submit("placed", strategy="local", team="web", affinity=affinity)
    await until_assigned(engine, "placed", "w1")
    await engine.submit("anywhere", priority=9)
    request = ClaimRequest("w1", 1, {"shell": None}, machines.settings.lease_ms)
    (claim,) = await machines.backend.claim(request, now=machines.clock.now())
    assert claim.task.spec.name == "anywhere"
    await worker(machines, "w2", slots=1)
    await engine.until_started("placed")
    assert (await engine.task("placed")).worker == "w2"
    assert (await Ledger().read(engine)).broken == []


async def test_many_that_fit_nowhere_do_not_hide_one_that_fits(fleet: Build) -> None:
    machines = fleet()
    engine = await machines.start("o", "orchestrator")
    specs = [
        TaskSpec(f"0{at:025d}", f"t{at}", "shell", "shell", command=("run",), priority=9, selector={"gpu": "1"})
        for at in range(2300)
    ]
    await machines.backend.submit(Submission(tuple(specs)), now=machines.clock.now())
    await engine.submit("fits", strategy="local")
    await worker(machines, "w1")
    await engine.until_states(fits="succeeded")


# -- waiting -----------------------------------------------------------------------------------------------------------


async def _joins(machines: Machines) -> None:
    await worker(machines, "w2", labels={"gpu": "1"})


async def _uncordoned(machines: Machines) -> None:
    await machines.backend.cordon("w1", False, now=machines.clock.now())


async def _freed(machines: Machines) -> None:
    engine = machines.engines["o"]
    await engine.operations.cancel((await engine.task("blocker")).id)


async def _labelled(machines: Machines) -> None:
    context = machines.engines["w1"].context
    context.settings = replace(context.settings, labels={"gpu": "1"})


@pytest.mark.parametrize(
    ("labels", "before", "happening"),
    [
        ({}, None, _joins),
        ({"gpu": "1"}, "cordon", _uncordoned),
        ({"gpu": "1"}, "blocker", _freed),
        ({}, None, _labelled),
    ],
    ids=["a worker joins", "is uncordoned", "a slot is freed", "a worker's labels change"],
)
async def test_what_fits_nowhere_waits_is_explained_and_gets_the_first_place_there_is(
    fleet: Build, labels: dict[str, str], before: str | None, happening: Callable[[Machines], Awaitable[None]]
) -> None:
    machines = fleet({"blocker": HANGS})
    engine = await machines.start("o", "orchestrator")
    await worker(machines, "w1", slots=1, labels=labels)
    if before == "cordon":
        await machines.backend.cordon("w1", True, now=machines.clock.now())
    if before == "blocker":
        await engine.submit("blocker")
        await engine.until_started("blocker")
    task = await engine.submit("a", selector={"gpu": "1"})
    await pass_time(engine, 60)
    told = await engine.operations.explain(task.id)
    assert (told.code, (await engine.task("a")).assigned) == ("placement", "")
    assert any(fact.startswith("worker w1: ") for fact in told.facts)
    await happening(machines)
    begun = machines.clock.now()
    await engine.until_states(a="succeeded")
    assert machines.clock.now() - begun <= 3 * machines.settings.heartbeat_ms


async def test_a_worker_that_is_heard_of_again_gets_work_though_no_event_tells_of_it(fleet: Build) -> None:
    machines = fleet()
    engine = await machines.start("o", "orchestrator")
    await engine.supervisor.rescuer.service.stop()  # it would deregister the worker, later
    silent = await worker(machines, "w1")
    await silent.crash()
    await pass_time(engine, 30)
    await engine.submit("a", strategy="local")
    await pass_time(engine, 30)
    assert "silent for" in (await engine.operations.explain((await engine.task("a")).id)).summary
    before = len(await engine.events())
    await machines.backend.heartbeat("w1", now=machines.clock.now())
    assert len(await engine.events()) == before
    await pass_time(engine, machines.settings.heartbeat_ms / 1000 + 1)
    assert (await engine.task("a")).assigned == "w1"


@pytest.mark.parametrize("trouble", ["silent", "cordoned"])
async def test_what_a_worker_does_not_take_goes_to_another(fleet: Build, trouble: str) -> None:
    machines = fleet()
    engine = await machines.start("o", "orchestrator")
    await engine.supervisor.rescuer.service.stop()  # it would deregister the worker, later
    await (await worker(machines, "w1")).supervisor.dispatcher.service.stop()
    await engine.submit("a", strategy="local")
    await until_assigned(engine, "a", "w1")
    await worker(machines, "w2")
    if trouble == "silent":
        await machines.kill("w1")
    else:
        await machines.backend.cordon("w1", True, now=machines.clock.now())
    begun = machines.clock.now()
    await engine.until_states(a="succeeded")
    took = machines.clock.now() - begun
    assert await attempts(engine, "a") == ["w2"]
    back = [event.data["why"] for event in await engine.events() if event.data.get("worker") == ""]
    assert [why.partition(": ")[0] for why in back] == ["taken back from worker w1"]
    assert trouble in back[0]
    lease = machines.settings.lease_ms
    assert (lease / 2 <= took <= 2 * lease) if trouble == "silent" else took <= 2_000


# -- strategies --------------------------------------------------------------------------------------------------------


async def test_a_fleet_of_one_simply_runs_every_strategy_however_loaded(make: Make) -> None:
    engine = await offers(await make(), "local")
    await loaded(engine, 50.0)
    for strategy in ("auto", "local", "kubernetes"):
        await engine.submit(strategy, strategy=strategy)
    await engine.until_states(auto="succeeded", local="succeeded", kubernetes="succeeded")
    assert (await engine.task("auto")).assigned_why.startswith("auto: local, the least loaded, since no kubernetes")
    fallen = await engine.task("kubernetes")
    assert "no kubernetes worker fits (none is registered): falls back to local" in fallen.assigned_why
    facts = (await engine.operations.explain(fallen.id)).facts
    assert f"placed on worker w1: {fallen.assigned_why}" in facts


async def test_auto_goes_by_the_load_as_it_is(fleet: Build) -> None:
    machines = fleet({"*": HANGS})
    engine = await machines.start("o", "orchestrator")
    local = await worker(machines, "w1")
    await worker(machines, "k1", executor="kubernetes")
    for name, load, where in (("a", 0.1, "w1"), ("b", 3.0, "k1"), ("c", 0.2, "w1")):
        await loaded(local, load)
        await engine.submit(name, strategy="auto")
        await engine.until_started(name)
        assert (await engine.task(name)).worker == where


@pytest.mark.parametrize(("strategy", "where"), [("kubernetes", "k1"), ("local", "w1")], ids=["kubernetes", "local"])
@pytest.mark.parametrize("kind", [OutcomeKind.FAILED, OutcomeKind.UNEXECUTABLE])
async def test_a_failed_execution_is_tried_again_where_the_strategy_says_and_not_elsewhere(
    fleet: Build, strategy: str, where: str, kind: OutcomeKind
) -> None:
    fails = Behaviour(Outcome(kind, exit_code=1))
    machines = fleet({"a": [fails, fails, Behaviour()]})
    engine = await machines.start("o", "orchestrator")
    await worker(machines, "k1", slots=1, executor="kubernetes")
    await worker(machines, "w1", slots=1)
    await engine.submit("a", strategy=strategy, retries=2)
    await engine.until_states(a="succeeded")
    assert await attempts(engine, "a") == [where] * 3
    whys = [event.data["why"] for event in await engine.events() if event.data.get("worker") == where]
    assert len(whys) == 3
    assert not [why for why in whys if "falls back" in why]


async def test_a_full_kubernetes_worker_is_fallen_back_from_and_returned_to(fleet: Build) -> None:
    machines = fleet({"*": HANGS})
    engine = await machines.start("o", "orchestrator")
    await worker(machines, "k1", slots=1, executor="kubernetes")
    await worker(machines, "w1")
    where: defaultdict[str, str] = defaultdict(str)
    for name in ("a", "b"):
        await engine.submit(name, strategy="kubernetes")
        await engine.until_started(name)
        where[name] = (await engine.task(name)).worker
    assert where == {"a": "k1", "b": "w1"}
    assert "no kubernetes worker fits (k1: all 1 slots taken" in (await engine.task("b")).assigned_why
    await engine.operations.cancel((await engine.task("a")).id)
    await engine.until_states(a="cancelled")
    await engine.submit("c", strategy="kubernetes")
    await engine.until_started("c")
    assert (await engine.task("c")).worker == "k1"
