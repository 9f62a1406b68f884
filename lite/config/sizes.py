"""Sizes as people write them."""

from __future__ import annotations

import re

_LONGEST = 40  # characters
_SIZES = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmg]?)(?:i?b)?\Z", re.IGNORECASE | re.ASCII)


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
