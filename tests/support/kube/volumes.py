"""What a container finds in its environment and under its mount paths.

A path of the pod is not a path of this machine, and mounting takes rights a test has not. So a mount path (and the
termination log) is replaced by the folder behind it wherever it stands in the command, args, env values and working
directory. What comes in by stdin is not rewritten: a test that wants a path there as well chooses a mount path inside
the system's folder for temporary files, where the fake makes a link instead and replaces nothing.
"""

from __future__ import annotations

import base64
import re
import tempfile
from pathlib import Path
from typing import Any

from tests.support.kube.store import Store

Json = dict[str, Any]


class NotYet(Exception):
    """The container cannot be made now. `reason` and message as in its waiting state."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Paths:
    """The substitutions for one container: longest path first, only whole path components."""

    def __init__(self) -> None:
        self._real: dict[str, str] = {}

    def put(self, path: str, real: Path) -> None:
        path = path.rstrip("/")
        if not path or real.is_relative_to(path):
            return  # such as an emptyDir at /tmp: that of the machine serves
        if Path(path).is_relative_to(tempfile.gettempdir()) and path != tempfile.gettempdir():
            link = Path(path)
            link.parent.mkdir(parents=True, exist_ok=True)
            if link.is_symlink() and not link.exists():
                link.unlink()
            if not link.exists():
                link.symlink_to(real)
            if link.resolve() == real.resolve():
                return
        self._real[path] = str(real)

    def replace(self, text: str) -> str:
        if not self._real:
            return text
        names = "|".join(re.escape(path) for path in sorted(self._real, key=len, reverse=True))
        return re.sub(rf"(?<![\w./-])(?:{names})(?![\w.-])", lambda found: self._real[found[0]], text)


def folders(store: Store, pod: Json, folder: Path, claims: Path) -> dict[str, Path]:
    """Of each volume of the pod, filled. Raises `NotYet`."""
    namespace = pod["metadata"]["namespace"]
    made: dict[str, Path] = {}
    for volume in pod["spec"].get("volumes") or []:
        place = made[volume["name"]] = folder / "volumes" / volume["name"]
        if claim := volume.get("persistentVolumeClaim"):
            place = made[volume["name"]] = claims / namespace / claim["claimName"]
        place.mkdir(parents=True, exist_ok=True)
        if "secret" in volume or "configMap" in volume:
            resource = "secrets" if "secret" in volume else "configmaps"
            source = volume.get("secret") or volume.get("configMap")
            name = source.get("secretName") or source.get("name")
            found = store.get(resource, namespace, name)
            if found is None:
                if source.get("optional"):
                    continue
                raise NotYet(
                    "ContainerCreating",
                    f'MountVolume.SetUp failed for volume "{volume["name"]}" : {resource[:-1]} "{name}" not found',
                )
            items = {item["key"]: item["path"] for item in source.get("items") or []}
            for key, value in _contents(found).items():
                if not items or key in items:
                    target = place / items.get(key, key)
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_bytes(value)
        elif "projected" in volume:
            for source in volume["projected"].get("sources") or []:
                if token := source.get("serviceAccountToken"):
                    (place / token["path"]).write_text("a-projected-token")
    return made


def environment(store: Store, pod: Json, container: Json) -> list[tuple[str, str]]:
    """Names and values in the order of the spec, not yet expanded. Raises `NotYet`."""
    namespace = pod["metadata"]["namespace"]
    found: list[tuple[str, str]] = []
    for source in container.get("envFrom") or []:
        resource = "secrets" if "secretRef" in source else "configmaps"
        reference = source.get("secretRef") or source["configMapRef"]
        values = _lookup(store, resource, namespace, reference)
        found += [((source.get("prefix") or "") + key, value.decode()) for key, value in values.items()]
    for entry in container.get("env") or []:
        origin = entry.get("valueFrom") or {}
        if reference := origin.get("secretKeyRef") or origin.get("configMapKeyRef"):
            resource = "secrets" if "secretKeyRef" in origin else "configmaps"
            values = _lookup(store, resource, namespace, reference)
            if reference["key"] not in values:
                if reference.get("optional"):
                    continue
                what = f"{resource[:-1].capitalize()} {namespace}/{reference['name']}"
                raise NotYet("CreateContainerConfigError", f"couldn't find key {reference['key']} in {what}")
            found.append((entry["name"], values[reference["key"]].decode()))
        elif field := origin.get("fieldRef"):
            found.append((entry["name"], _field(pod, field["fieldPath"])))
        else:
            found.append((entry["name"], entry.get("value") or ""))
    return found


def _lookup(store: Store, resource: str, namespace: str, reference: Json) -> dict[str, bytes]:
    found = store.get(resource, namespace, reference["name"])
    if found is not None:
        return _contents(found)
    if reference.get("optional"):
        return {}
    raise NotYet("CreateContainerConfigError", f'{resource[:-1]} "{reference["name"]}" not found')


def _contents(found: Json) -> dict[str, bytes]:
    plain = {key: value.encode() for key, value in (found.get("stringData") or {}).items()}
    if found["kind"] == "ConfigMap":
        return {key: value.encode() for key, value in (found.get("data") or {}).items()}
    return {key: base64.b64decode(value) for key, value in (found.get("data") or {}).items()} | plain


def _field(pod: Json, path: str) -> str:
    if found := re.fullmatch(r"metadata\.(labels|annotations)\['(.+)'\]", path):
        return str((pod["metadata"].get(found[1]) or {}).get(found[2], ""))
    value: Any = pod
    for name in path.split("."):
        value = value.get(name, "") if isinstance(value, dict) else ""
    return str(value)
