"""One action on many tasks: a few calls at a time, and what became of each."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from lite.errors import QuarterdeckError

_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Report:
    """`refused`: (task id, why) in the order asked."""

    done: tuple[str, ...]
    refused: tuple[tuple[str, QuarterdeckError], ...]


async def act(call: Callable[[str], Awaitable[object]], tasks: Sequence[str]) -> Report:
    """Call for each task; one that is refused does not keep the others."""
    gate = asyncio.Semaphore(_AT_ONCE)

    async def one(task: str) -> QuarterdeckError | None:
        async with gate:
            try:
                await call(task)
            except QuarterdeckError as error:
                return error
        return None

    results = await asyncio.gather(*(one(task) for task in tasks))
    both = list(zip(tasks, results, strict=True))
    return Report(
        tuple(task for task, error in both if error is None),
        tuple((task, error) for task, error in both if error is not None),
    )
