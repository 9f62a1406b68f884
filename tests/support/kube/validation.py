"""What the API server refuses in a new object, and the defaults it fills in."""

from __future__ import annotations

import copy
import re
from typing import Any

import kubernetes_validate

from tests.support.kube.scheduling import quantity
from tests.support.kube.statuses import Refused, invalid
from tests.support.kube.store import CLUSTER_WIDE, KINDS

Json = dict[str, Any]
Causes = list[tuple[str, str, str]]

SCHEMA = "1.36"
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$")
_KEY = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]$")
_ENV = re.compile(r"[ -<>-~]+$")
_RULE_1123 = (
    "a lowercase RFC 1123 {} must consist of lower case alphanumeric characters, '-'{}, and must start and end with an "
    "alphanumeric character"
)
_ENUMS = {"restartPolicy": ("Always", "OnFailure", "Never"), "imagePullPolicy": ("Always", "IfNotPresent", "Never")}


def decode(resource: str, given: Any, strictness: str) -> tuple[Json, list[str]]:
    """The object without fields nobody knows, and a warning for each of these. Raises `Refused`, also for them when
    `strictness` is Strict."""
    kind = KINDS[resource]
    if not isinstance(given, dict):
        raise Refused(400, f"couldn't get version/kind; json parse error: cannot unmarshal {type(given).__name__}")
    made: Json = copy.deepcopy(given)
    made.setdefault("apiVersion", "v1")
    made.setdefault("kind", kind)
    if (made["apiVersion"], made["kind"]) != ("v1", kind):
        there = f"{made['apiVersion']}, Kind={made['kind']}"
        raise Refused(
            400, f"the API version in the data ({there}) does not match the expected API version (v1, {kind})"
        )
    unknown: list[str] = []
    while True:
        try:
            kubernetes_validate.validate(made, SCHEMA, strict=True)
        except kubernetes_validate.ValidationError as error:
            where = ".".join(str(part) for part in error.absolute_path)
            if error.validator == "required":
                break  # said by the rules below, with other words
            if error.validator != "additionalProperties":
                text = (
                    f'{kind} in version "v1" cannot be handled as a {kind}: json: cannot unmarshal into Go struct field'
                )
                raise Refused(400, f"{text} {where}: {error.message}") from None
            indexed = re.sub(r"\.(\d+)", r"[\1]", where) + ("." if where else "")
            place: Any = made
            for part in error.absolute_path:
                place = place[part]
            for name in [each for each in place if each not in error.schema["properties"]]:
                del place[name]
                unknown.append(f'unknown field "{indexed}{name}"')
        else:
            break
    if unknown and strictness == "Strict":
        text = f'{kind} in version "v1" cannot be handled as a {kind}: strict decoding error: {", ".join(unknown)}'
        raise Refused(400, text)
    return made, unknown if strictness != "Ignore" else []


def check(resource: str, made: Json) -> None:
    """Raises `Refused` (422) with a cause for every field that is wrong."""
    kind, meta = KINDS[resource], made.get("metadata") or {}
    name = meta.get("name") or ""
    wrong: Causes = []
    if not name:
        wrong.append(("metadata.name", "FieldValueRequired", "Required value: name or generateName is required"))
    elif len(name) > 253 or not (_LABEL if resource == "namespaces" else _SUBDOMAIN).match(name):
        wrong.append(("metadata.name", "FieldValueInvalid", f'Invalid value: "{name}": {_rule(resource)}'))
    for field in ("labels", "annotations"):
        for key, value in (meta.get(field) or {}).items():
            prefix, _, short = key.rpartition("/")
            if len(short) > 63 or not _KEY.match(short) or (prefix and not _SUBDOMAIN.match(prefix)):
                wrong.append(
                    (f"metadata.{field}", "FieldValueInvalid", f'Invalid value: "{key}": name part is invalid')
                )
            if field == "labels" and value and (len(value) > 63 or not _KEY.match(value)):
                text = "a valid label must be empty or at most 63 alphanumeric characters, '-', '_' or '.'"
                wrong.append(("metadata.labels", "FieldValueInvalid", f'Invalid value: "{value}": {text}'))
    if resource == "pods":
        wrong += _pod(made["spec"] if made.get("spec") else {})
    if resource == "persistentvolumeclaims":
        wrong += _claim(made.get("spec") or {})
    if wrong:
        raise invalid(kind, name, wrong)


