"""Text from an agent as safe lines that fit: wrapped at words as it comes, folded after so many lines."""

from __future__ import annotations

import re
from typing import NamedTuple

from lite.terminal.sanitize import safe

_SLICE = 512  # characters made safe at once: what is in them can cost the square of that
_LONGEST = 64 << 10  # characters of one block that are looked at
_ONE_LINE = 1024
_TOKENS = re.compile(r" +|[^ ]+")
_TAB = "    "


class Piece(NamedTuple):
    """Text of one look; newlines only at its end."""

    text: str
    tone: str


def cells(text: str) -> int:
    """The columns a terminal needs for it."""
    if text.isascii():
        return len(text)
    from wcwidth import wcwidth

    return sum(max(wcwidth(char), 0) for char in text)


def fitting(text: str, width: int) -> str:
    """The longest beginning that is not wider."""
    if text.isascii():
        return text[:width]
    from wcwidth import wcwidth

    used = 0
    for at, char in enumerate(text):
        used += max(wcwidth(char), 0)
        if used > width:
            return text[:at]
    return text


def clipped(text: str, width: int) -> str:
    """`text` in at most so many columns, with an ellipsis where something is missing."""
    return text if len(text) * 2 <= width or cells(text) <= width else fitting(text, max(width - 1, 0)) + "…"


def one_line(text: str, most: int = _ONE_LINE) -> str:
    """Safe, in one line. Cut first: nobody makes megabytes safe for the sake of a line."""
    found = " ".join(safe(text[:most]).split())
    return found + "…" if len(text) > most else found


def safe_part(text: str) -> str:
    """What belongs to one line, tabs as blanks."""
    if text.isascii() and text.isprintable():
        return text
    parts = [text[at : at + _SLICE] for at in range(0, len(text), _SLICE)]
    return "".join(_TAB.join(safe(piece) for piece in part.split("\t")) for part in parts)


class Block:
    """One text that may come in several parts. `width` None: lines stay as long as they are.

    `most` lines are shown, then how many more there are; `clip` cuts long lines instead of wrapping them."""

    def __init__(
        self,
        width: int | None,
        tone: str,
        *,
        margin: str = "",
        margin_tone: str = "dim",
        most: int,
        clip: int = 0,
        more: str = "",
    ) -> None:
        self._room = None if width is None else max(width - cells(margin), 8)
        self._tone = tone
        self._margin = Piece(margin, margin_tone)
        self._most = most
        self._clip = min(clip, self._room or clip)
        self._more = more
        self._seen = 0  # characters
        self._lines = 0  # begun
        self._column = -1  # of the open line; -1: none is open
        self._blanks = ""  # of the open line, not shown before another word follows
        self._word = ""  # may go on in the next part
        self._hidden_lines = self._hidden = 0
        self._uncounted = False  # there are lines nobody counted
        self._full = False
        self._out: list[Piece] = []

    @property
    def empty(self) -> bool:
        return self._lines == 0 and not self._word

    def write(self, text: str, *, cut: int = 0) -> list[Piece]:
        """The pieces to be shown now. `cut`: so many characters more are known of."""
        at = 0
        while at < len(text) and not self._full:
            end = text.find("\n", at, at + _LONGEST)
            stop = end if end >= 0 else min(len(text), at + _LONGEST)
            self._part(safe_part(text[at:stop].removesuffix("\r")))
            self._seen += stop - at
            at = stop
            if end >= 0:
                at += 1
                self._line_end()
            self._full = self._full or self._seen >= _LONGEST
        if at < len(text):
            self._hidden_lines += text.count("\n", at)
            self._hidden += len(text) - at
        self._hidden += cut
        self._uncounted = self._uncounted or cut > 0
        out, self._out = self._out, []
        return out

    def close(self) -> list[Piece]:
        """Ends an open line and tells what was left out."""
        self._flush()
        if self._column >= 0:
            self._newline()
        if self._hidden > 0:
            lines, more = self._hidden_lines, f" ({self._more})" if self._more else ""
            plus = "+" if self._uncounted else ""
            what = f"{lines + 1:,}{plus} more lines" if lines else f"{self._hidden:,} more characters"
            told = f"… {what}{more}"
            told = told if self._room is None else clipped(told, self._room)
            self._out += [self._margin, Piece(f"{told}\n", "dim")]
            self._hidden = 0
        out, self._out = self._out, []
        return out

    def _line_end(self) -> None:
        self._flush()
        if self._column >= 0 or self._begin():
            self._newline()
        else:
            self._hidden_lines += 1
            self._hidden += 1

    def _begin(self) -> bool:
        """Open a line. False: there are enough."""
        if self._lines >= self._most:
            self._full = True
            return False
        self._lines += 1
        self._column = 0
        if self._margin.text:
            self._out.append(self._margin)
        return True

    def _newline(self) -> None:
        self._out.append(Piece("\n", self._tone))
        self._column, self._blanks = -1, ""

    def _part(self, text: str) -> None:
        if self._clip:
            text = clipped(text, self._clip)
        if self._room is None or self._clip:
            if text and (self._column >= 0 or self._begin()):
                self._put(text, 0)
            elif text:
                self._hide(text)
            return
        text, self._word = self._word + text, ""
        for token in _TOKENS.findall(text):
            self._token(token)

    def _token(self, token: str) -> None:
        if token[0] == " ":
            self._flush()
            self._blanks += token
            return
        self._word = token
        if len(token) > 4 * (self._room or 0):
            self._flush()

    def _flush(self) -> None:
        """Show the word that was held back."""
        word, self._word = self._word, ""
        if not word:
            return
        assert self._room is not None
        need = cells(word)
        if self._column > 0 and self._column + len(self._blanks) + need > self._room:
            self._newline()
        while word:
            if self._column < 0 and not self._begin():
                self._hide(word)
                return
            blanks, self._blanks = self._blanks, ""
            blanks = blanks[: self._room // 2]
            fits = fitting(word, self._room - self._column - len(blanks)) or word[:1]
            self._put(blanks + fits, self._column + len(blanks) + cells(fits))
            word = word[len(fits) :]
            if word:
                self._newline()

    def _put(self, text: str, column: int) -> None:
        self._out.append(Piece(text, self._tone))
        self._column = column

    def _hide(self, text: str) -> None:
        self._hidden += len(text)
