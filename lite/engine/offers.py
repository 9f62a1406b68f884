"""Waiting to be offered work: one wait at a time, and after each a claim."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection

from lite.aio.tasks import Job, spawn
from lite.engine.context import Context

_PATIENCE = 3  # offers in a row that brought nothing
_NAP_SECONDS = 0.05  # before the next wait, so that offers nobody can take are not passed round at full speed


class Offers:
    """The wait goes on while its worker claims for other reasons. `wake` is called when it is over."""

    def __init__(self, context: Context, wake: Callable[[], None]) -> None:
        self._context = context
        self._wake = wake
        self._job: Job | None = None
        self._agents: frozenset[str] = frozenset()
        self._vain = 0
        self.owed = False  # a wait has ended or was given up: a claim must follow, to pass on what we do not take

    def __repr__(self) -> str:
        return f"<Offers {'waiting' if self._job else 'not waiting'}{', a claim owed' if self.owed else ''}>"

    def settle(self) -> None:
        """Put away a wait that is over. Raises what it raised."""
        if self._job is not None and self._job.done():
            job, self._job = self._job, None
            job.result()

    def claimed(self, count: int) -> None:
        """A claim was carried out and brought `count` tasks."""
        self._vain = 0 if count else self._vain + self.owed
        self.owed = False

    async def want(self, agents: Collection[str] | None) -> bool:
        """Wait for work for these agents, or (None) for none. False: what was waited for until now was given up, a
        claim comes first."""
        wanted = frozenset(agents or ())
        if self._job is not None and not self._job.done() and (agents is None or wanted != self._agents):
            await self.drop()
            return False
        if self._job is None and agents is not None:
            self._agents = wanted
            self._job = spawn(self._ask(_NAP_SECONDS if self._vain >= _PATIENCE else 0), "offers")
        return True

    async def drop(self) -> None:
        """Give up waiting."""
        job, self._job = self._job, None
        if job is not None:
            job.cancel()
            await asyncio.gather(job, return_exceptions=True)

    async def _ask(self, nap: float) -> None:
        if nap:
            await self._context.clock.sleep(nap)
        try:
            await self._context.backend.offered(self._context.worker, self._agents)
        finally:
            self.owed = True
            self._wake()
