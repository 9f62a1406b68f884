"""Durations and sizes as people write them."""

from __future__ import annotations

import re

_UNITS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_BARE = re.compile(r"\d+(?:\.\d+)?\Z", re.ASCII)
_WHOLE = re.compile(
    r"(?:(\d+(?:\.\d+)?)d)?(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s)?(?:(\d+)ms)?\Z", re.ASCII
)
_ORDER = ("d", "h", "m", "s", "ms")
_LONGEST = 40  # characters

_SIZES = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmg]?)(?:i?b)?\Z", re.IGNORECASE | re.ASCII)


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


def parse_size(value: object) -> int:
    """Bytes of `64k`, `256MB`, `1GiB` (powers of 1024) or a bare number. Raises ValueError in words."""
    if isinstance(value, int) and not isinstance(value, bool):
        if value < 0:
            raise ValueError(f"cannot be negative: {value}")
        return value
    found = _SIZE.match(value.strip()) if isinstance(value, str) and len(value) <= _LONGEST else None
    if found is None:
        raise ValueError("is not a size; write for example 64MB or 1GB")
    return round(float(found[1]) * _SIZES[found[2].lower()])