def default(resource: str, made: Json) -> None:
    if resource == "pods":
        spec = made["spec"]
        for name, value in {
            "restartPolicy": "Always",
            "terminationGracePeriodSeconds": 30,
            "dnsPolicy": "ClusterFirst",
            "serviceAccountName": "default",
            "schedulerName": "default-scheduler",
            "securityContext": {},
            "enableServiceLinks": True,
            "preemptionPolicy": "PreemptLowerPriority",
            "priority": 0,
        }.items():
            if spec.get(name) is None:
                spec[name] = value
        spec["serviceAccount"] = spec["serviceAccountName"]
        for container in spec["containers"]:
            latest = ":" not in container["image"].rpartition("/")[2] or container["image"].endswith(":latest")
            container.setdefault("imagePullPolicy", "Always" if latest else "IfNotPresent")
            container.setdefault("terminationMessagePath", "/dev/termination-log")
            container.setdefault("terminationMessagePolicy", "File")
            container.setdefault("resources", {})
        made["status"] = {"phase": "Pending", "qosClass": "BestEffort"}
    elif resource == "persistentvolumeclaims":
        made["spec"].setdefault("volumeMode", "Filesystem")
        made["spec"].setdefault("storageClassName", "standard")
        made["metadata"]["finalizers"] = ["kubernetes.io/pvc-protection"]
        made["status"] = {"phase": "Pending"}
    elif resource == "namespaces":
        made["status"] = {"phase": "Active"}


def _rule(resource: str) -> str:
    if resource in CLUSTER_WIDE - {"nodes"}:
        return _RULE_1123.format("label", "")
    return _RULE_1123.format("subdomain", " or '.'")


def _pod(spec: Json) -> Causes:
    wrong: Causes = []
    wrong += _enum("spec.restartPolicy", spec.get("restartPolicy", "Always"), _ENUMS["restartPolicy"])
    volumes = {each.get("name"): each for each in spec.get("volumes") or []}
    for place, volume in enumerate(spec.get("volumes") or []):
        field = f"spec.volumes[{place}]"
        wrong += _label(f"{field}.name", volume.get("name") or "")
        if len(set(volume) - {"name"}) != 1:
            count = "must specify a volume type" if len(volume) == 1 else "may not specify more than 1 volume type"
            wrong.append((field, "FieldValueForbidden", f"Forbidden: {count}"))
    names: set[str] = set()
    if not spec.get("containers"):
        wrong.append(("spec.containers", "FieldValueRequired", "Required value"))
    for place, container in enumerate(spec.get("containers") or []):
        field = f"spec.containers[{place}]"
        wrong += _label(f"{field}.name", container.get("name") or "")
        if container.get("name") in names:
            wrong.append((f"{field}.name", "FieldValueDuplicate", f'Duplicate value: "{container["name"]}"'))
        names.add(container.get("name") or "")
        wrong += _container(field, container, volumes)
    if (deadline := spec.get("activeDeadlineSeconds")) is not None and not 1 <= deadline <= 2**31 - 1:
        text = f"Invalid value: {deadline}: must be between 1 and 2147483647, inclusive"
        wrong.append(("spec.activeDeadlineSeconds", "FieldValueInvalid", text))
    for kind in ("podAffinity", "podAntiAffinity"):
        rules = (spec.get("affinity") or {}).get(kind) or {}
        wanted = rules.get("preferredDuringSchedulingIgnoredDuringExecution") or []
        for place, each in enumerate(wanted):
            if not 1 <= each.get("weight", 0) <= 100:
                field = f"spec.affinity.{kind}.preferredDuringSchedulingIgnoredDuringExecution[{place}].weight"
                wrong.append(
                    (field, "FieldValueInvalid", f"Invalid value: {each.get('weight')}: must be in the range 1-100")
                )
        terms = [each.get("podAffinityTerm") or {} for each in wanted]
        terms += rules.get("requiredDuringSchedulingIgnoredDuringExecution") or []
        if any(not term.get("topologyKey") for term in terms):
            wrong.append(
                (f"spec.affinity.{kind}", "FieldValueRequired", "Required value: topologyKey can not be empty")
            )
    return wrong


