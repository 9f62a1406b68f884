"""What the control API may ask of the engine. One object, verbs at the height of the user's words."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from lite.engine.agents import AgentInfo, look_at_agents
from lite.engine.explaining import explain_task
from lite.engine.preparation import check_with_provider
from lite.engine.references import find_run, find_task
from lite.engine.runner import Runner
from lite.engine.supervisor import Supervisor, SupervisorInfo
from lite.errors import ExecutorError, IllegalState, NotFound, SessionRefused
from lite.model.event import Event
from lite.model.ids import new_id
from lite.model.order import Order
from lite.model.run import Run, RunQuery, RunSpec, Submission
from lite.model.session import Activity, Inspection, Status, session_id
from lite.model.settings import Settings
from lite.model.task import State, Task, TaskQuery
from lite.model.worker import Worker, WorkerState
from lite.ports import TerminalStream
from lite.rules.compile import compile_order, compile_plan
from lite.rules.explain import Explanation
from lite.terminal import packets

_SEND_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class PlanResult:
    """A submitted plan, or (dry run: `run` is None) what it would become."""

    run: Run | None
    tasks: Sequence[Task]
    created: bool


@dataclass(frozen=True, slots=True)
class SendResult:
    """What really happened to what was sent."""

    result: Literal["delivered", "queued", "refused"]
    reason: str = ""


@dataclass(frozen=True, slots=True)
class AttachOffer:
    """How to watch or control a session: the holder's socket for a client on this machine, or a one-use ticket for the
    API's WebSocket."""

    session: str
    address: str
    ticket: str
    cols: int
    rows: int


