"""The tasks of a run share a volume. It goes when the run has succeeded, or a time after it failed; both are told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from lite.engine.staging import StagingKeeper
from lite.errors import ExecutorError
from lite.executors.fake import Behaviour
from lite.model.ids import new_id
from lite.model.staging import Staging
from lite.model.task import Outcome, OutcomeKind
from lite.workspaces.staging import StagingFolders
from tests.engine.conftest import Build, Make
from tests.support.engines import SETTINGS, Engine

HOUR = 3_600_000
SHARING = replace(SETTINGS, staging=Staging(keep_ms=HOUR))
PLAN = """
name: shared
tasks:
  a: {command: [run, a]}
  b: {command: [run, b], needs: [a]}
"""
BAD = Behaviour(Outcome(OutcomeKind.FAILED, exit_code=1))


@pytest.fixture
def folders(tmp_path: Path) -> StagingFolders:
    return StagingFolders(tmp_path / "staging", "node")


def environments(engine: Engine) -> dict[str, str]:
    """Of each task by name: its `QD_STAGING`."""
    launched = zip(engine.launched, engine.environments, strict=True)
    return {argv[-1]: env.get("QD_STAGING", "") for argv, env in launched}


async def submit(engine: Engine, plan: str = PLAN) -> str:
    submitted = await engine.operations.submit_plan(plan, source="plan.yaml", cwd="/", key="", dry_run=False)
    assert submitted.run is not None
    return submitted.run.id


async def told(engine: Engine) -> list[tuple[str, str]]:
    events = [one for one in await engine.events() if one.kind.startswith("staging.")]
    return [(one.kind.removeprefix("staging."), str(one.data.get("why", ""))) for one in events]


async def gone(engine: Engine, folders: StagingFolders) -> None:
    async def none() -> bool:
        return not await folders.volumes()

    await engine.until(none)


async def test_all_tasks_of_a_run_see_one_folder_and_it_goes_with_success(make: Make, folders: StagingFolders) -> None:
    engine = await make({"*": Behaviour(seconds=1)}, settings=SHARING, volumes=folders)
    run = await submit(engine)
    await engine.until_states(a="succeeded")
    place = Path(folders.place(run))
    (place / "file").write_text("from a")
    await engine.until_states(b="succeeded")
    assert environments(engine) == {"a": str(place), "b": str(place)}
    await gone(engine, folders)
    assert not place.exists()
    assert await told(engine) == [("created", ""), ("deleted", "succeeded")]


async def test_after_a_failure_it_stays_for_its_time_also_across_a_restart(make: Make, folders: StagingFolders) -> None:
    engine = await make({"a": BAD, "*": Behaviour()}, settings=SHARING, volumes=folders)
    run = await submit(engine)
    await engine.until_states(a="failed", b="skipped")
    ended = (await engine.operations.run(run)).ended_at
    assert ended is not None
    await engine.clock.advance(HOUR / 2000)
    await engine.settle()
    assert Path(folders.place(run)).is_dir()
    await engine.crash()
    later = await engine.again().start()
    make.made.append(later)  # type: ignore[attr-defined]
    await later.clock.advance((ended + HOUR - later.clock.now()) / 1000 - 10)
    for _ in range(20):
        await later.settle()
    assert Path(folders.place(run)).is_dir()
    await gone(later, folders)
    assert later.clock.now() >= ended + HOUR
    assert await told(later) == [("created", ""), ("deleted", "failed and kept")]


async def test_a_run_taken_up_again_before_that_keeps_it(make: Make, folders: StagingFolders) -> None:
    engine = await make({"a": [BAD, Behaviour(hangs=True)], "*": Behaviour()}, settings=SHARING, volumes=folders)
    run = await submit(engine)
    await engine.until_states(a="failed")
    await engine.operations.retry((await engine.task("a")).id)
    await engine.until_started("a")
    await engine.clock.advance(3 * HOUR / 1000)
    for _ in range(20):
        await engine.settle()
    assert Path(folders.place(run)).is_dir()
    assert await told(engine) == [("created", "")]


async def test_one_of_a_run_nobody_knows_is_kept_as_long(make: Make, folders: StagingFolders) -> None:
    engine = await make({"*": Behaviour()}, settings=SHARING, volumes=folders)
    made = engine.clock.now()
    await folders.provide(new_id(), now=made)
    await engine.supervisor.staging.look()
    assert len(await folders.volumes()) == 1
    await engine.clock.advance(HOUR / 1000)
    await engine.supervisor.staging.look()
    assert not await folders.volumes()
    assert await told(engine) == [("deleted", "orphan")]


@pytest.mark.parametrize("noted", [False, True])
async def test_whoever_dies_between_freeing_and_removing_leaves_one_record(
    make: Make, folders: StagingFolders, noted: bool
) -> None:
    engine = await make({"a": BAD, "*": Behaviour()}, settings=SHARING, volumes=folders)
    run = await submit(engine)
    await engine.until_states(a="failed")
    await engine.supervisor.staging.service.stop()
    if noted:
        remove = folders.remove

        async def dies(_run: str) -> None:
            raise ExecutorError("cut")

        folders.remove = dies  # type: ignore[method-assign]
        await engine.clock.advance(HOUR / 1000)
        await engine.supervisor.staging.look()
        folders.remove = remove  # type: ignore[method-assign]
    else:
        await folders.free(run, "failed and kept")
    assert [one.freed for one in await folders.volumes()] == ["failed and kept"]
    await engine.supervisor.staging.look()
    assert not await folders.volumes()
    assert await told(engine) == [("created", ""), ("deleted", "failed and kept")]


async def test_without_the_setting_and_for_a_single_task_there_is_none(make: Make, folders: StagingFolders) -> None:
    engine = await make({"*": Behaviour()}, volumes=folders)
    await submit(engine)
    await engine.until_states(b="succeeded")
    assert set(environments(engine).values()) == {""}
    other = await make({"*": Behaviour()}, settings=SHARING, volumes=folders, worker="w9")
    await other.submit("alone")
    await other.until_states(alone="succeeded")
    assert environments(other)["alone"] == ""
    assert not await folders.volumes()


async def test_a_place_that_cannot_be_is_a_fault_and_no_failure(make: Make, tmp_path: Path) -> None:
    (tmp_path / "staging").write_text("in the way")
    folders = StagingFolders(tmp_path / "staging", "node")
    engine = await make({"*": Behaviour()}, settings=SHARING, volumes=folders)
    await submit(engine)

    async def tried() -> bool:
        return (await engine.task("a")).faults > 0

    await engine.until(tried)
    assert (await engine.task("a")).failures == 0
    (tmp_path / "staging").unlink()
    await engine.until_states(a="succeeded", b="succeeded")


async def test_of_two_processes_one_records_it(fleet: Build, tmp_path: Path) -> None:
    folders = StagingFolders(tmp_path / "staging", "node")
    machines = fleet({"a": BAD, "*": Behaviour()}, SHARING)
    orchestrator = await machines.start("o", "orchestrator")
    worker = await machines.start("w1", "worker")
    for engine in (orchestrator, worker):
        engine.context.volumes = {"fake": folders}
    await submit(orchestrator)
    await orchestrator.until_states(a="failed", b="skipped")
    (volume,) = await folders.volumes()
    await folders.free(volume.run, "failed and kept")  # and dies
    keepers = [StagingKeeper(engine.context, alone=False) for engine in (orchestrator, worker)]
    for keeper in keepers:
        await keeper.look()
    assert await folders.volumes()  # it may be at it
    await machines.clock.advance(61)
    for keeper in keepers:
        await keeper.look()
    assert not await folders.volumes()
    assert await told(orchestrator) == [("created", ""), ("deleted", "failed and kept")]
