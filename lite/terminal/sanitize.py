"""What may reach the user's terminal from names, messages and recorded output. A leaf, standard library only.

`safe` is for one-line values, `safe_text` for short texts of several lines, `SafeStream` for output as it arrives.
"""

from __future__ import annotations

import re

from lite.terminal.scanner import Scanner

# Characters that reorder, hide or fake text: bidi marks, embeddings and isolates, zero-width and other invisible ones.
_INVISIBLE = (
    "\u00ad\u034f\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff9-\ufffb"
    "\U0001d173-\U0001d17a\U000e0000-\U000e007f\ud800-\udfff"
)
_REPLACEMENT = "\ufffd"

_SEQUENCE = (
    "(?:\x1b\\[|\x9b)[0-?]*[ -/]*[@-~]?"
    "|(?:\x1b[\\]PX^_k]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\\\|\x9c)"
    "|\x1b[ -/]*[0-~]?"
)
_BLANK = "(?:\r\n|[\t\n\v\f\r\x85\u2028\u2029])"
_CONTROL = "[\x00-\x1f\x7f-\x9f]"
_HIDDEN = f"[{_INVISIBLE}]"
# Joiners belong to emoji and to some scripts; between Latin letters they only deceive.
_JOINER = "(?<![\u0300-\U0010ffff])[\u200c\u200d]|[\u200c\u200d](?![\u0300-\U0010ffff])"
_PRINTABLE_YET_INVISIBLE = frozenset("\u034f\u3164\uffa0")  # of those above, all others are not `isprintable`


def safe(text: str) -> str:
    """`text` as one harmless line: no escape sequence, no control; line ends and tabs become spaces, what would
    reorder or hide text becomes U+FFFD."""
    if text.isprintable() and (text.isascii() or _PRINTABLE_YET_INVISIBLE.isdisjoint(text)):
        return text
    text = re.sub(_BLANK, " ", re.sub(_SEQUENCE, "", text))
    text = re.sub(_HIDDEN, _REPLACEMENT, re.sub(_CONTROL, "", text))
    return re.sub(_JOINER, _REPLACEMENT, text)


def safe_text(text: str) -> str:
    """`text` as harmless lines: newlines and tabs stay, carriage returns before newlines go."""
    return "\n".join(safe_tabbed(line) for line in text.replace("\r\n", "\n").split("\n"))


def safe_tabbed(line: str) -> str:
    return "\t".join(safe(part) for part in line.split("\t"))


class SafeStream(Scanner):
    """Bytes in, harmless bytes out: text, tabs, newlines, carriage returns and, with `colour`, SGR.

    All else is dropped; invalid UTF-8 and invisible characters become U+FFFD. `close` resets the colours.
    """

    special = f"\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029{_INVISIBLE}"
    longest_string = 64 * 1024

    def __init__(self, *, colour: bool = True) -> None:
        super().__init__()
        self._colour = colour
        self._coloured = False

    def close(self) -> bytes:
        rest = super().close()
        if self._coloured:
            self._coloured = False
            rest += b"\x1b[0m"
        return rest

    def control(self, char: str) -> str:
        if char in "\u2028\u2029":
            return "\n"
        return "" if char < "\xa0" else _REPLACEMENT

    def csi(self, body: str, final: str) -> str:
        if final != "m" or not self._colour or body.strip("0123456789;:"):
            return ""
        self._coloured = body.strip("0") != ""
        return f"\x1b[{body}m"
