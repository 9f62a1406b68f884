"""Claims work when there is some and a slot is free, and runs it. Woken by offers, by a freed slot, by time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import replace

from lite.aio.probe import hit
from lite.aio.service import Service
from lite.aio.tasks import Job, Jobs
from lite.engine.bounded import within
from lite.engine.context import Context
from lite.engine.judgement import Interruption
from lite.engine.offers import Offers
from lite.engine.runner import Runner
from lite.engine.sessions import Sessions
from lite.errors import BackendError
from lite.model.task import Claim, ClaimRequest, Lease, OutcomeKind, Reason, Renewal, State, TaskQuery

log = logging.getLogger(__name__)

_LONGEST_BACKOFF_SECONDS = 2.0
_PASS_ON_SECONDS = 2.0


class Dispatcher:
    """The claim loop of one worker. `alone`: whatever makes work eligible happens in this process and says `wake`, so
    that a claim can join the very transaction which submits or ends a task; else the backend offers it.

    `taking` is held while leases change hands, from the question to the runner.
    """

    def __init__(self, context: Context, sessions: Sessions, *, alone: bool = False) -> None:
        self._context = context
        self._alone = alone
        self._sessions = sessions
        self._runners = Jobs("runners")
        self._running: dict[Runner, Job] = {}
        self._wake = asyncio.Event()
        self._offers = Offers(context, self.wake)
        self._doubtful = False  # there may be leases of ours that nobody here runs
        self._afresh = False  # the wait for offers is to be begun anew
        self.taking = asyncio.Lock()
        self.paused = False
        self.claimed = 0  # since the start, for the metrics
        self.service = Service("dispatch", self._loop, longest=_LONGEST_BACKOFF_SECONDS, sleep=context.clock.sleep)
        sessions.on_free = self.wake

    def __repr__(self) -> str:
        return f"<Dispatcher {len(self._sessions)}/{self._context.settings.slots}{' paused' if self.paused else ''}>"

    def wake(self) -> None:
        """Something makes work eligible, or frees a slot: now, or in a write that was just begun."""
        self._wake.set()

    def registered(self) -> None:
        """The backend knows this worker (again), perhaps with other agents: what it was asked before may not count."""
        self._afresh = True
        self.wake()

    def doubt(self) -> None:
        """There may be leases of ours that nobody here runs: look for them before the next claim."""
        self._doubtful = True
        self.wake()

    def run(self, claim: Claim, *, adopted: bool = False) -> Runner:
        """Run a lease that was claimed or rescued. Should an earlier one of the same task still be at work here (the
        store may have lost its last moments), it is stopped first."""
        before = self._sessions.of_task(claim.task.id)
        runner = Runner(self._context, self._sessions, claim, adopted=adopted, fenced=not self._alone)
        self._sessions.add(runner)
        self._running[runner] = self._runners.spawn(self._run(runner, before, adopted), runner.session)
        return runner

    def served(self) -> Mapping[str, int | None]:
        """The agents this worker serves with their caps in the fleet, but for those whose account is held."""
        context, now = self._context, self._context.clock.now()
        agents = context.settings.agents.items()
        return {name: agent.slots for name, agent in agents if context.gate.on(agent, now, context.node) is None}

    async def drain(self, interruption: Interruption | None) -> None:
        """Claim nothing more; interrupt what runs, or (None) let go of it without touching it."""
        self.paused = True
        async with self.taking:
            pass  # what was claimed has its runner now
        await self.service.stop()
        await self._pass_on()
        if interruption is None:
            await self.let_go()
            return
        for runner in self._sessions.all():
            runner.interrupt(interruption)
        await self._runners.join()

    async def let_go(self) -> None:
        """Forget what runs, without touching it and without a word to the backend."""
        await self._runners.cancel()

    async def _run(self, runner: Runner, before: Runner | None, adopted: bool) -> None:
        try:
            if before is not None:
                await self._stop_lost(before)
            if not adopted:
                self._set_aside(runner)
            await runner.run()
        finally:
            self._running.pop(runner, None)
            self._sessions.remove(runner)
            if runner.lost:
                self.doubt()  # it may have run out without anybody taking it: then its end is still ours to tell

    async def _stop_lost(self, runner: Runner) -> None:
        job = self._running.get(runner)
        if job is None:
            return
        if not self._sessions.is_finishing(runner):
            log.warning("%s: claimed again while it runs here; stopped first", runner.session)
            runner.renewed(Renewal(runner.lease, lost=True))
        await asyncio.wait({job})

    def _set_aside(self, runner: Runner) -> None:
        """A store that lost its last moments gives an attempt's number a second time; what the first left behind (its
        output, how it ended) must not be taken for the second's."""
        directory = self._context.home.session(runner.session)
        if directory.is_dir():
            aside = directory.with_name(f"{directory.name}.{self._context.clock.now()}")
            log.warning("%s was here before; its files are now in %s", runner.session, aside.name)
            directory.rename(aside)

    async def _loop(self) -> None:
        jobs = Jobs("dispatch")
        try:
            alarm: tuple[int, Job] | None = None
            while True:
                self._wake.clear()
                if self._afresh:
                    self._afresh = False
                    await self._offers.drop()
                self._offers.settle()
                async with self.taking:
                    due = await self._claim()
                if alarm is not None and alarm[0] != due:
                    alarm[1].cancel()
                    alarm = None
                if due is not None and alarm is None:
                    alarm = due, jobs.spawn(self._wake_at(due), "alarm")
                waits = not (self._alone or self.paused) and self._free() > 0
                if await self._offers.want(self.served() if waits else None):
                    await self._wake.wait()
        finally:
            await self._offers.drop()
            await jobs.cancel()

    def _free(self) -> int:
        return self._context.settings.slots - self._sessions.taken()

    async def _claim(self) -> int | None:
        """Take what fits; when (ms) the next delayed task is due, None when none is, or no place is free."""
        context = self._context
        if self.paused or not (self._free() > 0 or self._offers.owed or self._doubtful):
            return None
        if self._doubtful:
            await self._find_unknown()
        free = max(self._free(), 0)
        now = context.clock.now()
        request = ClaimRequest(context.worker, free, self.served(), context.settings.lease_ms)
        self._doubtful = True
        claims = await context.backend.claim(request, now=now)
        self._doubtful = False
        self._offers.claimed(len(claims))
        for claim in claims:
            hit("dispatcher.claimed", task=claim.task.id)
            self.claimed += 1
            self.run(claim)
        if not free:
            return None
        due = await context.backend.next_due(now), context.gate.next_opening(now)
        return min((one for one in due if one is not None), default=None)

    async def _find_unknown(self) -> None:
        """Leases of ours that nobody here runs: the answer that told of them was lost on the way, or the runner gave up
        because it could not renew it, and nobody has taken it over since."""
        context = self._context
        mine = await context.backend.tasks(TaskQuery(states=(State.RUNNING,), worker=context.worker))
        unknown = {task.id: task for task in mine if task.lease is not None and self._is_new(task.lease)}
        leases = [task.lease for task in unknown.values() if task.lease is not None]
        if not leases:
            return
        ttl = context.settings.lease_ms
        for renewal in await context.backend.renew(leases, now=context.clock.now(), ttl_ms=ttl):
            if not renewal.lost and self._is_new(renewal.lease):
                task = unknown[renewal.lease.task]
                log.warning("%s: its lease %d was found to be ours", task.id, renewal.lease.token)
                self.run(Claim(replace(task, lease=renewal.lease), renewal.lease), adopted=bool(task.handle))

    def _is_new(self, lease: Lease) -> bool:
        runner = self._sessions.of_task(lease.task)
        return runner is None or runner.lease.token < lease.token

    async def _pass_on(self) -> None:
        """What was offered to us while we stopped is for others."""
        if not self._offers.owed:
            return
        context = self._context
        request = ClaimRequest(context.worker, 0, self.served(), context.settings.lease_ms)
        try:
            await within(context.clock, _PASS_ON_SECONDS, context.backend.claim(request, now=context.clock.now()))
        except (BackendError, TimeoutError) as error:
            log.info("offers not passed on: %s", error)

    async def _wake_at(self, due: int) -> None:
        await self._context.sleep_until(due)
        self.wake()


SHUTDOWN = Interruption(OutcomeKind.RESCHEDULED, Reason.SHUTDOWN, "the supervisor was told to stop")
