"""What the keeper of staging volumes does at each look, and when it looks again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lite.aio import probe
from lite.backends.memory import MemoryBackend
from lite.engine.staging import StagingKeeper, provide
from lite.errors import BackendError, ExecutorError
from lite.executors.fake import Behaviour
from lite.model.event import Event, EventKind
from lite.model.kubernetes import Kubernetes, StagingVolume
from lite.model.staging import Staging, Volume
from lite.model.task import Outcome, OutcomeKind
from tests.support.engines import SETTINGS, Engine

MINUTE, HOUR = 60_000, 3_600_000
SHARING = replace(SETTINGS, staging=Staging(keep_ms=HOUR))
BAD = Behaviour(Outcome(OutcomeKind.FAILED, exit_code=1))
PLAN = "name: shared\ntasks:\n  {name}: {{command: [run, {name}]}}\n"


class Shelf:
    """Volumes that are nothing but names."""

    def __init__(self) -> None:
        self.kept: dict[str, Volume] = {}
        self.fails: set[str] = set()
        self.taken: set[str] = set()  # another process frees these

    def name(self, run: str) -> str:
        return f"shelf/{run}"

    def place(self, run: str) -> str:
        return f"/shelf/{run}"

    async def provide(self, run: str, *, now: int) -> bool:
        new = run not in self.kept
        self.kept.setdefault(run, Volume(run, now))
        return new

    async def volumes(self) -> Sequence[Volume]:
        return list(self.kept.values())

    async def free(self, run: str, why: str) -> bool:
        if run in self.fails:
            raise ExecutorError("no answer")
        if run in self.taken:
            return False
        self.kept[run] = replace(self.kept[run], freed=why)
        return True

    async def remove(self, run: str) -> None:
        if self.kept[run].freed:
            del self.kept[run]


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture
async def engine(tmp_path: Path, shelf: Shelf) -> AsyncIterator[Engine]:
    """Its own keeper rests."""
    script = {"bad": BAD, "lasts": Behaviour(hangs=True), "*": Behaviour()}
    made = Engine(MemoryBackend(), tmp_path, script, SHARING, volumes=shelf)
    await made.start()
    await made.supervisor.staging.service.stop()
    yield made
    await made.close()


def keeper(engine: Engine, *, alone: bool = True) -> StagingKeeper:
    return StagingKeeper(engine.context, alone=alone)


async def run_of(engine: Engine, name: str, state: str) -> str:
    submitted = await engine.operations.submit_plan(
        PLAN.format(name=name), source="plan.yaml", cwd="/", key="", dry_run=False
    )
    assert submitted.run is not None
    await engine.until_states(**{name: state})
    return submitted.run.id


async def ended(engine: Engine, run: str) -> int:
    at = (await engine.operations.run(run)).ended_at
    assert at is not None
    return at


async def told(engine: Engine) -> list[tuple[str, dict[str, Any]]]:
    return [(one.kind, dict(one.data)) for one in await engine.events() if one.kind.startswith("staging.")]


# what is given


@pytest.mark.parametrize(
    ("executor", "kubernetes", "folders", "given"),
    [
        ("fake", None, Staging(), True),
        ("fake", Kubernetes(image="x", staging=StagingVolume()), None, False),
        ("kubernetes", Kubernetes(image="x", staging=StagingVolume()), None, True),
        ("kubernetes", Kubernetes(image="x"), Staging(), False),
        ("kubernetes", None, Staging(), False),
        ("nowhere", None, Staging(), False),
    ],
)
async def test_only_what_is_configured_for_its_executor_is_given(
    engine: Engine, shelf: Shelf, executor: str, kubernetes: Kubernetes | None, folders: Staging | None, given: bool
) -> None:
    engine.context.settings = replace(SETTINGS, kubernetes=kubernetes, staging=folders)
    engine.context.volumes = {"fake": shelf, "kubernetes": shelf}
    await engine.submit("lasts")
    task = await engine.task("lasts")
    task = replace(task, spec=replace(task.spec, run="r1"))
    engine.context.staged.clear()
    assert await provide(engine.context, task, executor) == ("/shelf/r1" if given else "")
    assert list(shelf.kept) == (["r1"] if given else [])
    assert engine.context.staged.is_set() is given
    assert await told(engine) == ([(EventKind.STAGING_CREATED, {"volume": "shelf/r1"})] if given else [])
    events = [one for one in await engine.events() if one.kind.startswith("staging.")]
    assert [(one.run, one.worker) for one in events] == [("r1", "w1")] * given
    assert await provide(engine.context, task, executor) == ("/shelf/r1" if given else "")
    assert len(await told(engine)) == given  # told once


@pytest.mark.parametrize(
    ("kubernetes", "hours"),
    [(Kubernetes(image="x", staging=StagingVolume(keep_ms=2 * HOUR)), 2), (Kubernetes(image="x"), 24), (None, 24)],
)
async def test_those_of_pods_are_kept_as_the_cluster_s_section_says(
    engine: Engine, shelf: Shelf, kubernetes: Kubernetes | None, hours: int
) -> None:
    """Also when the configuration does not ask for any more: then as long as by default."""
    engine.context.settings = replace(SHARING, kubernetes=kubernetes)
    engine.context.volumes = {"kubernetes": shelf}
    await shelf.provide("nobody knows it", now=engine.clock.now())
    assert Staging().keep_ms == 24 * HOUR
    assert await keeper(engine).look() == (True, engine.clock.now() + hours * HOUR)


# a look


async def test_nothing_is_left_and_nothing_due_where_there_is_none(engine: Engine) -> None:
    assert await keeper(engine).look() == (False, None)


async def test_each_run_has_its_time(engine: Engine, shelf: Shelf) -> None:
    await run_of(engine, "lasts", "running")
    assert await keeper(engine).look() == (True, None)
    bad = await run_of(engine, "bad", "failed")
    assert await keeper(engine).look() == (True, await ended(engine, bad) + HOUR)
    done = await run_of(engine, "done", "succeeded")
    assert len(shelf.kept) == 3
    assert await keeper(engine).look() == (True, await ended(engine, bad) + HOUR)
    assert done not in shelf.kept
    assert (await told(engine))[-1] == (EventKind.STAGING_DELETED, {"volume": f"shelf/{done}", "why": "succeeded"})


async def test_the_next_one_due_is_told(engine: Engine, shelf: Shelf) -> None:
    bad = await run_of(engine, "bad", "failed")
    await engine.clock.advance(60)
    await shelf.provide("nobody knows it", now=engine.clock.now())
    assert await keeper(engine).look() == (True, await ended(engine, bad) + HOUR)


async def test_at_its_time_it_goes_and_not_before(engine: Engine, shelf: Shelf) -> None:
    bad = await run_of(engine, "bad", "failed")
    due = await ended(engine, bad) + HOUR
    await engine.clock.advance((due - 1 - engine.clock.now()) / 1000)
    assert await keeper(engine).look() == (True, due)
    await engine.clock.advance(0.001)
    assert await keeper(engine).look() == (False, None)
    assert not shelf.kept


async def test_one_that_gives_no_answer_is_tried_again_and_holds_up_no_other(engine: Engine, shelf: Shelf) -> None:
    first, second = await run_of(engine, "done", "succeeded"), await run_of(engine, "other", "succeeded")
    shelf.fails = {first}
    assert await keeper(engine).look() == (True, engine.clock.now() + MINUTE)
    assert list(shelf.kept) == [first]
    assert second not in shelf.kept


async def test_one_that_another_process_frees_is_left_to_it(engine: Engine, shelf: Shelf) -> None:
    done = await run_of(engine, "done", "succeeded")
    shelf.taken = {done}
    assert await keeper(engine).look() == (True, engine.clock.now() + MINUTE)
    assert [kind for kind, _ in await told(engine)] == [EventKind.STAGING_CREATED]


async def test_what_another_process_has_freed_is_its_to_take_away_for_a_minute_each_time(
    engine: Engine, shelf: Shelf
) -> None:
    looking = keeper(engine, alone=False)
    for _ in range(2):
        await shelf.provide("r1", now=engine.clock.now())
        await shelf.free("r1", "succeeded")
        due = engine.clock.now() + MINUTE
        assert await looking.look() == (True, due)
        await engine.clock.advance(59.999)
        assert await looking.look() == (True, due)
        await engine.clock.advance(0.001)
        assert await looking.look() == (False, None)
        await engine.clock.advance(60)


@pytest.mark.parametrize("noise", [0, 999, 1000, 2300])
async def test_its_end_is_told_once_however_long_the_log_is(engine: Engine, shelf: Shelf, noise: int) -> None:
    async def append(kind: EventKind, **data: str) -> None:
        await engine.context.backend.append(Event(kind, engine.clock.now(), run="r1", data=data))

    for at in range(noise):
        await append(EventKind.STAGING_CREATED, volume=f"other {at}")
    await append(EventKind.STAGING_DELETED, volume="shelf/r1", why="succeeded")
    await append(EventKind.STAGING_CREATED, volume="another")
    await shelf.provide("r1", now=0)
    await shelf.free("r1", "succeeded")
    assert await keeper(engine).look() == (False, None)

    async def deletions() -> int:
        events = await engine.events()
        return sum(one.kind == EventKind.STAGING_DELETED for one in events)

    assert await deletions() == 1
    await append(EventKind.STAGING_CREATED, volume="shelf/r1")  # its run went on
    await shelf.provide("r1", now=0)
    await shelf.free("r1", "succeeded")
    await keeper(engine).look()
    assert await deletions() == 2


# when it looks


async def looks(engine: Engine, seconds: float) -> int:
    """How often in that time."""
    count = 0

    def looked(_data: dict[str, Any]) -> None:
        nonlocal count
        count += 1

    stop = probe.watch("staging.looked", looked)
    for _ in range(round(seconds / 5)):
        await engine.clock.advance(5)
        await engine.settle()
    stop()
    return count


async def test_it_rests_while_nothing_happens(engine: Engine, shelf: Shelf) -> None:
    await run_of(engine, "lasts", "running")
    await engine.supervisor.staging.service.start()
    await looks(engine, 60)
    assert await looks(engine, 600) == 0
    waiting = len(asyncio.all_tasks())
    for _ in range(5):
        engine.context.staged.set()
        assert await looks(engine, 20) == 1
    assert len(asyncio.all_tasks()) == waiting
    shelf.kept.clear()
    engine.context.staged.set()
    assert await looks(engine, 60) == 1
    assert await looks(engine, 600) == 0
    assert engine.supervisor.staging.service.health().restarts == 0


async def test_alone_and_without_any_it_rests_while_the_log_grows_and_else_it_looks(engine: Engine) -> None:
    alone, among_others = keeper(engine), keeper(engine, alone=False)
    for one, seen in ((alone, 0), (among_others, 1)):
        await one.service.start()
        await looks(engine, 20)
        await engine.submit(f"x{seen}")
        await engine.until_states(**{f"x{seen}": "succeeded"})
        assert bool(await looks(engine, 30)) == bool(seen)
        assert await looks(engine, 600) == 0
        await one.service.stop()


async def test_the_end_of_a_run_wakes_it(engine: Engine, shelf: Shelf) -> None:
    await run_of(engine, "lasts", "running")
    await engine.supervisor.staging.service.start()
    await looks(engine, 60)
    await engine.operations.cancel((await engine.task("lasts")).id)
    await engine.until_states(lasts="cancelled")
    assert await looks(engine, 30) >= 1
    await looks(engine, HOUR / 1000)
    assert not shelf.kept


async def test_a_store_that_fails_for_a_while_ends_nothing(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    await run_of(engine, "lasts", "running")
    backend, failing = engine.context.backend, True
    original = backend.wait

    async def wait(after: int, *, timeout_ms: int | None = None) -> int:
        if failing and timeout_ms is None:
            raise BackendError("away")
        return await original(after, timeout_ms=timeout_ms)

    monkeypatch.setattr(backend, "wait", wait)
    service = engine.supervisor.staging.service
    await service.start()
    await looks(engine, 60)
    failed = service.health()
    assert failed.restarts >= 1
    assert "away" in failed.last_error
    failing = False
    await looks(engine, 120)
    settled = service.health().restarts
    assert await looks(engine, 600) <= 1
    engine.context.staged.set()
    assert await looks(engine, 60) >= 1
    assert service.health().restarts == settled
