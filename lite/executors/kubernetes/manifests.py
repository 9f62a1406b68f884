"""What is asked of the cluster for one attempt: its pod, the word that lets its program go, a run's volume. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from lite.errors import InvalidTask
from lite.executors.kubernetes import bootstrap, names
from lite.executors.kubernetes.bootstrap import InFolder
from lite.model.kubernetes import CA_MOUNT, Kubernetes, StagingVolume
from lite.model.labels import LABEL_SYNTAX, is_label_key, is_label_value
from lite.model.session import Origin, SessionRequest

Json = dict[str, Any]

CONTAINER: Final = "agent"
STAGING: Final = "QD_STAGING"
HOSTNAME: Final = "kubernetes.io/hostname"

_CA_FILE = f"{CA_MOUNT}/ca.crt"
_CA_VARIABLES = ("NODE_EXTRA_CA_CERTS", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE")
_AWAY = frozenset({"QD_HOME"})  # means nothing on another machine
_BY_GO = frozenset({"PATH", "TMPDIR"})  # the bootstrap itself needs the image's own
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_MOST_VALUE = 4096  # characters of a variable in the spec
_MOST_ARGV = 32 << 10  # characters of all arguments there


def pod(request: SessionRequest, kube: Kubernetes, *, fleet: str, claim: str = "") -> Json:
    """The pod of one attempt; `claim` is its run's volume, "" for none. It holds no secret's value: those, and what
    else does not belong there, come with `go`. Raises `InvalidTask` for what the cluster would not take of the task."""
    security = kube.security
    spec: Json = {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": _seconds(kube.grace_ms),
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": _given(
            runAsNonRoot=security.non_root,
            runAsUser=security.run_as_user,
            runAsGroup=security.run_as_group,
            fsGroup=security.fs_group,
            seccompProfile={"type": "RuntimeDefault"},
        ),
        "containers": [_container(request, kube, claim)],
        "volumes": _volumes(kube, claim),
    }
    if kube.active_deadline_ms is not None:
        spec["activeDeadlineSeconds"] = _seconds(kube.active_deadline_ms)
    if kube.service_account:
        spec["serviceAccountName"] = kube.service_account
    if kube.pull_secrets:
        spec["imagePullSecrets"] = [{"name": name} for name in kube.pull_secrets]
    if selector := _selector(kube, request.origin):
        spec["nodeSelector"] = selector
    if kube.tolerations:
        spec["tolerations"] = [
            _given(
                key=one.key or None,
                operator=one.operator,
                value=one.value or None,
                effect=one.effect or None,
                tolerationSeconds=None if one.seconds_ms is None else _seconds(one.seconds_ms),
            )
            for one in kube.tolerations
        ]
    if affinity := _affinity(fleet, request.origin):
        spec["affinity"] = affinity
    return {"apiVersion": "v1", "kind": "Pod", "metadata": _metadata(request, kube, fleet), "spec": spec}


def go(request: SessionRequest, kube: Kubernetes, *, mark: str, brought: Mapping[str, bytes] | None = None) -> bytes:
    """What lets the program of `pod` go, typed into it: its files (`brought` too), the variables that are not in the
    spec, where and with what input it runs. Raises `InvalidTask`."""
    launch = request.launch
    stdin: str | InFolder = "/dev/null" if launch.stdin == "null" else ""
    if launch.stdin == "file":
        stdin = InFolder(launch.stdin_file)
    _, env = _split(request)
    path = env.pop("PATH", "")
    return bootstrap.go(
        mark,
        env=env,
        argv=None if _shown(request) else launch.argv,
        cwd=kube.workdir or request.cwd,
        cwd_needed=bool(kube.workdir),
        path=path if isinstance(path, str) else "",
        stdin=stdin,
        files={**launch.files, **(brought or {})},
        size=(request.cols, request.rows) if launch.stdio == "terminal" else None,
    )


def staging_claim(staging: StagingVolume, *, fleet: str, run: str, namespace: str) -> Json:
    """The claim of the volume a run's tasks share."""
    managed, by = names.MANAGED_BY
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {
            "name": names.claim_name(fleet, run),
            "namespace": namespace,
            "labels": {managed: by, names.FLEET: names.label_value(fleet), names.RUN: names.label_value(run)},
            "annotations": {names.RUN: run},
        },
        "spec": _given(
            accessModes=[staging.access_mode],
            resources={"requests": {"storage": staging.size}},
            storageClassName=staging.storage_class or None,
            volumeMode="Filesystem",
        ),
    }


def _metadata(request: SessionRequest, kube: Kubernetes, fleet: str) -> Json:
    origin = request.origin
    managed, by = names.MANAGED_BY
    labels = {
        names.FLEET: fleet,
        names.RUN: origin.run,
        names.TASK: request.task,
        names.ATTEMPT: str(request.attempt),
        names.TEAM: origin.team,
        names.AGENT: origin.agent,
    }
    return {
        "name": names.pod_name(fleet, request.task, request.attempt),
        "namespace": kube.namespace,
        "labels": {managed: by, **{key: names.label_value(value) for key, value in labels.items() if value}},
        "annotations": {
            names.TOKEN: str(request.token),
            names.SESSION: request.session,
            names.TASK: request.task,
            **({names.RUN: origin.run} if origin.run else {}),
        },
    }


