"""What a terminal sends for a key, a paste, the mouse and the focus, in the modes its program asked for. Pure.

Key names are those of Textual's key events ("up", "ctrl+c", "shift+tab", "f1", "full_stop"); Textual is not imported.
It does not tell the keypad's keys from the others, nor a release from a press: what those would be is never sent.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Literal, NamedTuple

from lite.terminal.emulator import Modes

_DISAMBIGUATE, _ALTERNATES, _ALL_KEYS, _TEXT = 1, 4, 8, 16  # kitty's flags; 2 is about releases and repeats
_SHIFT, _ALT, _CTRL, _SUPER = 1, 2, 4, 8

_LETTERS = {"up": "A", "down": "B", "right": "C", "left": "D", "home": "H", "end": "F"}
_LETTERS_F = {"f1": "P", "f2": "Q", "f3": "R", "f4": "S"}
_TILDES = {"insert": 2, "delete": 3, "pageup": 5, "pagedown": 6}
_TILDES |= {f"f{n}": code for n, code in zip(range(5, 13), (15, 17, 18, 19, 20, 21, 23, 24), strict=True)}
_TILDES_F = {f"f{n}": code for n, code in zip(range(13, 21), (25, 26, 28, 29, 31, 32, 33, 34), strict=True)}
_KITTY = {f"f{n}": 57376 + n - 13 for n in range(13, 36)}
_KITTY |= {"caps_lock": 57358, "scroll_lock": 57359, "num_lock": 57360, "print_screen": 57361, "pause": 57362}
_KITTY |= {"menu": 57363}
_BYTES = {"enter": 13, "tab": 9, "backspace": 127, "escape": 27}
_ALIASES = {"return": "enter", "newline": "ctrl+j", "page_up": "pageup", "page_down": "pagedown"}

_NAMES = {
    "slash": "/", "backslash": "\\", "at": "@", "minus": "-", "plus": "+", "underscore": "_", "space": " ",
    "circumflex_accent": "^", "left_square_brace": "[",
}  # fmt: skip
_CONTROLS = {"@": 0, " ": 0, "[": 27, "\\": 28, "]": 29, "^": 30, "_": 31, "/": 31, "?": 127}
_CONTROLS |= {"2": 0, "3": 27, "4": 28, "5": 29, "6": 30, "7": 31, "8": 127}

_NOT_PASTED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_CELL = (8, 16)  # pixels, where nobody knows better
_WHEEL_ROWS = 3


class Key(NamedTuple):
    """`name` is one of Textual's without modifiers, or the character; `character` what the key types without ctrl."""

    name: str
    character: str = ""
    ctrl: bool = False
    alt: bool = False
    shift: bool = False
    super: bool = False


class Mouse(NamedTuple):
    """`button`: 0 none, 1 left, 2 middle, 3 right, 4 to 7 the wheel up, down, left, right (press only)."""

    kind: Literal["press", "release", "move"]
    button: int
    x: int  # cells from 0
    y: int
    shift: bool = False
    alt: bool = False
    ctrl: bool = False
    pixel: tuple[int, int] | None = None  # from 0


def from_textual_name(key: str, character: str | None) -> Key | None:
    """The key of one of Textual's key events; None for what is no key ("<ignore>")."""
    key = _ALIASES.get(key, key)
    *tokens, name = key.split("+")
    if key.startswith("<") and len(key) > 1:
        return None
    ctrl, alt, shift = "ctrl" in tokens, "alt" in tokens, "shift" in tokens
    command = not {"super", "meta", "hyper"}.isdisjoint(tokens)
    name = _ALIASES.get(name, name)
    if name in _LETTERS or name in _LETTERS_F or name in _TILDES or name in _KITTY or name in _BYTES:
        return Key(name, "", ctrl, alt, shift, command)
    typed = character if character and character.isprintable() else ""
    if not typed:
        bare = name.removeprefix("upper_")
        typed = bare if len(bare) == 1 else _named(bare)
        if shift or name.startswith("upper_"):
            typed = typed.upper()
    return Key(name, typed, ctrl, alt, shift, command) if typed and typed.isprintable() else None


def _named(name: str) -> str:
    if name in _NAMES:
        return _NAMES[name]
    words = name.replace("_", " ").upper()
    for spelt in (
        words,
        "-".join(words.split(" ", 1)),
        words.replace(" SIGN", "-SIGN"),
        words.replace("THAN ", "-THAN "),
    ):
        try:
            return unicodedata.lookup(spelt)
        except KeyError:
            pass
    return ""


def encode_key(key: Key, modes: Modes) -> bytes:
    """Nothing for a key the program cannot be told of."""
    if modes.kitty_flags & (_DISAMBIGUATE | _ALL_KEYS):
        return _kitty(key, modes.kitty_flags).encode()
    held = _SHIFT * key.shift | _ALT * key.alt | _CTRL * key.ctrl
    name = key.name
    if name in _LETTERS or name in _LETTERS_F:
        letter = _LETTERS.get(name) or _LETTERS_F[name]
        if held:
            return f"\x1b[1;{held + 1}{letter}".encode()
        return f"\x1b{'O' if modes.application_cursor or name in _LETTERS_F else '['}{letter}".encode()
    tilde = _TILDES.get(name) or _TILDES_F.get(name)
    if tilde is not None:
        return (f"\x1b[{tilde};{held + 1}~" if held else f"\x1b[{tilde}~").encode()
    if name in _BYTES:
        return _special(name, held, modes.modify_other_keys)
    if not key.character:
        return b""
    if modes.modify_other_keys and held & (_CTRL | _ALT):
        return f"\x1b[27;{held + 1};{ord(_unshifted(key) if held & _CTRL else key.character[0])}~".encode()
    typed = key.character.encode("utf-8", "replace")
    if key.ctrl:
        typed = _control(key.character)
    return b"\x1b" + typed if key.alt else typed


