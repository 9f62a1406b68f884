"""Pieces as text for a terminal: the colours are those of the sixteen every terminal has."""

from __future__ import annotations

from collections.abc import Iterable

from lite.transcripts.flow import Piece

_CODES = {
    "dim": "2",
    "head": "1",
    "tool": "36",
    "result": "2",
    "ok": "32",
    "bad": "31",
    "warn": "33",
}


def painted(pieces: Iterable[Piece], *, colour: bool) -> str:
    if not colour:
        return "".join(piece.text for piece in pieces)
    shown = []
    for text, tone in pieces:
        code = _CODES.get(tone)
        body = text.rstrip("\n")
        shown.append(f"\x1b[{code}m{body}\x1b[0m{text[len(body) :]}" if code and body else text)
    return "".join(shown)
