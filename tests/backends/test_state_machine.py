"""Every backend does exactly what the reference does: same verbs, then the same rows, runs, workers and history."""

from __future__ import annotations

import asyncio
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from lite.backends.memory import MemoryBackend
from lite.backends.redis import RedisBackend
from lite.backends.sqlite import SqliteBackend
from lite.errors import QuarterdeckError
from lite.model.event import Event
from lite.model.run import RunQuery, RunSpec, Submission
from lite.model.task import (
    Assignment,
    ClaimRequest,
    Lease,
    Outcome,
    OutcomeKind,
    Progress,
    State,
    Task,
    TaskQuery,
    TaskSpec,
    Waiting,
)
from lite.model.worker import Worker
from lite.ports import Backend
from lite.rules.touches import overlap
from providers.base import Source, Usage
from tests.support.backends import START, task_id
from tests.support.redis_server import RedisServer

AGENTS = ("x", "y")
WORKERS = ("w1", "w2", "w3")
ENDS = {"task.succeeded", "task.failed", "task.retrying", "task.parked", "task.cancelled"}

one_task = st.fixed_dictionaries(
    {
        "agent": st.sampled_from(AGENTS),
        "lane": st.sampled_from(["", "l"]),
        "touches": st.sampled_from([(), (), (), (), ("/a",), ("/a/b",), ("/b", "/a/c")]),
        "priority": st.integers(-1, 1),
        "retries": st.integers(0, 1),
        "on_failure": st.sampled_from(["skip", "fail", "continue", "continue"]),
        "selector": st.sampled_from([{}, {}, {}, {}, {}, {"gpu": "yes"}]),
        "key": st.sampled_from(["", "", "", "", "", "k1", "k2"]),
        "after": st.sampled_from([None, None, None, None, 3, 12]),
        "needs": st.lists(st.integers(0, 12), max_size=2),
    }
)
outcomes = st.builds(
    Outcome,
    kind=st.sampled_from([*OutcomeKind, OutcomeKind.FAILED, OutcomeKind.SUCCEEDED]),
    reason=st.sampled_from(["", "timeout"]),
    detail=st.sampled_from(["", "why"]),
    exit_code=st.sampled_from([None, 0, 1]),
    output=st.sampled_from([None, "out"]),
    usage=st.sampled_from(
        [None, Usage(), Usage(1, 2, 0.5), Usage(3, 4, 0.1, Source.REPORTED, 1, "m", Source.ESTIMATED)]
    ),
    provider_session=st.sampled_from(["", "session"]),
    until=st.sampled_from([None, START + 8]),
)
progresses = st.builds(
    Progress,
    handle=st.sampled_from([None, "h"]),
    started=st.booleans(),
    provider_session=st.sampled_from([None, "s"]),
    usage=st.sampled_from([None, Usage(3)]),
    waiting=st.sampled_from([None, Waiting("1", "question", "?"), Waiting("2", "approval", "!", "hash")]),
    answered=st.booleans(),
)
index = st.integers(0, 1_000)


