"""How to start this very program again: nursery, daemon, scripted agent. A leaf.

One place decides, so that a frozen executable needs no other change.
"""

from __future__ import annotations

import os
import sys

EXECUTABLE = "QD_EXECUTABLE"  # set by the single file that started us: its own path
CACHE = "QD_CACHE_DIR"  # where that file may unpack itself


def self_command(*args: str) -> list[str]:
    """The argv that runs `qd ARGS...` with this interpreter (or this executable, when frozen)."""
    if getattr(sys, "frozen", False):
        return [_frozen(), *args]
    return [sys.executable, "-P", "-m", "lite", *args]


def _frozen() -> str:
    """The unpacked program, whatever has become of the file it came from; should somebody have emptied the cache, that
    file, which unpacks it again."""
    if not os.access(sys.executable, os.X_OK):
        file = os.environ.get(EXECUTABLE, "")
        if os.access(file, os.X_OK):
            return file
    return sys.executable
