"""Tables in narrow terminals: what can be used stays whole, what is least missed goes first."""

from __future__ import annotations

import pytest

from lite.cli.tables import columns, render

HEAD = ["ID", "NAME", "STATE", "WHY", "AGENT", "LANE", "ATT", "TIME", "WORKER"]
SPARE = ("WORKER", "ATT", "LANE", "AGENT", "TIME")
LONG = "waiting: " + "What now? " * 9
ROWS = [
    [
        "01m7y6fdn1fy0qg",
        "two-lanes/engine-tests",
        "● R running",
        LONG,
        "tester",
        "engine",
        "1",
        "295ms",
        "laptop-41b7239c",
    ],
    ["01m7y6fdn1fy0y", "two-lanes/speed", "○ Q queued", "behind engine-tests", "shell", "engine", "", "2.6s", ""],
]


@pytest.mark.parametrize("width", [60, 80, 100, 120, 200])
def test_ids_stay_whole_and_lines_fit(width: int) -> None:
    lines = render(HEAD, ROWS, width=width, colour=False, spare=SPARE, whole=1)
    assert all(columns(line) <= width for line in lines)
    assert [line.split()[0] for line in lines[1:]] == [row[0] for row in ROWS]


def test_eighty_columns_tell_who_what_and_why() -> None:
    head, first, second = render(HEAD, ROWS, width=80, colour=False, spare=SPARE, whole=1)
    assert head.split() == ["ID", "NAME", "STATE", "WHY"]
    assert "two-lanes/engine-tests" in first
    assert "waiting: What now?" in first
    assert second.endswith("behind engine-tests")


def test_with_room_nothing_goes() -> None:
    lines = render(HEAD, ROWS, width=None, colour=False, spare=SPARE, whole=1)
    assert lines[0].split() == HEAD
    assert "laptop-41b7239c" in lines[1]
