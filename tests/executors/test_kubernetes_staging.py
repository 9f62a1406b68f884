"""Staging volumes as claims of a cluster: the contract of volumes, and what only claims do."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from lite.errors import ExecutorError
from lite.executors.kubernetes import names
from lite.executors.kubernetes.staging import StagingClaims
from lite.model.ids import new_id
from lite.model.kubernetes import StagingVolume
from lite.model.session import Origin
from lite.model.task import OutcomeKind
from lite.ports import Volumes
from tests.contracts.volumes import NOW, Make, VolumesContract
from tests.executors.pods import FLEET, Harbour, output_of, over
from tests.support.kube.cluster import FakeCluster
from tests.support.kube.fixtures import cluster

__all__ = ["cluster"]


@pytest.fixture
async def harbour(tmp_path: Path, cluster: FakeCluster) -> AsyncIterator[Harbour]:
    # a path below the temporary directory is the same in a pod of the fake cluster and in what is typed into it
    made = Harbour(tmp_path, cluster, staging=StagingVolume(mount=str(tmp_path / "shared")))
    await made.executor()
    try:
        yield made
        await made.close()
    finally:
        made.desk.kill_all()


def claims(harbour: Harbour) -> StagingClaims:
    return StagingClaims(harbour.executors[0].client, harbour.kube, fleet=FLEET)


class TestClaims(VolumesContract):
    @pytest.fixture
    def make(self, harbour: Harbour) -> Make:
        async def one() -> Volumes:
            return claims(harbour)

        self.cluster = harbour.cluster
        return one

    def folder(self, run: str) -> Path:
        return Path(self.cluster.claim_folder(names.claim_name(FLEET, run)))

    async def write(self, volumes: Volumes, run: str) -> None:
        self.folder(run).mkdir(parents=True, exist_ok=True)
        (self.folder(run) / "file").write_text("x")

    async def holds_something(self, volumes: Volumes, run: str) -> bool:
        return self.folder(run).is_dir() and any(self.folder(run).iterdir())


async def test_the_pods_of_a_run_see_the_same_files(harbour: Harbour) -> None:
    run = new_id()
    volumes = claims(harbour)
    await volumes.provide(run, now=NOW)
    own = {"env": {"QD_STAGING": volumes.place(run)}, "origin": Origin(run, "a", "shell")}
    first = await harbour.run("sh", "-c", 'echo made > "$QD_STAGING/file"', **own)
    assert (await over(harbour.executors[0], first)).kind is OutcomeKind.SUCCEEDED
    second = await harbour.run("sh", "-c", 'cat "$QD_STAGING/file"', **own)
    assert (await over(harbour.executors[0], second)).kind is OutcomeKind.SUCCEEDED
    assert output_of(second) == b"made\r\n"


async def test_one_that_is_going_away_is_nobodys_and_no_failure(harbour: Harbour) -> None:
    run = new_id()
    volumes = claims(harbour)
    await volumes.provide(run, now=NOW)
    await volumes.free(run, "succeeded")
    with pytest.raises(ExecutorError, match="still going away"):
        await volumes.provide(run, now=NOW)


async def test_claims_of_other_fleets_and_of_other_people_are_left_alone(harbour: Harbour) -> None:
    run = new_id()
    other = StagingClaims(harbour.executors[0].client, harbour.kube, fleet="fleet2")
    await other.provide(run, now=NOW)
    mine = claims(harbour)
    assert await mine.volumes() == []
    assert not await mine.free(run, "orphan")
    assert [one.run for one in await other.volumes()] == [run]


async def test_an_api_that_does_not_answer_is_no_absence(harbour: Harbour) -> None:
    run = new_id()
    volumes = claims(harbour)
    await volumes.provide(run, now=NOW)
    harbour.cluster.fail_next("get", "persistentvolumeclaims", 500, times=50)
    with pytest.raises(ExecutorError):
        await volumes.free(run, "succeeded")


async def test_the_cluster_says_when_one_was_made(harbour: Harbour) -> None:
    before = int(time.time()) * 1000
    volumes, run = claims(harbour), new_id()
    await volumes.provide(run, now=NOW)
    (found,) = await volumes.volumes()
    assert before <= found.created_at <= time.time() * 1000
