"""The detach key is found in every encoding; all else reaches the program untouched and at once."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lite.errors import UsageError
from lite.terminal.keys import DetachKey

PRESSES = [b"\x1d", b"\x1b[93;5u", b"\x1b[93;5:1u", b"\x1b[93;69u", b"\x1b[93::93;133:1u", b"\x1b[27;5;93~"]


@pytest.mark.parametrize("press", PRESSES)
def test_a_press_is_found_and_nothing_after_it_is_passed_on(press: bytes) -> None:
    assert DetachKey().feed(b"ab" + press + b"cd") == (b"ab", True)


@pytest.mark.parametrize("press", PRESSES)
@pytest.mark.parametrize("cut", range(1, 12))
def test_a_press_cut_in_two_is_found(press: bytes, cut: int) -> None:
    key = DetachKey()
    first, found = key.feed(press[:cut])
    if cut < len(press):
        assert (first, found) == (press[:cut], False)  # nothing is held back
        assert key.feed(press[cut:]) == (b"", True)
    else:
        assert found


@pytest.mark.parametrize("other", [b"\x1b[93;5:3u", b"\x1b[93;2u", b"\x1b[91;5u", b"\x1b", b"]", b"\x1b[27;5;91~"])
def test_neighbours_and_releases_are_not_the_key(other: bytes) -> None:
    assert DetachKey().feed(other) == (other, False)


@given(st.lists(st.binary(max_size=8)))
def test_everything_else_passes_byte_for_byte(chunks: list[bytes]) -> None:
    key = DetachKey("ctrl-q")
    for chunk in (chunk.replace(b"\x11", b"") for chunk in chunks):
        assert key.feed(chunk) == (chunk, False)


def test_inside_a_bracketed_paste_the_key_is_data() -> None:
    key = DetachKey()
    for chunk in (b"\x1b[20", b"0~a\x1db", b"\x1d", b"\x1b[201", b"~"):
        assert key.feed(chunk) == (chunk, False)
    assert key.feed(b"\x1d") == (b"", True)


@pytest.mark.parametrize(("name", "byte"), [("ctrl-a", 1), ("^Q", 17), ("C-\\", 28), ("ctrl-space", 0), ("Ctrl+_", 31)])
def test_names_of_keys(name: str, byte: int) -> None:
    assert DetachKey(name).feed(bytes([byte])) == (b"", True)


@pytest.mark.parametrize(
    "name", ["", "x", "ctrl-", "ctrl-é", "ctrl-m", "ctrl-[", "ctrl-i", "ctrl-ab", "ctrl-1", "\x1d"]
)
def test_what_cannot_be_a_detach_key_is_refused(name: str) -> None:
    with pytest.raises(UsageError):
        DetachKey(name)
