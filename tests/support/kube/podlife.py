"""One pod on its node: made, watched over, ended."""

from __future__ import annotations

import asyncio
import fnmatch
import os
import shutil
import sys
import uuid
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lite.aio.tasks import Jobs
from tests.support.kube import podstatus, scheduling, times, volumes
from tests.support.kube.container import Container, Plan, StartFailed
from tests.support.kube.expansion import expand

if TYPE_CHECKING:
    from tests.support.kube.kubelet import Kubelet

Json = dict[str, Any]
_MESSAGE = 4096  # bytes of a termination message


class PodLife:
    """One pod from its creation until the object and its processes are gone."""

    def __init__(self, kubelet: Kubelet, pod: Json) -> None:
        self.uid: str = pod["metadata"]["uid"]
        self.namespace: str = pod["metadata"]["namespace"]
        self.name: str = pod["metadata"]["name"]
        self.containers: dict[str, Container] = {}  # running or ended
        self.reasons: dict[str, str] = {}  # why a container was killed, such as OOMKilled
        self.ending = ("", "")  # reason and message of the pod's end, when the kubelet ended it
        self.node = ""
        self._kubelet = kubelet
        self._store = kubelet.store
        self._folder = kubelet.folder / "pods" / self.uid
        self._begun = 0.0  # when its node heard of it, by the loop's clock
        self._stop_at: float | None = None  # when it is killed
        self._grace: int | None = None
        self._killed = False
        self._over: set[str] = set()  # containers that have ended
        self._started: dict[str, str] = {}

    def pod(self) -> Json | None:
        """The object, unless it is gone or another one has its name."""
        found = self._store.get("pods", self.namespace, self.name)
        return found if found is not None and found["metadata"]["uid"] == self.uid else None

    @property
    def reachable(self) -> bool:
        """The API server and this pod's node hear of each other."""
        return self.node not in self._kubelet.lost

    async def run(self) -> None:
        try:
            if await self._bound() and await self._made():
                await self._running()
        finally:
            self._kubelet.lives.pop(self.uid, None)
            shutil.rmtree(self._folder, ignore_errors=True)
            self._store.touch()

    def change(self, edit: Any) -> None:
        pod = self.pod()
        if pod is not None:
            self._store.change("pods", pod, edit)

    def end(self, reason: str, message: str) -> None:
        """The kubelet ends the pod: Evicted, DeadlineExceeded."""
        self.ending = (reason, message)
        self._store.touch()

    async def _bound(self) -> bool:
        while (pod := self.pod()) is not None:
            node, why = self._place(pod)
            if node:
                self.node = node

                def bind(made: Json, node: str = node) -> None:
                    made["spec"]["nodeName"] = node
                    podstatus.condition(made, "PodScheduled", "True")

                pod = self._store.change("pods", pod, bind)
                place = f"{self.namespace}/{self.name} to {node}"
                self._kubelet.event(pod, "Normal", "Scheduled", f"Successfully assigned {place}", "default-scheduler")
                return True
            before = pod
            self.change(lambda made, why=why: podstatus.condition(made, "PodScheduled", "False", "Unschedulable", why))
            if self.pod() is not before:
                self._kubelet.event(pod, "Warning", "FailedScheduling", why, "default-scheduler")
            await self._store.changed(partial(self._caused, self._causes()))
        return False

    def _causes(self) -> tuple[object, ...]:
        """What a pod that does not run yet waits for a change of."""
        pod = self.pod()
        trouble = str(self._image_trouble(pod)) if pod else ""
        return self._store.version, self._kubelet.hindrance, self.ending, self.reachable, trouble

    def _caused(self, was: tuple[object, ...]) -> bool:
        return self._causes() != was

    def _place(self, pod: Json) -> tuple[str, str]:
        if self._kubelet.hindrance:
            return "", self._kubelet.hindrance
        if pod["spec"].get("schedulingGates"):
            return "", "Scheduling is blocked due to non-empty scheduling gates"
        for volume in pod["spec"].get("volumes") or []:
            if claim := (volume.get("persistentVolumeClaim") or {}).get("claimName"):
                found = self._store.get("persistentvolumeclaims", self.namespace, claim)
                if found is None:
                    return "", f'0/1 nodes are available: persistentvolumeclaim "{claim}" not found.'
                if found["status"]["phase"] != "Bound":
                    return "", "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims."
        nodes = [node for node in self._store.all("nodes") if node["metadata"]["name"] not in self._kubelet.lost]
        return scheduling.place(pod, nodes, self._store.all("pods"))

    async def _made(self) -> bool:
        """Image, volumes, environment; then the containers run. False when the pod has gone or ended before."""
        said = ("", "-")
        self._begun = asyncio.get_running_loop().time()
        self.ending = self._kubelet.rejection
        while (pod := self.pod()) is not None:
            if pod["metadata"].get("deletionTimestamp") and self.reachable:
                self._store.remove("pods", pod)
                return False
            if self.ending[0] and self.reachable:
                self.change(self._finished)
                return await self._removed()
            reason, message = "ContainerCreating", ""
            if self.reachable:
                try:
                    return await self._start(pod)
                except volumes.NotYet as not_yet:
                    reason, message = not_yet.reason, str(not_yet)
            if (reason, message) != said:
                said = (reason, message)
                self._say_waiting(reason, message)
            with suppress(TimeoutError):
                async with asyncio.timeout_at(self._deadline()):
                    await self._store.changed(partial(self._caused, self._causes()))
            self._expire()
        return False

    def _say_waiting(self, reason: str, message: str) -> None:
        def wait(made: Json) -> None:
            made["status"].setdefault("startTime", times.seconds())
            podstatus.condition(made, "Initialized", "True")
            hidden = "" if reason == "ContainerCreating" else message
            podstatus.waiting(made, reason, hidden)

        if reason == "ImagePullBackOff":  # the first attempt fails, then it waits longer and longer
            failed = f"failed to pull and unpack image: {message}"
            self.change(lambda made: podstatus.waiting(made, "ErrImagePull", failed))
        self.change(wait)
        pod = self.pod()
        if pod is not None and message:
            failed_mount = reason == "ContainerCreating"
            self._kubelet.event(pod, "Warning", "FailedMount" if failed_mount else "Failed", message)

    def _image_trouble(self, pod: Json) -> volumes.NotYet | None:
        for container in pod["spec"]["containers"]:
            image, policy = container["image"], container["imagePullPolicy"]
            if _any(self._kubelet.absent, image) and policy == "Never":
                return volumes.NotYet(
                    "ErrImageNeverPull", f'Container image "{image}" is not present with pull policy of Never'
                )
            if _any(self._kubelet.broken, image) and policy != "Never":
                return volumes.NotYet("ImagePullBackOff", f'Back-off pulling image "{image}"')
            if _any(self._kubelet.held, image):
                return volumes.NotYet("ContainerCreating", "")
        return None

    async def _start(self, pod: Json) -> bool:
        if (trouble := self._image_trouble(pod)) is not None:
            raise trouble
        plans = {container["name"]: self._plan(pod, container) for container in pod["spec"]["containers"]}
        self.change(self._begin)
        for container in pod["spec"]["containers"]:
            name = container["name"]
            made = Container(plans[name], self._folder / name / "0.log", self._store.touch)
            identity = f"containerd://{uuid.uuid4().hex * 2}"
            self.containers[name] = made
            try:
                await made.start()
            except StartFailed as failed:
                del self.containers[name]
                text = f"failed to create containerd task: failed to create shim task: {failed}"
                self._started[name] = "1970-01-01T00:00:00Z"
                state = podstatus.terminated(128 << 8, self._started[name], "StartError", text, identity)
            else:
                self._started[name] = times.seconds()
                state = {"running": {"startedAt": self._started[name]}}
            self.change(lambda made, c=container, s=state, i=identity: podstatus.set_state(made, c, s, containerID=i))
        if not self.containers:
            self.change(self._finished)
            return await self._removed()

        def up(made: Json) -> None:
            made["status"]["phase"] = "Running"
            podstatus.ready(made)

        self.change(up)
        if (now := self.pod()) is not None:
            self._kubelet.event(now, "Normal", "Started", f"Container started: {', '.join(self.containers)}")
        return True

    def _begin(self, made: Json) -> None:
        made["status"].setdefault("startTime", times.seconds())
        made["status"].setdefault("podIP", "10.244.0.7")
        podstatus.condition(made, "Initialized", "True")
        podstatus.waiting(made, "ContainerCreating")

    def _plan(self, pod: Json, container: Json) -> Plan:
        """What runs on this machine in the container's place. Raises `NotYet`."""
        home = self._folder / container["name"]
        for part in ("root", "tmp"):
            (home / part).mkdir(parents=True, exist_ok=True)
        paths = volumes.Paths()
        places = volumes.folders(self._store, pod, self._folder, self._kubelet.folder / "claims")
        for mount in container.get("volumeMounts") or []:
            place = places[mount["name"]] / (mount.get("subPath") or "")
            if not place.exists():
                place.mkdir(parents=True)
            paths.put(mount["mountPath"], place)
        (home / "termination-log").touch()
        paths.put(container.get("terminationMessagePath") or "/dev/termination-log", home / "termination-log")
        names: dict[str, str] = {
            "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', os.defpath)}",
            "HOME": str(home / "root"),
            "HOSTNAME": pod["metadata"]["name"],
            "TMPDIR": str(home / "tmp"),  # in place of a /tmp of its own
        } | ({"TERM": "xterm"} if container.get("tty") else {})
        for name, value in volumes.environment(self._store, pod, container):
            names[name] = paths.replace(expand(value, names))
        words = [*(container.get("command") or []), *(container.get("args") or [])]
        cwd = paths.replace(container.get("workingDir") or "")
        if not cwd or not Path(cwd).is_dir():
            cwd = str(home / "root") + cwd
            Path(cwd).mkdir(parents=True, exist_ok=True)
        return Plan(
            argv=[paths.replace(expand(word, names)) for word in words] or ["(the image's entrypoint)"],
            env=names,
            cwd=cwd,
            tty=bool(container.get("tty")),
            stdin=bool(container.get("stdin")),
            stdin_once=bool(container.get("stdinOnce")),
            mark=f"{self._kubelet.id}.{self.uid}.{container['name']}",
        )

    async def _running(self) -> None:
        ends = Jobs("containers of a pod")
        try:
            for name, container in self.containers.items():
                ends.spawn(self._ended(name, container))
            await self._until_ended()
        finally:
            await ends.cancel()
        await self._store.changed(lambda: self.reachable)
        self.change(self._finished)
        await self._removed()

    async def _until_ended(self) -> None:
        loop = asyncio.get_running_loop()
        while self._over != set(self.containers):
            self._watch_over()
            due = [self._stop_at, self._deadline()]
            left = [at - loop.time() for at in due if at is not None and at > loop.time()]
            state = self._seen()
            with suppress(TimeoutError):
                async with asyncio.timeout(min(left) if left else None):
                    await self._store.changed(partial(self._differs, state))

    def _seen(self) -> tuple[object, ...]:
        """What `_watch_over` decides by."""
        pod = self.pod()
        meta = pod["metadata"] if pod else {}
        gone = pod is None
        grace = meta.get("deletionGracePeriodSeconds")
        return gone, grace, self.reachable, self.ending, frozenset(self._over)

    def _differs(self, state: tuple[object, ...]) -> bool:
        return self._seen() != state

    def _deadline(self) -> float | None:
        pod = self.pod()
        if pod is None or self.ending[0] or (seconds := pod["spec"].get("activeDeadlineSeconds")) is None:
            return None
        return self._begun + float(seconds)

    def _expire(self) -> None:
        deadline = self._deadline()
        if deadline is not None and asyncio.get_running_loop().time() >= deadline:
            self.ending = ("DeadlineExceeded", "Pod was active on the node longer than the specified deadline")

    def _watch_over(self) -> None:
        """Terminate or kill what is due."""
        if not self.reachable or self._killed:
            return
        now = asyncio.get_running_loop().time()
        pod = self.pod()
        if pod is None:
            self._kill()
            return
        self._expire()
        grace = pod["metadata"].get("deletionGracePeriodSeconds")
        if grace is None and self.ending[0]:
            # Under pressure of its node a pod gets no time; past its deadline it gets its own.
            grace = pod["spec"]["terminationGracePeriodSeconds"] if self.ending[0] == "DeadlineExceeded" else 0
        if grace is None:
            return
        if grace != self._grace:
            self._grace, first = grace, self._grace is None
            self._stop_at = now + grace
            if first:
                self._kubelet.event(pod, "Normal", "Killing", "Stopping container")
                for container in self.containers.values():
                    container.terminate()
        if self._stop_at is not None and now >= self._stop_at:
            self._kill()

    def _kill(self) -> None:
        self._killed = True
        for container in self.containers.values():
            container.kill()

    async def _ended(self, name: str, container: Container) -> None:
        status = await container.wait()
        await self._store.changed(lambda: self.reachable)
        if (pod := self.pod()) is not None:
            self._note_end(pod, name, status)
        self._over.add(name)
        self._store.touch()

    def _note_end(self, pod: Json, name: str, status: int) -> None:
        spec = next(each for each in pod["spec"]["containers"] if each["name"] == name)
        there = podstatus.container_status(pod, name) or {}
        message = self._message(name, spec, failed=status != 0)
        identity = there.get("containerID", "")
        state = podstatus.terminated(status, self._started[name], self.reasons.get(name, ""), message, identity)

        def note(made: Json) -> None:
            podstatus.set_state(made, spec, state)
            podstatus.unready(made, "PodCompleted" if status == 0 else "PodFailed")

        self.change(note)

    def _message(self, name: str, spec: Json, *, failed: bool) -> str:
        path = self._folder / name / "termination-log"
        text = path.read_bytes()[:_MESSAGE] if path.exists() else b""
        if not text and failed and spec.get("terminationMessagePolicy") == "FallbackToLogsOnError":
            whole = b"".join(record.shown for record in self.containers[name].log.records)
            text = b"".join(whole[-2048:].splitlines(keepends=True)[-80:])
        return text.decode(errors="replace")

    def _finished(self, made: Json) -> None:
        reason, message = self.ending
        if reason or not made["status"].get("containerStatuses"):
            made["status"]["phase"] = "Failed"
        else:
            made["status"]["phase"] = podstatus.phase_by_containers(made)
        if reason:
            made["status"].update(reason=reason, message=message)
        podstatus.unready(made, "PodCompleted" if made["status"]["phase"] == "Succeeded" else "PodFailed")

    async def _removed(self) -> bool:
        """Until the object is gone; its log is kept so long."""
        await self._store.changed(lambda: (pod := self.pod()) is None or "deletionTimestamp" in pod["metadata"])
        await self._store.changed(lambda: self.reachable)
        if (pod := self.pod()) is not None:
            self._store.remove("pods", pod)
        return False


def _any(patterns: set[str], image: str) -> bool:
    return any(fnmatch.fnmatchcase(image, pattern) for pattern in patterns)
