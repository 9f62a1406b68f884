"""Label and field selectors of lists and watches."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from tests.support.kube.scheduling import matches_all
from tests.support.kube.statuses import Refused

Json = dict[str, Any]
_SET = re.compile(r"\s*([\w./-]+)\s+(in|notin)\s+\(([^)]*)\)\s*$")
_EQUAL = re.compile(r"\s*([\w./-]+)\s*(==|=|!=)\s*([\w./-]*)\s*$")
_THERE = re.compile(r"\s*(!?)\s*([\w./-]+)\s*$")
_COMMON = {"metadata.name", "metadata.namespace"}
_FIELDS = {
    "pods": {
        "spec.nodeName",
        "spec.restartPolicy",
        "spec.schedulerName",
        "spec.serviceAccountName",
        "spec.hostNetwork",
        "status.phase",
        "status.podIP",
        "status.nominatedNodeName",
    },
    "events": {
        "involvedObject.kind",
        "involvedObject.namespace",
        "involvedObject.name",
        "involvedObject.uid",
        "reason",
        "reportingComponent",
        "source",
        "type",
    },
    "nodes": {"spec.unschedulable"},
    "namespaces": {"status.phase"},
    "secrets": {"type"},
}


def selector(resource: str, labels: str, fields: str) -> Callable[[Json], bool]:
    """Whether an object is meant. Raises `Refused`."""
    expressions = [_label(part) for part in re.split(r",(?![^()]*\))", labels) if part.strip()]
    wanted: list[tuple[str, bool, str]] = []
    for part in fields.split(","):
        if not part.strip():
            continue
        found = _EQUAL.match(part)
        if found is None:
            raise Refused(400, f"invalid selector: '{fields}'; can't understand '{part}'")
        if found[1] not in _COMMON | _FIELDS.get(resource, set()):
            raise Refused(400, f"field label not supported: {found[1]}")
        wanted.append((found[1], found[2] != "!=", found[3]))

    def matches(each: Json) -> bool:
        if not matches_all(each["metadata"].get("labels") or {}, expressions):
            return False
        return all((_value(each, path) == value) is equal for path, equal, value in wanted)

    return matches


def _label(part: str) -> Json:
    if found := _SET.match(part):
        values = [each.strip() for each in found[3].split(",")]
        return {"key": found[1], "operator": "In" if found[2] == "in" else "NotIn", "values": values}
    if found := _EQUAL.match(part):
        return {"key": found[1], "operator": "NotIn" if found[2] == "!=" else "In", "values": [found[3]]}
    if found := _THERE.match(part):
        return {"key": found[2], "operator": "DoesNotExist" if found[1] else "Exists"}
    raise Refused(400, f"unable to parse requirement: {part}")


def _value(each: Json, path: str) -> str:
    value: Any = each
    for name in path.split("."):
        value = value.get(name, "") if isinstance(value, dict) else ""
    return str(value)