def _special(name: str, held: int, modified: bool) -> bytes:
    """Enter, Tab, Backspace and Escape."""
    if name == "tab" and held == _SHIFT:
        return b"\x1b[Z"
    if modified and held:
        return f"\x1b[27;{held + 1};{_BYTES[name]}~".encode()
    byte = bytes([_BYTES[name]])
    if name == "backspace" and held & _CTRL:
        byte = b"\x08"
    if name == "tab" and held & _SHIFT:
        byte = b"\x1b[Z"
    return b"\x1b" + byte if held & _ALT else byte


def _control(character: str) -> bytes:
    char = character[0]
    if char.isascii() and char.isalpha():
        return bytes([ord(char.upper()) & 0x1F])
    code = _CONTROLS.get(char)
    return character.encode("utf-8", "replace") if code is None else bytes([code])


def _unshifted(key: Key) -> str:
    char = key.character[0]
    lower = char.lower()
    return lower if len(lower) == 1 else char


def _kitty(key: Key, flags: int) -> str:
    held = _SHIFT * key.shift | _ALT * key.alt | _CTRL * key.ctrl | _SUPER * key.super
    name = key.name
    modified = f";{held + 1}" if held else ""
    if name in _LETTERS or (name in _LETTERS_F and name != "f3"):
        return f"\x1b[{f'1{modified}' if held else ''}{_LETTERS.get(name) or _LETTERS_F[name]}"
    if name == "f3":
        return f"\x1b[13{modified}~"  # its letter is that of a cursor report
    if name in _TILDES:
        return f"\x1b[{_TILDES[name]}{modified}~"
    if name in _KITTY:
        return f"\x1b[{_KITTY[name]}{modified}u"
    if name in _BYTES:
        code = _BYTES[name]
        if name != "escape" and not held and not flags & _ALL_KEYS:
            return chr(code)
        return f"\x1b[{code}{modified}u"
    if not key.character:
        return ""
    if not flags & _ALL_KEYS and not held & ~_SHIFT:
        return key.character
    plain = _unshifted(key)
    if key.character != plain and len(key.character) == 1:
        held |= _SHIFT
    shifted = f":{ord(key.character[0])}" if flags & _ALTERNATES and held & _SHIFT and key.character[0] != plain else ""
    text = ""
    if flags & _ALL_KEYS and flags & _TEXT and not held & ~_SHIFT:
        text = ";" + ":".join(str(ord(char)) for char in key.character)
    modified = f";{held + 1}" if held else ";" if text else ""
    return f"\x1b[{ord(plain)}{shifted}{modified}{text}u"


def encode_paste(text: str, modes: Modes) -> bytes:
    """No control character but tabs and line ends gets through, so nothing in `text` can end the paste or be a key."""
    kept = _NOT_PASTED.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))
    if modes.bracketed_paste:
        return b"\x1b[200~" + kept.encode() + b"\x1b[201~"
    return kept.replace("\n", "\r").encode()


def encode_focus(focused: bool, modes: Modes) -> bytes:
    if not modes.focus_events:
        return b""
    return b"\x1b[I" if focused else b"\x1b[O"


def encode_mouse(event: Mouse, modes: Modes) -> bytes:
    """Nothing when the program did not ask for this, or cannot be told of a place so far right or down."""
    wheel = event.button >= 4
    if modes.mouse == "off":
        if wheel and event.button < 6 and event.kind == "press" and modes.alternate and modes.alternate_scroll:
            return encode_key(Key("up" if event.button == 4 else "down"), modes) * _WHEEL_ROWS
        return b""
    if not _wanted(event, modes, wheel):
        return b""
    code = (60 + event.button if wheel else event.button - 1) if event.button else 3
    if event.kind == "move":
        code += 32
    if modes.mouse != "x10":
        code += 4 * event.shift + 8 * event.alt + 16 * event.ctrl
    x, y = max(event.x, 0) + 1, max(event.y, 0) + 1
    if modes.mouse_encoding in ("sgr", "sgr-pixels"):
        if modes.mouse_encoding == "sgr-pixels":
            left, top = event.pixel or ((x - 1) * _CELL[0], (y - 1) * _CELL[1])
            x, y = max(left, 0) + 1, max(top, 0) + 1
        return f"\x1b[<{code};{x};{y}{'m' if event.kind == 'release' else 'M'}".encode()
    if event.kind == "release":
        code |= 3
    if modes.mouse_encoding == "urxvt":
        return f"\x1b[{code + 32};{x};{y}M".encode()
    if modes.mouse_encoding == "utf8":
        return b"" if max(x, y) > 2015 else b"\x1b[M" + "".join(chr(32 + n) for n in (code, x, y)).encode()
    return b"" if max(x, y) > 223 else b"\x1b[M" + bytes([32 + code, 32 + x, 32 + y])


def _wanted(event: Mouse, modes: Modes, wheel: bool) -> bool:
    if event.kind == "move":
        return modes.mouse == "any" or (modes.mouse == "button" and 1 <= event.button <= 3)
    if not 1 <= event.button <= 7 or (wheel and event.kind == "release"):
        return False
    return modes.mouse != "x10" or (event.kind == "press" and not wheel)
