"""A recording gives back what was appended, whatever happens to its writer."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lite.recordings.layout import ENTRY, ERR, HEADER, IN, OUT, RESIZED, SIZE
from lite.recordings.reader import Recording
from lite.recordings.writer import Writer

T0 = 1_700_000_000_000


def writer(path: Path, cap: int = 1 << 20, **fields: Any) -> Writer:
    return Writer(str(path), cols=80, rows=24, cap_bytes=cap, **fields)


def the_file(path: Path, suffix: str) -> Path:
    return sorted((path / "recording").glob(f"*{suffix}"))[-1]


def test_streams_times_and_sizes_come_back(tmp_path: Path) -> None:
    made = writer(tmp_path)
    assert [
        made.append(OUT, b"one", T0),
        made.append(ERR, b"two!", T0 + 5),
        made.append(IN, b"x", T0 + 6),
        made.resize(100, 30, T0 + 7),
        made.append(OUT, b"\xff\x00\x1b", T0 + 9),
    ] == [0, 3, 7, 8, 12]
    made.close()
    recording = Recording(tmp_path)
    assert [tuple(entry) for entry in recording.entries()] == [
        (T0, 0, OUT, b"one"),
        (T0 + 5, 3, ERR, b"two!"),
        (T0 + 6, 7, IN, b"x"),
        (T0 + 7, 8, RESIZED, SIZE.pack(100, 30)),
        (T0 + 9, 12, OUT, b"\xff\x00\x1b"),
    ]
    header = recording.header()
    assert header is not None
    assert tuple(header) == (T0, 80, 24)
    assert (recording.start(), recording.end(), recording.size(), recording.gaps()) == (0, 15, 15, [])


def test_nothing_recorded(tmp_path: Path) -> None:
    recording = Recording(tmp_path)
    assert (recording.read(0, 100), recording.end(), recording.header()) == ([], 0, None)


@given(
    appends=st.lists(st.tuples(st.sampled_from([OUT, ERR, IN]), st.binary(min_size=1, max_size=300)), max_size=40),
    limit=st.integers(1, 500),
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_read_in_any_steps_gives_every_byte_once(
    tmp_path_factory: pytest.TempPathFactory, appends: list[tuple[int, bytes]], limit: int
) -> None:
    path = tmp_path_factory.mktemp("r")
    made = writer(path)
    for at, (stream, data) in enumerate(appends):
        made.append(stream, data, T0 + at)
    recording = Recording(path)
    at, got = 0, []
    while chunks := recording.read(at, limit):
        for offset, stream, data in chunks:
            assert offset == at
            at += len(data)
            got += [(stream, byte) for byte in data]
    assert got == [(stream, byte) for stream, data in appends for byte in data]
    made.close()


def test_past_the_cap_the_head_and_a_rolling_tail_stay(tmp_path: Path) -> None:
    cap = 1 << 16
    made = writer(tmp_path, cap)
    lines = b"".join(b"%07d\n" % number for number in range(100_000))
    for at in range(0, len(lines), 1000):
        made.append(OUT, lines[at : at + 1000], T0 + at)
        assert Recording(tmp_path).size() <= cap + 1000
    made.close()
    recording = Recording(tmp_path)
    assert (recording.start(), recording.end()) == (0, len(lines))
    gaps = recording.gaps()
    assert len(gaps) == 1
    (begin, end) = gaps[0]
    assert begin >= cap // 4
    assert recording.end() - end >= cap // 2
    for offset, _, data in recording.read(0, len(lines)):
        assert data == lines[offset : offset + len(data)]
    assert recording.read(begin, 10)[0][0] == end  # inside of the gap: from its end on


def test_without_a_head_only_the_tail_stays(tmp_path: Path) -> None:
    made = writer(tmp_path, 1 << 16, head=False)
    for at in range(200):
        made.append(OUT, b"%1000d" % at, T0)
    made.close()
    recording = Recording(tmp_path)
    assert recording.start() > 0
    assert made.start == recording.start()
    assert recording.gaps() == []
    assert recording.read(0, 10)[0][0] == recording.start()


@pytest.mark.parametrize("cut", range(1, ENTRY.size + 1))
def test_a_torn_index_loses_no_byte(tmp_path: Path, cut: int) -> None:
    made = writer(tmp_path)
    made.append(OUT, b"before", T0)
    made.append(OUT, b"after", T0 + 1)
    made.close()
    index = the_file(tmp_path, ".idx")
    os.truncate(index, index.stat().st_size - cut)
    assert b"".join(data for _, _, data in Recording(tmp_path).read(0, 100)) == b"beforeafter"
    assert Recording(tmp_path).read(8, 100) == [(8, OUT, b"ter")]


@pytest.mark.parametrize("size", [0, 1, HEADER.size - 1, HEADER.size])
def test_an_index_without_entries_or_header_loses_no_byte(tmp_path: Path, size: int) -> None:
    made = writer(tmp_path)
    made.append(OUT, b"all of it", T0)
    made.close()
    os.truncate(the_file(tmp_path, ".idx"), size)
    assert Recording(tmp_path).read(0, 100) == [(0, OUT, b"all of it")]
    the_file(tmp_path, ".idx").unlink()
    assert Recording(tmp_path).read(4, 100) == [(4, OUT, b"of it")]


def test_an_index_that_promises_more_than_there_is(tmp_path: Path) -> None:
    """Killed between the index and the bytes."""
    made = writer(tmp_path)
    made.append(ERR, b"some bytes", T0)
    made.close()
    os.truncate(the_file(tmp_path, ".raw"), 4)
    recording = Recording(tmp_path)
    assert recording.read(0, 100) == [(0, ERR, b"some")]
    assert recording.end() == 4


def test_reopened_it_goes_on_after_the_last_byte(tmp_path: Path) -> None:
    made = writer(tmp_path)
    made.append(OUT, b"first", T0)
    made.close()
    index = the_file(tmp_path, ".idx")
    os.truncate(index, index.stat().st_size - 3)
    again = writer(tmp_path)
    assert again.append(OUT, b"second", T0 + 10) == 5
    again.close()
    recording = Recording(tmp_path)
    assert b"".join(data for _, _, data in recording.read(0, 100)) == b"firstsecond"
    assert recording.gaps() == []


def test_a_full_disk_becomes_a_gap_and_recording_resumes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = writer(tmp_path)
    made.append(OUT, b"kept ", T0)
    real = os.write
    full = True

    def write(descriptor: int, data: bytes) -> int:
        if full:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(descriptor, data)

    monkeypatch.setattr(os, "write", write)
    assert made.append(OUT, b"lost ", T0 + 1) == 5
    assert made.failing
    full = False
    assert made.append(OUT, b"lost too ", T0 + 2) == 10  # not tried again at once
    assert made.append(OUT, b"again", T0 + 5000) == 19
    assert not made.failing
    made.close()
    recording = Recording(tmp_path)
    assert recording.gaps() == [(5, 19)]
    assert recording.read(0, 100) == [(0, OUT, b"kept "), (19, OUT, b"again")]


def test_a_write_cut_short_keeps_what_fitted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = writer(tmp_path)
    made.append(OUT, b"kept ", T0)
    real = os.write
    calls = 0

    def write(descriptor: int, data: bytes) -> int:
        nonlocal calls
        calls += 1
        if calls == 1:
            return real(descriptor, data)  # the index
        if calls == 2:
            return real(descriptor, data[:3])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", write)
    made.append(ERR, b"partly", T0 + 1)
    monkeypatch.undo()
    made.append(OUT, b"again", T0 + 5000)
    made.close()
    recording = Recording(tmp_path)
    assert recording.gaps() == [(8, 11)]
    assert recording.read(0, 100) == [(0, OUT, b"kept "), (5, ERR, b"par"), (11, OUT, b"again")]


def test_a_clock_that_jumps_back_is_no_trouble(tmp_path: Path) -> None:
    made = writer(tmp_path)
    made.append(OUT, b"a", T0)
    made.append(OUT, b"b", T0 - 60_000)
    made.close()
    assert b"".join(data for _, _, data in Recording(tmp_path).read(0, 10)) == b"ab"


def test_recordings_are_private(tmp_path: Path) -> None:
    made = writer(tmp_path)
    made.append(OUT, b"a", T0)
    made.close()
    assert (tmp_path / "recording").stat().st_mode & 0o077 == 0
    assert all(path.stat().st_mode & 0o077 == 0 for path in (tmp_path / "recording").iterdir())