class Backends(RuleBasedStateMachine):
    """`store(folder)` makes the backend that is compared; of the same folder, the same one."""

    store: Callable[[Path], Backend]

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.directory = tempfile.TemporaryDirectory()
        self.memory = MemoryBackend()
        self.others: list[Backend] = [self._store()]
        self.now = START
        self.ids: list[str] = []
        self.leases: list[Lease] = []
        self.runs = 0
        self.made = 0
        self.history: list[Event] = []
        for backend in (self.memory, *self.others):
            self._wait(backend.open())

    def _store(self) -> Backend:
        return type(self).store(Path(self.directory.name))

    def teardown(self) -> None:
        for backend in self.others:
            self._wait(backend.close())
        self.loop.run_until_complete(self.loop.shutdown_default_executor())
        self.loop.close()
        self.directory.cleanup()

    def _wait(self, work: Awaitable[Any]) -> Any:
        async def waiting() -> Any:
            return await work

        return self.loop.run_until_complete(waiting())

    def do(self, verb: Callable[[Backend], Awaitable[Any]]) -> Any:
        """The same verb on all; the reference's answer, or None when it was refused (by all, in the same words)."""
        answers = [self._answer(verb, backend) for backend in (self.memory, *self.others)]
        for answer in answers[1:]:
            assert answer == answers[0]
        return answers[0][1]

    def _answer(self, verb: Callable[[Backend], Awaitable[Any]], backend: Backend) -> tuple[Any, Any]:
        try:
            return None, self._wait(verb(backend))
        except QuarterdeckError as error:
            return (type(error), error.message, error.hint), None

    def task(self, number: int) -> str:
        return self.ids[number % len(self.ids)] if self.ids else "nothing"

    @initialize()
    def workers_join(self) -> None:
        for worker in WORKERS[:2]:
            self.do(lambda backend, worker=worker: backend.register(Worker(worker, "node", 2), now=self.now))

    @rule(tasks=st.lists(one_task, min_size=1, max_size=5), run=st.booleans(), key=st.sampled_from(["", "", "r1"]))
    def submit(self, tasks: list[dict[str, Any]], run: bool, key: str) -> None:
        self.runs += run
        name = f"run{self.runs}" if run else ""
        known, specs = len(self.ids), []
        fresh = [task_id(self.made + number) for number in range(len(tasks))]
        self.made += len(tasks)
        everyone = [*self.ids, *fresh]
        for number, fields in enumerate(tasks):
            fields = dict(fields)
            after, needs = fields.pop("after"), fields.pop("needs")
            # Backwards only, so that there is no cycle: from the newest (its own companions) to the oldest.
            before = everyone[: known + number]
            wanted = tuple(before[-1 - need % len(before)] for need in needs) if before else ()
            run_at = None if after is None else self.now + after
            specs.append(
                TaskSpec(fresh[number], f"t{number}", run=name, provider="p", needs=wanted, run_at=run_at, **fields)
            )
        submission = Submission(tuple(specs), RunSpec(name, name, key) if run else None)
        done = self.do(lambda backend: backend.submit(submission, now=self.now))
        if done is not None:
            for task in done.tasks:
                if task.id not in self.ids:
                    self.ids.append(task.id)

    @rule(
        worker=st.sampled_from(WORKERS),
        limit=st.integers(0, 3),
        agents=st.dictionaries(st.sampled_from(AGENTS), st.sampled_from([None, 1, 2]), min_size=1),
    )
    def claim(self, worker: str, limit: int, agents: dict[str, int | None]) -> None:
        before = {task.id: task for task in self._tasks()}
        claims = self.do(
            lambda backend: self._listed(backend.claim(ClaimRequest(worker, limit, agents, 5), now=self.now))
        )
        self.leases += [claim.lease for claim in claims]
        assert len(claims) <= limit
        running = Counter(task.spec.agent for task in self._tasks() if task.state is State.RUNNING)
        for claim in claims:
            cap = agents[claim.task.spec.agent]
            assert cap is None or running[claim.task.spec.agent] <= cap
            assert before[claim.task.id].run_at <= self.now
            lane = claim.task.spec.lane
            if lane:
                earlier = [
                    task
                    for task in before.values()
                    if (task.spec.run, task.spec.lane) == (claim.task.spec.run, lane) and task.seq < claim.task.seq
                ]
                assert all(task.state.terminal for task in earlier)

    @rule(
        ends=st.lists(st.sampled_from(["succeeded", "failed", "cancelled", "rescheduled", ""]), min_size=1, max_size=4)
    )
    def work(self, ends: list[str]) -> None:
        """Take what there is, one after the other; "" leaves it running."""
        for end in ends:
            request = ClaimRequest("w1", 1, dict.fromkeys(AGENTS), 5)
            for claim in self.do(lambda backend, request=request: self._listed(backend.claim(request, now=self.now))):
                self.leases.append(claim.lease)
                if end:
                    outcome = Outcome(OutcomeKind(end))
                    self.do(
                        lambda backend, lease=claim.lease, outcome=outcome: backend.finish(lease, outcome, now=self.now)
                    )

    @precondition(lambda self: self.leases)
    @rule(number=index, outcome=outcomes, delay_ms=st.sampled_from([0, 0, 6]))
    def finish(self, number: int, outcome: Outcome, delay_ms: int) -> None:
        # Mostly a lease that still holds, sometimes one long lost.
        held = [task.lease for task in self._tasks() if task.lease] if number % 5 else []
        lease = (held or self.leases)[number % len(held or self.leases)]
        self.do(lambda backend: backend.finish(lease, outcome, now=self.now, delay_ms=delay_ms))

    @precondition(lambda self: self.leases)
    @rule(number=index, progress=progresses)
    def record(self, number: int, progress: Progress) -> None:
        lease = self.leases[-1 - number % len(self.leases)]
        self.do(lambda backend: backend.record(lease, progress, now=self.now))

    @precondition(lambda self: self.leases)
    @rule(numbers=st.lists(index, max_size=3))
    def renew(self, numbers: list[int]) -> None:
        leases = [self.leases[-1 - number % len(self.leases)] for number in numbers]
        self.do(lambda backend: self._listed(backend.renew(leases, now=self.now, ttl_ms=7)))

    @precondition(lambda self: self.leases)
    @rule(number=index, worker=st.sampled_from(WORKERS))
    def rescue(self, number: int, worker: str) -> None:
        lease = self.leases[-1 - number % len(self.leases)]
        claim = self.do(lambda backend: backend.rescue(lease, worker, now=self.now, ttl_ms=5))
        if claim is not None:
            self.leases.append(claim.lease)

    @rule(number=index, reason=st.sampled_from(["user", "budget"]))
    def cancel(self, number: int, reason: str) -> None:
        self.do(lambda backend: backend.cancel(self.task(number), now=self.now, reason=reason))

    @rule(numbers=st.lists(index, min_size=1, max_size=3))
    def retry(self, numbers: list[int]) -> None:
        for number in numbers:
            ended = [task.id for task in self._tasks() if task.state.terminal and task.state is not State.SUCCEEDED]
            chosen = ended[number % len(ended)] if ended and number % 6 else self.task(number)
            self.do(lambda backend, chosen=chosen: backend.retry(chosen, now=self.now))

    @rule(
        number=index,
        assignment=st.sampled_from(
            [
                Assignment(worker="w1", why="near"),
                Assignment(worker="w2"),
                Assignment(worker="w2", before=""),
                Assignment(worker="", before="w1"),
                Assignment(worker=""),
                Assignment(worker="nobody"),
                Assignment(agent="y", provider="q", mode="interactive", why="default"),
                Assignment(agent="x", worker="w1"),
                Assignment(park=True, why="no agent"),
            ]
        ),
    )
    def assign(self, number: int, assignment: Assignment) -> None:
        waiting = [task.id for task in self._tasks() if task.state is State.QUEUED]
        chosen = waiting[number % len(waiting)] if waiting and number % 6 else self.task(number)
        self.do(lambda backend: backend.assign(chosen, assignment, now=self.now))

    @rule(worker=st.sampled_from(WORKERS), what=st.sampled_from(["join", "beat", "leave", "cordon", "free", "join"]))
    def worker_does(self, worker: str, what: str) -> None:
        verbs: dict[str, Callable[[Backend], Awaitable[Any]]] = {
            "join": lambda backend: backend.register(Worker(worker, "node", 2, ("x",), {"a": "b"}), now=self.now),
            "beat": lambda backend: backend.heartbeat(worker, now=self.now),
            "leave": lambda backend: backend.deregister(worker, now=self.now, reason="lost"),
            "cordon": lambda backend: backend.cordon(worker, True, now=self.now),
            "free": lambda backend: backend.cordon(worker, False, now=self.now),
        }
        self.do(verbs[what])

    @rule(milliseconds=st.sampled_from([1, 4, 10, -2]))
    def time_passes(self, milliseconds: int) -> None:
        self.now += milliseconds
        self.do(lambda backend: backend.next_due(self.now))

    @rule(
        again=st.booleans(),
        query=st.builds(
            TaskQuery,
            run=st.sampled_from([None, "", "run1"]),
            states=st.lists(st.sampled_from(list(State)), max_size=2, unique=True).map(tuple),
            agent=st.sampled_from(["", "x"]),
            worker=st.sampled_from(["", "w1"]),
            lease_before=st.sampled_from([None, START + 10]),
            assigned=st.booleans(),
            after_seq=st.integers(0, 3),
            newest=st.booleans(),
            limit=st.sampled_from([None, 0, 2]),
        ),
        skip=st.integers(0, 1),
    )
    def look(self, again: bool, query: TaskQuery, skip: int) -> None:
        """Perhaps after the store was closed and opened again."""
        if again:
            self._wait(self.others[0].close())
            self.others[0] = self._store()
            self._wait(self.others[0].open())
        self.do(lambda backend: self._listed(backend.tasks(query)))
        self.do(lambda backend: self._listed(backend.unplaced(now=self.now, limit=2, skip=skip)))

    @invariant()
    def all_tell_the_same(self) -> None:
        self.do(lambda backend: self._listed(backend.tasks(TaskQuery())))
        self.do(lambda backend: self._listed(backend.runs(RunQuery())))
        self.do(lambda backend: self._listed(backend.workers()))
        self.do(lambda backend: self._listed(backend.ledger()))
        after = self.history[-1].cursor if self.history else 0
        self.history += self.do(lambda backend: self._listed(backend.events(after)))

    @invariant()
    def promises_hold(self) -> None:
        running = [task for task in self._tasks() if task.state is State.RUNNING]
        lanes = Counter((task.spec.run, task.spec.lane) for task in running if task.spec.lane)
        assert all(count == 1 for count in lanes.values())
        for number, task in enumerate(running):
            assert not any(overlap(task.spec.touches, other.spec.touches) for other in running[:number])
        ended = Counter((event.task, event.attempt) for event in self.history if event.kind in ENDS and event.attempt)
        assert all(count == 1 for count in ended.values())
        for task in self._tasks():
            assert (task.lease is not None) == (task.state is State.RUNNING)
            assert (task.ended_at is not None) == task.state.terminal

    def _tasks(self) -> list[Task]:
        return list(self.loop.run_until_complete(self.memory.tasks(TaskQuery())))

    @staticmethod
    async def _listed(rows: Awaitable[Any]) -> list[Any]:
        return list(await rows)


SETTINGS = settings(
    max_examples=100,
    stateful_step_count=35,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def test_sqlite() -> None:
    class Sqlite(Backends):
        @staticmethod
        def store(folder: Path) -> Backend:
            return SqliteBackend(folder / "q.db", synchronous="normal")

    run_state_machine_as_test(Sqlite, settings=SETTINGS)


def test_redis(redis_server: RedisServer, redis_prefix: str) -> None:
    class Redis(Backends):
        @staticmethod
        def store(folder: Path) -> Backend:
            return RedisBackend(redis_server.options(f"{redis_prefix}-{folder.name}"))

    run_state_machine_as_test(Redis, settings=SETTINGS)
