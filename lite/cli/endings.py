"""Which exit code an ended task stands for, and which is the worst of several."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

OK, FAILED, OVER_BUDGET, NEEDS_INPUT, TIMED_OUT, CANCELLED = 0, 1, 6, 7, 8, 9

# The worst first: what the task itself got wrong, what a person has to do, what was only not done.
WORST = (FAILED, OVER_BUDGET, NEEDS_INPUT, TIMED_OUT, CANCELLED, OK)


def exit_code(task: Mapping[str, Any]) -> int:
    """Of one task that has ended. A skipped one counts as cancelled: it was not done, but nothing of its own failed."""
    state = task["state"]
    if state == "succeeded":
        return OK
    if state in ("cancelled", "skipped"):
        return CANCELLED
    return OVER_BUDGET if task["reason"] == "budget" else FAILED


def worst(codes: Iterable[int]) -> int:
    return min(codes, key=WORST.index, default=OK)
