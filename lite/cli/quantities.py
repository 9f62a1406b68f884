"""Durations and sizes as people write and read them."""

from __future__ import annotations

from lite.errors import UsageError
from providers.durations import parse_duration


def duration_ms(text: str, place: str) -> int:
    """ms of what `parse_duration` reads. Raises `UsageError` naming `place`."""
    try:
        return parse_duration(text)
    except ValueError as error:
        raise UsageError(str(error), place=place) from error


def size(count: float) -> str:
    """Bytes as `512 B`, `3.4 kB`, `12 MB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            return f"{count:.0f} {unit}" if unit == "B" or count >= 10 else f"{count:.1f} {unit}"
        count /= 1000
    raise AssertionError
