"""The worker protocol for those who do not reach the backend: a worker's whole life, through this supervisor.

Who registers is given a token, and shows it with everything it asks; the backend's row keeps its hash only, so that any
supervisor of the fleet knows the worker again. Its leases are like all others: fenced, renewed, rescued when they run
out. What it says of a lease counts only if that lease is its own, whatever number it may have guessed.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import secrets
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from lite.aio.tasks import spawn
from lite.engine.accounting import accounted
from lite.engine.supervisor import Supervisor
from lite.errors import IllegalState, InvalidTask, LeaseLost, NotFound, UsageError, WrongToken
from lite.model.session import session_id
from lite.model.task import (
    Claim,
    ClaimRequest,
    Lease,
    Outcome,
    OutcomeKind,
    Progress,
    Reason,
    Renewal,
    State,
    Task,
    TaskQuery,
)
from lite.model.worker import Worker, WorkerState
from lite.rules.prompt import render_prompt
from lite.rules.retry import backoff

log = logging.getLogger(__name__)

MAX_WORKERS = 1000  # registered; each costs a row that every look at the fleet reads
LONGEST_WAIT_MS = 30_000
_HANDLE = "worker:"  # what such a worker calls its session by: no executor of ours has this name, so none ever reads it
_PATIENCE = 3  # offers in a row that brought nothing
_NAP_SECONDS = 0.05  # before the next wait then, so that a busy fleet is not asked at every commit


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a worker asks for. `agents` narrow those it has registered (None: all), each with the most that may run in
    the whole fleet (None: no limit but the configured one). `ttl_ms` None: the worker's."""

    limit: int = 1
    agents: Mapping[str, int | None] | None = None
    ttl_ms: int | None = None
    wait_ms: int = 0


@dataclass(frozen=True, slots=True)
class Handed:
    """A lease, and what it takes to run the attempt: the prompt with its needs' outputs filled in, those outputs by
    name, the task's environment with `QD_*`. `handle` is what the worker recorded, "" when nothing."""

    task: Task
    lease: Lease
    prompt: str
    env: Mapping[str, str]
    needs: Mapping[str, str | None]
    model: str
    handle: str


