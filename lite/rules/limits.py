"""What ends an attempt that goes on and on: which limits hold, and when one is reached. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from lite.model.task import TaskSpec
from providers.base import AgentEvent, EventKind, Limits

Given = Mapping[str, int | None]  # wall, idle (ms), steps, retries; None lifts one

_PROGRESS = (
    EventKind.MESSAGE,
    EventKind.DELTA,
    EventKind.THINKING,
    EventKind.TOOL_USE,
    EventKind.TOOL_RESULT,
    EventKind.RESULT,
)


def limits_for(spec: TaskSpec, given: Given, default: Limits, *, structured: bool) -> Limits:
    """The task's own time-outs first, then those of its agent, then the provider's. The last are made for programs
    that tell what they do (`structured`); a person at a terminal may think for as long as he likes."""
    if not structured:
        default = Limits()
    wall, idle = given.get("wall", default.wall_ms), given.get("idle", default.idle_ms)
    return Limits(
        wall_ms=wall if spec.timeout_ms is None else spec.timeout_ms,
        idle_ms=idle if spec.idle_timeout_ms is None else spec.idle_timeout_ms,
        steps=given.get("steps", default.steps),
        retries=given.get("retries", default.retries),
    )


class Count:
    """Steps and retries of one attempt."""

    def __init__(self, limits: Limits) -> None:
        self.steps = 0
        self.retries = 0  # in a row
        self._limits = limits

    def __repr__(self) -> str:
        return f"<Count {self.steps} of {self._limits.steps} steps, {self.retries} of {self._limits.retries} retries>"

    def over(self, event: AgentEvent) -> str:
        """Which limit this event breaks, in words; "" for none."""
        limits = self._limits
        if event.kind is EventKind.RETRY:
            self.retries += 1
            if limits.retries is not None and self.retries > limits.retries:
                often = f"it repeated its call to the model {self.retries} times in a row"
                return f"{often}; the limit is {limits.retries}" + (f": {event.text}" if event.text else "")
        elif event.kind in _PROGRESS:
            self.retries = 0
        if event.kind is EventKind.TOOL_USE:
            self.steps += 1
            if limits.steps is not None and self.steps > limits.steps:
                return f"it took more than {limits.steps} steps"
        return ""
