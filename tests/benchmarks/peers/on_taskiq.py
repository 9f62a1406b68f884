"""taskiq with taskiq-redis: results kept an hour, 100 tasks at once, 100 more fetched, parameters not validated.

On a list (a task taken and not ended is lost with its worker) or, asked with `--stream`, on a stream with
acknowledgement (what comes nearest to our promise).
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from measure import Told, main
from taskiq import TaskiqMessage, TaskiqMiddleware, TaskiqResult
from taskiq.api import run_receiver_task
from taskiq_redis import ListQueueBroker, RedisAsyncResultBackend, RedisStreamBroker


class _Stored(TaskiqMiddleware):
    def __init__(self, told: Told) -> None:
        super().__init__()
        self._told = told

    def post_save(self, message: TaskiqMessage, result: TaskiqResult[Any]) -> None:
        assert not result.is_err, result.error
        self._told.stored()


class Taskiq:
    def __init__(self, url: str, told: Told) -> None:
        broker = RedisStreamBroker(url) if "--stream" in sys.argv else ListQueueBroker(url)
        results: RedisAsyncResultBackend[Any] = RedisAsyncResultBackend(url, result_ex_time=3600)
        self._broker = broker.with_result_backend(results).with_middlewares(_Stored(told))
        self._job: asyncio.Task[None] | None = None

        async def noop() -> None:
            told.started()

        async def first() -> None:
            told.ended()
            await self.submit("noop")

        self._tasks = {
            "noop": self._broker.register_task(noop, task_name="noop"),
            "first": self._broker.register_task(first, task_name="first"),
        }

    async def open(self) -> None:
        await self._broker.startup()
        self._job = asyncio.create_task(run_receiver_task(self._broker, max_prefetch=100, validate_params=False))

    async def submit(self, task: str) -> None:
        await self._tasks[task].kiq()


if __name__ == "__main__":
    main(Taskiq)
