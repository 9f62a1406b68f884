"""How a secret may look in what a program prints: as it is, on a terminal, in base64, in a URL, in JSON."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from urllib.parse import quote, quote_plus

from lite.model.settings import SHORTEST_HIDDEN

_LINE = 16  # bytes of a line that is worth hiding by itself


def forms(values: Iterable[str]) -> tuple[bytes, ...]:
    """All that is to be hidden for these secrets, longest first. Those too short bring nothing."""
    found: dict[bytes, None] = {}
    for value in values:
        text = value.strip()
        if len(text.encode()) >= SHORTEST_HIDDEN:
            found.update(dict.fromkeys(_forms(text)))
    return tuple(sorted(found, key=len, reverse=True))


def _forms(text: str) -> Iterable[bytes]:
    raw = text.encode()
    yield raw
    for line in text.splitlines():  # one by one, for programs that number, indent or wrap them
        if len(line.strip().encode()) >= _LINE:
            yield line.strip().encode()
    yield raw.replace(b"\n", b"\r\n")  # a terminal's own doing
    for written in (quote(text, safe=""), quote(text), quote_plus(text)):
        yield written.encode()
        yield _lower_escapes(written).encode()
    for ascii_only in (True, False):
        yield json.dumps(text, ensure_ascii=ascii_only)[1:-1].encode()
    yield from _base64(raw)


def _base64(raw: bytes) -> Iterable[bytes]:
    """Of the secret alone and of anything it is a part of: three ways to fall into groups of three bytes. What depends
    on its neighbours is left out at both ends."""
    whole = base64.b64encode(raw).rstrip(b"=")
    shifted = []
    for shift in range(3):
        coded = base64.b64encode(b"\0" * shift + raw).rstrip(b"=")
        inner = coded[(shift * 8 + 5) // 6 : (shift + len(raw)) * 8 // 6]
        if len(inner) >= SHORTEST_HIDDEN:
            shifted.append(inner)
    lines = [line for line in base64.encodebytes(raw).splitlines() if len(line) >= _LINE]  # as `base64` wraps it
    for coded in (whole, *shifted, *(lines if len(lines) > 1 else ())):
        yield coded
        yield coded.replace(b"+", b"-").replace(b"/", b"_")


def _lower_escapes(written: str) -> str:
    """`%2F` as `%2f`."""
    first, *rest = written.split("%")
    return first + "".join(f"%{part[:2].lower()}{part[2:]}" for part in rest)
