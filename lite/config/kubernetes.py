"""`kubernetes:` of the configuration, and what an agent may have otherwise."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field, field_validator

from lite.config.fields import Duration, Labels, Strict, Texts
from lite.config.yamlmarks import Document
from lite.model.kubernetes import (
    CA_MOUNT,
    AccessMode,
    Effect,
    Kubernetes,
    Operator,
    PodSecurity,
    PullPolicy,
    Resources,
    SecretKey,
    StagingVolume,
    Toleration,
)
from lite.model.labels import is_label_key, is_label_value, is_subdomain
from lite.model.settings import Settings
from lite.rules.checks import MAX_TIME_MS, env_problem
from lite.rules.problems import Problems
from lite.rules.spelling import quoted

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?\Z")
_KEY = re.compile(r"[-._a-zA-Z0-9]{1,253}\Z")
_QUANTITY = re.compile(r"(\d{1,15}(?:\.\d{1,9})?|\.\d{1,9})([numkMGTPE]|[KMGTPE]i)?\Z", re.ASCII)
_SCALE: dict[str, Decimal] = {
    "": Decimal(1),
    **{unit: Decimal(1000) ** -power for power, unit in enumerate("mun", 1)},
    **{unit: Decimal(1000) ** power for power, unit in enumerate("kMGTPE", 1)},
    **{f"{unit}i": Decimal(1024) ** power for power, unit in enumerate("KMGTPE", 1)},
}
_IMAGE = re.compile(r"[A-Za-z0-9][-A-Za-z0-9._:/@+]{0,511}\Z")
_PROGRAM = re.compile(r"[^\s\x00-\x1f\x7f-\x9f]{1,512}\Z")
_RESERVED = ("/", "/tmp", "/dev", "/proc", "/sys")
_MAX_UID = (1 << 31) - 1

_FLEET = Kubernetes(image="-")
_VOLUME = StagingVolume()
_SECURITY = PodSecurity()


def _dns_label(text: str) -> str:
    if not _LABEL.match(text):
        raise ValueError(f"cannot be {quoted(text)}; use a-z, 0-9 and dash, at most 63")
    return text


def _object_name(text: str) -> str:
    if text and not is_subdomain(text):
        raise ValueError(f"cannot be {quoted(text)}; use a-z, 0-9, dash and dot")
    return text


def _label_key(text: str) -> str:
    if not is_label_key(text):
        raise ValueError(f"has a label that is none: {quoted(text)}")
    return text


def _label_value(text: str) -> str:
    if not is_label_value(text):
        raise ValueError(f"has a label's value that is none: {quoted(text)}; letters, digits, dash, dot, underscore")
    return text


def _labels(labels: dict[str, str]) -> dict[str, str]:
    return {_label_key(key): _label_value(value) for key, value in labels.items()}


def _quantity(text: str) -> str:
    if not _QUANTITY.match(text):
        raise ValueError(f"is not a quantity: {quoted(text)}; write for example 500m, 2 or 4Gi")
    return text


def _quantities(values: dict[str, str]) -> dict[str, str]:
    for name, value in values.items():
        _label_key(name)
        if not _QUANTITY.match(value):
            raise ValueError(f"has {quoted(name)}, which is not a quantity: {quoted(value)}; write 500m, 2 or 4Gi")
    return values


def amount(quantity: str) -> Decimal:
    """What a quantity says, in units of its resource."""
    found = _QUANTITY.match(quantity)
    assert found is not None
    return Decimal(found[1]) * _SCALE[found[2] or ""]


def _folder(path: str) -> str:
    parts = path.split("/")
    if parts[0] or any(part in ("", ".", "..") for part in parts[1:]) or re.search(r"[:\x00-\x1f\x7f]", path):
        raise ValueError(f"cannot be {quoted(path)}; an absolute path without a colon, such as /data")
    if path in _RESERVED:
        raise ValueError(f"cannot be {path}, which is the system's or ours")
    return path


def _optional_folder(path: str) -> str:
    return _folder(path) if path else path


def _span(value: int) -> int:
    if not 1000 <= value <= MAX_TIME_MS:
        raise ValueError("must be between 1s and a year")
    return value


_Name = Annotated[str, AfterValidator(_object_name)]
_Quantities = Annotated[Labels, AfterValidator(_quantities)]
_LabelsChecked = Annotated[Labels, AfterValidator(_labels)]
_Folder = Annotated[str, AfterValidator(_folder)]
_Span = Annotated[Duration, AfterValidator(_span)]


class SecretKeyModel(Strict):
    secret: _Name = Field(min_length=1, description="a Secret of the namespace")
    key: str = Field(min_length=1, description="which of its values")

    @field_validator("key")
    @classmethod
    def _known(cls, value: str) -> str:
        if not _KEY.match(value):
            raise ValueError(f"cannot be {quoted(value)}; letters, digits, dash, dot, underscore")
        return value


class TolerationModel(Strict):
    key: str = Field(default="", description="of the taint; every taint when left out, with operator Exists")
    operator: Operator = "Equal"
    value: Annotated[str, AfterValidator(_label_value)] = ""
    effect: Effect = ""
    seconds: Duration | None = Field(default=None, description="how long, of NoExecute; for ever when left out")

    @field_validator("key")
    @classmethod
    def _key(cls, value: str) -> str:
        return _label_key(value) if value else value

    def made(self) -> Toleration:
        return Toleration(self.key, self.operator, self.value, self.effect, self.seconds)


class ResourcesModel(Strict):
    requests: _Quantities = Field(default_factory=dict, description="what the scheduler sets aside: cpu, memory, ...")
    limits: _Quantities = Field(default_factory=dict, description="what it never gets more of")


class SecurityModel(Strict):
    non_root: bool = Field(default=_SECURITY.non_root, description="refuse images that run as root")
    read_only_root: bool = Field(default=_SECURITY.read_only_root, description="only /tmp and volumes can be written")
    run_as_user: int | None = Field(default=None, ge=0, le=_MAX_UID, description="the image's own when left out")
    run_as_group: int | None = Field(default=None, ge=0, le=_MAX_UID)
    fs_group: int | None = Field(default=None, ge=0, le=_MAX_UID, description="the group volumes belong to")


class StagingModel(Strict):
    size: Annotated[str, AfterValidator(_quantity)] = _VOLUME.size
    storage_class: _Name = Field(default="", description="the cluster's default when left out")
    access_mode: AccessMode = Field(
        default=_VOLUME.access_mode, description="ReadWriteOnce keeps the tasks of a run on one node"
    )
    mount: _Folder = Field(default=_VOLUME.mount, description="where programs find it, also $QD_STAGING")
    keep: _Span = Field(default=_VOLUME.keep_ms, description="how long it stays after a run that failed")


class AgentKubernetesModel(Strict):
    """What an agent may have of its own; mappings are laid over the fleet's, all else replaces it."""

    image: str = Field(default="", description="of its programs; it needs sh, stty, head and mkfifo")
    pull_policy: PullPolicy = _FLEET.pull_policy
    pull_secrets: Annotated[Texts, AfterValidator(lambda names: tuple(map(_object_name, names)))] = Field(
        default=(), description="Secrets for the image's registry"
    )
    service_account: _Name = Field(default="", description="of the pods; its token is not mounted")
    resources: ResourcesModel = Field(default_factory=ResourcesModel)
    node_selector: _LabelsChecked = Field(default_factory=dict, description="labels a node must have")
    tolerations: tuple[TolerationModel, ...] = ()
    ca_config_map: _Name = Field(default="", description="a ConfigMap whose ca.crt its programs trust")
    secrets: dict[str, SecretKeyModel] = Field(
        default_factory=dict, description="variables whose value the cluster puts in: NAME: {secret: NAME, key: KEY}"
    )
    secret_mounts: dict[str, str] = Field(
        default_factory=dict, description="directories that hold a Secret, read-only: PATH: NAME"
    )
    workdir: str = Field(default="", description="where programs run; the image's own when left out")
    program: str = Field(default=_FLEET.program, description="how the image starts this very program, where needed")
    security: SecurityModel = Field(default_factory=SecurityModel)
    start_timeout: _Span = Field(
        default=_FLEET.start_timeout_ms, description="a pod that has not started by then is given up"
    )
    active_deadline: _Span | None = Field(
        default=None, description="the cluster ends its pods after this long by itself; never when left out"
    )
    grace: _Span = Field(default=_FLEET.grace_ms, description="from the TERM to the KILL, when the cluster ends a pod")

    @field_validator("image")
    @classmethod
    def _image(cls, value: str) -> str:
        if not _IMAGE.match(value):
            raise ValueError(f"cannot be {quoted(value)}; for example registry.example/qd-agent:1.4")
        return value

    @field_validator("program")
    @classmethod
    def _program(cls, value: str) -> str:
        if not _PROGRAM.match(value):
            raise ValueError(f"cannot be {quoted(value)}; one word, such as qd or /opt/qd/bin/qd")
        return value

    @field_validator("workdir")
    @classmethod
    def _workdir(cls, value: str) -> str:
        if value == "/tmp":
            return value
        return _optional_folder(value)

    @field_validator("secrets")
    @classmethod
    def _secrets(cls, value: dict[str, SecretKeyModel]) -> dict[str, SecretKeyModel]:
        for name in value:
            if problem := env_problem(name, ""):
                raise ValueError(f"is wrong: {problem}")
        return value

    @field_validator("secret_mounts")
    @classmethod
    def _mounts(cls, value: dict[str, str]) -> dict[str, str]:
        for path, name in value.items():
            _folder(path)
            if not is_subdomain(name):
                raise ValueError(f"of {quoted(path)} cannot be {quoted(name)}; the name of a Secret")
        return value


