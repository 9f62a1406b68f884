"""Waiting for an answer, but not for ever: time-outs by the engine's own clock."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from lite.aio.tasks import spawn
from lite.ports import Clock

Answer = TypeVar("Answer")


async def within(clock: Clock, seconds: float, work: Coroutine[Any, Any, Answer]) -> Answer:
    """What `work` returns or raises; `TimeoutError` after `seconds`, when it is cancelled."""
    asked: asyncio.Task[Answer] = spawn(work, "bounded work")
    alarm = spawn(clock.sleep(seconds), "time-out")
    try:
        await asyncio.wait({asked, alarm}, return_when=asyncio.FIRST_COMPLETED)
        if not asked.done():
            raise TimeoutError(f"no answer within {seconds:g} s")
    finally:
        asked.cancel()
        alarm.cancel()
        await asyncio.gather(asked, alarm, return_exceptions=True)
    return asked.result()
