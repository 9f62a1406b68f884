"""Staging volumes as claims of a cluster: the contract of volumes, and what only claims do."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from lite.errors import ExecutorError
from lite.executors.kubernetes import names
from lite.executors.kubernetes.failures import Conflicting, PodNotFound
from lite.executors.kubernetes.staging import StagingClaims
from lite.model.ids import new_id
from lite.model.kubernetes import Kubernetes, StagingVolume
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


# races, with an API that is told what happens between two requests


class Claim:
    """An API server with one claim, which others change while it is looked at."""

    def __init__(self) -> None:
        self.metadata: dict[str, Any] | None = None
        self.version = 0
        self.between: list[Callable[[], None]] = []  # done after each reading
        self.deleted: list[dict[str, Any]] = []

    def make(self, uid: str, **annotations: str) -> None:
        self.version += 1
        created = "2026-11-21T10:00:00Z"
        self.metadata = {"name": "c", "uid": uid, "creationTimestamp": created, "annotations": annotations}

    def change(self, **annotations: str) -> None:
        assert self.metadata is not None
        self.version += 1
        self.metadata["annotations"] = {**self.metadata["annotations"], **annotations}

    def vanish(self) -> None:
        self.metadata = None

    async def create_pvc(self, claim: dict[str, Any]) -> dict[str, Any]:
        if self.metadata is not None:
            self._happen()
            raise Conflicting("exists", answer=409)
        self.make("u1", **claim["metadata"]["annotations"])
        return claim

    async def list_pvcs(self, _namespace: str, _selector: str) -> tuple[list[dict[str, Any]], str]:
        return [{"metadata": self.metadata}] if self.metadata is not None else [], "1"

    async def get_pvc(self, _namespace: str, _name: str) -> dict[str, Any]:
        if self.metadata is None:
            raise PodNotFound("none", answer=404)
        found = deepcopy({**self.metadata, "resourceVersion": str(self.version)})
        self._happen()
        return {"metadata": found}

    async def patch_pvc(self, _namespace: str, _name: str, patch: dict[str, Any]) -> dict[str, Any]:
        if self.metadata is None:
            raise PodNotFound("none", answer=404)
        if patch["metadata"].get("resourceVersion", str(self.version)) != str(self.version):
            raise Conflicting("changed", answer=409)
        self.change(**patch["metadata"]["annotations"])
        return {}

    async def delete_pvc(self, _namespace: str, _name: str, options: dict[str, Any]) -> dict[str, Any]:
        self.deleted.append(options)
        if self.metadata is None:
            raise PodNotFound("none", answer=404)
        if options.get("preconditions", {}).get("uid", self.metadata["uid"]) != self.metadata["uid"]:
            raise Conflicting("another", answer=409)
        self.vanish()
        return {}

    def _happen(self) -> None:
        if self.between:
            self.between.pop(0)()


FREED = "quarterdeck.dev/freed"


@pytest.fixture
def claim() -> Claim:
    return Claim()


@pytest.fixture
def volumes(claim: Claim) -> StagingClaims:
    kube = Kubernetes(image="x", staging=StagingVolume())
    return StagingClaims(claim, kube, fleet="f")  # type: ignore[arg-type]


async def test_one_that_vanishes_while_it_is_asked_for_is_an_error_that_passes(
    claim: Claim, volumes: StagingClaims
) -> None:
    claim.make("u1")
    claim.between = [claim.vanish]
    with pytest.raises(ExecutorError, match="still going away"):
        await volumes.provide("r", now=NOW)
    assert await volumes.provide("r", now=NOW)


@pytest.mark.parametrize("annotations", [None, {}, {"another": "one"}])
async def test_a_claim_somebody_gave_our_label_is_none_of_ours(
    claim: Claim, volumes: StagingClaims, annotations: dict[str, str] | None
) -> None:
    claim.make("u1")
    assert claim.metadata is not None
    claim.metadata["annotations"] = annotations
    assert await volumes.volumes() == []
    await volumes.remove("r")
    assert claim.deleted == []


async def test_of_two_that_free_it_one_does(claim: Claim, volumes: StagingClaims) -> None:
    claim.make("u1")
    claim.between = [lambda: claim.change(**{FREED: "by another"})]
    assert not await volumes.free("r", "succeeded")
    assert claim.metadata is not None
    assert claim.metadata["annotations"] == {FREED: "by another"}


async def test_a_change_of_something_else_is_no_reason_not_to_free_it(claim: Claim, volumes: StagingClaims) -> None:
    claim.make("u1")
    claim.between = [lambda: claim.change(bound="yes")]
    assert await volumes.free("r", "succeeded")
    assert claim.metadata is not None
    assert claim.metadata["annotations"] == {FREED: "succeeded", "bound": "yes"}


async def test_one_that_vanishes_before_it_is_freed_was_not_freed_by_us(claim: Claim, volumes: StagingClaims) -> None:
    claim.make("u1")
    claim.between = [claim.vanish]
    assert not await volumes.free("r", "succeeded")


async def test_a_new_one_of_the_same_name_is_not_removed(claim: Claim, volumes: StagingClaims) -> None:
    claim.make("u1", **{FREED: "succeeded"})
    claim.between = [lambda: claim.make("u2")]
    await volumes.remove("r")
    assert claim.deleted == [{"preconditions": {"uid": "u1"}}]
    assert claim.metadata is not None
    assert claim.metadata["uid"] == "u2"


async def test_one_that_is_gone_already_is_removed(claim: Claim, volumes: StagingClaims) -> None:
    claim.make("u1", **{FREED: "succeeded"})
    claim.between = [claim.vanish]
    await volumes.remove("r")
    assert len(claim.deleted) == 1


async def test_what_somebody_deletes_by_hand_is_nobodys_any_more(claim: Claim, volumes: StagingClaims) -> None:
    claim.make("u1")
    assert claim.metadata is not None
    claim.metadata["deletionTimestamp"] = "2026-11-21T10:00:00Z"
    with pytest.raises(ExecutorError, match="still going away"):
        await volumes.provide("r", now=NOW)
    assert not await volumes.free("r", "succeeded")
    await volumes.remove("r")
    assert len(claim.deleted) == 1
