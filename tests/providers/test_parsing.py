"""Cutting bytes into lines: the same lines whatever the cuts, in linear time."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.parsing import LineSplitter, Oversized, Tail, count_of, exit_verdict, number_of, read_json

PIECES = st.lists(st.sampled_from([b"a", b"bc" * 20, b"\n", b"\r\n", b"\r", "é".encode(), b"\0"]), max_size=60).map(
    b"".join
)


@given(PIECES, st.lists(st.integers(0, 400), max_size=12))
def test_the_cuts_do_not_matter(data: bytes, cuts: list[int]) -> None:
    whole = LineSplitter(limit=50)
    expected = [*whole.feed(data), *whole.end()]
    parts = LineSplitter(limit=50)
    got: list[bytes | Oversized] = []
    at = 0
    for cut in sorted({min(cut, len(data)) for cut in cuts}):
        got += parts.feed(data[at:cut])
        at = cut
    got += [*parts.feed(data[at:]), *parts.end()]
    assert got == expected
    sizes = [line.size if isinstance(line, Oversized) else len(line) for line in got]
    lines = data.split(b"\n")
    lines = lines if lines[-1] else lines[:-1]
    assert len(sizes) == len(lines)
    for line, raw in zip(got, lines, strict=True):
        if isinstance(line, Oversized):
            assert line == Oversized(raw[:50], len(raw))
            assert len(raw) > 50
        else:
            assert line == raw.removesuffix(b"\r")
            assert len(raw) <= 50


def test_a_long_line_costs_linear_time() -> None:
    def seconds(megabytes: int) -> float:
        splitter = LineSplitter(limit=1 << 30)
        chunk = b"x" * 65536
        begun = time.process_time()
        for _ in range(16 * megabytes):
            splitter.feed(chunk)
        (line,) = splitter.feed(b"\n")
        assert isinstance(line, bytes)
        assert len(line) == megabytes << 20
        return time.process_time() - begun

    seconds(1)
    assert seconds(50) < 2, "50 MB in 64 KiB chunks; joining at every chunk takes half a minute"


def test_only_the_end_of_stderr_is_kept() -> None:
    tail = Tail(limit=10)
    for number in range(1000):
        tail.feed(b"line %03d\n" % number)
    assert tail.text == "line 999"
    assert tail.last_line == "line 999"
    tail.feed(b"z" * 100)
    assert tail.text == "z" * 10


@pytest.mark.parametrize("line", [b"", b"[1]", b"null", b"{", b"[" * 50_000, b"\xff{}", b"9" * 5000, b'{"a": 1} x'])
def test_what_is_no_object_is_none(line: bytes) -> None:
    assert read_json(line) is None


def test_json_that_python_alone_would_take_becomes_plain() -> None:
    assert read_json(b'{"a": NaN, "b": -Infinity, "c": -1e999, "d": 1.5}') == {
        "a": None,
        "b": None,
        "c": None,
        "d": 1.5,
    }
    assert read_json(b'{"a": "\\uD83D\\ude00 \\ud800"}') == {"a": "\U0001f600 ?"}


@pytest.mark.parametrize("value", [True, -1, "5", None, [], float("inf"), 10**400])
def test_a_count_is_a_count(value: object) -> None:
    assert count_of(value) is None
    assert number_of(value) is None


def test_exit_0_is_the_only_silent_end() -> None:
    assert exit_verdict(0, None) is None
    for exit_code, signal, reason in ((1, None, "exit"), (None, 15, "signal"), (0, 2, "signal"), (None, None, "exit")):
        verdict = exit_verdict(exit_code, signal)
        assert verdict is not None
        assert not verdict.ok
        assert verdict.reason == reason
