"""Orphans of our descendants fall to us instead of to init. Linux only."""

from __future__ import annotations

import sys
from collections.abc import Callable

_SET_NAME, _SET_CHILD_SUBREAPER = 15, 36
_prctl: Callable[..., int] | None = None


def load() -> None:
    """Before the first fork, so that holders share the memory."""
    global _prctl
    if not sys.platform.startswith("linux"):
        return
    try:
        import ctypes

        _prctl = ctypes.CDLL(None, use_errno=True).prctl
    except (ImportError, OSError, AttributeError):
        _prctl = None  # found by their environment instead


def become(name: str) -> bool:
    """True when this process now is a subreaper; `name` is what `ps` shows."""
    if _prctl is None:
        return False
    _prctl(_SET_NAME, name.encode()[:15], 0, 0, 0)
    return _prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0
