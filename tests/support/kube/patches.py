"""The kinds of patch the API server takes, applied to plain dicts."""

from __future__ import annotations

import copy
from typing import Any

from tests.support.kube.statuses import Refused

Json = dict[str, Any]

MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
JSON = "application/json-patch+json"
# Lists that a strategic patch merges by a key; others it replaces.
_KEYS = {"containers": "name", "volumes": "name", "env": "name", "conditions": "type", "tolerations": ""}


def apply(kind: str, old: Json, patch: Any) -> Json:
    """Raises `Refused`."""
    made = copy.deepcopy(old)
    if kind == JSON:
        if not isinstance(patch, list):
            raise Refused(400, "json: cannot unmarshal object into Go value of type jsonpatch.Patch")
        for operation in patch:
            _operate(made, operation)
        return made
    if kind not in (MERGE, STRATEGIC):
        accepted = ", ".join((JSON, MERGE, STRATEGIC))
        raise Refused(
            415, f"the body of the request was in an unknown format - accepted media types include: {accepted}"
        )
    if not isinstance(patch, dict):
        raise Refused(400, "json: cannot unmarshal array into Go value of type map[string]interface {}")
    _merge(made, patch, strategic=kind == STRATEGIC)
    return made


def _merge(target: Json, patch: Json, *, strategic: bool) -> None:
    for name, value in patch.items():
        if value is None:
            target.pop(name, None)
        elif isinstance(value, dict):
            if not isinstance(target.get(name), dict):
                target[name] = {}
            _merge(target[name], value, strategic=strategic)
        elif strategic and isinstance(value, list) and _KEYS.get(name) and isinstance(target.get(name), list):
            key = _KEYS[name]
            for item in value:
                same = [each for each in target[name] if each.get(key) == item.get(key)]
                if same:
                    _merge(same[0], item, strategic=True)
                else:
                    target[name].append(item)
        else:
            target[name] = value


def _operate(made: Json, operation: Json) -> None:
    *path, last = [part.replace("~1", "/").replace("~0", "~") for part in operation["path"].split("/")[1:]]
    place: Any = made
    try:
        for part in path:
            place = place[int(part)] if isinstance(place, list) else place[part]
        at: Any = last
        if isinstance(place, list):
            at = len(place) if last == "-" else int(last)
        if operation["op"] == "add":
            if isinstance(place, list):
                place.insert(at, operation["value"])
            else:
                place[at] = operation["value"]
        elif operation["op"] == "replace":
            _ = place[at]
            place[at] = operation["value"]
        elif operation["op"] == "remove":
            del place[at]
        elif operation["op"] == "test":
            if place[at] != operation["value"]:
                raise LookupError
        else:
            raise Refused(400, f"unexpected kind: {operation['op']}")
    except (LookupError, ValueError):
        text = "the server rejected our request due to an error in our request"
        raise Refused(422, text, reason="Invalid") from None
