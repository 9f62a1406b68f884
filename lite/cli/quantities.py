"""Durations and ages as people write and read them."""

from __future__ import annotations

import re

from lite.errors import UsageError

_UNITS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_PART = r"(\d+(?:\.\d+)?)(ms|s|m|h|d)"


def duration_ms(text: str, place: str) -> int:
    """`90`, `90s`, `1.5m`, `1h30m`, `250ms` -> ms; a bare number means seconds. Raises `UsageError`."""
    text = text.strip()
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return round(float(text) * 1000)
    parts = re.findall(_PART, text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise UsageError(f"not a duration: {text!r}", hint="for example 90s, 30m or 1h30m", place=place)
    return round(sum(float(number) * _UNITS[unit] for number, unit in parts))


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


def size(count: float) -> str:
    """Bytes as `512 B`, `3.4 kB`, `12 MB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            return f"{count:.0f} {unit}" if unit == "B" or count >= 10 else f"{count:.1f} {unit}"
        count /= 1000
    raise AssertionError
