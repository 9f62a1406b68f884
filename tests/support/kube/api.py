"""The requests of the API: who asks, what for, and the generic verbs. Pods, lists, watches have their own modules."""

from __future__ import annotations

import json
import re
import secrets
from typing import Any

from tests.support.kube import patches, times, validation
from tests.support.kube.access import Access, Use
from tests.support.kube.faults import Dropped, Faults
from tests.support.kube.kubelet import Kubelet
from tests.support.kube.listing import Listing
from tests.support.kube.pods import Pods, preconditions
from tests.support.kube.scheduling import quantity
from tests.support.kube.server import Answer, Request, as_json, flag
from tests.support.kube.statuses import Refused, conflict, invalid, missing, success
from tests.support.kube.store import CLUSTER_WIDE, KINDS, Store

Json = dict[str, Any]

VERSION = {
    "major": "1",
    "minor": "36",
    "gitVersion": "v1.36.2",
    "gitCommit": "0" * 40,
    "gitTreeState": "clean",
    "buildDate": "2026-07-14T12:00:00Z",
    "goVersion": "go1.25.5",
    "compiler": "gc",
    "platform": "linux/amd64",
}
_PATH = re.compile(
    r"/api/v1(?:/namespaces/(?P<namespace>[^/]+))?/(?P<resource>[a-z]+)(?:/(?P<name>[^/]+)(?:/(?P<subresource>[a-z]+))?)?$"
)
_REVIEW = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
_MAY_CHANGE = {"activeDeadlineSeconds", "tolerations", "terminationGracePeriodSeconds"}


