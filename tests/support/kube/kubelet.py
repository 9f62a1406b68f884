"""The fake kubelet (of all nodes) and its scheduler: one job per pod, woken by changes in the store."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

from lite.aio.tasks import Jobs
from tests.support.kube import times
from tests.support.kube.leftovers import sweep
from tests.support.kube.podlife import PodLife
from tests.support.kube.store import Store

Json = dict[str, Any]


class Kubelet:
    def __init__(self, store: Store, folder: Path) -> None:
        self.id = uuid.uuid4().hex
        self.store = store
        self.folder = folder
        self.lives: dict[str, PodLife] = {}  # by uid; kept when the object is gone and the process is not
        self.held: set[str] = set()  # patterns of images that take for ever to pull
        self.broken: set[str] = set()  # that cannot be pulled
        self.absent: set[str] = set()  # that are on no node
        self.hindrance = ""  # the scheduler's message for every pod
        self.rejection = ("", "")  # reason and message for every pod that gets to its node
        self.lost: set[str] = set()  # names of nodes
        self.claims_held = False
        self._jobs = Jobs("fake kubelet")

    def take(self, pod: Json) -> None:
        """A pod was created."""
        life = PodLife(self, pod)
        self.lives[life.uid] = life
        self._jobs.spawn(life.run(), f"pod {life.name}")

    async def close(self) -> None:
        """Kill every container; returns when no process is left."""
        lives = list(self.lives.values())
        await self._jobs.cancel()
        for container in [container for life in lives for container in life.containers.values()]:
            await container.aclose()
        sweep(self.id)

    def event(self, involved: Json, kind: str, reason: str, message: str, source: str = "kubelet") -> None:
        meta = involved["metadata"]
        namespace = meta.get("namespace", "default")
        reference = {"kind": involved["kind"], "namespace": namespace, "name": meta["name"], "uid": meta["uid"]}
        body: Json = {
            "metadata": {"name": f"{meta['name']}.{uuid.uuid4().hex[:16]}"},
            "involvedObject": reference | {"apiVersion": "v1", "resourceVersion": meta["resourceVersion"]},
            "type": kind,
            "reason": reason,
            "message": message,
            "source": {"component": source},
            "count": 1,
            "firstTimestamp": times.seconds(),
            "lastTimestamp": times.seconds(),
        }
        self.store.add("events", namespace, body)
