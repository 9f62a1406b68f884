"""What is sent for keys, pastes, the mouse and the focus."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lite.terminal.emulator import Modes
from lite.terminal.input import (
    Key,
    Mouse,
    encode_focus,
    encode_key,
    encode_mouse,
    encode_paste,
    from_textual_name,
)

PLAIN = Modes()
APPLICATION = Modes(application_cursor=True)
KITTY = Modes(kitty_flags=1)
ALL_KEYS = Modes(kitty_flags=1 | 4 | 8 | 16)
OTHER_KEYS = Modes(modify_other_keys=True)


def pressed(name: str, modes: Modes = PLAIN, character: str | None = None) -> bytes:
    key = from_textual_name(name, character)
    return b"" if key is None else encode_key(key, modes)


@pytest.mark.parametrize(
    ("name", "character", "sent"),
    [
        ("a", "a", b"a"),
        ("A", "A", b"A"),
        ("upper_a", None, b"A"),
        ("ä", "ä", "ä".encode()),
        ("full_stop", ".", b"."),
        ("full_stop", None, b"."),
        ("plus", "+", b"+"),
        ("space", " ", b" "),
        ("minus", None, b"-"),
        ("less_than_sign", None, b"<"),
        ("enter", "\r", b"\r"),
        ("tab", "\t", b"\t"),
        ("shift+tab", None, b"\x1b[Z"),
        ("escape", "\x1b", b"\x1b"),
        ("backspace", "\x7f", b"\x7f"),
        ("ctrl+backspace", None, b"\x08"),
        ("alt+backspace", None, b"\x1b\x7f"),
        ("alt+enter", None, b"\x1b\r"),
        ("delete", None, b"\x1b[3~"),
        ("shift+delete", None, b"\x1b[3;2~"),
        ("ctrl+c", "\x03", b"\x03"),
        ("ctrl+c", None, b"\x03"),
        ("ctrl+j", "\n", b"\n"),
        ("newline", None, b"\n"),
        ("ctrl+z", None, b"\x1a"),
        ("ctrl+@", "\x00", b"\x00"),
        ("ctrl+at", None, b"\x00"),
        ("ctrl+space", None, b"\x00"),
        ("ctrl+backslash", None, b"\x1c"),
        ("ctrl+right_square_bracket", None, b"\x1d"),
        ("ctrl+circumflex_accent", None, b"\x1e"),
        ("ctrl+underscore", None, b"\x1f"),
        ("ctrl+slash", None, b"\x1f"),
        ("ctrl+question_mark", None, b"\x7f"),
        ("alt+a", "a", b"\x1ba"),
        ("alt+shift+a", "A", b"\x1bA"),
        ("alt+ctrl+a", None, b"\x1b\x01"),
        ("up", None, b"\x1b[A"),
        ("shift+up", None, b"\x1b[1;2A"),
        ("ctrl+shift+left", None, b"\x1b[1;6D"),
        ("alt+right", None, b"\x1b[1;3C"),
        ("home", None, b"\x1b[H"),
        ("end", None, b"\x1b[F"),
        ("pageup", None, b"\x1b[5~"),
        ("ctrl+pagedown", None, b"\x1b[6;5~"),
        ("f1", None, b"\x1bOP"),
        ("shift+f1", None, b"\x1b[1;2P"),
        ("f5", None, b"\x1b[15~"),
        ("f12", None, b"\x1b[24~"),
        ("ctrl+f12", None, b"\x1b[24;5~"),
        ("f13", None, b"\x1b[25~"),
        ("<ignore>", "\x1b[whatever", b""),
        ("caps_lock", None, b""),
        ("left_shift", None, b""),
        ("ctrl+\x05", "\x05", b""),
    ],
)
def test_keys(name: str, character: str | None, sent: bytes) -> None:
    assert pressed(name, PLAIN, character) == sent


@pytest.mark.parametrize(
    ("modes", "name", "sent"),
    [
        (APPLICATION, "up", b"\x1bOA"),
        (APPLICATION, "home", b"\x1bOH"),
        (APPLICATION, "ctrl+up", b"\x1b[1;5A"),
        (APPLICATION, "pageup", b"\x1b[5~"),
        (KITTY, "a", b"a"),
        (KITTY, "A", b"A"),
        (KITTY, "up", b"\x1b[A"),
        (KITTY, "ctrl+up", b"\x1b[1;5A"),
        (KITTY, "escape", b"\x1b[27u"),
        (KITTY, "enter", b"\r"),
        (KITTY, "shift+enter", b"\x1b[13;2u"),
        (KITTY, "tab", b"\t"),
        (KITTY, "shift+tab", b"\x1b[9;2u"),
        (KITTY, "backspace", b"\x7f"),
        (KITTY, "ctrl+c", b"\x1b[99;5u"),
        (KITTY, "ctrl+space", b"\x1b[32;5u"),
        (KITTY, "alt+a", b"\x1b[97;3u"),
        (KITTY, "alt+shift+a", b"\x1b[97;4u"),
        (KITTY, "super+a", b"\x1b[97;9u"),
        (KITTY, "f1", b"\x1b[P"),
        (KITTY, "f3", b"\x1b[13~"),
        (KITTY, "ctrl+f3", b"\x1b[13;5~"),
        (KITTY, "f13", b"\x1b[57376u"),
        (KITTY, "caps_lock", b"\x1b[57358u"),
        (KITTY, "delete", b"\x1b[3~"),
        (ALL_KEYS, "a", b"\x1b[97;;97u"),
        (ALL_KEYS, "A", b"\x1b[97:65;2;65u"),
        (ALL_KEYS, "enter", b"\x1b[13u"),
        (ALL_KEYS, "ctrl+c", b"\x1b[99;5u"),
        (Modes(kitty_flags=2), "ctrl+c", b"\x03"),
        (OTHER_KEYS, "a", b"a"),
        (OTHER_KEYS, "ctrl+c", b"\x1b[27;5;99~"),
        (OTHER_KEYS, "alt+a", b"\x1b[27;3;97~"),
        (OTHER_KEYS, "shift+enter", b"\x1b[27;2;13~"),
        (OTHER_KEYS, "enter", b"\r"),
        (OTHER_KEYS, "shift+tab", b"\x1b[Z"),
        (OTHER_KEYS, "ctrl+tab", b"\x1b[27;5;9~"),
        (OTHER_KEYS, "up", b"\x1b[A"),
    ],
)
def test_keys_in_the_modes_a_program_chose(modes: Modes, name: str, sent: bytes) -> None:
    assert pressed(name, modes) == sent


SPECIAL = ("up", "home", "f1", "f3", "f12", "f20", "f24", "delete", "enter", "tab", "backspace", "escape", "space")
names = st.builds(
    lambda held, name: "+".join([*sorted(held), name]),
    st.sets(st.sampled_from(["ctrl", "alt", "shift", "super"])),
    st.one_of(
        st.sampled_from(SPECIAL),
        st.characters(categories=["L", "N"]),
        st.text(max_size=8),
    ),
)
one_sequence = re.compile(rb"\x1b\[[0-9;:]*[A-Za-z~]|\x1bO[A-Z]|\x1b?[\x00-\x1f\x7f]", re.DOTALL)


@given(
    name=names,
    character=st.none() | st.text(min_size=1, max_size=2),
    modes=st.builds(
        Modes, application_cursor=st.booleans(), kitty_flags=st.integers(0, 31), modify_other_keys=st.booleans()
    ),
)
def test_any_key_sends_one_sequence_or_text(name: str, character: str | None, modes: Modes) -> None:
    sent = pressed(name, modes, character)
    if sent and not one_sequence.fullmatch(sent):
        text = sent.removeprefix(b"\x1b").decode()
        assert text.isprintable()


@pytest.mark.parametrize(
    ("text", "sent"),
    [
        ("one\ntwo\r\nthree\rfour", b"one\rtwo\rthree\rfour"),
        ("tab\t漢", "tab\t漢".encode()),
        ("\x03\x1b[201~\x9brm\x7f", b"[201~rm"),
    ],
)
def test_a_paste_is_as_if_typed(text: str, sent: bytes) -> None:
    assert encode_paste(text, PLAIN) == sent


def test_a_bracketed_paste_keeps_its_lines() -> None:
    assert encode_paste("one\r\ntwo", Modes(bracketed_paste=True)) == b"\x1b[200~one\ntwo\x1b[201~"


@given(text=st.text(st.characters() | st.sampled_from("\x1b[201~\x9b\n")))
def test_nothing_in_a_paste_ends_it(text: str) -> None:
    sent = encode_paste(text, Modes(bracketed_paste=True))
    assert sent.startswith(b"\x1b[200~")
    assert sent.endswith(b"\x1b[201~")
    inside = sent[6:-6].decode()
    assert all(char in "\t\n" or not ("\x00" <= char < " " or "\x7f" <= char < "\xa0") for char in inside)


def mouse(encoding: str = "sgr", protocol: str = "any") -> Modes:
    return Modes(mouse=protocol, mouse_encoding=encoding)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("event", "sent"),
    [
        (Mouse("press", 1, 0, 0), b"\x1b[<0;1;1M"),
        (Mouse("release", 1, 4, 2), b"\x1b[<0;5;3m"),
        (Mouse("press", 2, 0, 0, ctrl=True), b"\x1b[<17;1;1M"),
        (Mouse("press", 3, 0, 0, shift=True, alt=True), b"\x1b[<14;1;1M"),
        (Mouse("move", 0, 9, 9), b"\x1b[<35;10;10M"),
        (Mouse("move", 1, 9, 9), b"\x1b[<32;10;10M"),
        (Mouse("press", 4, 0, 0), b"\x1b[<64;1;1M"),
        (Mouse("press", 5, 0, 0), b"\x1b[<65;1;1M"),
        (Mouse("press", 7, 0, 0), b"\x1b[<67;1;1M"),
        (Mouse("release", 4, 0, 0), b""),
        (Mouse("press", 0, 0, 0), b""),
        (Mouse("press", 1, -3, 5000), b"\x1b[<0;1;5001M"),
    ],
)
def test_mouse(event: Mouse, sent: bytes) -> None:
    assert encode_mouse(event, mouse()) == sent


@pytest.mark.parametrize(
    ("encoding", "event", "sent"),
    [
        ("legacy", Mouse("press", 1, 0, 0), b"\x1b[M !!"),
        ("legacy", Mouse("release", 1, 0, 0, ctrl=True), b"\x1b[M3!!"),
        ("legacy", Mouse("press", 1, 222, 0), b"\x1b[M \xff!"),
        ("legacy", Mouse("press", 1, 223, 0), b""),
        ("utf8", Mouse("press", 1, 223, 0), "\x1b[M \u0100!".encode()),
        ("utf8", Mouse("press", 1, 2015, 0), b""),
        ("urxvt", Mouse("press", 1, 300, 4), b"\x1b[32;301;5M"),
        ("urxvt", Mouse("release", 3, 0, 0), b"\x1b[35;1;1M"),
        ("sgr-pixels", Mouse("press", 1, 2, 3), b"\x1b[<0;17;49M"),
        ("sgr-pixels", Mouse("press", 1, 2, 3, pixel=(20, 50)), b"\x1b[<0;21;51M"),
    ],
)
def test_mouse_encodings(encoding: str, event: Mouse, sent: bytes) -> None:
    assert encode_mouse(event, mouse(encoding)) == sent


@pytest.mark.parametrize(
    ("protocol", "told"),
    [
        ("off", set()),
        ("x10", {"press"}),
        ("normal", {"press", "release", "wheel"}),
        ("button", {"press", "release", "wheel", "drag"}),
        ("any", {"press", "release", "wheel", "drag", "move"}),
    ],
)
def test_mouse_protocols(protocol: str, told: set[str]) -> None:
    events = {
        "press": Mouse("press", 1, 1, 1),
        "release": Mouse("release", 1, 1, 1),
        "wheel": Mouse("press", 4, 1, 1),
        "drag": Mouse("move", 1, 1, 1),
        "move": Mouse("move", 0, 1, 1),
    }
    assert {name for name, event in events.items() if encode_mouse(event, mouse(protocol=protocol))} == told


def test_x10_tells_no_modifiers() -> None:
    assert encode_mouse(Mouse("press", 1, 0, 0, ctrl=True, shift=True), mouse(protocol="x10")) == b"\x1b[<0;1;1M"


def test_the_wheel_scrolls_a_full_screen_program_that_does_not_know_the_mouse() -> None:
    up, down = Mouse("press", 4, 0, 0), Mouse("press", 5, 0, 0)
    modes = Modes(alternate=True, alternate_scroll=True)
    assert encode_mouse(up, modes) == b"\x1b[A" * 3
    assert encode_mouse(down, Modes(alternate=True, alternate_scroll=True, application_cursor=True)) == b"\x1bOB" * 3
    assert encode_mouse(up, Modes(alternate_scroll=True)) == b""
    assert encode_mouse(up, Modes(alternate=True)) == b""
    assert encode_mouse(Mouse("press", 1, 0, 0), modes) == b""


def test_focus() -> None:
    asked = Modes(focus_events=True)
    assert (encode_focus(True, asked), encode_focus(False, asked)) == (b"\x1b[I", b"\x1b[O")
    assert encode_focus(True, PLAIN) == b""


def test_a_key_without_a_name_for_the_terminal_sends_nothing() -> None:
    assert encode_key(Key("kp_begin"), PLAIN) == b""
    assert encode_key(Key("kp_begin"), KITTY) == b""