class Api:
    def __init__(self, store: Store, kubelet: Kubelet, access: Access, faults: Faults) -> None:
        self.listing = Listing(store)
        self.pods = Pods(store, kubelet)
        self.accounts: set[str] | None = None  # of services; None: whatever a pod names is there
        self.requests: list[tuple[str, str]] = []  # method and path with query, for tests to look at
        self._store, self._kubelet, self._access, self._faults = store, kubelet, access, faults

    async def handle(self, request: Request) -> Answer:
        self.requests.append((request.method, request.path))
        if request.path in ("/healthz", "/livez", "/readyz"):
            return Answer(200, b"ok", {"Content-Type": "text/plain"})
        try:
            return self._answer(request)
        except Dropped:
            return Answer(drop=True)
        except Refused as refused:
            headers = {} if refused.retry_after is None else {"Retry-After": str(refused.retry_after)}
            return as_json(refused.body, refused.code, **headers)

    def _answer(self, request: Request) -> Answer:
        account = self._access.account(request.headers.get("authorization", ""))
        if request.path.rstrip("/") == "/version":
            return as_json(VERSION)
        if request.path == _REVIEW and request.method == "POST":
            return self._review(account, _body(request))
        found = _PATH.match(request.path)
        if found is None:
            raise Refused(404, "the server could not find the requested resource", reason="NotFound")
        namespace, resource, name, subresource = (found[each] or "" for each in _PATH.groupindex)
        if resource not in KINDS and namespace and not name:  # /api/v1/namespaces/NAME is the namespace itself
            raise Refused(404, "the server could not find the requested resource", reason="NotFound")
        use = Use(_verb(request, name), "", resource, subresource)
        self._access.demand(account, use, namespace, name)
        self._faults.before(use)
        if use.name == "pods/attach":  # since v1.35 an upgrade needs what a POST would have needed
            self._access.demand(account, Use("create", "", resource, subresource), namespace, name)
        answer = self._do(use, namespace, name, request)
        self._faults.after(use)
        return answer

    def _do(self, use: Use, namespace: str, name: str, request: Request) -> Answer:
        resource = use.resource
        if use.subresource:
            return self._sub(use, namespace, name, request)
        if use.verb == "watch":
            stream = self.listing.watch(resource, namespace, request.query)
            return Answer(200, headers={"Content-Type": "application/json"}, stream=stream)
        if use.verb == "list":
            return as_json(self.listing.page(resource, namespace, request.query))
        if use.verb == "create":
            return self._create(resource, namespace, request)
        if use.verb == "deletecollection":
            options = _body(request) if request.body else {}
            listed = self.listing.page(resource, namespace, request.query)["items"]
            for each in listed:
                self._delete(resource, self._find(resource, namespace, each["metadata"]["name"]), dict(options))
            return as_json(success())
        there = self._find(resource, namespace, name)
        if use.verb == "get":
            return as_json(there)
        if use.verb == "delete":
            options = _body(request) if request.body else {}
            if "gracePeriodSeconds" in request.query:
                options.setdefault("gracePeriodSeconds", int(request.query["gracePeriodSeconds"]))
            return as_json(self._delete(resource, there, options))
        if use.verb == "patch":
            kind = request.headers.get("content-type", "").partition(";")[0]
            made = patches.apply(kind, there, _loads(request.body))
            return as_json(self._replace(resource, there, made))
        if use.verb == "update":
            return as_json(self._replace(resource, there, _body(request)))
        raise Refused(405, "the server does not allow this method on the requested resource")

    def _sub(self, use: Use, namespace: str, name: str, request: Request) -> Answer:
        if use.resource != "pods" or use.subresource not in ("log", "attach", "eviction", "status"):
            raise Refused(404, "the server could not find the requested resource", reason="NotFound")
        pod = self._find("pods", namespace, name)
        if use.subresource == "log":
            return self.pods.log(pod, request.query)
        if use.subresource == "attach":
            return self.pods.attach(pod, request)
        if use.subresource == "eviction" and use.verb == "create":
            return as_json(self.pods.evict(pod, _body(request)), 201)
        if use.subresource == "status" and use.verb == "get":
            return as_json(pod)
        raise Refused(405, "the server does not allow this method on the requested resource")

    def _create(self, resource: str, namespace: str, request: Request) -> Answer:
        query = request.query
        made, unknown = validation.decode(resource, _loads(request.body), query.get("fieldValidation") or "Warn")
        meta = made.setdefault("metadata", {})
        if not meta.get("name") and meta.get("generateName"):
            meta["name"] = meta["generateName"] + secrets.token_hex(3)[:5]
        validation.check(resource, made)
        if resource not in CLUSTER_WIDE:
            if meta.get("namespace") not in (None, namespace):
                raise Refused(
                    400,
                    f"the namespace of the provided object does not match the namespace sent on the request "
                    f"({meta['namespace']} != {namespace})",
                )
            home = self._find("namespaces", "", namespace)
            if home["status"]["phase"] == "Terminating":
                raise self._forbidden(
                    resource,
                    meta["name"],
                    f"unable to create new content in namespace {namespace} because it is being terminated",
                )
        validation.default(resource, made)
        if resource == "pods":
            meta["namespace"] = namespace
            self._admit(namespace, made)
        if self._store.get(resource, namespace, meta["name"]) is not None:
            raise Refused(
                409,
                f'{resource} "{meta["name"]}" already exists',
                reason="AlreadyExists",
                kind=resource,
                name=meta["name"],
            )
        headers = {"Warning": ", ".join(f'299 - "{each}"' for each in unknown)} if unknown else {}
        if query.get("dryRun") == "All":
            return as_json(made, 201, **headers)
        there = self._store.add(resource, namespace, made)
        if resource == "pods":
            self._kubelet.take(there)
        if resource == "persistentvolumeclaims" and not self._kubelet.claims_held:
            self.bind(there)
        return as_json(self._find(resource, namespace, meta["name"]), 201, **headers)

    def bind(self, claim: Json) -> None:
        def bound(made: Json) -> None:
            made["spec"]["volumeName"] = f"pvc-{made['metadata']['uid']}"
            size = made["spec"]["resources"]["requests"]["storage"]
            made["status"] = {
                "phase": "Bound",
                "accessModes": made["spec"]["accessModes"],
                "capacity": {"storage": size},
            }

        self._store.change("persistentvolumeclaims", claim, bound)

    def _admit(self, namespace: str, pod: Json) -> None:
        """Admission: service account, quota; and what this cluster cannot do."""
        for field in ("initContainers", "ephemeralContainers", "hostUsers", "resourceClaims"):
            if pod["spec"].get(field):
                raise Refused(501, f"the fake cluster knows no spec.{field}")
        if pod["spec"]["restartPolicy"] != "Never":
            raise Refused(501, "the fake cluster starts no container again: restartPolicy must be Never")
        name, account = pod["metadata"]["name"], pod["spec"]["serviceAccountName"]
        if self.accounts is not None and account not in self.accounts:
            text = f'error looking up service account {namespace}/{account}: serviceaccount "{account}" not found'
            raise self._forbidden("pods", name, text)
        for quota in self._store.all("resourcequotas", namespace):
            for resource, hard in ((quota.get("spec") or {}).get("hard") or {}).items():
                used = self._usage(namespace, resource)
                wanted = _wants(pod, resource)
                if wanted is None:
                    whose = pod["spec"]["containers"][0]["name"]
                    text = f"failed quota: {quota['metadata']['name']}: must specify {resource} for: {whose}"
                    raise self._forbidden("pods", name, text)
                if used + wanted > quantity(hard):
                    amounts = f"requested: {resource}={wanted:g}, used: {resource}={used:g}, limited: {resource}={hard}"
                    raise self._forbidden("pods", name, f"exceeded quota: {quota['metadata']['name']}, {amounts}")

    def _usage(self, namespace: str, resource: str) -> float:
        live = [pod for pod in self._store.all("pods", namespace) if pod["status"]["phase"] in ("Pending", "Running")]
        return sum(_wants(pod, resource) or 0 for pod in live)

    def _delete(self, resource: str, there: Json, options: Json) -> Json:
        if resource == "pods":
            return self.pods.delete(there, options)
        preconditions(there, options, resource)
        if resource == "namespaces":
            self._store.change(resource, there, lambda made: made["status"].update(phase="Terminating"))
            name = there["metadata"]["name"]
            for kind in [each for each in KINDS if each not in CLUSTER_WIDE]:
                for each in list(self._store.all(kind, name)):
                    self._store.remove(kind, each)
            return self._store.remove(resource, self._find(resource, "", name))
        if there["metadata"].get("finalizers"):
            return self._store.change(
                resource, there, lambda made: made["metadata"].setdefault("deletionTimestamp", times.seconds())
            )
        self._store.remove(resource, there)
        return success() | {
            "details": {"name": there["metadata"]["name"], "kind": resource, "uid": there["metadata"]["uid"]}
        }

    def _replace(self, resource: str, there: Json, made: Json) -> Json:
        meta, old = made.get("metadata") or {}, there["metadata"]
        if meta.get("resourceVersion") not in (None, "", old["resourceVersion"]):
            text = "the object has been modified; please apply your changes to the latest version and try again"
            raise conflict(resource, old["name"], text)
        if meta.get("uid") not in (None, "", old["uid"]):
            text = f"Precondition failed: UID in precondition: {meta['uid']}, UID in object meta: {old['uid']}"
            raise conflict(resource, old["name"], text)
        if meta.get("name") != old["name"]:
            raise Refused(400, "the name of the object does not match the name on the URL")
        validation.check(resource, made)
        if resource == "pods":
            _pod_may_change(there, made)
            made["status"] = there["status"]

        def edit(target: Json) -> None:
            target.clear()
            target.update(made)
            for field in (
                "uid",
                "creationTimestamp",
                "resourceVersion",
                "deletionTimestamp",
                "deletionGracePeriodSeconds",
            ):
                if field in old:
                    target["metadata"][field] = old[field]
            target.update(apiVersion="v1", kind=KINDS[resource])

        return self._store.change(resource, there, edit)

    def _review(self, account: str, body: Json) -> Answer:
        asked = (body.get("spec") or {}).get("resourceAttributes") or {}
        use = Use(
            asked.get("verb", ""), asked.get("group", ""), asked.get("resource", ""), asked.get("subresource", "")
        )
        self._access.used[account].add(Use("create", "authorization.k8s.io", "selfsubjectaccessreviews"))
        allowed = self._access.allows(account, use, asked.get("name", ""))
        return as_json(body | {"status": {"allowed": allowed}}, 201)

    def _find(self, resource: str, namespace: str, name: str) -> Json:
        found = self._store.get(resource, namespace, name) if resource in KINDS else None
        if found is None:
            raise missing(resource, name)
        return found

    def _forbidden(self, resource: str, name: str, why: str) -> Refused:
        return Refused(403, f'{resource} "{name}" is forbidden: {why}', kind=resource, name=name)


