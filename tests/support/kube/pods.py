"""What the API server does with pods beyond keeping them: delete, evict, log, attach."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping
from functools import partial
from typing import Any

from tests.support.kube import podstatus, times
from tests.support.kube.attaching import V4, V5, Attach, refuse
from tests.support.kube.container import Container
from tests.support.kube.crilog import Reading
from tests.support.kube.kubelet import Kubelet
from tests.support.kube.server import Answer, Request, WebSocket, flag
from tests.support.kube.statuses import Refused, conflict, missing, success
from tests.support.kube.store import Store

Json = dict[str, Any]
_CHUNK = 65_536


class Pods:
    def __init__(self, store: Store, kubelet: Kubelet) -> None:
        self.protected: set[str] = set()  # names a disruption budget keeps from eviction
        self.logs_missing = 0  # how many reads of logs are answered 404, as just after a restart
        self.attaches: set[Attach] = set()
        self._store = store
        self._kubelet = kubelet

    def delete(self, pod: Json, options: Json) -> Json:
        """With its grace: the object stays until the kubelet has ended the containers."""
        meta = pod["metadata"]
        preconditions(pod, options, "pods")
        grace = options.get("gracePeriodSeconds")
        if grace is None:
            grace = pod["spec"]["terminationGracePeriodSeconds"]
        over = pod["status"]["phase"] in ("Succeeded", "Failed") or not pod["spec"].get("nodeName")
        if grace <= 0 or over:
            return self._store.remove("pods", pod)
        if "deletionTimestamp" in meta and meta["deletionGracePeriodSeconds"] <= grace:
            return pod

        def mark(made: Json) -> None:
            made["metadata"]["deletionTimestamp"] = times.seconds(time.time() + grace)
            made["metadata"]["deletionGracePeriodSeconds"] = grace

        return self._store.change("pods", pod, mark)

    def evict(self, pod: Json, body: Json) -> Json:
        name = pod["metadata"]["name"]
        if name in self.protected:
            causes = [{"reason": "DisruptionBudget", "message": "The disruption budget needs 1 healthy pods and has 1"}]
            text = "Cannot evict pod as it would violate the pod's disruption budget."
            raise Refused(429, text, causes=causes)
        if pod["status"]["phase"] not in ("Succeeded", "Failed"):
            pod = self.disrupt(pod, "EvictionByEvictionAPI", "Eviction API: evicting")
        self.delete(pod, body.get("deleteOptions") or {})
        return success() | {"code": 201}

    def disrupt(self, pod: Json, reason: str, message: str) -> Json:
        """The condition that says a pod's end is not its own."""
        return self._store.change(
            "pods", pod, lambda made: podstatus.condition(made, "DisruptionTarget", "True", reason, message)
        )

    def log(self, pod: Json, query: Mapping[str, str]) -> Answer:
        name = self._container_name(pod, query, "log")
        if self.logs_missing:
            self.logs_missing -= 1
            raise missing("pods", pod["metadata"]["name"])
        plain = {"Content-Type": "text/plain"}
        if not pod["spec"].get("nodeName"):
            return Answer(200, b"", plain)
        self._reachable(pod, "containerLogs")
        place = f'container "{name}" in pod "{pod["metadata"]["name"]}"'
        if flag(query, "previous"):
            raise Refused(400, f"previous terminated {place} not found")
        container = self.container(pod, name)
        if container is None:
            state = (podstatus.container_status(pod, name) or {"state": {}})["state"]
            if "terminated" in state:
                return Answer(200, b"", plain)
            reason = state.get("waiting", {}).get("reason", "ContainerCreating")
            raise Refused(400, f"{place} is waiting to start: {reason}")
        reading = _reading(query)
        follow = flag(query, "follow")
        return Answer(200, b"", plain, stream=self._read(container, reading, follow))

    def attach(self, pod: Json, request: Request) -> Answer:
        name = self._container_name(pod, request.query, "attach to")
        protocol = next((each for each in (V5, V4) if each in request.protocols), "")
        if not request.websocket or not protocol:
            raise Refused(400, "Upgrade request required" if not request.websocket else "no supported subprotocol")
        if not pod["spec"].get("nodeName"):
            raise Refused(400, f"pod {pod['metadata']['name']} does not have a host assigned")
        flags = {each: flag(request.query, each) for each in ("stdin", "stdout", "stderr", "tty")}
        if not any(flags[each] for each in ("stdin", "stdout", "stderr")):
            raise Refused(400, "you must specify at least 1 of stdin, stdout, stderr")
        try:
            self._reachable(pod, "attach")
            container = self._running(pod, name)
        except Refused as refused:
            if protocol == V4:
                raise
            status = refused.body
            return Answer(101, socket=lambda socket: refuse(socket, status), protocol=protocol)
        attach = Attach(container, flags, protocol)

        async def run(socket: WebSocket) -> None:
            self.attaches.add(attach)
            self._store.touch()
            try:
                await attach.run(socket)
            finally:
                self.attaches.discard(attach)
                self._store.touch()

        return Answer(101, socket=run, protocol=protocol)

    def container(self, pod: Json, name: str) -> Container | None:
        """Running or ended; None when it was never started, or its pod's data are gone."""
        life = self._kubelet.lives.get(pod["metadata"]["uid"])
        return life.containers.get(name) if life else None

    def _running(self, pod: Json, name: str) -> Container:
        container = self.container(pod, name)
        if container is None or not container.pid or container.ended.is_set():
            where = f"{pod['metadata']['name']}_{pod['metadata']['namespace']}"
            raise Refused(
                500,
                f"Internal error occurred: unable to upgrade connection: container {name} not found in pod {where}",
            )
        return container

    def _container_name(self, pod: Json, query: Mapping[str, str], what: str) -> str:
        names = [each["name"] for each in pod["spec"]["containers"]]
        name = query.get("container") or ""
        if not name and len(names) > 1:
            listed = " ".join(names)
            raise Refused(
                400, f"a container name must be specified for pod {pod['metadata']['name']}, choose one of: [{listed}]"
            )
        if name and name not in names:
            raise Refused(400, f"container {name} is not valid for pod {pod['metadata']['name']}")
        return name or names[0]

    def _reachable(self, pod: Json, what: str) -> None:
        if pod["spec"]["nodeName"] in self._kubelet.lost:
            path = f"{what}/{pod['metadata']['namespace']}/{pod['metadata']['name']}"
            text = f'Get "https://10.0.0.9:10250/{path}": dial tcp 10.0.0.9:10250: connect: no route to host'
            raise Refused(500, f"Internal error occurred: {text}" if what == "attach" else text)

    async def _read(self, container: Container, reading: Reading, follow: bool) -> AsyncIterator[bytes]:
        records = container.log.records
        place = reading.first(records)
        left = reading.limit
        after_partial = False
        while True:
            over = container.ended.is_set() or not follow
            until = len(records)
            shown = bytearray()
            for record in records[place:until]:
                shown += reading.show(record, after_partial)
                after_partial = not record.full
            if left is not None:
                del shown[left:]
                left -= len(shown)
            for at in range(0, len(shown), _CHUNK):
                yield bytes(shown[at : at + _CHUNK])
            if left == 0:
                return
            place = until
            if over:
                return
            await self._store.changed(partial(_more, container, place))