class KubernetesModel(AgentKubernetesModel):
    image: str = Field(description="of the pods; it needs sh, stty, head and mkfifo")
    context: str = Field(default="", max_length=253, description="of the kubeconfig; its current one when left out")
    kubeconfig: str = Field(
        default="", description="a file; KUBECONFIG, ~/.kube/config or the pod's own account when left out"
    )
    namespace: Annotated[str, AfterValidator(_dns_label)] = Field(
        default=_FLEET.namespace, description="where all pods of the fleet are"
    )
    finished_ttl: Duration = Field(default=_FLEET.finished_ttl_ms, description="a pod stays this long after its end")
    staging: StagingModel | None = Field(default=None, description="a volume the tasks of a run share, one a run")

    def made(self, folder: Path) -> Kubernetes:
        """`folder`: the configuration's own, from which a relative path counts."""
        staging = self.staging
        return Kubernetes(
            context=self.context,
            kubeconfig=str(folder / Path(self.kubeconfig).expanduser()) if self.kubeconfig else "",
            namespace=self.namespace,
            finished_ttl_ms=self.finished_ttl,
            staging=None
            if staging is None
            else StagingVolume(staging.size, staging.storage_class, staging.access_mode, staging.mount, staging.keep),
            **_common(self, type(self).model_fields.keys()),
        )


