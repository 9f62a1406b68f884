"""How to start this very program again: nursery, daemon, scripted agent. A leaf.

One place decides, so that a frozen executable needs no other change.
"""

from __future__ import annotations

import sys


def self_command(*args: str) -> list[str]:
    """The argv that runs `qd ARGS...` with this interpreter (or this executable, when frozen)."""
    if getattr(sys, "frozen", False):
        return [sys.executable, *args]
    return [sys.executable, "-P", "-m", "lite", *args]
