"""Identifiers: lowercase ULIDs made by the caller, so that a command may be repeated safely."""

from __future__ import annotations

import random
import re
import threading
import time

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
ID = re.compile(r"[0-7][0-9a-hjkmnp-tv-z]{25}\Z")
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}\Z")

_lock = threading.Lock()
_PAIRS = tuple(a + b for a in _ALPHABET for b in _ALPHABET)
_random = random.Random()  # seeded by the system; ids are unique, not secret
_last = (0, 0)


def new_id(now_ms: int | None = None) -> str:
    """A new lowercase ULID: 48 bits of time in ms, 80 random bits, increasing within this process."""
    global _last
    stamp = int(time.time() * 1000) if now_ms is None else now_ms
    with _lock:
        tail = _random.getrandbits(79)
        if stamp <= _last[0]:
            # a random step, so that ids of one moment do not share all but their last characters: people type prefixes
            stamp, tail = _last[0], _last[1] + 1 + _random.getrandbits(63)
        _last = (stamp, tail)
    value = (stamp << 80) | tail
    return "".join([_PAIRS[(value >> shift) & 1023] for shift in range(120, -1, -10)])
