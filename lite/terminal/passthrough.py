"""The filter between a live session and the user's own terminal: all of a program's screen, none of its tricks.

An allow-list. Dropped are: queries (the session's holder answers them; a second answer would be typed into the
program), the clipboard, notifications, window operations, printing, DCS and APC (tmux pass-through, images), terminal
settings that would outlive the session. What the program switched on is remembered, so that `reset` can undo it.
"""

from __future__ import annotations

import re

from lite.terminal.scanner import Scanner

_PLAIN_CSI = frozenset("@ABCDEFGHIJKLMPSTXZ`abdefgmrsu")
_OTHER_CSI = frozenset(
    (
        ">m",
        ">n",
        ">u",
        "<u",
        "=u",
        "?J",
        "?K",
        " q",
        "!p",
        " @",
        " A",
        '"q',
        "$r",
        "$t",
        "$v",
        "$x",
        "$z",
        "${",
        "'}",
        "'~",
    )
)
_SCREEN_MODES = (1, 5, 6, 7, 9, 12, 25, 45, 47, 66, 69, 1047, 1048, 1049, 2026, 2027)
_INPUT_MODES = (*range(1000, 1008), 1015, 1016, 1034, 1035, 1036, 1039, 2004)
_MODES = frozenset(map(str, _SCREEN_MODES + _INPUT_MODES))
_ANSI_MODES = frozenset(("4", "20"))
_ESCAPES = frozenset("78=>DEHMcNOno|}~")
_CHARSETS = frozenset("()*+-./")
_LINK = re.compile(r"8;[!-:<-~]*;(?:(?:https?|mailto):[!-~]*)?\Z", re.IGNORECASE)
_TITLE = re.compile(r"[012];")
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f]")

# Off, whatever was on: harmless where it never was.
_MOUSE_AND_PASTE = "".join(f"\x1b[?{mode}l" for mode in (9, *range(1000, 1007), 1015, 1016, 2004))
ALTERNATE = frozenset(("47", "1047", "1049"))


def split(body: str) -> tuple[str, str, str]:
    """(prefix, parameters, intermediates) of what stands between CSI and its final character"""
    core = body.rstrip(" !\"#$%&'()*+,-./")
    prefix = core[:1] if core[:1] in tuple("<=>?") else ""
    return prefix, core[len(prefix) :], body[len(core) :]


class Passthrough(Scanner):
    """Bytes of a session in, bytes for the outer terminal out. Whole sequences only: after any `feed` the terminal is
    not in the middle of one. With `own_title` the program's titles are dropped: the window's title is not its own."""

    special = "\x05\x1b\x80-\x9f"

    def __init__(self, *, own_title: bool = False) -> None:
        super().__init__()
        self._own_title = own_title
        self._on: dict[str, bool] = {}
        self._kitty = 0
        self._margins = self._shape = self._other_keys = self._insert = False
        self._link = ""  # the link that is open

    def feed(self, data: bytes) -> bytes:
        if data.isascii() and b"\x1b" not in data and b"\x05" not in data and self.at_rest:
            return data
        return super().feed(data)

    def reset(self) -> bytes:
        """What brings the outer terminal back to a shell's expectations."""
        on = self._on
        parts = ["\x1b[?2026l"]
        if self._link:
            parts.append("\x1b]8;;\x1b\\")
        if self._kitty:
            parts.append(f"\x1b[<{self._kitty}u")
        parts += [f"\x1b[?{mode}l" for mode in on if mode in ALTERNATE and on[mode]]
        if self._kitty:
            parts.append(f"\x1b[<{self._kitty}u\x1b[=0u")  # flags are kept for each of the two screens
        parts.append(_MOUSE_AND_PASTE)
        if self._other_keys:
            parts.append("\x1b[>4;0m")
        if on.get("6"):  # restoring the cursor would restore this mode too
            parts.append("\x1b[?69l\x1b[?6l\x1b[r\x1b[999;1H")
        elif self._margins or on.get("69"):
            parts.append("\x1b7\x1b[?69l\x1b[?6l\x1b[r\x1b8")
        parts += [f"\x1b[?{mode}l" for mode in ("5", "45", "66", "1007") if on.get(mode)]
        if self._insert:
            parts.append("\x1b[4l\x1b[20l")
        if self._shape:
            parts.append("\x1b[0 q")
        parts.append("\x1b[?1l\x1b>\x1b[?7h\x1b(B\x0f\x1b[0m\x1b[?25h")
        return "".join(parts).encode()

    def escape(self, intermediates: str, final: str) -> str:
        if not intermediates and final in _ESCAPES:
            if final == "c":
                self._on.clear()
            return f"\x1b{final}"
        if (len(intermediates) == 1 and intermediates in _CHARSETS) or (intermediates == "#" and final in "34568"):
            return f"\x1b{intermediates}{final}"
        return ""

    def csi(self, body: str, final: str) -> str:
        prefix, params, intermediates = split(body)
        if params.strip("0123456789;:"):
            return ""
        if final in "hl" and not intermediates and prefix in ("", "?"):
            return self._modes(prefix, params, final)
        if not prefix and not intermediates:
            if final not in _PLAIN_CSI or (final == "u" and params):
                return ""
            if final == "r":
                self._margins = True
        elif prefix + intermediates + final not in _OTHER_CSI:
            return ""
        elif final == "u":
            self._kitty_keys(prefix, params)
        elif prefix == ">":
            self._other_keys = True
        elif intermediates == " " and final == "q":
            self._shape = True
        return f"\x1b[{body}{final}"

    def string(self, kind: str, text: str) -> str:
        if kind != "]" or _UNPRINTABLE.search(text):
            return ""
        if _TITLE.match(text):
            return "" if self._own_title else f"\x1b]{text}\x1b\\"
        if _LINK.match(text):
            self._link = "" if text.endswith(";") else text
            return f"\x1b]{text}\x1b\\"
        return ""

    def _modes(self, prefix: str, params: str, final: str) -> str:
        allowed = _MODES if prefix else _ANSI_MODES
        kept = [mode for mode in params.split(";") if mode in allowed]
        if not kept:
            return ""
        if prefix:
            self._on.update(dict.fromkeys(kept, final == "h"))
        else:
            self._insert = True
        return f"\x1b[{prefix}{';'.join(kept)}{final}"

    def _kitty_keys(self, prefix: str, params: str) -> None:
        if prefix == ">":
            self._kitty += 1
        elif prefix == "=":
            self._kitty = max(self._kitty, 1)