def _verb(request: Request, name: str) -> str:
    if request.method in ("GET", "HEAD"):
        if name:
            return "get"
        return "watch" if flag(request.query, "watch") else "list"
    if request.method == "DELETE":
        return "delete" if name else "deletecollection"
    return {"POST": "create", "PUT": "update", "PATCH": "patch"}.get(request.method, request.method.lower())


def _body(request: Request) -> Json:
    given = _loads(request.body)
    if not isinstance(given, dict):
        raise Refused(400, "the body of the request is no object")
    return given


def _loads(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError as error:
        raise Refused(400, f"couldn't get version/kind; json parse error: {error}") from None


def _wants(pod: Json, resource: str) -> float | None:
    """None when a container does not say, and has to."""
    if resource in ("pods", "count/pods"):
        return 1
    group, _, name = resource.rpartition(".")
    total = 0.0
    for container in pod["spec"]["containers"]:
        given = container.get("resources") or {}
        value = (given.get(group or "requests") or {}).get(name)
        if value is None and group != "limits":
            value = (given.get("limits") or {}).get(name)
        if value is None:
            return None
        total += quantity(value)
    return total


def _pod_may_change(there: Json, made: Json) -> None:
    def rest(pod: Json) -> Json:
        return {key: value for key, value in pod["spec"].items() if key not in _MAY_CHANGE}

    if rest(there) != rest(made):
        text = "Forbidden: pod updates may not change fields other than " + ", ".join(
            f"`spec.{x}`" for x in _MAY_CHANGE
        )
        raise invalid("Pod", there["metadata"]["name"], [("spec", "FieldValueForbidden", text)])