def for_agent(model: AgentKubernetesModel | None, fleet: Kubernetes | None) -> Kubernetes | None:
    """The fleet's with what the agent has otherwise; None when it has nothing of its own."""
    if model is None or fleet is None:
        return None
    given = model.model_fields_set
    fields = _common(model, given)
    if "resources" in given:
        fields["resources"] = Resources(
            {**fleet.resources.requests, **model.resources.requests},
            {**fleet.resources.limits, **model.resources.limits},
        )
    if "security" in given:
        fields["security"] = replace(fleet.security, **model.security.model_dump(exclude_unset=True))
    for name in ("node_selector", "secrets", "secret_mounts"):
        if name in given:
            fields[name] = {**getattr(fleet, name), **fields[name]}
    return replace(fleet, **fields)


def _common(model: AgentKubernetesModel, keys: Any) -> dict[str, Any]:
    """Of `keys`, what fleet and agents have alike."""
    values: dict[str, Any] = {
        "resources": Resources(model.resources.requests, model.resources.limits),
        "tolerations": tuple(one.made() for one in model.tolerations),
        "secrets": {name: SecretKey(one.secret, one.key) for name, one in model.secrets.items()},
        "security": PodSecurity(**model.security.model_dump()),
    }
    renamed = {"start_timeout": "start_timeout_ms", "active_deadline": "active_deadline_ms", "grace": "grace_ms"}
    return {
        renamed.get(key, key): values.get(key, getattr(model, key))
        for key in AgentKubernetesModel.model_fields
        if key in keys
    }


