"""Numbers as Prometheus text (format 0.0.4)."""

from __future__ import annotations

from collections.abc import Mapping

TEXT = "text/plain; version=0.0.4"


def exposition(values: Mapping[str, float]) -> str:
    """`name` or `name{label="value"}` to a value; names ending in `_total` are counters."""
    families: dict[str, list[str]] = {}
    for name, value in values.items():
        family = name.partition("{")[0]
        families.setdefault(family, []).append(f"{name} {value!r}")
    lines: list[str] = []
    for family, samples in sorted(families.items()):
        lines.append(f"# TYPE {family} {'counter' if family.endswith('_total') else 'gauge'}")
        lines += samples
    return "\n".join(lines) + "\n"
