"""The one responder to terminal queries: constants, in the order of the questions, never a byte the program sent.

Programs that get no answer hang or lose features; two answers are typed into the prompt. So holders answer, whether
somebody watches or not, and clients never do.
"""

from __future__ import annotations

from lite.executors.local.scanner import Csi, Dcs, Osc, Sequence

_CELL_WIDTH, _CELL_HEIGHT = 8, 16  # pixels, as good as any
_FOREGROUND, _BACKGROUND, _CURSOR = "d0d0/d0d0/d0d0", "0000/0000/0000", "d0d0/d0d0/d0d0"
_BASE_COLOURS = (
    *("000000", "cd0000", "00cd00", "cdcd00", "0000ee", "cd00cd", "00cdcd", "e5e5e5"),
    *("7f7f7f", "ff0000", "00ff00", "ffff00", "5c5cff", "ff00ff", "00ffff", "ffffff"),
)
_STEPS = (0, 95, 135, 175, 215, 255)
# DECRQM: reported as set or reset; all others as not recognised. 2026 (synchronised output) makes agents flicker less.
_KNOWN_MODES = frozenset((1, 7, 25, 1000, 1002, 1003, 1006, 1049, 2004, 2026))


def answer(found: Sequence, cols: int, rows: int, modes: frozenset[int] | set[int]) -> bytes:
    """The reply to a query, b"" for what is none. `modes` are the private modes now set."""
    if isinstance(found, Csi):
        return _csi(found, cols, rows, modes)
    if isinstance(found, Osc):
        return _osc(found)
    if isinstance(found, Dcs):
        return b"\x1bP0+r\x1b\\" if found.kind == b"+q" else b"\x1bP0$r\x1b\\"
    return b""


def _csi(found: Csi, cols: int, rows: int, modes: frozenset[int] | set[int]) -> bytes:
    shape = (found.prefix, found.intermediates, found.final)
    params = found.params
    if found.final == b"c" and not found.intermediates and params in (b"", b"0"):
        return {b"": b"\x1b[?62;22c", b">": b"\x1b[>1;10;0c", b"=": b"\x1bP!|00000000\x1b\\"}.get(found.prefix, b"")
    if shape == (b"", b"", b"n"):
        return {b"5": b"\x1b[0n", b"6": b"\x1b[1;1R"}.get(params, b"")
    if shape == (b"?", b"", b"n"):
        return {b"6": b"\x1b[?1;1R", b"996": b"\x1b[?997;1n"}.get(params, b"")
    if shape == (b">", b"", b"q") and params in (b"", b"0"):
        return b"\x1bP>|quarterdeck\x1b\\"
    if shape == (b"?", b"", b"u") and not params:
        return b"\x1b[?0u"
    if found.intermediates == b"$" and found.final == b"p" and params.isdigit():
        mode = int(params)
        state = 0
        if found.prefix == b"?" and mode in _KNOWN_MODES:
            state = 1 if mode in modes else 2
        return b"\x1b[%s%d;%d$y" % (found.prefix[:1], mode, state)
    if shape == (b"", b"", b"t"):
        size = {
            b"14": (4, rows * _CELL_HEIGHT, cols * _CELL_WIDTH),
            b"16": (6, _CELL_HEIGHT, _CELL_WIDTH),
            b"18": (8, rows, cols),
        }.get(params)
        return b"\x1b[%d;%d;%dt" % size if size else b""
    return b""


def _osc(found: Osc) -> bytes:
    if found.number == 7501:
        return b"\x1b]7501;?\x1b\\" if found.text == b"?" else b""
    if found.number in (10, 11, 12) and found.text == b"?":
        colour = {10: _FOREGROUND, 11: _BACKGROUND, 12: _CURSOR}[found.number]
        return b"\x1b]%d;rgb:%s%s" % (found.number, colour.encode(), found.end)
    if found.number == 4:
        number, _, question = found.text.partition(b";")
        if question == b"?" and number.isdigit() and int(number) < 256:
            return b"\x1b]4;%d;rgb:%s%s" % (int(number), _palette(int(number)).encode(), found.end)
    return b""


def _palette(number: int) -> str:
    if number < 16:
        value = _BASE_COLOURS[number]
        parts = [value[0:2], value[2:4], value[4:6]]
    elif number < 232:
        number -= 16
        parts = [f"{_STEPS[number // 36]:02x}", f"{_STEPS[number // 6 % 6]:02x}", f"{_STEPS[number % 6]:02x}"]
    else:
        parts = [f"{8 + 10 * (number - 232):02x}"] * 3
    return "/".join(part * 2 for part in parts)