def origins_of(model: KubernetesModel | None, document: Document) -> dict[str, str]:
    """Where each dotted key of the section came from."""
    if model is None:
        return {}
    return {
        f"kubernetes.{key}": document.places.get(("kubernetes", key)) or "default" for key in type(model).model_fields
    }


def check_kubernetes(
    settings: Settings, own: Mapping[str, AgentKubernetesModel | None], document: Document, problems: Problems
) -> None:
    """What only shows when the parts are seen together; `own` is what agents wrote."""
    fleet = settings.kubernetes
    if settings.executor in ("kubernetes", "auto") and fleet is None:
        problems.add(
            document.place("executor"),
            f"executor {settings.executor} needs to be told where pods go",
            "kubernetes: {image: NAME, namespace: NAME}",
        )
    if fleet is not None:
        _check_pod(fleet, {}, ("kubernetes",), document, problems)
    for name, model in own.items():
        if model is None:
            continue
        path = ("agents", name, "kubernetes")
        if fleet is None:
            problems.add(
                document.place(*path), f"agents.{name}.kubernetes needs the fleet's", "kubernetes: {image: NAME}"
            )
            continue
        agent = settings.agents[name]
        if agent.kubernetes is not None:
            _check_pod(agent.kubernetes, {**agent.env, **agent.secrets}, path, document, problems)


def _check_pod(
    pod: Kubernetes, env: Mapping[str, Any], path: tuple[str, ...], document: Document, problems: Problems
) -> None:
    name = ".".join(path)
    for resource, limit in pod.resources.limits.items():
        request = pod.resources.requests.get(resource)
        if request is not None and amount(request) > amount(limit):
            place = document.place(*path, "resources")
            problems.add(place, f"{name}.resources asks for more {resource} than its limit: {request}, {limit}")
    for variable in pod.secrets:
        if variable in env:
            problems.add(
                document.place(*path, "secrets", variable),
                f"{name}.secrets.{variable} is in the agent's env or secrets too",
                "leave one of them out",
            )
    mounts = [
        *pod.secret_mounts,
        *([pod.staging.mount] if pod.staging else ()),
        *([CA_MOUNT] if pod.ca_config_map else ()),
    ]
    for at, mount in enumerate(mounts):
        for other in mounts[at + 1 :]:
            if mount == other or mount.startswith(f"{other}/") or other.startswith(f"{mount}/"):
                problems.add(document.place(*path, "secret_mounts"), f"{name} mounts {other} where {mount} is")
    for at, toleration in enumerate(pod.tolerations):
        place, what = document.place(*path, "tolerations", at), f"{name}.tolerations[{at}]"
        if toleration.operator == "Exists" and toleration.value:
            problems.add(place, f"{what} has a value, which means nothing with Exists")
        if not toleration.key and toleration.operator == "Equal":
            problems.add(place, f"{what} names no taint", "key: NAME, or operator: Exists for every one")
        if toleration.seconds_ms is not None and toleration.effect != "NoExecute":
            problems.add(place, f"{what} has seconds, which go with effect: NoExecute only")
    if pod.security.non_root and pod.security.run_as_user == 0:
        place = document.place(*path, "security")
        problems.add(place, f"{name}.security wants user 0 and refuses root", "non_root: no, when root is meant")
