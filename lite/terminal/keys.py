"""The detach key: read from its name, found in what the user types. A leaf, standard library only."""

from __future__ import annotations

import re

from lite.errors import UsageError

DEFAULT = "ctrl-]"
_NAME = re.compile(r"(?:ctrl[-+]|c-|\^)(space|.)\Z", re.IGNORECASE)
_TAKEN = {"i": "Tab", "j": "line feed", "m": "Enter", "[": "Esc"}
_PASTE_BEGINS, _PASTE_ENDS = b"\x1b[200~", b"\x1b[201~"
_LONGEST = 32  # bytes of the longest encoding of a key


class DetachKey:
    """Looks for one control key in the bytes a terminal sends, however the program has had keys encoded: as a control
    byte, or in the kitty or xterm (modifyOtherKeys) form. Everything else passes untouched and undelayed; inside a
    bracketed paste the key is data. The key itself cannot be sent: choose another one for that.
    """

    def __init__(self, name: str = DEFAULT) -> None:
        byte, char = _parse(name)
        self.name = name
        self._byte = bytes([byte])
        code = ord(char)
        # kitty: code[:shifted[:base]];modifiers[:event][;text]u; 64 and 128 are caps lock and num lock, event 1 a press
        forms = rb"\x1b\[%d(?::\d*){0,2};(?:5|69|133|197)(?::1)?(?:;[\d:]*)?u|\x1b\[27;5;%d~" % (code, code)
        self._pattern = re.compile(rb"%s|%s|\x1b\[20[01]~" % (re.escape(self._byte), forms))
        self._tail = b""
        self._pasting = False

    def __repr__(self) -> str:
        return f"<DetachKey {self.name}{', pasting' if self._pasting else ''}>"

    def feed(self, data: bytes) -> tuple[bytes, bool]:
        """(what to pass on, whether the key was pressed); after a press nothing more is passed on."""
        if not self._tail and self._byte not in data and b"\x1b" not in data:
            return data, False
        held = len(self._tail)
        window = self._tail + data
        for found in self._pattern.finditer(window):
            if found.end() <= held:
                continue
            if found[0] in (_PASTE_BEGINS, _PASTE_ENDS):
                self._pasting = found[0] == _PASTE_BEGINS
            elif not self._pasting:
                self._tail = b""
                return window[held : max(found.start(), held)], True
        # only the beginning of an encoded key is worth remembering
        at = window.rfind(b"\x1b", -_LONGEST)
        self._tail = b"" if at < 0 or self._pattern.match(window, at) else window[at:]
        return data, False


def _parse(name: str) -> tuple[int, str]:
    """(control byte, the key's character) of `ctrl-]`, `^]`, `c-a`, `ctrl-space`."""
    found = _NAME.match(name.strip())
    char = "" if found is None else found[1].lower()
    char = {"space": " ", "@": " "}.get(char, char)
    if char != " " and (len(char) != 1 or not ("a" <= char <= "z" or char in "[\\]^_")):
        raise UsageError(
            f"not a key that can detach: {name!r}", hint="for example ctrl-] or ctrl-q", place="--detach-key"
        )
    if char in _TAKEN:
        raise UsageError(f"{name} is the {_TAKEN[char]} key", hint="for example ctrl-] or ctrl-q", place="--detach-key")
    return (0 if char == " " else ord(char.upper()) & 0x1F), char
