"""Durations and sizes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lite.config.sizes import parse_size
from providers.durations import parse_duration

_UNITS = {"d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1_000, "ms": 1}


def format_duration(ms: int) -> str:
    """The shortest exact way to write it: `1h30m`, `90ms`, `0s`."""
    parts = []
    for unit, size in _UNITS.items():
        count, ms = divmod(ms, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


@given(st.integers(0, 10**12))
def test_what_is_written_is_read_back(ms: int) -> None:
    assert parse_duration(format_duration(ms)) == ms


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("30m", 1_800_000),
        ("1h30m", 5_400_000),
        ("90s", 90_000),
        ("500ms", 500),
        ("1.5s", 1_500),
        ("1d", 86_400_000),
        ("1m500ms", 60_500),
        (" 2H ", 7_200_000),
        ("90", 90_000),
        (90, 90_000),
        (0.25, 250),
        (0, 0),
    ],
)
def test_the_ways_to_write_one(text: object, ms: int) -> None:
    assert parse_duration(text) == ms


@pytest.mark.parametrize(
    "text", ["", "soon", "1x", "30 m", "m", "1s1h", "1h1h", "1e3", "١s", "0x10", None, True, [], "9" * 50]
)
def test_anything_else_is_refused_with_an_example(text: object) -> None:
    with pytest.raises(ValueError, match="write for example 90s, 30m or 1h30m"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["-3s", -1, "-1h", -0.5])
def test_a_negative_one_is_called_negative(text: object) -> None:
    with pytest.raises(ValueError, match="cannot be negative"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("64", 64),
        ("64k", 1 << 16),
        ("256MB", 256 << 20),
        ("1GiB", 1 << 30),
        ("1.5m", 3 << 19),
        (7, 7),
        ("12 kb", 12 << 10),
    ],
)
def test_sizes(text: object, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "big", "1 TB", "-1", -1, None, True, 1.5, "1e3"])
def test_what_is_no_size(text: object) -> None:
    with pytest.raises(ValueError, match=r"is not a size|cannot be negative"):
        parse_size(text)
