"""saq: 20 jobs at once (more are slower: each waits on a connection of its own), results kept ten minutes (its
default)."""

from __future__ import annotations

import asyncio
from typing import Any

from measure import Told, main
from saq import Queue, Worker


class Saq:
    def __init__(self, url: str, told: Told) -> None:
        self._queue = Queue.from_url(url, max_concurrent_ops=100)
        self._told = told
        self._worker: Worker[Any] | None = None
        self._job: asyncio.Task[None] | None = None

    async def open(self) -> None:
        async def noop(_: Any) -> None:
            self._told.started()

        async def first(_: Any) -> None:
            self._told.ended()
            await self.submit("noop")

        async def stored(_: Any) -> None:
            self._told.stored()

        await self._queue.connect()
        self._worker = Worker(self._queue, [("noop", noop), ("first", first)], concurrency=20, after_process=stored)
        self._job = asyncio.create_task(self._worker.start())

    async def submit(self, task: str) -> None:
        await self._queue.enqueue(task)


if __name__ == "__main__":
    main(Saq)
