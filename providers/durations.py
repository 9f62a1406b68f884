"""Durations as people write and read them."""

from __future__ import annotations

import re

_UNITS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_BARE = re.compile(r"\d+(?:\.\d+)?\Z", re.ASCII)
_WHOLE = re.compile(
    r"(?:(\d+(?:\.\d+)?)d)?(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s)?(?:(\d+)ms)?\Z", re.ASCII
)
_ORDER = ("d", "h", "m", "s", "ms")
_LONGEST = 40  # characters


def parse_duration(value: object) -> int:
    """ms of `30m`, `1h30m`, `90s`, `1.5s`, `500ms`; a bare number is seconds. Raises ValueError in words."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        if value < 0:
            raise ValueError(f"cannot be negative: {value}")
        return round(value * 1000)
    if not isinstance(value, str):
        raise ValueError("is not a duration; write for example 90s, 30m or 1h30m")
    text = value.strip().lower()
    if text.startswith("-"):
        raise ValueError(f"cannot be negative: {value[:_LONGEST]}")
    if len(text) <= _LONGEST and _BARE.match(text):
        return round(float(text) * 1000)
    found = _WHOLE.match(text) if text and len(text) <= _LONGEST else None
    if found is None:
        raise ValueError(f"is not a duration: {value[:_LONGEST]!r}; write for example 90s, 30m or 1h30m")
    pairs = zip(_ORDER, found.groups(), strict=True)
    return round(sum(float(number) * _UNITS[unit] for unit, number in pairs if number))


def span(ms: float) -> str:
    """`40ms`, `4.2s`, `12s`, `3m12s`, `2h05m`, `4d03h`."""
    if ms < 1000:
        return f"{max(0, int(ms))}ms"
    seconds = int(ms) // 1000
    if ms < 10_000:
        return f"{int(ms) // 100 / 10:.1f}s"
    if seconds < 60:
        return f"{seconds}s"
    if seconds < 3600:
        return f"{seconds // 60}m{seconds % 60:02d}s"
    if seconds < 86400:
        return f"{seconds // 3600}h{seconds % 3600 // 60:02d}m"
    return f"{seconds // 86400}d{seconds % 86400 // 3600:02d}h"
