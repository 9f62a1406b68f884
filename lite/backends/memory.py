"""The reference: plain dicts and the pure rules. Nothing outlives the process.

Verbs are synchronous inside, so each is atomic on one event loop. They check everything before they change anything.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left, insort
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import islice

from lite.backends import changes, selection
from lite.errors import BackendError, IllegalState, NotFound
from lite.model.attempt import Attempt
from lite.model.event import Event, EventKind
from lite.model.run import Run, RunQuery, RunState, Submission, Submitted
from lite.model.task import (
    Assignment,
    Claim,
    ClaimRequest,
    Lease,
    Outcome,
    Progress,
    Reason,
    Renewal,
    State,
    Task,
    TaskQuery,
    TaskSpec,
)
from lite.model.worker import Worker
from lite.rules.dag import Consequence, combine
from lite.rules.touches import overlap


class MemoryBackend:
    """Implements `lite.ports.Backend`."""

    def __init__(self) -> None:
        self._tasks: dict[str, Task] = {}  # in order of submission
        self._runs: dict[str, Run] = {}
        self._workers: dict[str, Worker] = {}
        self._events: list[Event] = []
        self._ledger: list[Attempt] = []
        self._keys: dict[str, str] = {}
        self._run_keys: dict[str, str] = {}
        self._dependents: defaultdict[str, list[str]] = defaultdict(list)
        self._members: defaultdict[str, list[str]] = defaultdict(list)  # run -> tasks
        self._lanes: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
        self._queued: list[tuple[int, int, str]] = []  # sorted: (-priority, seq, id)
        self._running: dict[str, Task] = {}
        self._waiters: set[asyncio.Future[None]] = set()
        self._looked: dict[str, int] = {}  # worker -> newest cursor at its last claim

    def __repr__(self) -> str:
        return f"<MemoryBackend {len(self._tasks)} tasks, {len(self._queued)} queued, {len(self._running)} running>"

    async def open(self) -> None:
        pass

    async def close(self) -> None:
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_exception(BackendError("the backend was closed"))

    def describe(self) -> str:
        return "memory: nothing survives the end of this process"

    def warnings(self) -> Sequence[str]:
        return ()

    # -- tasks ---------------------------------------------------------------------------------------------------

    async def submit(self, submission: Submission, *, now: int) -> Submitted:
        run = submission.run
        if run is not None:
            known = run.id if run.id in self._runs else self._run_keys.get(run.key, "") if run.key else ""
            if known:
                tasks = tuple(self._tasks[task] for task in self._members[known])
                return Submitted(tasks, (False,) * len(tasks), self._counted(self._runs[known]))
        stands, fresh = self._resolve(submission)
        if run is not None:
            self._runs[run.id] = Run(run, len(self._runs) + 1, created_at=now)
            if run.key:
                self._run_keys[run.key] = run.id
            self._append(Event(EventKind.RUN_SUBMITTED, now, run.id, data={"name": run.name}))
        for spec in fresh:
            needs = tuple(dict.fromkeys(stands.get(need, need) for need in spec.needs))
            spec = replace(spec, needs=needs) if needs != spec.needs else spec
            task, event = changes.submitted(spec, len(self._tasks) + 1, now)
            self._save(task)
            self._append(event)
            self._index(task)
        ended = self._consequences([spec.id for spec in fresh], now)
        self._finish_runs([*([run.id] if run else []), *(task.spec.run for task in ended)], now)
        created = {spec.id for spec in fresh}
        ids = [stands.get(spec.id, spec.id) for spec in submission.tasks]
        return Submitted(
            tuple(self._tasks[task] for task in ids),
            tuple(spec.id in created for spec in submission.tasks),
            self._counted(self._runs[run.id]) if run else None,
        )

    async def assign(self, task: str, assignment: Assignment, *, now: int) -> Task:
        found = self._task(task)
        if assignment.worker and assignment.worker not in self._workers:
            raise NotFound(f"no worker {assignment.worker}")
        changes.check_seen(found, assignment, self._teams())
        changed, event = changes.assigned(found, assignment, now)
        return self._change(changed, event)

    async def claim(self, request: ClaimRequest, *, now: int) -> Sequence[Claim]:
        claims = self._claim(request, now)
        self._looked[request.worker] = len(self._events)
        return claims

    def _claim(self, request: ClaimRequest, now: int) -> list[Claim]:
        worker = self._workers.get(request.worker)
        if worker is None or worker.cordoned:
            return []
        running = Counter(task.spec.agent for task in self._running.values())
        touched = [task.spec.touches for task in self._running.values() if task.spec.touches]
        claims: list[Claim] = []
        for _, _, one in list(self._queued) if request.limit > 0 else []:
            task = self._tasks[one]
            spec = task.spec
            cap = request.agents.get(spec.agent, 0)
            if cap is not None and running[spec.agent] >= cap:
                continue
            if not self._eligible(task, request.worker, now) or any(overlap(spec.touches, held) for held in touched):
                continue
            lease = Lease(one, task.attempt + 1, len(self._events) + 1, request.worker, now + request.ttl_ms)
            changed, event = changes.claimed(task, lease, now)
            claims.append(Claim(self._change(changed, event), lease))
            running[spec.agent] += 1
            touched.append(spec.touches)
            if len(claims) >= request.limit:
                break
        return claims

    async def unplaced(self, *, now: int, limit: int, skip: int = 0) -> Sequence[Task]:
        queued = (self._tasks[one] for _, _, one in self._queued)
        found = (task for task in queued if task.spec.placed and not task.assigned and self._ready(task, now))
        return list(islice(found, skip, skip + limit))

    async def offered(self, worker: str, agents: Collection[str]) -> None:
        await self.wait(self._looked.get(worker, 0))

    async def team_index(self) -> Mapping[tuple[str, str], int]:
        return self._teams()

    async def next_due(self, now: int) -> int | None:
        due = [self._tasks[one].run_at for _, _, one in self._queued]
        return min((at for at in due if at > now), default=None)

    async def renew(self, leases: Sequence[Lease], *, now: int, ttl_ms: int) -> Sequence[Renewal]:
        renewals = []
        for lease in leases:
            task = self._tasks.get(lease.task)
            if task is None or task.lease is None or task.lease.token != lease.token:
                renewals.append(Renewal(lease, lost=True))
                continue
            fresh = replace(task.lease, expires_at=now + ttl_ms)
            self._save(replace(task, lease=fresh))
            renewals.append(Renewal(fresh, cancel=task.cancel))
        return renewals

    async def record(self, lease: Lease, progress: Progress, *, now: int) -> Task:
        task, events = changes.recorded(changes.held(self._tasks.get(lease.task), lease), progress, now)
        return self._change(task, *events)

    async def finish(self, lease: Lease, outcome: Outcome, *, now: int, delay_ms: int = 0) -> Task:
        task = changes.held(self._tasks.get(lease.task), lease)
        changed, event = changes.finished(task, outcome, now, delay_ms)
        line = changes.accounted(task, changed, outcome, event)
        if line is not None:
            self._ledger.append(replace(line, line=len(self._ledger) + 1))
        self._change(changed, event)
        self._follow(changed, now)
        return changed

    async def retry(self, task: str, *, now: int) -> Task:
        first = changes.reopened(self._task(task), now)[0]
        verdict, cause = self._verdict(first)
        if verdict in (Consequence.SKIP, Consequence.FAIL):
            need = self._tasks[cause]
            raise IllegalState(
                f"task {task} cannot be retried: its need {cause} {need.state}",
                hint=f"retry {cause} ({need.spec.name}) instead; what waits for it returns by itself",
            )
        events: list[Event] = []
        level, runs = [task], set()
        while level:
            for one in level:
                changed, event = changes.reopened(self._tasks[one], now)
                self._save(changed)
                events.append(event)
                runs.add(changed.spec.run)
            level = [
                one
                for one in self._in_order({found for need in level for found in self._dependents[need]})
                if (row := self._tasks[one]).state.terminal
                and row.reason == Reason.NEED
                and self._verdict(row)[0] not in (Consequence.SKIP, Consequence.FAIL)
            ]
        for run in self._runs_in_order(runs):
            if run.state is not RunState.RUNNING:
                self._runs[run.id] = replace(run, state=RunState.RUNNING, ended_at=None)
                self._append(Event(EventKind.RUN_REOPENED, now, run.id, data={"name": run.spec.name}))
        self._append(*events)
        return self._tasks[task]

    async def cancel(self, task: str, *, now: int, reason: str = "user") -> Task:
        changed, event = changes.cancelled(self._task(task), reason, now)
        if event is not None:
            self._change(changed, event)
            self._follow(changed, now)
        return changed

    async def rescue(self, lease: Lease, worker: str, *, now: int, ttl_ms: int) -> Claim:
        task = changes.held(self._tasks.get(lease.task), lease)
        fresh = Lease(task.id, task.attempt, len(self._events) + 1, worker, now + ttl_ms)
        changed, event = changes.rescued(task, fresh, now)
        return Claim(self._change(changed, event), fresh)

    async def get(self, task: str) -> Task:
        return self._task(task)

    async def tasks(self, query: TaskQuery) -> Sequence[Task]:
        return selection.select_tasks(self._tasks.values(), query)

    async def runs(self, query: RunQuery) -> Sequence[Run]:
        return [self._counted(run) for run in selection.select_runs(self._runs.values(), query)]

    # -- events --------------------------------------------------------------------------------------------------

    async def append(self, event: Event) -> Event:
        self._append(event)
        return self._events[-1]

    async def ledger(self, after: int = 0, *, limit: int = 1000) -> Sequence[Attempt]:
        return self._ledger[max(after, 0) : max(after, 0) + limit]

    async def events(self, after: int = 0, *, limit: int = 1000, run: str = "", task: str = "") -> Sequence[Event]:
        found: list[Event] = []
        for event in self._events[max(after, 0) :]:
            if (not run or event.run == run) and (not task or event.task == task):
                if len(found) >= limit:
                    break
                found.append(event)
        return found

    async def wait(self, after: int, *, timeout_ms: int | None = None) -> int:
        try:
            async with asyncio.timeout(None if timeout_ms is None else timeout_ms / 1000):
                while len(self._events) <= after:
                    waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                    self._waiters.add(waiter)
                    try:
                        await waiter
                    finally:
                        self._waiters.discard(waiter)
        except TimeoutError:
            pass
        return len(self._events)

    # -- workers -------------------------------------------------------------------------------------------------

    async def register(self, worker: Worker, *, now: int) -> Worker:
        known = self._workers.get(worker.id)
        if known is None:
            row = replace(worker, registered_at=now, heartbeat_at=now, cordoned=False, running=())
            data = {"node": worker.node, "slots": worker.slots}
            self._append(Event(EventKind.WORKER_JOINED, now, worker=worker.id, data=data))
        else:
            row = replace(
                worker, registered_at=known.registered_at, heartbeat_at=now, cordoned=known.cordoned, running=()
            )
        self._workers[worker.id] = row
        return self._busy(row)

    async def heartbeat(self, worker: str, *, now: int, load: float = 0.0) -> Worker:
        self._workers[worker] = replace(self._worker(worker), heartbeat_at=now, load=load)
        return self._busy(self._workers[worker])

    async def deregister(self, worker: str, *, now: int, reason: str = "") -> None:
        if self._workers.pop(worker, None) is None:
            return
        for _, _, one in self._queued:
            if self._tasks[one].assigned == worker:
                self._tasks[one] = replace(self._tasks[one], assigned="", assigned_why="")
        self._append(Event(EventKind.WORKER_LEFT, now, worker=worker, data={"reason": reason}))

    async def workers(self) -> Sequence[Worker]:
        return [self._busy(worker) for _, worker in sorted(self._workers.items())]

    async def cordon(self, worker: str, on: bool, *, now: int) -> Worker:
        found = self._worker(worker)
        if found.cordoned is not on:
            found = self._workers[worker] = replace(found, cordoned=on)
            self._append(Event(EventKind.WORKER_CORDONED, now, worker=worker, data={"on": on}))
        return self._busy(found)

    # -- inside --------------------------------------------------------------------------------------------------

    def _task(self, task: str) -> Task:
        if task not in self._tasks:
            raise NotFound(f"no task {task}")
        return self._tasks[task]

    def _worker(self, worker: str) -> Worker:
        if worker not in self._workers:
            raise NotFound(f"no worker {worker}")
        return self._workers[worker]

    def _teams(self) -> Counter[tuple[str, str]]:
        placed = [self._tasks[one] for _, _, one in self._queued] + list(self._running.values())
        return Counter((where, task.spec.team) for task in placed if task.spec.team and (where := task.whereabouts))

    def _busy(self, worker: Worker) -> Worker:
        mine = [task.id for task in self._running.values() if task.worker == worker.id]
        return replace(worker, running=tuple(self._in_order(mine)))

    def _resolve(self, submission: Submission) -> tuple[dict[str, str], list[TaskSpec]]:
        """What stands for each id that is not created, and the specs to create; refuses what cannot be stored."""
        return selection.resolve(
            submission,
            find=lambda spec: spec.id if spec.id in self._tasks else self._keys.get(spec.key, "") if spec.key else "",
            stored=self._tasks.__contains__,
        )

    def _index(self, task: Task) -> None:
        spec = task.spec
        if spec.key:
            self._keys[spec.key] = spec.id
        if spec.run:
            self._members[spec.run].append(spec.id)
        if spec.lane:
            self._lanes[spec.run, spec.lane].append(spec.id)
        for need in spec.needs:
            self._dependents[need].append(spec.id)

    def _save(self, task: Task) -> Task:
        """Store the row; keep the queued and the running ones findable."""
        before = self._tasks.get(task.id)
        self._tasks[task.id] = task
        place = (-task.spec.priority, task.seq, task.id)
        was_queued = before is not None and before.state is State.QUEUED
        if task.state is State.QUEUED and not was_queued:
            insort(self._queued, place)
        elif was_queued and task.state is not State.QUEUED:
            del self._queued[bisect_left(self._queued, place)]
        if task.state is State.RUNNING:
            self._running[task.id] = task
        else:
            self._running.pop(task.id, None)
        return task

    def _change(self, task: Task, *events: Event) -> Task:
        self._save(task)
        self._append(*events)
        return task

    def _append(self, *events: Event) -> None:
        for event in events:
            self._events.append(replace(event, cursor=len(self._events) + 1))
        if events:
            for waiter in self._waiters:
                if not waiter.done():
                    waiter.set_result(None)

    def _eligible(self, task: Task, worker: str, now: int) -> bool:
        """But for caps and touches."""
        if task.assigned != worker and (task.assigned or task.spec.placed):
            return False
        return self._ready(task, now)

    def _ready(self, task: Task, now: int) -> bool:
        """But for caps, touches and its worker."""
        if task.run_at > now or task.reason == Reason.UNROUTABLE:
            return False
        if self._verdict(task)[0] is not Consequence.GO:
            return False
        lane = self._lanes[task.spec.run, task.spec.lane] if task.spec.lane else []
        others = [self._tasks[one] for one in lane if one != task.id]
        return not any(one.state is State.RUNNING or (one.seq < task.seq and not one.state.terminal) for one in others)

    def _verdict(self, task: Task) -> tuple[Consequence, str]:
        needs = [self._tasks[need] for need in task.spec.needs]
        return combine((need.id, need.state, need.spec.on_failure) for need in needs)

    def _follow(self, task: Task, now: int) -> None:
        """All that the end of `task` brings about."""
        if task.state.terminal:
            ended = self._consequences(self._dependents[task.id], now)
            self._finish_runs([task.spec.run, *(one.spec.run for one in ended)], now)

    def _consequences(self, candidates: Iterable[str], now: int) -> list[Task]:
        """End every queued candidate that a need condemns, then look at what needs those: breadth first, by seq."""
        ended: list[Task] = []
        level = self._in_order(candidates)
        while level:
            following: set[str] = set()
            for one in level:
                task = self._tasks[one]
                if task.state is not State.QUEUED:
                    continue
                verdict, cause = self._verdict(task)
                if verdict in (Consequence.SKIP, Consequence.FAIL):
                    changed, event = changes.condemned(task, verdict, cause, now)
                    ended.append(self._change(changed, event))
                    following.update(self._dependents[one])
            level = self._in_order(following)
        return ended

    def _finish_runs(self, runs: Iterable[str], now: int) -> None:
        for run in self._runs_in_order(runs):
            states = {self._tasks[one].state for one in self._members[run.id]}
            if run.state is RunState.RUNNING and all(state.terminal for state in states):
                state = changes.run_state(State.FAILED in states, State.CANCELLED in states)
                self._runs[run.id] = replace(run, state=state, ended_at=now)
                data = {"name": run.spec.name, "state": str(state)}
                self._append(Event(EventKind.RUN_FINISHED, now, run.id, data=data))

    def _counted(self, run: Run) -> Run:
        counts = Counter(self._tasks[one].state for one in self._members[run.id])
        return replace(run, counts={state: counts[state] for state in State if counts[state]})

    def _in_order(self, tasks: Iterable[str]) -> list[str]:
        return sorted(set(tasks), key=lambda one: self._tasks[one].seq)

    def _runs_in_order(self, runs: Iterable[str]) -> list[Run]:
        return sorted((self._runs[run] for run in set(runs) if run), key=lambda run: run.seq)
