"""Which node a pod gets, or why none: a small scheduler with the words of the real one."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from typing import Any

Json = dict[str, Any]

_UNITS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}
_QUANTITY = re.compile(r"([+-]?[0-9.]+(?:[eE][+-]?\d+)?)(m|k|M|G|T|Ki|Mi|Gi|Ti|)$")


def quantity(text: str | int | float) -> float:
    """In units (of cores, bytes). Raises `ValueError`."""
    found = _QUANTITY.match(str(text))
    if found is None:
        raise ValueError(f"quantities must match the regular expression '{_QUANTITY.pattern}'")
    return float(found[1]) * (0.001 if found[2] == "m" else _UNITS[found[2]])


def place(pod: Json, nodes: Iterable[Json], pods: Iterable[Json]) -> tuple[str, str]:
    """The node's name and nothing, or nothing and the scheduler's message."""
    nodes = list(nodes)
    by_node: dict[str, list[Json]] = {node["metadata"]["name"]: [] for node in nodes}
    for other in pods:
        if other["status"].get("phase") not in ("Succeeded", "Failed") and other["spec"].get("nodeName") in by_node:
            by_node[other["spec"]["nodeName"]].append(other)
    against: Counter[str] = Counter()
    fitting: list[tuple[int, int, str]] = []
    for node in nodes:
        name = node["metadata"]["name"]
        why = _against(pod, node, nodes, by_node)
        if why:
            against[why] += 1
        else:
            fitting.append((-_liking(pod, node, nodes, by_node), len(by_node[name]), name))
    if fitting:
        return min(fitting)[2], ""
    reasons = ", ".join(f"{count} {why}" for why, count in sorted(against.items()))
    return "", f"0/{len(nodes)} nodes are available: {reasons}."


def _against(pod: Json, node: Json, nodes: list[Json], by_node: dict[str, list[Json]]) -> str:
    spec, name = pod["spec"], node["metadata"]["name"]
    labels = node["metadata"].get("labels") or {}
    for taint in node["spec"].get("taints") or []:
        if taint["effect"] != "PreferNoSchedule" and not _tolerated(taint, spec.get("tolerations") or []):
            if taint["key"] == "node.kubernetes.io/unschedulable":
                return "node(s) were unschedulable"
            return f"node(s) had untolerated taint(s) {{{taint['key']}: {taint.get('value', '')}}}"
    affinity = spec.get("affinity") or {}
    required = (affinity.get("nodeAffinity") or {}).get("requiredDuringSchedulingIgnoredDuringExecution") or {}
    terms = required.get("nodeSelectorTerms") or []
    if any(labels.get(key) != value for key, value in (spec.get("nodeSelector") or {}).items()) or (
        terms and not any(matches_all(labels, term.get("matchExpressions") or []) for term in terms)
    ):
        return "node(s) didn't match Pod's node affinity/selector"
    here = by_node[name]
    for resource, words in (("cpu", "Insufficient cpu"), ("memory", "Insufficient memory")):
        used = sum(_requested(other, resource) for other in here)
        if used + _requested(pod, resource) > quantity(node["status"]["allocatable"][resource]):
            return words
    if len(here) + 1 > int(node["status"]["allocatable"]["pods"]):
        return "Too many pods"
    rule = "requiredDuringSchedulingIgnoredDuringExecution"
    for term in (affinity.get("podAffinity") or {}).get(rule) or []:
        everywhere = [other for others in by_node.values() for other in others]
        alone = not any(_matches(term, other, pod) for other in everywhere)
        # The first of a group that is to be together may start anywhere.
        if not (alone and _matches(term, pod, pod)) and not _near(term, pod, node, nodes, by_node):
            return "node(s) didn't match pod affinity rules"
    for term in (affinity.get("podAntiAffinity") or {}).get(rule) or []:
        if _near(term, pod, node, nodes, by_node):
            return "node(s) didn't match pod anti-affinity rules"
    return ""


def _liking(pod: Json, node: Json, nodes: list[Json], by_node: dict[str, list[Json]]) -> int:
    affinity = pod["spec"].get("affinity") or {}
    rule = "preferredDuringSchedulingIgnoredDuringExecution"
    score = 0
    for kind, sign in (("podAffinity", 1), ("podAntiAffinity", -1)):
        for term in (affinity.get(kind) or {}).get(rule) or []:
            if _near(term["podAffinityTerm"], pod, node, nodes, by_node):
                score += sign * int(term["weight"])
    for term in (affinity.get("nodeAffinity") or {}).get(rule) or []:
        if matches_all(node["metadata"].get("labels") or {}, term["preference"].get("matchExpressions") or []):
            score += int(term["weight"])
    return score


def _near(term: Json, pod: Json, node: Json, nodes: list[Json], by_node: dict[str, list[Json]]) -> bool:
    """A pod the term means runs in the node's topology domain."""
    key = term["topologyKey"]
    domain = (node["metadata"].get("labels") or {}).get(key)
    if domain is None:
        return False
    same = [each["metadata"]["name"] for each in nodes if (each["metadata"].get("labels") or {}).get(key) == domain]
    return any(_matches(term, other, pod) for name in same for other in by_node[name])


def _matches(term: Json, other: Json, pod: Json) -> bool:
    selector = term.get("labelSelector") or {}
    labels = other["metadata"].get("labels") or {}
    namespaces = term.get("namespaces") or [pod["metadata"]["namespace"]]
    return (
        other["metadata"]["namespace"] in namespaces
        and all(labels.get(key) == value for key, value in (selector.get("matchLabels") or {}).items())
        and matches_all(labels, selector.get("matchExpressions") or [])
    )


def matches_all(labels: Json, expressions: list[Json]) -> bool:
    """Expressions of a selector object: In, NotIn, Exists, DoesNotExist."""
    for each in expressions:
        there, values = labels.get(each["key"]), each.get("values") or []
        fits = {
            "In": there in values,
            "NotIn": there not in values,
            "Exists": there is not None,
            "DoesNotExist": there is None,
        }[each["operator"]]
        if not fits:
            return False
    return True


def _tolerated(taint: Json, tolerations: list[Json]) -> bool:
    return any(
        each.get("key", taint["key"]) == taint["key"]
        and each.get("effect", taint["effect"]) in ("", taint["effect"])
        and (each.get("operator") == "Exists" or each.get("value", "") == taint.get("value", ""))
        for each in tolerations
    )


def _requested(pod: Json, resource: str) -> float:
    total = 0.0
    for container in pod["spec"]["containers"]:
        given = container.get("resources") or {}
        limits = given.get("limits") or {}
        total += quantity((given.get("requests") or {}).get(resource, limits.get(resource, 0)))
    return total
