"""Which executor a worker starts an attempt in. The strategy, else the configuration, asks; what cannot be had is
replaced only where that was agreed on: by `auto`, and for a strategy whose worker was chosen to run it locally."""

from __future__ import annotations

import re
from dataclasses import dataclass

from lite.rules.scores import LOADED

LOCAL, PODS = "local", "kubernetes"
_AUTO = "auto"
NO_PLACE = frozenset(
    {"unschedulable", "start-timeout", "quota", "image-pull", "forbidden", "pod-refused", "container-config"}
)
"""Reasons which say that an attempt never ran because its executor had no place for it."""

_CHOSEN = re.compile(r"(?:auto: )?(local|kubernetes)(?=,|$)")


@dataclass(frozen=True, slots=True)
class Picked:
    executor: str
    why: str


def pick(strategy: str, configured: str, placed: str, *, pods: bool, problem: str, load: float, before: str) -> Picked:
    """`configured` is the worker's own (`local`, `kubernetes` or `auto`); `placed` why the task was placed here, in
    words; `pods`: are there any, and `problem` why none can be started now; `load` per processor; `before` the reason
    the attempt before ended with."""
    here = configured if configured not in (PODS, _AUTO) else LOCAL
    wanted, chosen = strategy or configured, chosen_in(placed)
    if wanted not in (PODS, _AUTO):
        return Picked(here, "strategy local" if strategy else "configured")
    if wanted == PODS:
        if not strategy:
            return Picked(PODS, "configured")
        if not pods or chosen == LOCAL:
            return Picked(here, f"falls back to local: no pods here ({problem or placed})")
        return Picked(PODS, "strategy kubernetes")
    if before in NO_PLACE:
        return Picked(here, f"auto: falls back to local, since there was no place for a pod ({before})")
    if not pods or problem:
        return Picked(here, f"auto: local, since there are no pods here ({problem})")
    if chosen:
        return Picked(here if chosen == LOCAL else chosen, placed)
    if load < LOADED:
        return Picked(here, f"auto: local, where the load is below {LOADED}")
    return Picked(PODS, f"auto: kubernetes, with a load of {load:g}")


def chosen_in(why: str) -> str:
    """The executor that placement chose, by its own words (`Placement.why`); "" when it chose none."""
    if ": falls back to local" in why:
        return LOCAL
    found = _CHOSEN.match(why)
    return found[1] if found else ""