def _container(request: SessionRequest, kube: Kubernetes, claim: str) -> Json:
    launch = request.launch
    argv = launch.argv if _shown(request) else ()
    return {
        "name": CONTAINER,
        "image": kube.image,
        "imagePullPolicy": kube.pull_policy,
        "command": ["/bin/sh", "-c", _literal(bootstrap.SCRIPT), "qd", *map(_literal, argv)],
        "env": _env(request, kube, claim),
        **_resources(kube),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": kube.security.read_only_root,
        },
        "stdin": True,
        "stdinOnce": False,
        "tty": launch.stdio == "terminal",
        "terminationMessagePath": bootstrap.TERMINATION_LOG,
        "terminationMessagePolicy": "File",
        "volumeMounts": _mounts(kube, claim),
    }


def _resources(kube: Kubernetes) -> Json:
    found = _given(requests=dict(kube.resources.requests) or None, limits=dict(kube.resources.limits) or None)
    return {"resources": found} if found else {}


def _env(request: SessionRequest, kube: Kubernetes, claim: str) -> list[Json]:
    shown, told = _split(request)
    plain = {bootstrap.TERMINATION_VARIABLE: bootstrap.TERMINATION_LOG}
    if kube.ca_config_map:
        plain |= dict.fromkeys(_CA_VARIABLES, _CA_FILE)
    if claim and kube.staging is not None:
        plain[STAGING] = kube.staging.mount
    plain |= shown
    referred = {name: ref for name, ref in kube.secrets.items() if name not in shown and name not in told}
    return [{"name": name, "value": _literal(plain[name])} for name in sorted(plain) if name not in referred] + [
        {"name": name, "valueFrom": {"secretKeyRef": {"name": referred[name].secret, "key": referred[name].key}}}
        for name in sorted(referred)
    ]


def _split(request: SessionRequest) -> tuple[dict[str, str], dict[str, str | InFolder]]:
    """The variables that may stand in the spec, and those that are told to the pod when it runs."""
    folder = f"{request.directory}/"
    shown: dict[str, str] = {}
    told: dict[str, str | InFolder] = {}
    for name, value in request.env.items():
        if name in _AWAY or not _VARIABLE.match(name):
            continue
        if value.startswith(folder) and len(value) > len(folder):
            told[name] = InFolder(value.removeprefix(folder))
        elif name in _BY_GO or not _may_be_seen(value, request) or len(value) > _MOST_VALUE:
            told[name] = value
        else:
            shown[name] = value
    return shown, told


def _shown(request: SessionRequest) -> bool:
    """May the arguments stand in the spec?"""
    argv = request.launch.argv
    return sum(map(len, argv)) <= _MOST_ARGV and all(_may_be_seen(word, request) for word in argv)


def _may_be_seen(text: str, request: SessionRequest) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return not any(secret in text for secret in request.secrets if secret)


def _literal(text: str) -> str:
    """The kubelet puts variables in for $(NAME), and takes $$ for a dollar."""
    return text.replace("$", "$$")


def _volumes(kube: Kubernetes, claim: str) -> list[Json]:
    volumes: list[Json] = [{"name": "tmp", "emptyDir": {}}]
    if kube.ca_config_map:
        keys = [{"key": "ca.crt", "path": "ca.crt"}]
        volumes.append({"name": "ca", "configMap": {"name": kube.ca_config_map, "items": keys}})
    for at, path in enumerate(sorted(kube.secret_mounts)):
        secret = {"secretName": kube.secret_mounts[path], "defaultMode": 0o444}
        volumes.append({"name": f"secret-{at}", "secret": secret})
    if claim and kube.staging is not None:
        volumes.append({"name": "staging", "persistentVolumeClaim": {"claimName": claim}})
    return volumes


def _mounts(kube: Kubernetes, claim: str) -> list[Json]:
    mounts: list[Json] = [{"name": "tmp", "mountPath": "/tmp"}]
    if kube.ca_config_map:
        mounts.append({"name": "ca", "mountPath": CA_MOUNT, "readOnly": True})
    for at, path in enumerate(sorted(kube.secret_mounts)):
        mounts.append({"name": f"secret-{at}", "mountPath": path, "readOnly": True})
    if claim and kube.staging is not None:
        mounts.append({"name": "staging", "mountPath": kube.staging.mount})
    return mounts


def _selector(kube: Kubernetes, origin: Origin) -> dict[str, str]:
    """The fleet's and the task's; where the fleet says where its pods go, no task says otherwise."""
    for label, value in origin.selector.items():
        if not is_label_key(label) or not is_label_value(value):
            told = f"no node of a cluster can have the label {label!r}: {value!r}"
            raise InvalidTask(told, hint=LABEL_SYNTAX, place="selector")
        if kube.node_selector.get(label, value) != value:
            told = f"the task wants nodes with {label}={value}, and pods go to {label}={kube.node_selector[label]} only"
            raise InvalidTask(told, place="selector")
    return {**kube.node_selector, **origin.selector}


def _affinity(fleet: str, origin: Origin) -> Json:
    """Towards or away from the nodes that run pods of the team. A first pod is near itself, and placed."""
    if origin.affinity == "none" or not origin.team:
        return {}
    labels = {names.FLEET: names.label_value(fleet), names.TEAM: names.label_value(origin.team)}
    term = {"labelSelector": {"matchLabels": labels}, "topologyKey": HOSTNAME}
    strength, _, way = origin.affinity.partition("-")
    kind = "podAffinity" if way == "colocate" else "podAntiAffinity"
    if strength == "require":
        return {kind: {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
    return {kind: {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 100, "podAffinityTerm": term}]}}


def _seconds(ms: int) -> int:
    return max(1, -(-ms // 1000))


def _given(**fields: Any) -> Json:
    return {key: value for key, value in fields.items() if value is not None}
