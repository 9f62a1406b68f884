"""Awaitable probes: named points in the program a test can wait for. Inert (one dict look-up) in production."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from typing import Any

_watchers: dict[str, list[Callable[[dict[str, Any]], None]]] = {}
_failpoint = os.environ.get("QD_FAILPOINT", "")


def hit(name: str, **data: Any) -> None:
    """Mark that the program has reached `name`. With `QD_FAILPOINT=name[:n]` in the environment the process kills
    itself with SIGKILL the n-th time (default 1st): how the fault sweeps stop a supervisor at an exact step."""
    if _failpoint:
        _fail(name)
    for watcher in _watchers.get(name, ()):
        watcher(data)


def watch(name: str, watcher: Callable[[dict[str, Any]], None]) -> Callable[[], None]:
    """Call `watcher` at every hit; returns the undo."""
    _watchers.setdefault(name, []).append(watcher)
    return lambda: _watchers[name].remove(watcher)


async def reached(name: str, *, timeout: float = 30.0) -> dict[str, Any]:
    """Wait for the next hit of `name`."""
    future: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
    undo = watch(name, lambda data: None if future.done() else future.set_result(data))
    try:
        return await asyncio.wait_for(future, timeout)
    finally:
        undo()


_hits: dict[str, int] = {}


def _fail(name: str) -> None:
    wanted, _, count = _failpoint.partition(":")
    if name == wanted:
        _hits[name] = _hits.get(name, 0) + 1
        if _hits[name] == int(count or 1):
            os.kill(os.getpid(), signal.SIGKILL)
