"""A service: one duty of the engine with a beginning, a loop that is restarted when it fails, and an end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from lite.aio.tasks import Job, spawn
from lite.errors import BackendError

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ServiceHealth:
    """For `qd doctor` and `/health`."""

    name: str
    state: str  # "stopped", "running", "restarting"
    restarts: int
    last_error: str


class Service:
    """Runs `loop` until stopped; a failure is logged, remembered and answered by a restart with back-off, of at most
    `longest` seconds of `sleep`."""

    FIRST_DELAY, LONGEST_DELAY = 0.1, 30.0

    def __init__(
        self,
        name: str,
        loop: Callable[[], Awaitable[None]],
        *,
        longest: float = LONGEST_DELAY,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.name = name
        self._longest = longest
        self._sleep = sleep
        self.started = asyncio.Event()
        self._loop = loop
        self._job: Job | None = None
        self._state = "stopped"
        self._restarts = 0
        self._last_error = ""

    def __repr__(self) -> str:
        return f"<Service {self.name} {self._state}, {self._restarts} restarts>"

    def health(self) -> ServiceHealth:
        return ServiceHealth(self.name, self._state, self._restarts, self._last_error)

    async def start(self) -> None:
        if self._job is None:
            self._job = spawn(self._run(), self.name)
            await self.started.wait()

    async def stop(self) -> None:
        """Cancel the loop and wait for it; stopped already: no-op."""
        job, self._job = self._job, None
        if job is not None:
            job.cancel()
            await asyncio.gather(job, return_exceptions=True)
        self._state = "stopped"
        self.started.clear()

    async def _run(self) -> None:
        delay = self.FIRST_DELAY
        while True:
            self._state = "running"
            self.started.set()
            begun = asyncio.get_running_loop().time()
            try:
                await self._loop()
                return
            except asyncio.CancelledError:
                raise
            except BackendError as error:  # tells all there is to tell; may come again and again
                log.warning("service %s: %s", self.name, error)
                self._last_error = f"{type(error).__name__}: {error}"
            except Exception as error:
                log.exception("service %s failed", self.name)
                self._last_error = f"{type(error).__name__}: {error}"
            self._state = "restarting"
            self._restarts += 1
            if asyncio.get_running_loop().time() - begun > self._longest:
                delay = self.FIRST_DELAY
            await self._sleep(delay)
            delay = min(delay * 2, self._longest)
