"""The export as asciicast: times, split characters, sizes, gaps."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lite.recordings.cast import cast_lines
from lite.recordings.layout import ERR, IN, MARKER, OUT
from lite.recordings.reader import Recording
from lite.recordings.writer import Writer

T0 = 1_700_000_000_000


def record(path: Path) -> Recording:
    made = Writer(str(path), cols=80, rows=24, cap_bytes=1 << 20)
    cut = "né".encode()
    made.append(OUT, cut[:2], T0)
    made.append(ERR, "✓".encode()[:1], T0 + 250)
    made.append(OUT, cut[2:] + b"\xff\x1b[0m", T0 + 500)
    made.append(ERR, "✓".encode()[1:], T0 + 750)
    made.append(IN, b"y", T0 + 1000)
    made.resize(100, 30, T0 + 1000)
    made.append(MARKER, b"waiting: sure?", T0 + 900)
    made.append(OUT, b"\xe2\x9c", T0 + 2000)
    made.close()
    return Recording(path)


def test_version_3_counts_from_event_to_event(tmp_path: Path) -> None:
    header, *events = [json.loads(line) for line in cast_lines(record(tmp_path), title="t", exit_code=3)]
    assert header == {"version": 3, "term": {"cols": 80, "rows": 24}, "timestamp": T0 // 1000, "title": "t"}
    assert events == [
        [0, "o", "n"],
        [0.5, "o", "é�\x1b[0m"],
        [0.25, "o", "✓"],
        [0.25, "i", "y"],
        [0, "r", "100x30"],
        [0, "m", "waiting: sure?"],
        [1.0, "o", "�"],
        [0, "x", "3"],
    ]


def test_version_2_counts_from_the_beginning(tmp_path: Path) -> None:
    header, *events = [json.loads(line) for line in cast_lines(record(tmp_path), version=2)]
    assert header == {"version": 2, "width": 80, "height": 24, "timestamp": T0 // 1000}
    assert [event[0] for event in events] == [0, 0.5, 0.75, 1.0, 1.0, 1.0, 2.0]


def test_a_gap_is_a_marker(tmp_path: Path) -> None:
    made = Writer(str(tmp_path), cols=80, rows=24, cap_bytes=1 << 16)
    for at in range(200):
        made.append(OUT, b"%1000d" % at, T0 + at)
    made.close()
    events = [json.loads(line) for line in cast_lines(Recording(tmp_path))][1:]
    (begin, end) = Recording(tmp_path).gaps()[0]
    assert [event[2] for event in events if event[1] == "m"] == [f"gap: {end - begin} bytes are not kept"]


def test_an_unknown_version_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="version 1"):
        list(cast_lines(record(tmp_path), version=1))


def test_nothing_recorded_is_a_valid_cast(tmp_path: Path) -> None:
    lines = list(cast_lines(Recording(tmp_path)))
    assert len(lines) == 1
    assert json.loads(lines[0])["version"] == 3