class WorkerOperations:
    """All but `register` raise `NotFound` for a worker that is not registered (any more) and `WrongToken`."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._context = supervisor.context
        self._backend = supervisor.context.backend
        self._registering = asyncio.Lock()
        self._turns: dict[str, _Turn] = {}

    def __repr__(self) -> str:
        return f"<WorkerOperations {len(self._turns)} asking>"

    # the worker

    async def register(self, worker: Worker, token: str) -> tuple[Worker, str]:
        """The row, and the token to show from now on: `token` if it is that of the worker of this id. Raises
        `IllegalState` when that one is alive and another's."""
        async with self._registering:
            rows = {one.id: one for one in await self._backend.workers()}
            known = rows.get(worker.id)
            if known is None and len(rows) >= MAX_WORKERS:
                raise IllegalState(f"{MAX_WORKERS} workers are registered already", hint="qd workers")
            if known is None or not _proves(token, known):
                if known is not None:
                    self._refuse_living(known)
                token = secrets.token_urlsafe(32)
            row = await self._backend.register(replace(worker, access=_hashed(token)), now=self._context.clock.now())
        return row, token

    async def heartbeat(self, worker: str, token: str, load: float) -> Worker:
        await self._proven(worker, token)
        return await self._backend.heartbeat(worker, now=self._context.clock.now(), load=load)

    async def leave(self, worker: str, token: str) -> Worker:
        """It is forgotten; what it still holds is rescued once its leases have run out."""
        row = await self._proven(worker, token)
        self._supervisor.dispatcher.wake()
        await self._backend.deregister(worker, now=self._context.clock.now(), reason="stopped")
        return row

    # its leases

    async def claim(
        self, worker: str, token: str, wanted: Wanted, *, gone: asyncio.Event, closing: asyncio.Event
    ) -> Sequence[Handed]:
        """Up to `wanted.limit` tasks, no more than it has slots free; a sign of life too. With nothing to take it waits
        for `wanted.wait_ms`, half of the worker's own ttl at most. `gone`: nobody waits for the answer any more, so
        nothing is taken; `closing`: answer now. A worker that asks again ends its wait from before."""
        row = await self._proven(worker, token)
        served = self._served(row, wanted.agents)
        turn, before = _Turn(), self._turns.get(worker)
        self._turns[worker] = turn
        try:
            if before is not None:
                before.over.set()
                await before.ended.wait()
            return await self._claim(row, served, wanted, gone, (gone, closing, turn.over))
        finally:
            turn.ended.set()
            if self._turns.get(worker) is turn:
                del self._turns[worker]

    async def leases(self, worker: str, token: str) -> Sequence[Handed]:
        """All that it holds: whose answer was lost on its way, and what it held before it died."""
        await self._proven(worker, token)
        tasks = await self._backend.tasks(TaskQuery(states=(State.RUNNING,), worker=worker))
        return [await self._handed(task, task.lease) for task in tasks if task.lease is not None]

    async def renew(
        self, worker: str, token: str, leases: Sequence[tuple[str, int]], ttl_ms: int | None
    ) -> Sequence[Renewal]:
        """`leases` are (task, token). In the order asked; one that is not (or no longer) its own is lost."""
        row = await self._proven(worker, token)
        held = await self._held(worker, leases)
        mine = [task.lease for task in held if task is not None and task.lease is not None]
        ttl = ttl_ms or row.ttl_ms
        renewed = {
            (one.lease.task, one.lease.token): one
            for one in await self._backend.renew(mine, now=self._context.clock.now(), ttl_ms=ttl)
        }
        self._supervisor.sessions.fenced_writes += len(leases) - len(mine)
        return [renewed.get(one) or Renewal(Lease(one[0], 0, one[1], worker, 0), lost=True) for one in leases]

    async def record(self, worker: str, token: str, lease: tuple[str, int], progress: Progress) -> Task:
        """Raises `LeaseLost`."""
        await self._proven(worker, token)
        task, held = await self._one(worker, lease)
        if progress.handle is not None:
            progress = replace(progress, handle=_HANDLE + progress.handle)
        if progress.waiting is not None:
            name = f"{session_id(task.id, held.attempt)}-{progress.waiting.hash[:8]}"
            progress = replace(progress, waiting=replace(progress.waiting, id=name))
        return await self._backend.record(held, progress, now=self._context.clock.now())

    async def finish(self, worker: str, token: str, lease: tuple[str, int], outcome: Outcome, delay_ms: int) -> Task:
        """The attempt's one outcome; `delay_ms` parks one that is rescheduled. Raises `LeaseLost`, also when it was
        finished already, and `OutputTooLarge`, changing nothing."""
        await self._proven(worker, token)
        task, held = await self._one(worker, lease)
        if outcome.kind is OutcomeKind.RESCHEDULED and delay_ms:
            outcome = replace(outcome, until=self._context.clock.now() + delay_ms)
        return await self._end(task, held, outcome)

    # inside

    async def _claim(
        self,
        row: Worker,
        served: Mapping[str, int | None],
        wanted: Wanted,
        gone: asyncio.Event,
        ends: Collection[asyncio.Event],
    ) -> Sequence[Handed]:
        clock = self._context.clock
        row = await self._backend.heartbeat(row.id, now=clock.now(), load=row.load)
        free = max(min(wanted.limit, row.slots - len(row.running)), 0)
        until = clock.monotonic() + min(wanted.wait_ms, LONGEST_WAIT_MS, row.ttl_ms // 2) / 1000
        vain = 0
        while True:
            over = self._supervisor.stopping or any(one.is_set() for one in ends)
            request = ClaimRequest(row.id, 0 if over else free, served, wanted.ttl_ms or row.ttl_ms)
            now = clock.now()
            claims = await self._backend.claim(request, now=now)  # however little we want: it answers the offers
            if gone.is_set():
                await self._give_back(claims)
                return []
            handed = [one for claim in claims if (one := await self._handed_out(claim)) is not None]
            left = until - clock.monotonic()
            if handed or over or left <= 0:
                return handed
            due = await self._backend.next_due(now) if free else None
            if due is not None:
                left = min(left, max(due - now, 1) / 1000)
            if vain >= _PATIENCE:
                await clock.sleep(min(_NAP_SECONDS, left))
            vain += 1
            await self._wait(row.id, served if free else None, left, ends)

    async def _wait(
        self, worker: str, agents: Collection[str] | None, seconds: float, ends: Collection[asyncio.Event]
    ) -> None:
        """Until something may be claimable, one of `ends` is set, or it has lasted for `seconds`."""
        others = [
            spawn(self._context.clock.sleep(seconds), "patience"),
            *(spawn(one.wait(), "end of a claim") for one in ends),
        ]
        offered = [] if agents is None else [spawn(self._backend.offered(worker, agents), "offers")]
        try:
            await asyncio.wait({*offered, *others}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for job in (*offered, *others):
                job.cancel()
            answers = await asyncio.gather(*offered, *others, return_exceptions=True)
        if offered and isinstance(answers[0], Exception):
            raise answers[0]

    def _served(self, row: Worker, asked: Mapping[str, int | None] | None) -> Mapping[str, int | None]:
        """With caps: the smaller one of what we have configured and what it says."""
        if asked is None:
            asked = dict.fromkeys(row.agents)
        strange = next((name for name in asked if name not in row.agents), None)
        if strange is not None:
            raise UsageError(f"worker {row.id} has not registered agent {strange!r}", place="agents")
        served: dict[str, int | None] = {}
        for name, cap in asked.items():
            agent = self._context.settings.agents.get(name)
            if self._context.gate.on(agent, self._context.clock.now(), row.node) is not None:
                continue
            caps = [one for one in (cap, agent.slots if agent else None) if one is not None]
            served[name] = min(caps, default=None)
        return served

    async def _handed_out(self, claim: Claim) -> Handed | None:
        """None: it cannot be run by anybody, and has ended."""
        try:
            return await self._handed(claim.task, claim.lease)
        except InvalidTask as error:
            await self._end(claim.task, claim.lease, Outcome(OutcomeKind.FAILED, Reason.LAUNCH, str(error)))
            return None

    async def _handed(self, task: Task, lease: Lease) -> Handed:
        spec = task.spec
        needed = await self._backend.tasks(TaskQuery(ids=spec.needs)) if spec.needs else ()
        outputs = {one.spec.name: one.output for one in needed}
        own = {
            "QD_TASK": task.id,
            "QD_ATTEMPT": str(lease.attempt),
            "QD_SESSION": session_id(task.id, lease.attempt),
            "QD_IDEMPOTENCY_KEY": spec.key or task.id,
        }
        return Handed(
            task,
            lease,
            render_prompt(spec.prompt, outputs),
            {**spec.env, **own},
            outputs,
            self._context.agent(spec.agent, spec.provider).model,
            task.handle.removeprefix(_HANDLE),
        )

    async def _give_back(self, claims: Sequence[Claim]) -> None:
        """What nobody was told of is for others, at once."""
        why = Outcome(OutcomeKind.RESCHEDULED, Reason.LOST, "the worker that asked for it had hung up")
        for claim in claims:
            log.info("%s: given back, worker %s had hung up", claim.task.id, claim.lease.worker)
            try:
                await self._end(claim.task, claim.lease, why)
            except LeaseLost:
                pass  # its worker found it already

    async def _end(self, task: Task, lease: Lease, outcome: Outcome) -> Task:
        usage = accounted(self._context, task.spec, outcome.usage, ran=bool(task.handle))
        outcome = replace(outcome, usage=usage)
        delay = 0
        if outcome.kind in (OutcomeKind.FAILED, OutcomeKind.UNEXECUTABLE):
            count = task.failures + 1 if outcome.kind is OutcomeKind.FAILED else task.faults + 1
            delay = backoff(count, self._context.settings.retry, self._context.random.uniform(-1, 1))
        self._supervisor.dispatcher.wake()  # what it frees may go in the same commit
        return await self._backend.finish(lease, outcome, now=self._context.clock.now(), delay_ms=delay)

    async def _one(self, worker: str, lease: tuple[str, int]) -> tuple[Task, Lease]:
        (task,) = await self._held(worker, [lease])
        if task is None or task.lease is None:
            self._supervisor.sessions.fenced_writes += 1
            hint = "stop the attempt; write nothing"
            raise LeaseLost(f"lease {lease[1]} of task {lease[0]} is not worker {worker}'s (any more)", hint=hint)
        return task, task.lease

    async def _held(self, worker: str, leases: Sequence[tuple[str, int]]) -> Sequence[Task | None]:
        """The tasks of those leases that are this worker's own. A token is given once, so what is found stays true
        until it is lost, and that the backend will say."""
        ids = tuple(dict.fromkeys(task for task, _ in leases))
        rows = {task.id: task for task in await self._backend.tasks(TaskQuery(ids=ids))}
        held: list[Task | None] = []
        for name, token in leases:
            task = rows.get(name)
            lease = task.lease if task is not None and task.state is State.RUNNING else None
            held.append(task if lease is not None and (lease.worker, lease.token) == (worker, token) else None)
        return held

    async def _proven(self, worker: str, token: str) -> Worker:
        """The row of who asks."""
        row = next((one for one in await self._backend.workers() if one.id == worker), None)
        if row is None:
            raise NotFound(f"no worker {worker!r}", hint="register it (again): POST /v1/workers", place="worker")
        if not _proves(token, row):
            hint = "show X-Worker-Token; if it was yours, another has taken this id since: stop what runs"
            raise WrongToken(f"this is not the token of worker {worker}", hint=hint, place="X-Worker-Token")
        return row

    def _refuse_living(self, known: Worker) -> None:
        if not known.over_http:
            hint = "register by another id"
            raise IllegalState(f"worker {known.id} is one that reaches the backend itself", hint=hint, place="id")
        if known.state(self._context.clock.now()) is not WorkerState.UNHEALTHY:
            hint = "show its token in X-Worker-Token, or register by another id"
            raise IllegalState(f"worker {known.id} is alive", hint=hint, place="id")


class _Turn:
    """One claim of a worker: at most one at a time waits for offers."""

    def __init__(self) -> None:
        self.over = asyncio.Event()  # the worker asks anew
        self.ended = asyncio.Event()


def _hashed(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()


def _proves(token: str, worker: Worker) -> bool:
    return worker.over_http and bool(token) and hmac.compare_digest(_hashed(token), worker.access)
