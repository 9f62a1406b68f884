"""One list-and-watch over all our pods, for ever: bookmarks, versions that are too old, servers that are away."""

from __future__ import annotations

import asyncio
import logging
import random
from typing import Any, Protocol

from lite.aio.probe import hit
from lite.aio.tasks import Jobs
from lite.errors import ExecutorError
from lite.executors.kubernetes.failures import Expired, PodNotFound
from lite.executors.kubernetes.fencing import delete_options
from lite.executors.kubernetes.reconciler import Reconciler
from lite.ports import Clock

log = logging.getLogger(__name__)

Json = dict[str, Any]

_BACKOFF_SECONDS = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
_SETTLED_SECONDS = 5.0  # a watch that lasted so long was a good one


class Pods(Protocol):
    """What is needed of the API; see `client`."""

    async def get_pod(self, namespace: str, name: str) -> Json: ...

    async def list_pods(self, namespace: str, selector: str) -> tuple[list[Json], str]: ...

    def watch_pods(self, namespace: str, selector: str, version: str) -> Any: ...

    async def delete_pod(self, namespace: str, name: str, options: Json) -> Json: ...


class Watching:
    """`problem` says why nothing is seen at the moment; "" when all is well."""

    def __init__(self, pods: Pods, namespace: str, selector: str, reconciler: Reconciler, clock: Clock) -> None:
        self._pods, self._namespace, self._selector = pods, namespace, selector
        self._reconciler, self._clock = reconciler, clock
        self._version = ""
        self._looking = asyncio.Event()
        self.problem = ""

    def wake(self) -> None:
        """Something is to be looked for by name, or due."""
        self._looking.set()

    async def follow(self) -> None:
        """Feed the reconciler, for ever."""
        failures = 0
        while True:
            begun = self._clock.monotonic()
            try:
                if not self._version:
                    await self._list()
                await self._watch()
            except Expired:
                self._version = ""
                hit("kubernetes.expired")
            except ExecutorError as error:
                self._version = ""  # what was missed meanwhile is seen by a new list
                self._trouble(str(error))
            lasted = self._clock.monotonic() - begun > _SETTLED_SECONDS
            failures = 0 if lasted else min(failures + 1, len(_BACKOFF_SECONDS))
            if failures:  # a server that ends every watch at once is not asked without end
                await self._clock.sleep(_BACKOFF_SECONDS[failures - 1] * random.uniform(0.8, 1.2))

    async def look(self) -> None:
        """Ask by name for whom the reconciler misses, and collect what is finished; for ever."""
        while True:
            self._looking.clear()
            for name in self._reconciler.wanted():
                await self._ask(name)
            for name, uid in self._reconciler.collectable():
                await self._collect(name, uid)
            due = self._reconciler.due()
            patience = None if due is None else max(due - self._clock.now(), 0) / 1000
            await self._sleep(patience)

    async def _list(self) -> None:
        found, version = await self._pods.list_pods(self._namespace, self._selector)
        self._reconciler.listed(list(found))
        self._version = version
        self.problem = ""
        hit("kubernetes.listed", pods=len(found))

    async def _watch(self) -> None:
        async for kind, pod in self._pods.watch_pods(self._namespace, self._selector, self._version):
            version = (pod.get("metadata") or {}).get("resourceVersion")
            if kind in ("ADDED", "MODIFIED"):
                self._reconciler.saw(pod)
            elif kind == "DELETED":
                self._reconciler.deleted(pod)
            if version:
                self._version = str(version)
            hit("kubernetes.event", kind=kind)

    async def _ask(self, name: str) -> None:
        try:
            self._reconciler.saw(await self._pods.get_pod(self._namespace, name))
        except PodNotFound:
            self._reconciler.absent(name)
        except ExecutorError as error:
            log.debug("pod %s: %s", name, error)
            self._reconciler.look_again(name)
            await self._clock.sleep(1.0)

    async def _collect(self, name: str, uid: str) -> None:
        try:
            pod = await self._pods.get_pod(self._namespace, name)
            if (pod.get("metadata") or {}).get("uid") == uid:
                await self._pods.delete_pod(self._namespace, name, delete_options(pod, 1))
                log.info("finished pod %s removed", name)
                hit("kubernetes.collected", pod=name)
        except PodNotFound:
            pass
        except ExecutorError as error:
            log.info("finished pod %s not removed: %s", name, error)  # the next list finds it again

    def _trouble(self, message: str) -> None:
        if not self.problem:
            log.warning("pods are not seen at the moment: %s", message)
        self.problem = message

    async def _sleep(self, seconds: float | None) -> None:
        """Until something is to be done, `seconds` at most."""
        jobs = Jobs("look")
        woken = jobs.spawn(self._looking.wait(), "woken")
        waits = {woken} if seconds is None else {woken, jobs.spawn(self._clock.sleep(seconds), "due")}
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await jobs.cancel()
