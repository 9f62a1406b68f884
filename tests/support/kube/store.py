"""What the API server keeps: objects, their versions, and the changes a watch is fed from."""

from __future__ import annotations

import asyncio
import copy
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from tests.support.kube import times

Json = dict[str, Any]
Key = tuple[str, str, str]  # resource, namespace ("" where there is none), name

KINDS = {
    "configmaps": "ConfigMap",
    "events": "Event",
    "namespaces": "Namespace",
    "nodes": "Node",
    "persistentvolumeclaims": "PersistentVolumeClaim",
    "pods": "Pod",
    "resourcequotas": "ResourceQuota",
    "secrets": "Secret",
    "serviceaccounts": "ServiceAccount",
}
CLUSTER_WIDE = {"namespaces", "nodes"}


@dataclass(frozen=True, slots=True)
class Change:
    version: int
    type: str  # ADDED MODIFIED DELETED
    resource: str
    object: Json
    before: Json | None


class Store:
    """Objects given out are never changed again: a change replaces the object."""

    def __init__(self) -> None:
        self.version = 100
        self.changes: list[Change] = []
        self.oldest = 100  # a watch cannot start before this version
        self._objects: dict[Key, Json] = {}
        self._listeners: set[Callable[[], None]] = set()

    def get(self, resource: str, namespace: str, name: str) -> Json | None:
        return self._objects.get((resource, "" if resource in CLUSTER_WIDE else namespace, name))

    def all(self, resource: str, namespace: str = "") -> Iterator[Json]:
        """By namespace and name. `namespace` empty: of all."""
        for key in sorted(self._objects):
            if key[0] == resource and (not namespace or key[1] == namespace):
                yield self._objects[key]

    def add(self, resource: str, namespace: str, given: Json) -> Json:
        """The name must be free."""
        made = copy.deepcopy(given)
        meta = made.setdefault("metadata", {})
        made.update(apiVersion="v1", kind=KINDS[resource])
        if resource not in CLUSTER_WIDE:
            meta["namespace"] = namespace
        meta.update(uid=str(uuid.uuid4()), creationTimestamp=times.seconds())
        self._note("ADDED", resource, made, None)
        return made

    def change(self, resource: str, old: Json, edit: Callable[[Json], None]) -> Json:
        """The object as it is after `edit` of a copy; the same, and no event, when that changes nothing."""
        made = copy.deepcopy(old)
        edit(made)
        if made == old:
            return old
        self._note("MODIFIED", resource, made, old)
        return made

    def remove(self, resource: str, old: Json) -> Json:
        """The object's last state, with the version of its removal."""
        made = copy.deepcopy(old)
        self._note("DELETED", resource, made, old)
        return made

    def compact(self) -> None:
        """Forget what was: only a watch from the present version on can be started."""
        self.changes.clear()
        self.oldest = self.version

    def since(self, version: int) -> list[Change]:
        """Changes after that version, in order."""
        low, high = 0, len(self.changes)
        while low < high:
            middle = (low + high) // 2
            if self.changes[middle].version <= version:
                low = middle + 1
            else:
                high = middle
        return self.changes[low:]

    async def changed(self, done: Callable[[], bool]) -> None:
        """Until `done()`, asked after every change."""
        woken = asyncio.Event()
        with self.listening(woken.set):
            while not done():
                await woken.wait()
                woken.clear()

    def listening(self, call: Callable[[], None]) -> Listening:
        return Listening(self._listeners, call)

    def touch(self) -> None:
        """Let those who wait look again, though no object has changed."""
        for call in list(self._listeners):
            call()

    def _note(self, kind: str, resource: str, made: Json, before: Json | None) -> None:
        self.version += 1
        meta = made["metadata"]
        meta["resourceVersion"] = str(self.version)
        key = (resource, meta.get("namespace", ""), meta["name"])
        if kind == "DELETED":
            del self._objects[key]
        else:
            self._objects[key] = made
        self.changes.append(Change(self.version, kind, resource, made, before))
        self.touch()


class Listening:
    def __init__(self, listeners: set[Callable[[], None]], call: Callable[[], None]) -> None:
        self._listeners, self._call = listeners, call

    def __enter__(self) -> None:
        self._listeners.add(self._call)

    def __exit__(self, *_: object) -> None:
        self._listeners.discard(self._call)
