"""Until when a session may go on without a word of its supervisor. Never told: for ever.

The time is absolute, on the one clock that all processes of a machine share and that goes on while it is suspended: a
packet that lay about for a while (its sender or we were stopped) gives nobody more time than was meant.
"""

from __future__ import annotations

import time

_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)  # elsewhere the latter counts what was slept
_LOOK_SECONDS = 5.0  # a poll's time stands still while the machine is suspended


def boot_ms() -> int:
    """Milliseconds since this machine was started."""
    return time.clock_gettime_ns(_CLOCK) // 1_000_000


class Leash:
    """`over` once it was not renewed in time; `why` says so, for a person."""

    __slots__ = ("_told", "_until", "why")

    def __init__(self) -> None:
        self.why = ""
        self._told = 0
        self._until: int | None = None

    @property
    def over(self) -> bool:
        return bool(self.why)

    def keep(self, until: int) -> None:
        """Until `boot_ms` says `until`; a time that has passed ends it. Over: no-op."""
        self._told, self._until = boot_ms(), until

    def patience(self, seconds: float | None) -> float | None:
        """How long a poll that would wait for `seconds` (None: for ever) may wait."""
        if self._until is None or self.over:
            return seconds
        left = min(max(self._until - boot_ms(), 0) / 1000, _LOOK_SECONDS)
        return left if seconds is None else min(left, seconds)

    def ran_out(self) -> bool:
        """True once, as soon as the time has passed."""
        if self._until is None or self.over or (now := boot_ms()) < self._until:
            return False
        if self._until <= self._told:
            self.why = "its lease is over"
        else:
            self.why = f"its lease ran out: nobody renewed it for {round((now - self._told) / 1000, 1):g} s"
        return True
