"""arq: asks every 5 ms instead of every 500 (it knows no other way to wait), 100 jobs at once, results kept an hour."""

from __future__ import annotations

import asyncio
from typing import Any

from arq import create_pool
from arq.connections import ArqRedis, RedisSettings
from arq.worker import Worker, func
from measure import Told, main


class Arq:
    def __init__(self, url: str, told: Told) -> None:
        self._settings = RedisSettings.from_dsn(url)
        self._told = told
        self._pool: ArqRedis | None = None
        self._worker: Worker | None = None
        self._job: asyncio.Task[None] | None = None

    async def open(self) -> None:
        self._pool = await create_pool(self._settings)

        async def noop(_: Any) -> None:
            self._told.started()

        async def first(_: Any) -> None:
            self._told.ended()
            await self.submit("noop")

        async def stored(_: Any) -> None:
            self._told.stored()

        self._worker = Worker(
            [func(noop, name="noop"), func(first, name="first")],
            redis_pool=self._pool,
            after_job_end=stored,
            poll_delay=0.005,
            max_jobs=100,
            log_results=False,
            handle_signals=False,
        )
        self._job = asyncio.create_task(self._worker.main())

    async def submit(self, task: str) -> None:
        assert self._pool is not None
        await self._pool.enqueue_job(task)


if __name__ == "__main__":
    main(Arq)
