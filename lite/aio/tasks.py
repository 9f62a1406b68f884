"""The only `create_task`. In this code "task" alone always means Quarterdeck's own; asyncio's are jobs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

log = logging.getLogger(__name__)

Job = asyncio.Task[Any]


class Jobs:
    """A group of jobs: kept alive, reported when they fail, ended together."""

    def __init__(self, name: str, on_error: Callable[[BaseException], None] | None = None) -> None:
        self.name = name
        self._jobs: set[Job] = set()
        self._on_error = on_error

    def __len__(self) -> int:
        return len(self._jobs)

    def __repr__(self) -> str:
        return f"<Jobs {self.name}: {sorted(job.get_name() for job in self._jobs)}>"

    def spawn(self, work: Coroutine[Any, Any, Any], name: str = "") -> Job:
        job = asyncio.get_running_loop().create_task(work, name=name or self.name)
        self._jobs.add(job)
        job.add_done_callback(self._done)
        return job

    async def cancel(self) -> None:
        """Cancel all and wait until they have ended."""
        while self._jobs:
            jobs = [job for job in self._jobs if job is not asyncio.current_task()]
            if not jobs:
                return
            for job in jobs:
                job.cancel()
            await asyncio.gather(*jobs, return_exceptions=True)
            # From Python 3.12 on this does not yield when all were done: do not wait for their callbacks.
            self._jobs.difference_update(jobs)

    async def join(self) -> None:
        """Wait until all have ended by themselves."""
        while self._jobs:
            done, _ = await asyncio.wait(set(self._jobs))
            self._jobs.difference_update(done)

    def _done(self, job: Job) -> None:
        self._jobs.discard(job)
        if job.cancelled():
            return
        error = job.exception()
        if error is not None:
            log.error("%s: %s failed", self.name, job.get_name(), exc_info=error)
            if self._on_error is not None:
                self._on_error(error)


def spawn(work: Coroutine[Any, Any, Any], name: str = "") -> Job:
    """A single job whose owner keeps and awaits it."""
    return asyncio.get_running_loop().create_task(work, name=name)