def _more(container: Container, place: int) -> bool:
    return len(container.log.records) > place or container.ended.is_set()


def preconditions(found: Json, options: Json, resource: str) -> None:
    """Raises `Refused` (409)."""
    meta = found["metadata"]
    wanted = options.get("preconditions") or {}
    for field, words in (("uid", "UID"), ("resourceVersion", "ResourceVersion")):
        if wanted.get(field) not in (None, meta[field]):
            raise conflict(
                resource,
                meta["name"],
                f"the {words} in the precondition ({wanted[field]}) does not match the {words} in record "
                f"({meta[field]}). The object might have been deleted and then recreated",
            )


def _reading(query: Mapping[str, str]) -> Reading:
    if query.get("sinceTime") and query.get("sinceSeconds"):
        raise Refused(422, "PodLogOptions is invalid: at most one of `sinceTime` or `sinceSeconds` may be specified")
    since = query.get("sinceTime", "").replace("Z", "")
    if seconds := query.get("sinceSeconds"):
        since = times.seconds(time.time() - int(seconds)).replace("Z", "")
    numbers: dict[str, int | None] = {"tailLines": None, "limitBytes": None}
    for name in numbers:
        if query.get(name):
            numbers[name] = int(query[name])
    if numbers["limitBytes"] is not None and numbers["limitBytes"] < 1:
        raise Refused(422, "PodLogOptions is invalid: limitBytes: Invalid value: must be greater than 0")
    stamps = flag(query, "timestamps")
    return Reading(since, numbers["tailLines"], numbers["limitBytes"], stamps)
