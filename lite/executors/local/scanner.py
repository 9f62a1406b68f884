"""Finds in a program's output what a terminal must react to: queries, states, titles, clears, modes.

One regular expression over the whole chunk; text between sequences costs a memchr. What a read cut in two is kept, up
to a cap, and looked at again together with the next bytes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

MAX_STRING = 4096  # bytes of an OSC or DCS we look into; longer ones pass unseen

_SEQUENCE = re.compile(
    rb"\x1b(?:"
    rb"\[([<-?]?)([0-9;:]{0,32})([ -/]{0,2})([chJlnpqtu])"
    rb"|\]([0-9]{1,4});([^\x07\x1b]{0,%d})(\x07|\x1b\\)"
    rb"|P([+$]q)([^\x1b]{0,%d})\x1b\\"
    rb"|(c))" % (MAX_STRING, MAX_STRING)
)
_UNFINISHED = re.compile(
    rb"\x1b(?:\[[<-?]?[0-9;:]{0,32}[ -/]{0,2}|\](?:[0-9]{1,4}(?:;[^\x07\x1b]{0,%d}\x1b?)?)?"
    rb"|P(?:[+$](?:q[^\x1b]{0,%d}\x1b?)?)?)?\Z" % (MAX_STRING, MAX_STRING)
)
_LONGEST = MAX_STRING + 16


class Csi:
    """`ESC [ prefix params intermediates final`. `at` is the logical offset of its first byte."""

    __slots__ = ("at", "final", "intermediates", "params", "prefix")

    def __init__(self, at: int, prefix: bytes, params: bytes, intermediates: bytes, final: bytes) -> None:
        self.at, self.prefix, self.params, self.intermediates, self.final = at, prefix, params, intermediates, final


class Osc:
    """`ESC ] number ; text end`; `end` is BEL or ST as the program chose."""

    __slots__ = ("at", "end", "number", "text")

    def __init__(self, at: int, number: int, text: bytes, end: bytes) -> None:
        self.at, self.number, self.text, self.end = at, number, text, end


class Dcs:
    """`ESC P kind text ST`; `kind` is `+q` (XTGETTCAP) or `$q` (DECRQSS)."""

    __slots__ = ("at", "kind", "text")

    def __init__(self, at: int, kind: bytes, text: bytes) -> None:
        self.at, self.kind, self.text = at, kind, text


class Ris:
    """`ESC c`: everything is reset."""

    __slots__ = ("at",)

    def __init__(self, at: int) -> None:
        self.at = at


Sequence = Csi | Osc | Dcs | Ris


class Scanner:
    """Feed every byte in order; `offset` is the logical offset of the first byte of `data`. `carry` is what is kept."""

    def __init__(self) -> None:
        self.carry = b""

    def feed(self, data: bytes, offset: int) -> Iterator[Sequence]:
        if self.carry:
            data = self.carry + data
            offset -= len(self.carry)
            self.carry = b""
        elif b"\x1b" not in data:
            return
        end = 0
        for found in _SEQUENCE.finditer(data):
            end = found.end()
            at = offset + found.start()
            prefix, params, intermediates, final, number, text, ender, kind, request, ris = found.groups()
            if final:
                yield Csi(at, prefix, params, intermediates, final)
            elif number:
                yield Osc(at, int(number), text, ender)
            elif kind:
                yield Dcs(at, kind, request)
            elif ris:
                yield Ris(at)
        unfinished = _UNFINISHED.search(data, max(end, len(data) - _LONGEST))
        if unfinished:
            self.carry = unfinished.group()
