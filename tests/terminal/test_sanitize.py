"""Whatever a program prints and however it is cut, nothing but text and colours reaches the user's terminal."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lite.terminal.sanitize import SafeStream, safe, safe_text

SGR = re.compile(r"\x1b\[[0-9;:]*m")
FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff]")

_pieces = st.one_of(
    st.sampled_from(
        [
            b"\x1b", b"\x1b[", b"\x1b[31m", b"\x1b[?1049h", b"\x1b]0;title", b"\x07", b"\x1b\\", b"\x1bP", b"\x1b_G",
            b"\x1b]52;c;aGk=\x07", b"\xc2\x9b", b"\x9b31m", b"\xc2\x9d", b"\x18", b"\x1b(B", b"\x1b[6n",
            "日本".encode(), b"\xe2\x80\xae", b"\xff", b"\xe2\x80", b"\r\n", b"\x08", b"\x1b[38;5;8m", b"\x1bk", b"m",
        ]
    ),
    st.binary(max_size=6),
    st.text(max_size=6).map(lambda text: text.encode("utf-8", "replace")),
)  # fmt: skip
streams = st.lists(_pieces, max_size=12).map(b"".join)


def run(data: bytes, cuts: list[int], *, colour: bool = True) -> bytes:
    stream = SafeStream(colour=colour)
    edges = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    out = b"".join(stream.feed(data[a:b]) for a, b in pairwise(edges))
    return out + stream.close()


@given(streams, st.lists(st.integers(0, 200), max_size=6), st.booleans())
def test_only_text_and_colours_come_out_however_it_is_cut(data: bytes, cuts: list[int], colour: bool) -> None:
    out = run(data, cuts, colour=colour)
    text = out.decode("utf-8")  # valid, always
    assert not FORBIDDEN.search(SGR.sub("", text))
    assert colour or "\x1b" not in text
    assert out == run(data, [], colour=colour)
    assert run(out, [], colour=colour) == out


@given(st.text() | streams.map(lambda data: data.decode("utf-8", "surrogateescape")))
def test_a_value_is_one_harmless_line(text: str) -> None:
    out = safe(text)
    out.encode("utf-8")
    assert not FORBIDDEN.search(out)
    assert not re.search("[\t\n\r\x1b\u2028\u2029]", out)
    assert safe(out) == out


@pytest.mark.parametrize(
    ("hostile", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07name", "name"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("a\nb\tc\r\nd", "a b c d"),
        ("\u202eexe.txt", "\ufffdexe.txt"),
        ("ad\u200bmin", "ad\ufffdmin"),
        ("r\u200doot", "r\ufffdoot"),
        ("\x9b31mx", "x"),
        ("\udce9", "\ufffd"),
        ("\x1bPtmux;\x1b\x1b]52;c;aGk=\x07\x1b\\x", "tmux;x"),
    ],
)
def test_known_tricks_in_one_line(hostile: str, shown: str) -> None:
    assert safe(hostile) == shown


def test_families_of_emoji_and_other_scripts_survive() -> None:
    for text in ("👩\u200d👩\u200d👧", "می\u200cخواهم", "日本語", "naïve", "👍🏽"):
        assert safe(text) == text


def test_lines_and_tabs_survive_in_a_text() -> None:
    assert safe_text("a\tb\r\n\x1b[2Jc\n") == "a\tb\nc\n"


def test_colours_stay_and_are_reset_at_the_end() -> None:
    assert run(b"\x1b[1;31mred", []) == b"\x1b[1;31mred\x1b[0m"
    assert run(b"\x1b[31mred\x1b[0m\n", []) == b"\x1b[31mred\x1b[0m\n"
    assert run(b"\xc2\x9b31mred\x1b[m", []) == b"\x1b[31mred\x1b[m"
    assert run(b"\x1b[31mred", [], colour=False) == b"red"


def test_an_unterminated_string_is_bounded_in_memory_and_in_what_it_hides() -> None:
    stream = SafeStream()
    stream.feed(b"\x1b]0;")
    shown = b"".join(stream.feed(b"x" * 4096) for _ in range(64))
    assert len(shown) == 64 * 4096 - SafeStream.longest_string + len(b"0;")
    assert stream.feed(b"after") == b"after"


def test_invalid_utf8_is_visible() -> None:
    assert run(b"caf\xe9 \xe2\x82", []) == "caf\ufffd \ufffd".encode()
