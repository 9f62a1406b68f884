"""Which supervisor's a pod is: the greatest token that was written to it. Every deletion is bound to the object in
which a token was read. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lite.executors.kubernetes import names

Json = dict[str, Any]


def token_of(pod: Mapping[str, Any]) -> int:
    """0 where there is none."""
    said = ((pod.get("metadata") or {}).get("annotations") or {}).get(names.TOKEN)
    return int(said) if isinstance(said, str) and said.isascii() and said.isdigit() else 0


def delete_options(pod: Mapping[str, Any], grace_s: int) -> Json:
    """The body of a deletion of exactly this object, as it was read: of none, when it does not say which it is. Never
    without a grace: that would take the object away and leave the program."""
    metadata = pod.get("metadata") or {}
    which = {name: str(metadata.get(name) or "") for name in ("uid", "resourceVersion")}
    return {
        "apiVersion": "v1",
        "kind": "DeleteOptions",
        "gracePeriodSeconds": max(grace_s, 1),
        "preconditions": which,
    }


def token_patch(pod: Mapping[str, Any], token: int) -> Json:
    """A merge patch that raises the token of exactly this object, as it was read."""
    return patch_of(pod, {names.TOKEN: str(token)})


def patch_of(pod: Mapping[str, Any], annotations: Mapping[str, str]) -> Json:
    """A merge patch of exactly this object, as it was read."""
    version = (pod.get("metadata") or {}).get("resourceVersion")
    return {"metadata": {"resourceVersion": version, "annotations": dict(annotations)}}
