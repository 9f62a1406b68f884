"""The verbs on tasks, each run by the writer thread inside its transaction. They check before they write."""

from __future__ import annotations

import contextlib
import heapq
from collections import Counter
from collections.abc import Generator, Iterable, Sequence
from dataclasses import replace
from typing import Any

from lite.backends import changes
from lite.backends.selection import resolve
from lite.backends.sqlite.gate import Gate
from lite.backends.sqlite.queries import select_runs
from lite.backends.sqlite.rows import run_from_row
from lite.backends.sqlite.statements import SQL
from lite.backends.sqlite.store import Store
from lite.errors import IllegalState, NotFound
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
    TaskSpec,
)
from lite.rules.dag import Consequence
from lite.rules.touches import overlap

_CONDEMNED = (Consequence.SKIP, Consequence.FAIL)


class TaskVerbs:
    def __init__(self, store: Store) -> None:
        self._store = store
        self._gate = Gate(store)

    def submit(self, submission: Submission, now: int) -> Submitted:
        store, run = self._store, submission.run
        if run is not None:
            known = store.execute(SQL["find_run"], (run.id,)).fetchone()
            known = known or store.execute(SQL["find_run_key"], (run.key,)).fetchone()
            if known:
                tasks = [store.task(task) for (task,) in store.execute(SQL["run_members"], known).fetchall()]
                return Submitted(tuple(tasks), (False,) * len(tasks), self._run(known[0]))
        stands, fresh = resolve(submission, self._stands_for, store.stored)
        if run is not None:
            row = (store.next_run_seq(), run.id, run.name, run.key, run.source, RunState.RUNNING, now)
            store.execute(SQL["insert_run"], row)
            store.log(Event(EventKind.RUN_SUBMITTED, now, run.id, data={"name": run.name}))
        new: list[Task] = []
        for spec in fresh:
            if spec.needs:
                needs = tuple(dict.fromkeys(stands.get(need, need) for need in spec.needs))
                spec = replace(spec, needs=needs) if needs != spec.needs else spec
            task, event = changes.submitted(spec, store.next_seq(), now)
            store.insert(task, self._gate.blocked_by_itself(task))
            store.log(event)
            new.append(task)
        ended = self._bind(new, now)
        if run is not None or ended:
            self._finish_runs([*([run.id] if run else []), *(task.spec.run for task in ended)], now)
        stored = self._run(run.id) if run else None
        if len(new) == len(submission.tasks) and not ended:
            return Submitted(tuple(new), (True,) * len(new), stored)
        created = {task.id for task in new}
        return Submitted(
            tuple([store.task(stands.get(spec.id, spec.id)) for spec in submission.tasks]),
            tuple([spec.id in created for spec in submission.tasks]),
            stored,
        )

    def assign(self, task: str, assignment: Assignment, now: int) -> Task:
        found = self._store.task(task)
        if assignment.worker and assignment.worker not in self._store.workers:
            raise NotFound(f"no worker {assignment.worker}")
        changes.check_seen(found, assignment, self._store.teams() if assignment.seen is not None else {})
        changed, event = changes.assigned(found, assignment, now)
        self._store.still_queued(changed, self._gate.blocked(changed), respec=changed.spec is not found.spec)
        self._gate.settle_lane(changed)
        self._store.log(event)
        return changed

    def claim(self, request: ClaimRequest, now: int) -> list[Claim]:
        store = self._store
        worker = store.workers.get(request.worker)
        if worker is None or worker.cordoned or request.limit <= 0:
            return []
        store.promote(now)
        taken: Counter[str] = Counter()
        open_agents = [agent for agent, cap in request.agents.items() if cap is None or store.agents[agent] < cap]
        touched = list(store.touching.values())
        chosen: list[Task] = []
        with contextlib.closing(self._ready(open_agents, request.worker)) as ready:
            for one in ready:
                task = store.task(one)
                spec = task.spec
                cap = request.agents[spec.agent]
                if (cap is not None and store.agents[spec.agent] + taken[spec.agent] >= cap) or task.run_at > now:
                    continue
                if spec.touches:
                    if any(overlap(spec.touches, held) for held in touched):
                        continue
                    touched.append(spec.touches)
                taken[spec.agent] += 1
                chosen.append(task)
                if len(chosen) >= request.limit:
                    break
        claims: list[Claim] = []
        for task in chosen:
            lease = Lease(task.id, task.attempt + 1, store.cursor + 1, request.worker, now + request.ttl_ms)
            changed, event = changes.claimed(task, lease, now)
            store.claimed(changed)
            store.log(event)
            claims.append(Claim(changed, lease))
        return claims

    def renew(self, leases: Sequence[Lease], now: int, ttl_ms: int) -> list[Renewal]:
        renewals: list[Renewal] = []
        for lease in leases:
            task = self._store.running.get(lease.task)
            if task is None or task.lease is None or task.lease.token != lease.token:
                renewals.append(Renewal(lease, lost=True))
                continue
            fresh = replace(task.lease, expires_at=now + ttl_ms)
            self._store.still_running(changes.evolve(task, lease=fresh))
            renewals.append(Renewal(fresh, cancel=task.cancel))
        return renewals

    def record(self, lease: Lease, progress: Progress, now: int) -> Task:
        task = changes.held(self._store.running.get(lease.task), lease)
        changed, events = changes.recorded(task, progress, now)
        if changed is not task:
            self._store.still_running(changed)
        self._log(events)  # answered and asked the same again leaves the row as it was
        return changed

    def finish(self, lease: Lease, outcome: Outcome, now: int, delay_ms: int) -> Task:
        task = changes.held(self._store.running.get(lease.task), lease)
        changed, event = changes.finished(task, outcome, now, delay_ms)
        line = changes.accounted(task, changed, outcome, event)
        if line is not None:
            self._store.account(line)
        if changed.state is State.QUEUED:
            self._store.moved(changed, self._gate.blocked(changed))
            self._store.log(event)
            self._gate.settle_lane(changed)
        else:
            self._end(changed, event, now)
        return changed

    def retry(self, task: str, now: int) -> Task:
        store, gate = self._store, self._gate
        first = store.task(task)
        changes.reopened(first, now)
        verdict, cause = gate.verdict(first)
        if verdict in _CONDEMNED:
            need = store.task(cause)
            raise IllegalState(
                f"task {task} cannot be retried: its need {cause} {need.state}",
                hint=f"retry {cause} ({need.spec.name}) instead; what waits for it returns by itself",
            )
        reopened: list[Task] = []
        events: list[Event] = []
        level = [first]
        while level:
            now_queued: list[Task] = []
            for one in level:
                changed, event = changes.reopened(one, now)
                gate.reopening(one)
                store.moved(changed)
                now_queued.append(changed)
                events.append(event)
            reopened += now_queued
            level = [
                one
                for one in store.dependents(now_queued)
                if one.state.terminal and one.reason == Reason.NEED and gate.verdict(one)[0] not in _CONDEMNED
            ]
        for one in reopened:
            store.execute(SQL["block"], (gate.blocked(one), one.seq))
        for one in reopened:
            gate.settle_lane(one)
        for _, run, name, state in self._run_heads(one.spec.run for one in reopened):
            if state != RunState.RUNNING:
                store.execute(SQL["update_run"], (RunState.RUNNING, None, run))
                store.log(Event(EventKind.RUN_REOPENED, now, run, data={"name": name}))
        self._log(events)
        return store.task(task)

    def cancel(self, task: str, now: int, reason: str) -> Task:
        changed, event = changes.cancelled(self._store.task(task), reason, now)
        if event is None:
            return changed
        if changed.state is State.RUNNING:
            self._store.still_running(changed)
            self._store.log(event)
        else:
            self._end(changed, event, now)
        return changed

    def rescue(self, lease: Lease, worker: str, now: int, ttl_ms: int) -> Claim:
        task = changes.held(self._store.running.get(lease.task), lease)
        fresh = Lease(task.id, task.attempt, self._store.cursor + 1, worker, now + ttl_ms)
        changed, event = changes.rescued(task, fresh, now)
        self._store.still_running(changed)
        self._store.log(event)
        return Claim(changed, fresh)

    # -- inside --------------------------------------------------------------------------------------------------

    def _stands_for(self, spec: TaskSpec) -> str:
        if self._store.stored(spec.id):
            return spec.id
        found = self._store.execute(SQL["find_key"], (spec.key,)).fetchone() if spec.key else None
        return found[0] if found else ""

    def _bind(self, new: Sequence[Task], now: int) -> list[Task]:
        """Connect new tasks with what they wait for, all rows being there; returns those that ended at once."""
        store = self._store
        bound = [task for task in new if task.spec.needs or task.spec.lane]
        if not bound:
            return []
        for task in bound:
            for need in map(store.task, task.spec.needs):
                store.execute(SQL["insert_need"], (need.seq, task.seq))
                if need.ended_at is None:
                    store.needed.add(need.seq)
            store.execute(SQL["block"], (self._gate.blocked(task), task.seq))
        for task in {(task.spec.run, task.spec.lane): task for task in bound}.values():
            self._gate.settle_lane(task)
        return self._consequences([task for task in bound if task.spec.needs], now)

    def _ready(self, agents: Iterable[str], worker: str) -> Generator[str, None, None]:
        """The ids of tasks nothing keeps from `worker` but caps, touches and time; best first. Only the agents asked
        for are looked at, so a full one with a long queue costs nothing."""
        scans = [self._store.execute(SQL["ready"], (agent, worker)) for agent in agents]
        try:
            for _, _, task in heapq.merge(*scans) if len(scans) > 1 else scans[0] if scans else ():
                yield task
        finally:
            for scan in scans:
                scan.close()

    def _end(self, task: Task, event: Event, now: int) -> None:
        """Store an end with all that follows from it."""
        needed = task.seq in self._store.needed
        self._store.moved(task)
        self._store.log(event)
        dependents = self._store.dependents([task]) if needed else []
        self._gate.ended(task, free=bool(dependents))
        ended = self._consequences(dependents, now)
        if ended or task.spec.run:
            self._finish_runs([task.spec.run, *(one.spec.run for one in ended)], now)

    def _consequences(self, candidates: Sequence[Task], now: int) -> list[Task]:
        """End every queued candidate that a need condemns, then look at what needs those: breadth first, by seq."""
        ended: list[Task] = []
        while candidates:
            level: list[Task] = []
            for task in candidates:
                if task.state is not State.QUEUED:
                    continue
                verdict, cause = self._gate.verdict(task)
                if verdict in _CONDEMNED:
                    changed, event = changes.condemned(task, verdict, cause, now)
                    self._store.moved(changed)
                    self._store.log(event)
                    self._gate.ended(changed)
                    level.append(changed)
            ended += level
            candidates = self._store.dependents(level)
        return ended

    def _finish_runs(self, runs: Iterable[str], now: int) -> None:
        store = self._store
        for _, run, name, state in self._run_heads(runs):
            if state != RunState.RUNNING or store.execute(SQL["run_open"], (run,)).fetchone():
                continue
            failed, cancelled = store.execute(SQL["run_ends"], (run,)).fetchone()
            state = changes.run_state(bool(failed), bool(cancelled))
            store.execute(SQL["update_run"], (state, now, run))
            store.log(Event(EventKind.RUN_FINISHED, now, run, data={"name": name, "state": str(state)}))

    def _run_heads(self, runs: Iterable[str]) -> list[tuple[Any, ...]]:
        """(seq, id, name, state) of each run, in order of submission."""
        return sorted(self._store.execute(SQL["run_head"], (run,)).fetchone() for run in set(runs) if run)

    def _run(self, run: str) -> Run:
        return run_from_row(self._store.execute(*select_runs(RunQuery(ids=(run,)))).fetchone())

    def _log(self, events: Iterable[Event]) -> None:
        for event in events:
            self._store.log(event)
