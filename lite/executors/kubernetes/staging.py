"""Staging volumes as claims: one PersistentVolumeClaim a run, in the namespace of the pods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from lite.errors import ExecutorError
from lite.executors.kubernetes import manifests, names
from lite.executors.kubernetes.client import KubernetesClient
from lite.executors.kubernetes.failures import Conflicting, PodNotFound
from lite.model.kubernetes import Kubernetes, StagingVolume
from lite.model.staging import Volume

_FREED = "quarterdeck.dev/freed"  # annotation: why


class StagingClaims:
    """A `Volumes`. A claim that is freed stays until the pods that mount it are gone; the cluster sees to that."""

    def __init__(self, client: KubernetesClient, kube: Kubernetes, *, fleet: str) -> None:
        self._client, self._namespace, self._fleet = client, kube.namespace, fleet
        self._staging = kube.staging or StagingVolume()

    def __repr__(self) -> str:
        return f"<StagingClaims {self._namespace} {self._fleet}>"

    def name(self, run: str) -> str:
        return f"claim {self._namespace}/{names.claim_name(self._fleet, run)}"

    def place(self, run: str) -> str:
        del run  # each pod sees its own run's only
        return self._staging.mount

    async def provide(self, run: str, *, now: int) -> bool:
        del now  # the cluster has a clock
        claim = manifests.staging_claim(self._staging, fleet=self._fleet, run=run, namespace=self._namespace)
        try:
            await self._client.create_pvc(claim)
        except Conflicting:
            there = await self._get(run)
            if there is None or _freed(there):
                raise ExecutorError(f"{self.name(run)} of an earlier end of this run is still going away") from None
            return False
        return True

    async def volumes(self) -> Sequence[Volume]:
        found, _ = await self._client.list_pvcs(self._namespace, f"{names.FLEET}={names.label_value(self._fleet)}")
        return [volume for claim in found if (volume := _volume(claim)) is not None]

    async def free(self, run: str, why: str) -> bool:
        claim = await self._get(run)
        if claim is None or _freed(claim):
            return False
        patch = {"resourceVersion": claim["metadata"]["resourceVersion"], "annotations": {_FREED: why}}
        try:
            await self._client.patch_pvc(self._namespace, names.claim_name(self._fleet, run), {"metadata": patch})
        except PodNotFound:
            return False
        except Conflicting:
            return await self.free(run, why)  # it was bound meanwhile, or another freed it
        return True

    async def remove(self, run: str) -> None:
        claim = await self._get(run)
        if claim is None or not _freed(claim):
            return
        options = {"preconditions": {"uid": claim["metadata"]["uid"]}}
        try:
            await self._client.delete_pvc(self._namespace, names.claim_name(self._fleet, run), options)
        except (PodNotFound, Conflicting):
            pass  # gone, or a new one of that name

    async def _get(self, run: str) -> Mapping[str, Any] | None:
        try:
            return await self._client.get_pvc(self._namespace, names.claim_name(self._fleet, run))
        except PodNotFound:
            return None


def _freed(claim: Mapping[str, Any]) -> str:
    metadata = claim["metadata"]
    said = str((metadata.get("annotations") or {}).get(_FREED, ""))
    return said or ("deleted by hand" if metadata.get("deletionTimestamp") else "")


def _volume(claim: Mapping[str, Any]) -> Volume | None:
    metadata = claim["metadata"]
    run = str((metadata.get("annotations") or {}).get(names.RUN, ""))
    if not run:
        return None  # not one of ours, whatever its label says
    created = datetime.fromisoformat(metadata["creationTimestamp"])
    return Volume(run, int(created.timestamp() * 1000), _freed(claim))
