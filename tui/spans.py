"""Ages and durations as short text, and when an age will read differently. All in ms. No Textual, no clock.

An age is read while it grows, so it ticks coarser as it grows: seconds below a minute, then minutes, then hours. The
dashboard wakes for a change of its text only (`changes_in`). A duration is of something that has ended and stays.
"""

from __future__ import annotations

SECOND, MINUTE, HOUR, DAY = 1_000, 60_000, 3_600_000, 86_400_000
WIDEST = 5  # cells of an age


def age(ms: int) -> str:
    """`42s`, `12m`, `3h05m`, `14h`, `2d`; at most `WIDEST` cells. What lies in the future is `0s` old."""
    if ms < MINUTE:
        return f"{max(0, ms) // SECOND}s"
    if ms < HOUR:
        return f"{ms // MINUTE}m"
    if ms < 10 * HOUR:
        return f"{ms // HOUR}h{ms % HOUR // MINUTE:02d}m"
    if ms < 2 * DAY:
        return f"{ms // HOUR}h"
    return f"{min(ms // DAY, 9999)}d"


def changes_in(ms: int) -> int:
    """After how many ms (at least 1) the text of this age changes."""
    if ms < 0:
        return SECOND - ms
    if ms < MINUTE:
        step = SECOND
    elif ms < 10 * HOUR:
        step = MINUTE
    elif ms < 2 * DAY:
        step = HOUR
    else:
        step = DAY
    return step - ms % step


def duration(ms: int) -> str:
    """`840ms`, `4.2s`, `42s`, `3m12s`, `3h05m`, `14h`, `2d`; at most six cells."""
    if ms < SECOND:
        return f"{max(0, ms)}ms"
    if ms < 10 * SECOND:
        return f"{ms // 100 / 10:.1f}s"
    if MINUTE <= ms < HOUR:
        return f"{ms // MINUTE}m{ms % MINUTE // SECOND:02d}s"
    return age(ms)


def soonest(*waits: int | None) -> int | None:
    """The smallest of those there are."""
    known = [wait for wait in waits if wait is not None]
    return min(known) if known else None


GRID = 15 * SECOND


def due(since: int, now: int) -> int:
    """When (ms since the epoch) to redraw the age of `since`. Ages past a minute are redrawn together, on a grid of 15
    seconds, so that many sessions wake the dashboard no oftener than one."""
    at = now + changes_in(now - since)
    return at if now - since < MINUTE - SECOND else -(-at // GRID) * GRID


def ahead(ms: int) -> str:
    """The time left, rounded up: never `0s` while something is still to come."""
    return age(_rounded_up(ms))


def ahead_changes_in(ms: int) -> int | None:
    """After how many ms the text of this time left changes; None when nothing is left."""
    if ms <= 0:
        return None
    step = SECOND if ms <= MINUTE else MINUTE
    return (ms - 1) % step + 1


def _rounded_up(ms: int) -> int:
    step = SECOND if ms <= MINUTE else MINUTE
    return -(-ms // step) * step
