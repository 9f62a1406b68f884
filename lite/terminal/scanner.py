"""One incremental scanner of terminal output, under two policies: `sanitize.SafeStream` and `passthrough.Passthrough`.

Bytes go in, cut anywhere; bytes come out in which every escape sequence is whole and was allowed. What a sequence
means for the outer terminal is decided by `control`, `escape`, `csi` and `string`, which return its replacement.
Memory is bounded: an overlong sequence is dropped while it arrives.
"""

from __future__ import annotations

import codecs
import re

MAX_CSI = 256
MAX_INTERMEDIATES = 8
MAX_STRING = 8192  # characters of an OSC, DCS, APC, PM or SOS that a policy may see; longer ones are dropped unseen

_BODY = f"[ -?]{{0,{MAX_CSI}}}"
_INTERMEDIATES = f"[ -/]{{0,{MAX_INTERMEDIATES}}}"
_STRING_END = "[\x07\x18\x1a\x1b\x9c]"
_STRINGS = frozenset("]PX^_k")
_C1_STRINGS = {"\x9d": "]", "\x90": "P", "\x98": "X", "\x9e": "^", "\x9f": "_"}


class Scanner:
    """Subclasses say which single characters need a look (`special`) and what becomes of each construct."""

    special = "\x1b\x80-\x9f"  # as inside the brackets of a regular expression
    longest_string: int | None = None  # after so many characters an unterminated string is given up

    def __init__(self) -> None:
        # compiled here, not at import: commands that only need `sanitize.safe` shall not pay for it
        self._special = re.compile(f"[{self.special}]")
        self._body, self._string_end = re.compile(_BODY), re.compile(_STRING_END)
        self._intermediates = re.compile(_INTERMEDIATES)
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._carry = ""  # an incomplete sequence
        self._string = ""  # the introducer of the string we are inside of, "" outside
        self._collected = ""
        self._length = 0

    @property
    def at_rest(self) -> bool:
        """Outside of any sequence and of any character."""
        return not self._carry and not self._string and not self._decoder.getstate()[0]

    def feed(self, data: bytes) -> bytes:
        """What may be shown of `data` and of what was held back before it."""
        return self._scan(self._decoder.decode(data)).encode("utf-8", "replace")

    def close(self) -> bytes:
        """The end of the stream: an unfinished character becomes U+FFFD, an unfinished sequence nothing."""
        rest = self._scan(self._decoder.decode(b"", True)).encode("utf-8", "replace")
        self._carry = self._string = self._collected = ""
        return rest

    # policy -------------------------------------------------------------------------------------------------------

    def control(self, char: str) -> str:
        """A character that `special` matches and that starts no sequence."""
        return ""

    def escape(self, intermediates: str, final: str) -> str:
        return ""

    def csi(self, body: str, final: str) -> str:
        return ""

    def string(self, kind: str, text: str) -> str:
        """`kind` is the character after ESC: `]` for OSC, `P` for DCS, `_` `^` `X` `k` for the others."""
        return ""

    # machine ------------------------------------------------------------------------------------------------------

    def _scan(self, chunk: str) -> str:
        if not self._carry and not self._string and self._special.search(chunk) is None:
            return chunk
        text, self._carry = self._carry + chunk, ""
        out: list[str] = []
        at, end = 0, len(text)
        while at < end:
            if self._string:
                at = self._in_string(text, at, out)
                continue
            found = self._special.search(text, at)
            if found is None:
                out.append(text[at:])
                break
            start = found.start()
            out.append(text[at:start])
            after = self._construct(text, start, out)
            if after is None:
                self._carry = text[start:]
                break
            at = after
        return "".join(out)

    def _construct(self, text: str, start: int, out: list[str]) -> int | None:
        """Handle the construct at `start`; where to go on, None when it is not complete yet."""
        char = text[start]
        if char == "\x9b":
            return self._csi(text, start + 1, out)
        if char in _C1_STRINGS:
            self._open(_C1_STRINGS[char])
            return start + 1
        if char != "\x1b":
            out.append(self.control(char))
            return start + 1
        if start + 1 == len(text):
            return None
        following = text[start + 1]
        if following == "[":
            return self._csi(text, start + 2, out)
        if following in _STRINGS:
            self._open(following)
            return start + 2
        found = self._intermediates.match(text, start + 1)
        stop = found.end() if found else start + 1
        if stop - start - 1 == MAX_INTERMEDIATES:
            return stop
        if stop == len(text):
            return None
        if not "0" <= text[stop] <= "~":
            return stop  # broken off by a control or another character, which then counts for itself
        out.append(self.escape(text[start + 1 : stop], text[stop]))
        return stop + 1

    def _csi(self, text: str, start: int, out: list[str]) -> int | None:
        found = self._body.match(text, start)
        stop = found.end() if found else start
        if stop - start == MAX_CSI:
            return stop
        if stop == len(text):
            return None
        if not "@" <= text[stop] <= "~":
            return stop
        out.append(self.csi(text[start:stop], text[stop]))
        return stop + 1

    def _open(self, kind: str) -> None:
        self._string, self._collected, self._length = kind, "", 0

    def _in_string(self, text: str, at: int, out: list[str]) -> int:
        found = self._string_end.search(text, at)
        stop = found.start() if found else len(text)
        limit = self.longest_string
        if limit is not None and self._length + stop - at > limit:
            stop = at + max(limit - self._length, 0)
            self._string = self._collected = ""
            return stop
        self._length += stop - at
        if len(self._collected) <= MAX_STRING:
            self._collected += text[at : min(stop, at + MAX_STRING + 1)]
        if found is None:
            return stop
        ender = text[stop]
        if ender == "\x07" and self._string != "]":
            self._length += 1
            return stop + 1  # BEL is data in all but OSC
        if ender == "\x1b":
            if stop + 1 == len(text):
                self._carry = ender
                return len(text)
            if text[stop + 1] != "\\":
                self._string = self._collected = ""  # cancelled by another sequence
                return stop
            stop += 1
        if ender in "\x07\x1b\x9c" and len(self._collected) <= MAX_STRING:
            out.append(self.string(self._string, self._collected))
        self._string = self._collected = ""
        return stop + 1