class Operations:
    """The facade over one supervisor."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._context = supervisor.context
        self._backend = supervisor.context.backend

    # work

    async def submit(self, order: Order) -> tuple[Task, bool]:
        """The task (a new one, or by key the one that stands for it) and whether it was created."""
        self._accepting()
        needs = tuple([(await find_task(self._backend, ref)).id for ref in order.needs])
        now = self._context.clock.now()
        spec = compile_order(
            order,
            self._context.settings,
            self._context.providers.capabilities(),
            task_id=new_id(),
            now=now,
            needs=needs,
        )
        check_with_provider(self._context, spec)
        self._supervisor.dispatcher.wake()  # its claim follows the submission into the same commit
        done = await self._backend.submit(Submission(tasks=(spec,)), now=now)
        return done.tasks[0], done.created[0]

    async def submit_plan(
        self, text: str, source: str, cwd: str, *, key: str = "", dry_run: bool = False
    ) -> PlanResult:
        """All of the plan's tasks or none. Raises `PlanInvalid` with file:line:column."""
        plan = await asyncio.to_thread(self._context.load_plan, text, source, cwd)
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
        return await explain_task(self._context, task, self.status_of(task))

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

    # sessions

    def status_of(self, task: Task) -> Status | None:
        """The live activity, None when no session of it runs here."""
        runner = self._supervisor.sessions.of_task(task.id)
        return runner.status if runner else None

    def activities(self) -> AsyncIterator[tuple[str, Status]]:
        return self._supervisor.sessions.watch()

    async def inspect(self, session: str) -> Inspection:
        runner = self._supervisor.sessions.of_session(session)
        if runner is None or runner.reached is None:
            raise NotFound(f"no live session {session!r}")
        executor, handle = runner.reached
        return await executor.inspect(handle)

    async def send(self, ref: str, data: bytes) -> SendResult:
        """Type `data` into the task's session, as it is."""
        task = await find_task(self._backend, ref)
        runner = self._supervisor.sessions.of_task(task.id)
        if task.state.terminal:
            return SendResult("refused", f"the task has {task.state.value}")
        if runner is not None:
            await _launched(runner)
        if runner is None or runner.reached is None:
            return SendResult("refused", "the task is not running")
        executor, handle = runner.reached
        try:
            async with asyncio.timeout(_SEND_SECONDS):
                stream = await executor.attach(handle, control=True, offset=packets.END)
                try:
                    accepted, reason = await _deliver(stream, data)
                finally:
                    await stream.aclose()
        except TimeoutError:
            return SendResult("refused", "the session did not take it in time")
        except ExecutorError as error:
            return SendResult("refused", error.message)
        if accepted and runner.status.activity is Activity.WAITING:
            await runner.answered()
        return SendResult("delivered" if accepted else "refused", reason)

    async def attach(self, ref: str, *, control: bool, local: bool) -> AttachOffer:
        """Raises `SessionRefused` when there is no session to attach to."""
        session, runner = await self._live(ref)
        await _launched(runner)
        if runner.reached is None or not runner.reached[0].capabilities().terminal:
            raise SessionRefused("this task has no terminal (yet)", hint="qd logs -f follows its output")
        executor, handle = runner.reached
        seen = await executor.inspect(handle)
        address = executor.address(handle) if local else ""
        ticket = self._supervisor.sessions.issue(session, control, self._context.clock.monotonic())
        return AttachOffer(session, address, ticket, seen.cols, seen.rows)

    async def open_stream(self, ticket: str, *, offset: int | None) -> TerminalStream:
        """Use a ticket. Raises `SessionRefused`."""
        right = self._supervisor.sessions.redeem(ticket, self._context.clock.monotonic())
        runner = self._supervisor.sessions.of_session(right.session)
        if runner is None or runner.reached is None:
            raise SessionRefused("the session has ended")
        executor, handle = runner.reached
        return await executor.attach(handle, control=right.control, offset=offset)

    async def watch_session(self, session: str, offset: int) -> TerminalStream | None:
        """The live output of a session from `offset` on; None when it does not run here (its recording has it all)."""
        runner = self._supervisor.sessions.of_session(session)
        if runner is None or runner.reached is None:
            return None
        executor, handle = runner.reached
        return await executor.attach(handle, control=False, offset=offset)

    def recording_directory(self, session: str) -> str:
        """Raises `NotFound`."""
        task, _, attempt = session.rpartition("-")
        directory = self._context.home.session(session)
        if not task.isalnum() or not attempt.isdigit() or not directory.is_dir():
            raise NotFound(f"no recording of session {session!r}")
        return str(directory)

    # the fleet

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

    async def agents(self) -> Sequence[AgentInfo]:
        return await look_at_agents(self._context)

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
        return await self._supervisor.reloader.reload()

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
            "quarterdeck_ready": float(supervisor.ready),
            "process_cpu_seconds_total": times.user + times.system,
            "process_start_time_seconds": supervisor.started_at / 1000,
        }
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

    async def _live(self, ref: str) -> tuple[str, Runner]:
        runner = self._supervisor.sessions.of_session(ref)
        if runner is None:
            task = await find_task(self._backend, ref)
            runner = self._supervisor.sessions.of_task(task.id)
            if runner is None:
                if task.state is State.QUEUED:
                    raise SessionRefused("the task is not running yet", hint=f"qd explain {task.id}")
                last = session_id(task.id, task.attempt)
                raise SessionRefused(f"the task has {task.state.value}", hint=f"qd logs {task.id} shows session {last}")
        return runner.session, runner


async def _launched(runner: Runner) -> None:
    """A task that was just claimed gets the moment its launch takes."""
    try:
        async with asyncio.timeout(_SEND_SECONDS):
            await runner.launched.wait()
    except TimeoutError:
        pass  # the caller sees that there is no session


async def _deliver(stream: TerminalStream, data: bytes) -> tuple[bool, str]:
    await stream.write((packets.INPUT, data))
    while (packet := await stream.read()) is not None:
        kind, payload = packet
        if kind == packets.ACK:
            return packets.parse_ack(payload)
        if kind in (packets.EXIT, packets.REFUSED):
            return False, payload.decode("utf-8", "replace") if kind == packets.REFUSED else "the session has ended"
    return False, "the session has ended"
