"""Attach shows a program's whole screen, yet the outer terminal is never asked or written behind the user's back."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lite.terminal.passthrough import Passthrough
from tests.terminal.test_sanitize import streams

QUERIES = [
    b"\x1b[c", b"\x1b[0c", b"\x1b[>c", b"\x1b[=c", b"\x1b[5n", b"\x1b[6n", b"\x1b[?6n", b"\x1b[?996n", b"\x1b[>q",
    b"\x1b[>0q", b"\x1b[?u", b"\x1b[?4m", b"\x1b[?2026$p", b"\x1b[4$p", b"\x1b[14t", b"\x1b[18t", b"\x1b[21t",
    b"\x1b[x", b"\x1bZ", b"\x05", b"\x1b]10;?\x07", b"\x1b]11;?\x1b\\", b"\x1b]4;1;?\x07", b"\x1bP+q544e\x1b\\",
    b"\x1bP$qm\x1b\\", b"\x1b_Gi=31,s=1,v=1,a=q;AAAA\x1b\\", b"\x1b[1;1;1;1;1;1*y", b"\x1b[?1;1;0S", b"\xc2\x9bc",
    b"\x1b]7501;?\x1b\\", b"\x1b[?2048h", b"\x1b[?2031h",
]  # fmt: skip
DANGEROUS = [
    b"\x1b]52;c;aGk=\x07", b"\x1b]52;c;?\x07", b"\x1bPtmux;\x1b\x1b]52;c;aGk=\x07\x1b\\", b"\x1b]9;hi\x07",
    b"\x1b]777;notify;a;b\x07", b"\x1b]1337;File=name=YQ==:aGk=\x07", b"\x1b[5i", b"\x1b[8;1;1t", b"\x1b[?3h",
    b"\x1b]50;font\x07", b"\x1b]7;file:///etc\x07", b"\x1bktitle\x1b\\", b"\x1b%@", b"\x1b G", b"\x1b[\"p",
    b"\x1b]8;;file:///etc/passwd\x1b\\", b"\x1b]8;;javascript:x\x1b\\", b"\x1b]2;a\xc2\x9bb\x07", b"\x1b[62\"p",
]  # fmt: skip
SCREENS = [
    b"plain text\r\n\tand tabs\x07\x08", b"\x1b[1;31mred\x1b[0m", b"\x1b[38:2::1:2:3m", b"\x1b[2J\x1b[H\x1b[10;20H",
    b"\x1b[?1049h\x1b[?25l\x1b[?1000h\x1b[?1006h\x1b[?2004h\x1b[?2026h", b"\x1b[>1u", b"\x1b[=5;1u", b"\x1b[<u",
    b"\x1b[>4;1m", b"\x1b[4 q", b"\x1b7\x1b8\x1b=\x1b>\x1bM\x1bD", b"\x1b(0lqqk\x1b(B\x0e\x0f", b"\x1b[5;10r\x1b[3S",
    b"\x1b[!p", b"\x1b#8", b"\x1b]0;a title\x1b\\", b"\x1b]8;id=1;https://example.org/a?b=c\x1b\\link\x1b]8;;\x1b\\",
    "日本 ✓ é 👩‍👧".encode(), b"\x1b[s\x1b[u", b"\x1b[10b\x1b[3@\x1b[2P\x1b[4X\x1b[5L\x1b[6M\x1b[2d\x1b[3G\x1b[3g",
]  # fmt: skip


@pytest.mark.parametrize("sequence", QUERIES + DANGEROUS)
def test_queries_and_tricks_are_dropped(sequence: bytes) -> None:
    assert Passthrough().feed(b"a" + sequence + b"b") == b"ab"


@pytest.mark.parametrize("sequence", SCREENS)
def test_what_draws_a_screen_passes_byte_for_byte(sequence: bytes) -> None:
    assert Passthrough().feed(sequence) == sequence


def test_all_printable_and_control_bytes_that_mean_no_harm_pass() -> None:
    data = bytes(byte for byte in range(128) if byte not in (0x05, 0x1B))
    assert Passthrough().feed(data) == data


@given(streams, st.lists(st.integers(0, 200), max_size=6))
def test_cutting_changes_nothing_and_no_sequence_is_left_open(data: bytes, cuts: list[int]) -> None:
    edges = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    cut_up, whole = Passthrough(), Passthrough()
    out = b"".join(cut_up.feed(data[a:b]) for a, b in pairwise(edges))
    assert out == whole.feed(data)
    assert cut_up.reset() == whole.reset()
    assert Passthrough().feed(out) == out
    assert not re.search("[\x05\x80-\x9f]", out.decode("utf-8"))


def test_mode_lists_lose_only_what_is_not_allowed() -> None:
    assert Passthrough().feed(b"\x1b[?1049;2048;25h") == b"\x1b[?1049;25h"


def test_a_title_ended_by_bell_is_passed_on_ended_by_st() -> None:
    assert Passthrough().feed(b"\x1b]2;hello\x07") == b"\x1b]2;hello\x1b\\"


def test_the_reset_undoes_what_was_switched_on_and_only_then_leaves_the_alternate_screen() -> None:
    quiet = Passthrough()
    assert b"\x1b[?1049l" not in quiet.reset()
    assert b"\x1b[r" not in quiet.reset()
    busy = Passthrough()
    busy.feed(b"\x1b[?1049h\x1b[>1u\x1b[3;9r\x1b[>4;2m\x1b[2 q\x1b]8;;https://x.y\x07\x1b[4h")
    reset = busy.reset()
    for wanted in (b"\x1b[<1u", b"\x1b[?1049l", b"\x1b[r", b"\x1b[>4;0m", b"\x1b[0 q", b"\x1b]8;;\x1b\\", b"\x1b[4l"):
        assert wanted in reset
    for always in (
        b"\x1b[?1000l",
        b"\x1b[?1006l",
        b"\x1b[?2004l",
        b"\x1b[?1004l",
        b"\x1b[?25h",
        b"\x1b[0m",
        b"\x1b[?2026l",
    ):
        assert always in quiet.reset()
        assert always in reset
    left = Passthrough()
    left.feed(b"\x1b[?1049h\x1b[?1049l")
    assert b"\x1b[?1049l" not in left.reset()


def test_an_endless_string_takes_no_memory() -> None:
    through = Passthrough()
    through.feed(b"\x1b]0;")
    for _ in range(64):
        assert through.feed(b"x" * 65536) == b""
    assert len(through._collected) < 1 << 20
    assert through.feed(b"\x07ok") == b"ok"
