"""The fake cluster as tests hold it: what it is told to do, and what it saw."""

from __future__ import annotations

import base64
import json
import secrets
import shutil
import ssl
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from lite.aio.tasks import Job, spawn
from tests.support.certificates import issue
from tests.support.kube import podstatus, times
from tests.support.kube.access import ADMIN, Access, Use
from tests.support.kube.api import Api
from tests.support.kube.container import Container
from tests.support.kube.faults import Fault, Faults
from tests.support.kube.kubelet import Kubelet
from tests.support.kube.server import Server
from tests.support.kube.store import Store

Json = dict[str, Any]


class FakeCluster:
    """Everything in this process and loop; `python -m tests.support.kube` is the same as a program of its own.

        async with FakeCluster(tmp_path) as cluster:
            ... cluster.kubeconfig() ...

    Verbs marked "told" are at once true for the next request. Pods are named without namespace: names are unique here.
    """

    def __init__(self, folder: Path, *, tls: bool = False, namespace: str = "default") -> None:
        self.folder = folder.resolve()
        self.folder.mkdir(parents=True, exist_ok=True)
        self.namespace = namespace
        self.store = Store()
        self.kubelet = Kubelet(self.store, self.folder)
        self.access = Access()
        self.faults = Faults()
        self.api = Api(self.store, self.kubelet, self.access, self.faults)
        self._certificates = issue(self.folder) if tls else None
        context = None
        if self._certificates is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self._certificates.cert, self._certificates.key)
        self._server = Server(self.api.handle, context)
        self._protection: Job | None = None
        for name in dict.fromkeys(("default", namespace)):
            self.store.add("namespaces", "", {"metadata": {"name": name}, "status": {"phase": "Active"}})
        self.add_node("node-1")

    def __repr__(self) -> str:
        return f"<FakeCluster {self.url}, pods {[each['metadata']['name'] for each in self.store.all('pods')]}>"

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def start(self, port: int = 0) -> None:
        await self._server.up(port)
        self._protection = spawn(self._protect(), "claim protection")

    async def aclose(self) -> None:
        """Ends every container. Raises what a handler failed with: a defect of the fake is not a test's success."""
        await self._server.aclose()
        await self.kubelet.close()
        if self._protection is not None:
            self._protection.cancel()
        if self._server.defects:
            raise self._server.defects[0]

    # --- how to reach it ---

    @property
    def url(self) -> str:
        return f"{'https' if self._certificates else 'http'}://127.0.0.1:{self._server.port}"

    @property
    def ca(self) -> Path | None:
        return self._certificates.ca if self._certificates else None

    def token(self, account: str = ADMIN, rules: list[Json] | None = None) -> str:
        """A new bearer token. `rules`: those of a Role; without, and at first, an account may do everything."""
        return self.access.token(account, rules)

    def kubeconfig(self, account: str = ADMIN, *, rules: list[Json] | None = None, token_file: bool = False) -> str:
        """The path of a new file, with a token of that account (in a file beside it with `token_file`)."""
        token = self.token(account, rules)
        name = f"kubeconfig-{account}-{secrets.token_hex(3)}"
        user: Json = {"token": token}
        if token_file:
            (self.folder / f"{name}.token").write_text(token)
            user = {"tokenFile": str(self.folder / f"{name}.token")}
        server: Json = {"server": self.url}
        if self._certificates is not None:
            server["certificate-authority-data"] = base64.b64encode(self._certificates.ca.read_bytes()).decode()
        body = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "fake",
            "clusters": [{"name": "fake", "cluster": server}],
            "users": [{"name": account, "user": user}],
            "contexts": [
                {"name": "fake", "context": {"cluster": "fake", "user": account, "namespace": self.namespace}}
            ],
        }
        path = self.folder / name
        path.write_text(json.dumps(body))
        path.chmod(0o600)
        return str(path)

    def in_cluster(self, account: str = "default", *, rules: list[Json] | None = None) -> str:
        """The path of a folder as mounted into a pod: token, ca.crt, namespace. Needs TLS."""
        assert self._certificates is not None, "inside a cluster the API is reached by TLS"
        place = self.folder / f"serviceaccount-{account}-{secrets.token_hex(3)}"
        place.mkdir()
        (place / "token").write_text(self.token(account, rules))
        (place / "ca.crt").write_bytes(self._certificates.ca.read_bytes())
        (place / "namespace").write_text(self.namespace)
        return str(place)

    # --- what it saw ---

    @property
    def used(self) -> set[Use]:
        """By all accounts but the administrator, or by him when there was no other."""
        others = [uses for account, uses in self.access.used.items() if account != ADMIN]
        return set().union(*others) if any(others) else set(self.access.used[ADMIN])

    def used_by(self, account: str) -> list[list[str]]:
        """Verb, group, resource, subresource of each, sorted."""
        return sorted([use.verb, use.group, use.resource, use.subresource] for use in self.access.used[account])

    def requests(self) -> list[list[str]]:
        """Method and path of every request so far."""
        return [list(each) for each in self.api.requests]

    def pod(self, name: str) -> Json:
        """Raises `KeyError`."""
        for each in self.store.all("pods"):
            if each["metadata"]["name"] == name:
                return each
        raise KeyError(name)

    def pods(self) -> list[str]:
        return [each["metadata"]["name"] for each in self.store.all("pods")]

    def phase(self, name: str) -> str:
        """Empty when there is no such pod."""
        return str(self.pod(name)["status"]["phase"]) if name in self.pods() else ""

    def processes(self) -> dict[str, list[int]]:
        """PID 1 of each running container by pod: also of pods whose objects are gone."""
        return {
            life.name: [each.pid for each in life.containers.values() if each.pid and not each.ended.is_set()]
            for life in self.kubelet.lives.values()
        }

    def log(self, name: str) -> bytes:
        """Of a pod's first container, as the API would give it."""
        return b"".join(record.shown for record in self._container(name).log.records)

    def size(self, name: str) -> tuple[int, int]:
        """Rows and columns its terminal was last given."""
        return self._container(name).size

    def attached(self, name: str) -> int:
        """How many are attached to it."""
        return len(self._container(name).attached)

    async def until(self, done: Callable[[], bool]) -> None:
        """Until `done()`, asked after every change of anything here: objects, logs, attaches, watches."""
        await self.store.changed(done)

    async def until_phase(self, name: str, *phases: str) -> str:
        """One of these; "" for gone."""
        await self.until(lambda: self.phase(name) in phases)
        return self.phase(name)

    async def until_attached(self, name: str, count: int = 1) -> None:
        def enough() -> bool:
            try:
                return self.attached(name) >= count
            except KeyError:
                return False

        await self.until(enough)

    async def until_log(self, name: str, text: str) -> None:
        """Until that stands in its log."""

        def there() -> bool:
            try:
                return text.encode() in self.log(name)
            except KeyError:
                return False

        await self.until(there)

    # --- the API server: told ---

    def fail_next(
        self,
        verb: str,
        resource: str,
        status: int,
        times: int = 1,
        retry_after: int | None = None,
        message: str = "",
    ) -> None:
        """`resource` with its subresource, as `pods/log`; "*" for any."""
        self.faults.planned.append(Fault(verb, resource, status, times, retry_after, message))

    def lose_answer(self, verb: str, resource: str, times: int = 1, status: int = 0) -> None:
        """Do it, then cut the connection instead of answering (or answer with `status`)."""
        self.faults.planned.append(Fault(verb, resource, status, times, after=True))

    def cut_connections(self) -> None:
        """Reset all there are: watches, logs, attaches."""
        self._server.cut()

    def down(self) -> None:
        """The API server is gone; pods are undisturbed."""
        self._server.down()

    async def up(self, logs_missing: int = 0) -> None:
        """Again on the same port. `logs_missing`: so many reads of logs are answered 404."""
        self.api.pods.logs_missing = logs_missing
        await self._server.up()

    def compact(self, *, watching: bool = False) -> None:
        """Old versions and continue tokens are 410 from now on; `watching`: for watches that run as well."""
        self.store.compact()
        self.api.listing.expire_pages()
        if watching:
            self.api.listing.break_watches()

    def bookmark(self) -> None:
        """All watches that allow it send one now."""
        self.api.listing.bookmark()

    def watches(self) -> int:
        return self.api.listing.watches

    def service_accounts(self, names: Sequence[str]) -> None:
        """Pods of others are refused."""
        self.api.accounts = set(names)

    # --- things: told ---

    def secret(self, name: str, values: Mapping[str, str], namespace: str = "") -> None:
        data = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
        self.store.add("secrets", namespace or self.namespace, {"metadata": {"name": name}, "data": data})

    def config_map(self, name: str, values: Mapping[str, str], namespace: str = "") -> None:
        self.store.add("configmaps", namespace or self.namespace, {"metadata": {"name": name}, "data": dict(values)})

    def quota(self, hard: Mapping[str, str], name: str = "quota") -> None:
        """As `{"pods": "2"}`."""
        self.store.add("resourcequotas", self.namespace, {"metadata": {"name": name}, "spec": {"hard": dict(hard)}})

    def hold_claims(self) -> None:
        """New claims stay Pending: nothing provisions."""
        self.kubelet.claims_held = True

    def bind_claim(self, name: str) -> None:
        claim = self.store.get("persistentvolumeclaims", self.namespace, name)
        assert claim is not None, f"no claim {name}"
        self.api.bind(claim)

    def claim_folder(self, name: str) -> str:
        """Where the files of a claim are on this machine."""
        return str(self.folder / "claims" / self.namespace / name)

    def add_node(
        self, name: str, labels: Mapping[str, str] | None = None, cpu: str = "64", memory: str = "256Gi"
    ) -> None:
        room = {"cpu": cpu, "memory": memory, "pods": "110"}
        own = {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux"}
        ready = {"type": "Ready", "status": "True", "reason": "KubeletReady", "lastTransitionTime": times.seconds()}
        body = {
            "metadata": {"name": name, "labels": own | dict(labels or {})},
            "spec": {},
            "status": {"capacity": room, "allocatable": room, "conditions": [ready]},
        }
        self.store.add("nodes", "", body)

    def cordon(self, name: str, on: bool = True) -> None:
        def edit(node: Json) -> None:
            taint = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}
            node["spec"] = {"unschedulable": True, "taints": [taint]} if on else {}

        self.store.change("nodes", self._node(name), edit)

    # --- images and places: told ---

    def hold_image(self, pattern: str) -> None:
        """Pulling it takes until `release_image`."""
        self.kubelet.held.add(pattern)

    def break_image(self, pattern: str) -> None:
        """It cannot be pulled: ErrImagePull, then ImagePullBackOff, for ever."""
        self.kubelet.broken.add(pattern)

    def remove_image(self, pattern: str) -> None:
        """On no node: with policy Never ErrImageNeverPull, for ever."""
        self.kubelet.absent.add(pattern)

    def release_image(self, pattern: str) -> None:
        """There, and pullable."""
        for patterns in (self.kubelet.held, self.kubelet.broken, self.kubelet.absent):
            patterns.discard(pattern)
        self.store.touch()

    def reject(self, reason: str = "OutOfcpu", message: str = "Node didn't have enough resource: cpu") -> None:
        """Pods that get a node are refused there: Failed with that reason, without a container; "" ends that."""
        self.kubelet.rejection = (reason, message) if reason else ("", "")

    def unschedulable(self, reason: str = "0/1 nodes are available: 1 Insufficient cpu.") -> None:
        """No pod gets a node from now on; "" ends that."""
        self.kubelet.hindrance = reason
        self.store.touch()

    # --- ends of pods: told ---

    def oom(self, name: str) -> None:
        """PID 1 is over the memory limit: OOMKilled, 137."""
        life = self._life(name)
        for container, running in life.containers.items():
            life.reasons[container] = "OOMKilled"
            running.kill()

    async def type(self, name: str, text: str) -> None:
        """Into the stdin of its first container, past the API: as a second person attached to it."""
        await self._container(name).type(text.encode())

    async def oom_child(self, name: str) -> bool:
        """A process under PID 1 is killed; the pod runs on and says nothing of it."""
        return await self._container(name).kill_child()

    def kill(self, name: str) -> None:
        """PID 1 is killed from outside: Error, 137."""
        for running in self._life(name).containers.values():
            running.kill()

    def evict(self, name: str, message: str = "The node was low on resource: memory.", reason: str = "Evicted") -> None:
        """By the kubelet of a node under pressure: Failed, Evicted; the object stays. `reason`: Terminated, where the
        machine is shut down in order."""
        self.api.pods.disrupt(self.pod(name), "TerminationByKubelet", message)
        self._life(name).end(reason, message)

    def expire(self, name: str) -> None:
        """Its active deadline is over now."""
        self._life(name).end("DeadlineExceeded", "Pod was active on the node longer than the specified deadline")

    def preempt(self, name: str) -> None:
        """By the scheduler, for a pod of higher priority: deleted with its grace."""
        text = "default-scheduler: preempting to accommodate a higher priority pod"
        pod = self.api.pods.disrupt(self.pod(name), "PreemptionByScheduler", text)
        self.kubelet.event(pod, "Normal", "Preempted", text, "default-scheduler")
        self.api.pods.delete(pod, {})

    def protect(self, name: str, on: bool = True) -> None:
        """A disruption budget refuses its eviction (429)."""
        (self.api.pods.protected.add if on else self.api.pods.protected.discard)(name)

    def delete_by_hand(self, name: str, grace: int | None = None, *, force: bool = False) -> None:
        options = {"gracePeriodSeconds": 0 if force else grace}
        self.api.pods.delete(self.pod(name), {key: value for key, value in options.items() if value is not None})

    def lose_node(self, name: str = "node-1", *, tainted: bool = True) -> None:
        """Nothing is heard of it any more: logs and attaches fail, open ones fall silent, statuses freeze, processes
        live on. `tainted`: the grace is over as well, its pods are marked for deletion."""
        self.kubelet.lost.add(name)
        unknown = ("Unknown", "NodeStatusUnknown", "Kubelet stopped posting node status.")
        self.store.change("nodes", self._node(name), lambda node: podstatus.condition(node, "Ready", *unknown))
        for pod in [each for each in self.store.all("pods") if each["spec"].get("nodeName") == name]:
            if pod["status"]["phase"] in ("Succeeded", "Failed"):
                continue
            pod = self.store.change("pods", pod, lambda made: podstatus.condition(made, "Ready", "False"))
            if tainted:
                text = "Taint manager: deleting due to NoExecute taint"
                self.api.pods.delete(self.api.pods.disrupt(pod, "DeletionByTaintManager", text), {})
        for attach in self.api.pods.attaches:
            attach.silent = True
        self.store.touch()

    def restore_node(self, name: str = "node-1") -> None:
        """The kubelet is back: what was to be deleted is, what ended is said."""
        self.kubelet.lost.discard(name)
        ready = ("True", "KubeletReady")
        self.store.change("nodes", self._node(name), lambda node: podstatus.condition(node, "Ready", *ready))
        self.store.touch()

    def remove_node(self, name: str = "node-1") -> None:
        """The machine is gone with all that ran there; its pods are collected."""
        self.kubelet.lost.discard(name)
        self.store.remove("nodes", self._node(name))
        for life in list(self.kubelet.lives.values()):
            if life.node == name:
                for container in life.containers.values():
                    container.kill()
        for pod in [each for each in self.store.all("pods") if each["spec"].get("nodeName") == name]:
            pod = self.api.pods.disrupt(pod, "DeletionByPodGC", "PodGC: node no longer exists")
            self.api.pods.delete(pod, {"gracePeriodSeconds": 0})

    # --- inside ---

    async def _protect(self) -> None:
        """A claim that is to go goes when no pod uses it any more."""

        def free() -> list[Json]:
            used = {
                (pod["metadata"]["namespace"], (volume.get("persistentVolumeClaim") or {}).get("claimName"))
                for pod in self.store.all("pods")
                if pod["status"]["phase"] not in ("Succeeded", "Failed")
                for volume in pod["spec"].get("volumes") or []
            }
            return [
                each
                for each in self.store.all("persistentvolumeclaims")
                if "deletionTimestamp" in each["metadata"]
                and (each["metadata"]["namespace"], each["metadata"]["name"]) not in used
            ]

        while True:
            await self.store.changed(lambda: bool(free()))
            for claim in free():
                self.store.remove("persistentvolumeclaims", claim)
                shutil.rmtree(self.claim_folder(claim["metadata"]["name"]), ignore_errors=True)  # reclaimed: Delete

    def _life(self, name: str) -> Any:
        uid = self.pod(name)["metadata"]["uid"]
        return self.kubelet.lives[uid]

    def _container(self, name: str) -> Container:
        """The first of the pod of that name, also when its object is gone and it runs on. Raises `KeyError`."""
        for life in self.kubelet.lives.values():
            if life.name == name:
                for container in life.containers.values():
                    return container
        raise KeyError(name)

    def _node(self, name: str) -> Json:
        found = self.store.get("nodes", "", name)
        assert found is not None, f"no node {name}"
        return found
