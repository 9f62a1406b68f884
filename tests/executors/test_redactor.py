"""However a stream is cut, its secrets come out as stars, everything else as it was, and nothing stays behind."""

from __future__ import annotations

import base64
import json
from urllib.parse import quote, quote_plus

from hypothesis import example, given
from hypothesis import strategies as st

from lite.executors.redactor import Redactor
from lite.executors.secret_forms import forms

SECRET = "sk-canary-4/7+a=9%é-value"

# few letters, so that beginnings, overlaps and repetitions are common
letters = st.sampled_from([b"a", b"b", b"c"])
words = st.lists(letters, min_size=1, max_size=12).map(b"".join)
needles_of = st.lists(words, min_size=1, max_size=4)


@st.composite
def streams(draw: st.DrawFn) -> tuple[list[bytes], list[bytes]]:
    """Needles, and pieces in which they come up whole, in part and next to each other."""
    needles = draw(needles_of)
    parts = st.one_of(words, st.sampled_from(needles), st.sampled_from(needles).map(lambda one: one[: len(one) // 2]))
    whole = b"".join(draw(st.lists(parts, max_size=12)))
    cuts = sorted(draw(st.lists(st.integers(0, len(whole)), max_size=10)))
    pieces = [whole[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    return needles, pieces


def hidden(needles: list[bytes], whole: bytes) -> bytes:
    """The specification: every byte that belongs to an occurrence is a star."""
    made = bytearray(whole)
    for needle in needles:
        for at in range(len(whole) - len(needle) + 1):
            if whole[at : at + len(needle)] == needle:
                made[at : at + len(needle)] = b"*" * len(needle)
    return bytes(made)


@given(streams())
@example(([b"abcab", b"abb"], [b"abc", b"abb"]))
@example(([b"aaaa"], [b"a"] * 7))
def test_the_cuts_do_not_matter(drawn: tuple[list[bytes], list[bytes]]) -> None:
    needles, pieces = drawn
    whole = b"".join(pieces)
    redactor = Redactor(needles)
    given = b"".join(redactor.feed(piece) for piece in pieces)
    given += redactor.flush()
    assert redactor.held == 0
    assert given == Redactor(needles).clean(whole)
    # but for an end that looks like a beginning, which is hidden too
    wanted = hidden(needles, whole)
    assert len(given) == len(wanted)
    for at, (found, byte) in enumerate(zip(given, wanted, strict=True)):
        assert found == byte or (
            found == ord("*") and any(one.startswith(whole[i:]) for one in needles for i in range(at + 1))
        )


@given(streams())
def test_only_a_beginning_is_held_back(drawn: tuple[list[bytes], list[bytes]]) -> None:
    needles, pieces = drawn
    redactor = Redactor(needles)
    seen = b""
    for piece in pieces:
        redactor.feed(piece)
        seen += piece
        rest = seen[len(seen) - redactor.held :]
        assert redactor.held < max(map(len, needles))
        assert not rest or any(needle.startswith(rest) for needle in needles)


@given(streams())
def test_no_pause_lets_the_whole_through(drawn: tuple[list[bytes], list[bytes]]) -> None:
    """A program that prints slowly: what is held back is told after every piece."""
    _, pieces = drawn
    needle = b"abcabbcacb-the-secret"
    redactor = Redactor([needle])
    whole = b"".join(pieces) + needle + b"".join(pieces)
    given = b"".join(redactor.feed(whole[at : at + 1]) + redactor.flush() for at in range(len(whole)))
    assert len(given) == len(whole)
    assert needle[:8] not in given
    assert b"the-secret" not in given


def test_a_prompt_that_ends_as_a_secret_begins_appears() -> None:
    redactor = Redactor([b"sk-ant-api03-0123456789"])
    assert redactor.feed(b"key: sk-") == b"key: "
    assert redactor.held == 3
    assert redactor.flush() == b"sk-"
    assert redactor.flush() == b""
    assert redactor.feed(b"\nmore") == b"\nmore"


def test_what_goes_on_after_a_pause_is_still_hidden() -> None:
    redactor = Redactor([b"sk-ant-api03-0123456789"])
    assert redactor.feed(b"sk-a") + redactor.flush() == b"sk-a"
    assert redactor.feed(b"nt-api03-0123456789!") == b"*" * 19 + b"!"


def test_every_way_of_writing_it_is_hidden() -> None:
    redactor = Redactor(forms([SECRET]))
    raw = SECRET.encode()
    written = [
        raw,
        quote(SECRET).encode(),
        quote(SECRET, safe="").encode(),
        quote_plus(SECRET).encode(),
        json.dumps(SECRET).encode(),
        json.dumps(SECRET, ensure_ascii=False).encode(),
    ]
    for before in (b"", b"x", b"xy", b"user:"):
        for after in (b"", b"\n", b"zz"):
            whole = before + raw + after
            written += [base64.b64encode(whole), base64.urlsafe_b64encode(whole)]
    for text in written:
        given = redactor.clean(b"<" + text + b">")
        assert len(given) == len(text) + 2
        assert given.count(b"*") >= len(text) - 12, (text, given)
        assert SECRET[3:].encode() not in given


def test_secrets_of_several_lines() -> None:
    lines = [
        "-----BEGIN KEY-----",
        *(f"MIIEvQIBADANBgkqhkiG9w0BAQEFAASC{n:02}" for n in range(20)),
        "-----END KEY-----",
    ]
    secret = "\n".join(lines)
    redactor = Redactor(forms([secret + "\n"]))
    shown = "\r\n".join(lines)
    assert redactor.clean(shown.encode()) == b"*" * len(shown)
    for text in (f"  3\t{lines[3]}\n", f"> {lines[7]}\r\n"):
        assert lines[3] not in (given := redactor.clean(text.encode()).decode())
        assert lines[7] not in given
    coded = base64.encodebytes(secret.encode())
    assert all(line not in redactor.clean(coded) for line in coded.splitlines() if len(line) > 20)


def test_a_short_secret_is_not_looked_for() -> None:
    assert forms(["1234567", " 1234567\n"]) == ()
    assert b"12345678" in forms(["12345678"])


def test_it_is_linear_and_keeps_little() -> None:
    needles = forms(["sk-" + "0123456789abcdef" * 20])
    redactor = Redactor(needles)
    piece = b"the quick brown sk-0123456789 fox jumps over the lazy dog\n" * 1000
    for _ in range(50):
        redactor.feed(piece)
    assert redactor.held < max(map(len, needles))
