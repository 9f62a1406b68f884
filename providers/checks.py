"""Checks that several providers make of a request."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from providers.base import Capabilities, Request
from providers.errors import InvalidRequest

Kinds = Mapping[str, type | tuple[type, ...]]


def check_mode(request: Request, capabilities: Capabilities, name: str) -> None:
    if request.mode not in capabilities.modes:
        can = " or ".join(capabilities.modes)
        raise InvalidRequest(f"{name} runs {can} only, not {request.mode}", hint=f"use mode: {can}", field="mode")


def check_text(text: str, field: str) -> None:
    """No program can be given a NUL."""
    if "\0" in text:
        raise InvalidRequest(f"{field} holds a NUL character", hint="remove it", field=field)


def check_argv(argv: Iterable[str]) -> None:
    for word in argv:
        check_text(word, "command")


def check_options(options: Mapping[str, Any], kinds: Kinds, name: str) -> None:
    """Every option must be known and of its kind."""
    for key, value in options.items():
        kind = kinds.get(key)
        if kind is None:
            known = ", ".join(sorted(kinds)) or "none"
            raise InvalidRequest(f"{name} has no option {key!r}", hint=f"its options: {known}", field=f"options.{key}")
        wanted = kind if isinstance(kind, tuple) else (kind,)
        if not isinstance(value, wanted) or (isinstance(value, bool) and bool not in wanted):
            words = " or ".join(one.__name__ for one in wanted)
            raise InvalidRequest(f"option {key!r} must be {words}, not {value!r}", field=f"options.{key}")
