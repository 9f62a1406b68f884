"""Times as the API writes them."""

from __future__ import annotations

import time


def seconds(at: float | None = None) -> str:
    """Of an object's field, UTC. `at`: seconds since the epoch."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))


def nanoseconds() -> str:
    """Of a record of a log; always of one width, so that they sort as text."""
    now = time.time_ns()
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now // 10**9)) + f".{now % 10**9:09d}Z"
