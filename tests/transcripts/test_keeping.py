"""The file of a transcript: whatever moment its writer was killed at, each event is there once, in order, and whole."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from lite.transcripts import writer as writer_module
from lite.transcripts.layout import MAX_LINE, MAX_TEXT, bounded, transcript_path
from lite.transcripts.lines import Lines, Said
from lite.transcripts.reader import read_transcript, transcript_size
from lite.transcripts.writer import Entry, Writer

# offset 20 told of three things at once
SAID = [
    Entry("init", "", {"session": "s"}, 10),
    Entry("message", "é\n\u2028\x1b[31m", {}, 20),
    Entry("tool_use", "Bash", {"id": 1}, 20),
    Entry("usage", "", {"tokens_in": 3}, 20),
    Entry("result", "fine", {"ok": True}, 35),
    Entry("verdict", "", {"ok": True}, 35),
]


def kept(directory: Path) -> list[Said]:
    return Lines().feed(transcript_path(directory).read_bytes())


def as_said(entries: list[Entry]) -> list[Said]:
    return [Said(entry.kind, entry.text, dict(entry.data), entry.offset) for entry in entries]


@pytest.fixture
def whole(tmp_path: Path) -> bytes:
    directory = tmp_path / "whole"
    directory.mkdir()
    writer = Writer(directory)
    writer.append(SAID)
    writer.close()
    return transcript_path(directory).read_bytes()


def test_a_writer_killed_at_any_byte_is_gone_on_with(tmp_path: Path, whole: bytes) -> None:
    for at in range(len(whole) + 1):
        transcript_path(tmp_path).write_bytes(whole[:at])
        seen = read_transcript(tmp_path, 0, 1 << 20)  # by somebody who follows
        writer = Writer(tmp_path)
        for entry in SAID:
            writer.append([entry])
        writer.close()
        assert kept(tmp_path) == as_said(SAID), f"killed at byte {at}"
        assert transcript_path(tmp_path).read_bytes().startswith(seen)
        assert writer.end == transcript_size(tmp_path)


def test_going_on_looks_back_as_far_as_one_offset_reaches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "_BLOCK", 64)
    many = [Entry("message", f"{number}", {}, 5 if number < 3 else 7) for number in range(200)]
    for killed in (1, 2, 3, 4, 50, 199, 200):
        transcript_path(tmp_path).unlink(missing_ok=True)
        for part in (many[:killed], many):
            writer = Writer(tmp_path)
            writer.append(part)
            writer.close()
        assert kept(tmp_path) == as_said(many), f"killed after {killed}"


def test_a_line_is_bounded_whatever_is_in_it(tmp_path: Path) -> None:
    writer = Writer(tmp_path)
    wild = {"deep": None, "n": 1 << 5000, "blob": "\x00" * 5_000_000, "list": [["x" * 99] * 9999] * 9999}
    for _ in range(50):
        wild = {"deep": wild}
    writer.append([Entry("message", "\x00" * (50 << 20), wild, 1), Entry("message", "after", {}, 2)])
    writer.close()
    assert writer.end < MAX_LINE
    big, after = kept(tmp_path)
    assert (len(big.text), big.cut) == (MAX_TEXT, (50 << 20) - MAX_TEXT)
    assert after.text == "after"


def test_plain_values_stay_as_they_are() -> None:
    value: Any = {"a": [1, 2.5, None, True, "x" * 1000], "b": {"c": "d"}}
    assert bounded(value) == value


def test_past_the_cap_only_what_must_be_known_is_kept(tmp_path: Path) -> None:
    writer = Writer(tmp_path, cap=4000)
    writer.append([Entry("init", "", {}, 0)])
    for number in range(1, 1000):
        writer.append([Entry("message", "m" * 100, {}, number)])
    writer.append([Entry("result", "the end", {"ok": True}, 1000), Entry("verdict", "", {"ok": True}, 1000)])
    writer.close()
    kinds = [said.kind for said in kept(tmp_path)]
    assert kinds[-3:] == ["unknown", "result", "verdict"]
    assert kept(tmp_path)[-3].data == {"full": True}
    assert writer.end < 6000
    writer = Writer(tmp_path, cap=4000)  # and again the same way
    for number in range(1000):
        writer.append([Entry("message", "m" * 100, {}, number)])
    writer.close()
    assert [said.kind for said in kept(tmp_path)] == kinds


def test_a_full_disk_leaves_no_half_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = Writer(tmp_path)
    writer.append(SAID[:1])
    real = os.write

    def short(file: int, data: bytes) -> int:
        return real(file, data[: len(data) // 2])

    monkeypatch.setattr(os, "write", short)
    with pytest.raises(OSError, match="full"):
        writer.append(SAID[1:2])
    monkeypatch.setattr(os, "write", real)
    writer.append(SAID[2:3])
    writer.close()
    assert kept(tmp_path) == as_said([SAID[0], SAID[2]])


def test_readers_get_whole_lines_however_little_they_ask_for(tmp_path: Path, whole: bytes) -> None:
    transcript_path(tmp_path).write_bytes(whole + b'{"kind": "mess')
    for limit in (1, 7, 100, 1 << 20):
        at, found = 0, b""
        while piece := read_transcript(tmp_path, at, limit):
            assert piece.endswith(b"\n")
            found += piece
            at += len(piece)
        assert found == whole
    assert read_transcript(tmp_path / "none", 0, 10) == b""
    assert transcript_size(tmp_path / "none") is None


def test_lines_are_the_same_wherever_bytes_are_cut_and_nonsense_is_left_out(whole: bytes) -> None:
    noise = b'\x00\xff\n[1]\n{"kind": 3}\n{"kind": "message", "text": 5, "data": [], "offset": -1}\n{"ki\n\n'
    data = noise + whole
    expected = [Said("message"), *as_said(SAID)]
    assert Lines().feed(data) == expected
    for at in range(len(data)):
        lines = Lines()
        assert lines.feed(data[:at]) + lines.feed(data[at:]) == expected
    assert Lines(skip_first=True).feed(whole) == as_said(SAID)[1:]


def test_an_endless_line_is_skipped(whole: bytes) -> None:
    lines = Lines()
    for _ in range(MAX_LINE // (1 << 20) + 2):
        assert lines.feed(b"x" * (1 << 20)) == []
    assert lines._parts == []
    assert lines.feed(b"\n" + whole) == as_said(SAID)


def test_what_is_kept_is_json_lines_for_anybody(whole: bytes) -> None:
    first = json.loads(whole.splitlines()[0])
    assert first == {"kind": "init", "text": "", "data": {"session": "s"}, "offset": 10}
