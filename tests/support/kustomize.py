"""What `kubectl kustomize` makes of a folder, as far as our examples need it: resources, images, replicas, config maps
from files, JSON patches and deletion. Names of config maps keep no hash."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import yaml

Json = dict[str, Any]

_KNOWN = {"apiVersion", "kind", "resources", "images", "replicas", "configMapGenerator", "patches"}


def render(folder: Path) -> list[Json]:
    """Raises AssertionError for what it does not know."""
    said = yaml.safe_load((folder / "kustomization.yaml").read_text(encoding="utf-8"))
    assert set(said) <= _KNOWN, set(said) - _KNOWN
    found: list[Json] = []
    for name in said.get("resources", ()):
        path = folder / name
        found += render(path) if path.is_dir() else list(yaml.safe_load_all(path.read_text(encoding="utf-8")))
    for generator in said.get("configMapGenerator", ()):
        _generate(found, generator, folder)
    for patch in said.get("patches", ()):
        _patch(found, patch)
    for replicas in said.get("replicas", ()):
        (one,) = [one for one in found if one["metadata"]["name"] == replicas["name"] and one["kind"] == "Deployment"]
        one["spec"]["replicas"] = replicas["count"]
    for image in said.get("images", ()):
        for one in found:
            for container in one.get("spec", {}).get("template", {}).get("spec", {}).get("containers", ()):
                if container["image"] == image["name"]:
                    container["image"] = f"{image['newName']}:{image['newTag']}"
    return found


def _generate(found: list[Json], said: Json, folder: Path) -> None:
    data = {name: (folder / name).read_text(encoding="utf-8") for name in said["files"]}
    metadata = {"name": said["name"], "namespace": said["namespace"]}
    there = [one for one in found if one["kind"] == "ConfigMap" and one["metadata"] == metadata]
    assert bool(there) == (said.get("behavior") == "merge"), said
    if there:
        there[0]["data"].update(data)
    else:
        found.append({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data})


def _patch(found: list[Json], said: Json) -> None:
    target = said["target"]
    (one,) = [one for one in found if (one["kind"], one["metadata"]["name"]) == (target["kind"], target["name"])]
    operations = yaml.safe_load(said["patch"])
    if isinstance(operations, dict):
        assert operations["$patch"] == "delete", operations
        found.remove(one)
        return
    for operation in operations:
        *parents, last = operation["path"].lstrip("/").split("/")
        place: Any = one
        for part in parents:
            place = place[int(part)] if isinstance(place, list) else place[part]
        value = copy.deepcopy(operation.get("value"))
        if isinstance(place, list):
            if last == "-":
                place.append(value)
            else:
                assert operation["op"] == "replace"
                place[int(last)] = value
        elif operation["op"] == "remove":
            del place[last]
        else:
            assert operation["op"] == "add" or last in place, operation
            place[last] = value
