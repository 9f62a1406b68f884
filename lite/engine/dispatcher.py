"""Claims work when there is some and a slot is free, and runs it. Woken by the event log, by a freed slot, by time."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from lite.aio.probe import hit
from lite.aio.service import Service
from lite.aio.tasks import Job, Jobs
from lite.engine.context import Context
from lite.engine.judgement import Interruption
from lite.engine.runner import Runner
from lite.engine.sessions import Sessions
from lite.model.task import Claim, ClaimRequest, OutcomeKind, Reason


class Dispatcher:
    """The claim loop of one worker. `alone`: whatever makes work eligible happens in this process and says `wake`, so
    that a claim can join the very transaction which submits or ends a task; else the event log wakes it too."""

    def __init__(self, context: Context, sessions: Sessions, *, alone: bool = False) -> None:
        self._context = context
        self._alone = alone
        self._sessions = sessions
        self._runners = Jobs("runners")
        self._wake = asyncio.Event()
        self._claiming = asyncio.Lock()
        self.paused = False
        self.claimed = 0  # since the start, for the metrics
        self.service = Service("dispatch", self._loop)
        sessions.on_free = self.wake

    def __repr__(self) -> str:
        return f"<Dispatcher {len(self._sessions)}/{self._context.settings.slots}{' paused' if self.paused else ''}>"

    def wake(self) -> None:
        """Something makes work eligible, or frees a slot: now, or in a write that was just begun."""
        self._wake.set()

    def run(self, claim: Claim, *, adopted: bool = False) -> Runner:
        """Run a lease that was claimed or rescued."""
        runner = Runner(self._context, self._sessions, claim, adopted=adopted)
        self._sessions.add(runner)
        self._runners.spawn(self._run(runner), runner.session)
        return runner

    def served(self) -> Mapping[str, int | None]:
        """The agents this worker serves with their caps in the fleet."""
        return {name: agent.slots for name, agent in self._context.settings.agents.items()}

    async def drain(self, interruption: Interruption | None) -> None:
        """Claim nothing more; interrupt what runs, or (None) let go of it without touching it."""
        self.paused = True
        async with self._claiming:
            pass  # what was claimed has its runner now
        await self.service.stop()
        if interruption is None:
            await self._runners.cancel()
            return
        for runner in self._sessions.all():
            runner.interrupt(interruption)
        await self._runners.join()

    async def _run(self, runner: Runner) -> None:
        try:
            await runner.run()
        finally:
            self._sessions.remove(runner)

    async def _loop(self) -> None:
        jobs = Jobs("dispatch")
        try:
            if not self._alone:
                jobs.spawn(self._follow_events(), "follow events")
            alarm: tuple[int, Job] | None = None
            while True:
                self._wake.clear()
                async with self._claiming:
                    due = await self._claim()
                if alarm is not None and alarm[0] != due:
                    alarm[1].cancel()
                    alarm = None
                if due is not None and alarm is None:
                    alarm = due, jobs.spawn(self._wake_at(due), "alarm")
                await self._wake.wait()
        finally:
            await jobs.cancel()

    async def _claim(self) -> int | None:
        """Take what fits; when (ms) the next delayed task is due, None when none is, or no place is free."""
        context = self._context
        free = context.settings.slots - self._sessions.taken()
        if self.paused or free <= 0:
            return None
        now = context.clock.now()
        request = ClaimRequest(context.worker, free, self.served(), context.settings.lease_ms)
        for claim in await context.backend.claim(request, now=now):
            hit("dispatcher.claimed", task=claim.task.id)
            self.claimed += 1
            self.run(claim)
        return await context.backend.next_due(now)

    async def _wake_at(self, due: int) -> None:
        await self._context.sleep_until(due)
        self.wake()

    async def _follow_events(self) -> None:
        cursor = 0
        while True:
            cursor = await self._context.backend.wait(cursor)
            self._wake.set()


SHUTDOWN = Interruption(OutcomeKind.RESCHEDULED, Reason.SHUTDOWN, "the supervisor was told to stop")
