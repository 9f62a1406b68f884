"""What the control API may ask of the engine. One object, verbs at the height of the user's words."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from lite.engine.accounting import sum_up
from lite.engine.accounts import release, release_logged_in
from lite.engine.agents import AgentInfo, look_at_agents
from lite.engine.answering import AnswerOperations
from lite.engine.explaining import explain_task
from lite.engine.preparation import check_with_provider
from lite.engine.references import find_run, find_task
from lite.engine.supervisor import SupervisorInfo
from lite.engine.worker_operations import WorkerOperations
from lite.errors import IllegalState, NotFound
from lite.model.event import Event
from lite.model.ids import new_id
from lite.model.order import Order
from lite.model.run import Run, RunQuery, RunSpec, Submission
from lite.model.settings import Settings
from lite.model.task import Task, TaskQuery
from lite.model.worker import Worker, WorkerState
from lite.rules.accounts import Hold
from lite.rules.compile import compile_plan
from lite.rules.costs import By, Cost
from lite.rules.explain import Explanation


@dataclass(frozen=True, slots=True)
class PlanResult:
    """A submitted plan, or (dry run: `run` is None) what it would become."""

    run: Run | None
    tasks: Sequence[Task]
    created: bool


class Operations(AnswerOperations):
    """The facade over one supervisor."""

    # work

    async def submit(self, order: Order) -> tuple[Task, bool]:
        """The task (a new one, or by key the one that stands for it) and whether it was created."""
        self._accepting()
        return await self._supervisor.submit(order)

    async def submit_plan(
        self, text: str, source: str, cwd: str, *, key: str = "", dry_run: bool = False, watched: bool = False
    ) -> PlanResult:
        """All of the plan's tasks or none. Raises `PlanInvalid` with file:line:column."""
        plan = await asyncio.to_thread(self._context.load_plan, text, source, cwd)
        plan = replace(plan, orders=tuple(replace(order, watched=watched) for order in plan.orders))
        now = self._context.clock.now()
        submission = compile_plan(
            plan,
            self._context.settings,
            self._context.providers.capabilities(),
            run_id=new_id(),
            new_id=new_id,
            now=now,
        )
        for spec in submission.tasks:
            check_with_provider(self._context, spec)
        if dry_run:
            preview = tuple(Task(spec=spec, seq=at, created_at=now) for at, spec in enumerate(submission.tasks, 1))
            return PlanResult(None, preview, False)
        self._accepting()
        if key and submission.run is not None:
            run = submission.run
            submission = Submission(submission.tasks, RunSpec(run.id, run.name, key, run.source))
        self._supervisor.dispatcher.wake()
        done = await self._backend.submit(submission, now=now)
        return PlanResult(done.run, done.tasks, all(done.created))

    async def task(self, ref: str) -> Task:
        return await find_task(self._backend, ref)

    async def tasks(self, query: TaskQuery) -> Sequence[Task]:
        return await self._backend.tasks(query)

    async def run(self, ref: str) -> Run:
        return await find_run(self._backend, ref)

    async def runs(self, query: RunQuery) -> Sequence[Run]:
        return await self._backend.runs(query)

    async def explain(self, ref: str) -> Explanation:
        task = await find_task(self._backend, ref)
        return await explain_task(self._context, task, await self.status_now(task))

    async def cancel(self, ref: str, reason: str = "user") -> Task:
        task = await find_task(self._backend, ref)
        self._supervisor.dispatcher.wake()  # the next of its lane may go
        task = await self._backend.cancel(task.id, now=self._context.clock.now(), reason=reason)
        runner = self._supervisor.sessions.of_task(task.id)
        if task.cancel and runner is not None:
            runner.cancelled(task.cancel)
        return task

    async def retry(self, ref: str) -> Task:
        self._accepting()
        task = await find_task(self._backend, ref)
        self._supervisor.dispatcher.wake()
        return await self._backend.retry(task.id, now=self._context.clock.now())

    # the fleet

    async def costs(self, by: By, since: int) -> Sequence[tuple[Cost, str]]:
        return await sum_up(self._backend, by, since)

    async def events(self, after: int, limit: int, run: str = "", task: str = "") -> Sequence[Event]:
        return await self._backend.events(after, limit=limit, run=run, task=task)

    async def wait_events(self, after: int, timeout_ms: int | None) -> int:
        return await self._backend.wait(after, timeout_ms=timeout_ms)

    async def workers(self) -> Sequence[Worker]:
        return await self._backend.workers()

    async def cordon(self, worker: str, on: bool) -> Worker:
        found = await self._worker(worker)
        self._supervisor.dispatcher.wake()
        return await self._backend.cordon(found.id, on, now=self._context.clock.now())

    async def deregister(self, worker: str) -> Worker:
        """Forget a dead worker; what is assigned to it may go elsewhere. Raises `IllegalState` for a living one."""
        found, now = await self._worker(worker), self._context.clock.now()
        if found.state(now) is not WorkerState.UNHEALTHY:
            raise IllegalState(f"worker {found.id} is alive", hint=f"stop it first: qd down on {found.node}")
        await self._backend.deregister(found.id, now=now, reason="deregistered")
        return found

    @cached_property
    def worker_protocol(self) -> WorkerOperations:
        """What workers that do not reach the backend themselves ask us to do there."""
        return WorkerOperations(self._supervisor)

    async def agents(self) -> Sequence[AgentInfo]:
        await release_logged_in(self._context)
        return await look_at_agents(self._context)

    async def release(self, ref: str) -> Hold:
        """Let the tasks of a held account go, by its name or an agent's. Raises `NotFound`."""
        self._supervisor.dispatcher.wake()
        return await release(self._context, ref, "user")

    def now(self) -> int:
        """Wall time, ms."""
        return self._context.clock.now()

    @property
    def settings(self) -> Settings:
        return self._context.settings

    @property
    def token(self) -> str:
        """What the control API wants to see from other machines."""
        return self._context.token

    @property
    def address(self) -> str:
        """Where other machines reach the control API, `http://host:port`; "" when nowhere."""
        return self._context.address

    async def reload(self) -> Settings:
        return await self._supervisor.reloader.reload_fleet()

    def supervisor(self) -> SupervisorInfo:
        return self._supervisor.info()

    async def shutdown(self, *, keep_sessions: bool) -> None:
        self._supervisor.ask_stop(keep_sessions=keep_sessions)

    def metrics(self) -> Mapping[str, float]:
        """Prometheus names to values; no I/O."""
        supervisor = self._supervisor
        times = os.times()
        values: dict[str, float] = {
            "quarterdeck_sessions": len(supervisor.sessions),
            "quarterdeck_slots": self._context.settings.slots,
            "quarterdeck_claims_total": supervisor.dispatcher.claimed,
            "quarterdeck_rescues_total": supervisor.rescuer.rescued,
            "quarterdeck_heartbeats_late_total": supervisor.registry.late,
            "quarterdeck_fenced_writes_total": supervisor.sessions.fenced_writes,
            "quarterdeck_ready": float(supervisor.ready),
            "process_cpu_seconds_total": times.user + times.system,
            "process_start_time_seconds": supervisor.started_at / 1000,
        }
        if supervisor.intake is not None:
            values["quarterdeck_letters_taken_total"] = supervisor.intake.taken
            values["quarterdeck_letters_refused_total"] = supervisor.intake.refused
        for service in supervisor.services:
            health = service.health()
            values[f'quarterdeck_service_restarts_total{{service="{health.name}"}}'] = health.restarts
        return values

    # helpers

    async def _worker(self, ref: str) -> Worker:
        """By its id or a unique prefix. Raises `NotFound`."""
        fitting = [one for one in await self._backend.workers() if one.id.startswith(ref)]
        exact = [one for one in fitting if one.id == ref]
        if len(exact or fitting) != 1:
            raise NotFound(f"no worker {ref!r}" if not fitting else f"{ref!r} fits {len(fitting)} workers")
        return (exact or fitting)[0]

    def _accepting(self) -> None:
        if self._supervisor.stopping:
            raise IllegalState("the supervisor is stopping", hint="qd up starts another")