def _container(field: str, container: Json, volumes: Json) -> Causes:
    wrong: Causes = []
    if not (container.get("image") or "").strip():
        wrong.append((f"{field}.image", "FieldValueRequired", "Required value"))
    if policy := container.get("imagePullPolicy"):
        wrong += _enum(f"{field}.imagePullPolicy", policy, _ENUMS["imagePullPolicy"])
    for place, entry in enumerate(container.get("env") or []):
        if not _ENV.match(entry.get("name") or ""):
            text = f'Invalid value: "{entry.get("name")}": a valid name of a variable is printable ASCII without "="'
            wrong.append((f"{field}.env[{place}].name", "FieldValueInvalid", text))
        if entry.get("value") and entry.get("valueFrom"):
            text = 'Invalid value: "": may not be specified when `value` is not empty'
            wrong.append((f"{field}.env[{place}].valueFrom", "FieldValueInvalid", text))
    paths: set[str] = set()
    for place, mount in enumerate(container.get("volumeMounts") or []):
        if mount.get("name") not in volumes:
            wrong.append(
                (f"{field}.volumeMounts[{place}].name", "FieldValueNotFound", f'Not found: "{mount.get("name")}"')
            )
        if mount.get("mountPath") in paths:
            text = f'Invalid value: "{mount["mountPath"]}": must be unique'
            wrong.append((f"{field}.volumeMounts[{place}].mountPath", "FieldValueInvalid", text))
        paths.add(mount.get("mountPath") or "")
    resources = container.get("resources") or {}
    for group in ("requests", "limits"):
        for name, value in (resources.get(group) or {}).items():
            try:
                amount = quantity(value)
            except ValueError as error:
                wrong.append(
                    (f"{field}.resources.{group}[{name}]", "FieldValueInvalid", f'Invalid value: "{value}": {error}')
                )
                continue
            limit = (resources.get("limits") or {}).get(name)
            if group == "requests" and limit is not None and amount > quantity(limit):
                text = f'Invalid value: "{value}": must be less than or equal to {name} limit of {limit}'
                wrong.append((f"{field}.resources.requests", "FieldValueInvalid", text))
    return wrong


def _claim(spec: Json) -> Causes:
    wrong: Causes = []
    if not spec.get("accessModes"):
        wrong.append(("spec.accessModes", "FieldValueRequired", "Required value: at least 1 access mode is required"))
    modes = ("ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany", "ReadWriteOncePod")
    for mode in spec.get("accessModes") or []:
        wrong += _enum("spec.accessModes", mode, modes)
    size = ((spec.get("resources") or {}).get("requests") or {}).get("storage")
    if size is None:
        wrong.append(("spec.resources[storage]", "FieldValueRequired", "Required value"))
        return wrong
    try:
        fits = quantity(size) > 0
    except ValueError:
        fits = False
    if not fits:
        text = f'Invalid value: "{size}": must be greater than zero'
        wrong.append(("spec.resources[storage]", "FieldValueInvalid", text))
    return wrong


def _label(field: str, value: str) -> Causes:
    if not value:
        return [(field, "FieldValueRequired", "Required value")]
    if len(value) > 63 or not _LABEL.match(value):
        return [(field, "FieldValueInvalid", f'Invalid value: "{value}": {_RULE_1123.format("label", "")}')]
    return []


def _enum(field: str, value: str, allowed: tuple[str, ...]) -> Causes:
    if value in allowed:
        return []
    names = ", ".join(f'"{each}"' for each in sorted(allowed))
    return [(field, "FieldValueNotSupported", f'Unsupported value: "{value}": supported values: {names}')]
