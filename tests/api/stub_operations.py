"""The engine's facade over a few dicts: what the API's own tests need, nothing decided, every call remembered."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lite.aio.service import ServiceHealth
from lite.engine.agents import AgentInfo
from lite.engine.questions import Answer
from lite.errors import Ambiguous, IllegalState, NotFound, PlanInvalid, SessionRefused
from lite.model.event import Event, EventKind
from lite.model.ids import new_id
from lite.model.order import Order
from lite.model.run import Run, RunQuery, RunSpec
from lite.model.session import Activity, Inspection, Status
from lite.model.settings import Agent, Settings
from lite.model.task import State, Task, TaskQuery, TaskSpec, Waiting
from lite.model.worker import Worker
from lite.rules.accounts import Hold
from lite.rules.costs import By, Cost
from lite.terminal import packets
from lite.transcripts.reader import transcript_size


@dataclass(frozen=True)
class Offer:
    session: str
    address: str
    ticket: str
    cols: int
    rows: int
    worker: str = ""


@dataclass(frozen=True)
class Sent:
    result: str
    reason: str = ""


@dataclass(frozen=True)
class Planned:
    run: Run | None
    tasks: Sequence[Task]
    created: bool


@dataclass(frozen=True)
class Why:
    task: str
    summary: str


@dataclass(frozen=True)
class Info:
    ready: bool = True
    stopping: bool = False
    pid: int = 7
    home: str = "/h"
    version: str = "1"
    protocol: int = packets.PROTOCOL
    worker: str = "w"
    backend: str = "a dict"
    backend_warnings: Sequence[str] = ("gone with the process",)
    role: str = "all"
    started_at: int = 1
    services: Sequence[ServiceHealth] = (ServiceHealth("dispatcher", "running", 0, ""),)
    sessions: int = 0
    slots: int = 4
    config_path: str = ""
    config_error: str = ""


class FakeStream:
    """A session's stream from a list of packets; `feed` adds more, None ends it."""

    def __init__(self, given: Sequence[packets.Packet | None] = ()) -> None:
        self.written: list[packets.Packet] = []
        self.closed = False
        self.offset: int | None = None
        self.wrote = asyncio.Event()
        self.opened = asyncio.Event()
        self._queue: asyncio.Queue[packets.Packet | None] = asyncio.Queue()
        for one in given:
            self._queue.put_nowait(one)

    def feed(self, encoded: bytes | None) -> None:
        self._queue.put_nowait(None if encoded is None else (encoded[0], encoded[5:]))

    async def read(self) -> packets.Packet | None:
        return await self._queue.get()

    async def write(self, packet: packets.Packet) -> None:
        self.written.append(packet)
        self.wrote.set()

    async def aclose(self) -> None:
        self.closed = True


class NoWorkers:
    """The worker protocol where nobody may join; `test_worker_protocol.py` has the real one."""

    async def register(self, *_: Any) -> Any:
        raise IllegalState("full")

    async def _unknown(self, worker: str, *_: Any, **__: Any) -> Any:
        raise NotFound(f"no worker {worker!r}")

    heartbeat = leave = claim = leases = renew = record = finish = _unknown


class StubOperations:
    worker_protocol = NoWorkers()

    def __init__(self, sessions: Path | None = None) -> None:
        self.table: dict[str, Task] = {}
        self.run_table: dict[str, Run] = {}
        self.log: list[Event] = []
        self.calls: list[tuple[str, Any]] = []
        self.statuses: dict[str, Status] = {}
        self.worker_table = {
            "w-1": Worker("w-1", "node", 2, heartbeat_at=1000, running=("a",), token="of-w-1", load=0.5)
        }
        self.settings = Settings(
            agents={"dev": Agent("dev", "claude", env={"TOKEN": "hunter2"})}, origins={"slots": "default"}
        )
        self.info = Info()
        self.streams: dict[str, FakeStream] = {}
        self.tickets: dict[str, str] = {}
        self.sessions = sessions
        self.changed = asyncio.Condition()
        self.activity: asyncio.Queue[tuple[str, Status]] = asyncio.Queue()
        self.fail: BaseException | None = None
        self.elsewhere = ""  # the worker an attached session is said to be with
        self.asked_here: list[bool] = []
        self.inspections: dict[str, Inspection] = {}
        self.remote_recordings: dict[str, Any] = {}
        self.transcript_waits: list[int] = []  # sizes beyond which somebody waits
        self.transcript_asked = asyncio.Event()
        self.relay_directory: Path | None = None
        self.token = ""
        self.address = ""

    # what tests do

    async def happen(self, kind: EventKind, task: str = "", run: str = "", **data: Any) -> None:
        async with self.changed:
            self.log.append(Event(kind, at=1, task=task, run=run, data=data, cursor=len(self.log) + 1))
            self.changed.notify_all()

    async def become(self, task: str, kind: EventKind, **change: Any) -> None:
        self.table[task] = replace(self.table[task], **change)
        await self.happen(kind, task, self.table[task].spec.run)

    # the facade

    def now(self) -> int:
        return 2000

    async def submit(self, order: Order) -> tuple[Task, bool]:
        self.calls.append(("submit", order))
        if self.fail is not None:
            raise self.fail
        for task in self.table.values():
            if order.key and task.spec.key == order.key:
                return task, False
        spec = TaskSpec(
            id=new_id(),
            name=order.name or "t",
            agent=order.agent or "shell",
            provider="shell",
            prompt=order.prompt,
            command=order.command,
            http=order.http,
            key=order.key,
            env=order.env,
        )
        task = Task(spec, seq=len(self.table) + 1, created_at=5)
        self.table[task.id] = task
        await self.happen(EventKind.TASK_SUBMITTED, task.id)
        return task, True

    async def submit_plan(
        self, text: str, source: str, cwd: str, *, key: str = "", dry_run: bool = False, watched: bool = False
    ) -> Planned:
        self.calls.append(("plan", (text, source, cwd, key, dry_run)))
        if "bad" in text:
            raise PlanInvalid("unknown key 'bad'", hint="did you mean 'bed'?", place=f"{source}:1:1")
        spec = TaskSpec(id=new_id(), name="a", agent="shell", provider="shell", run="" if dry_run else new_id())
        task = Task(spec, seq=len(self.table) + 1)
        if dry_run:
            return Planned(None, (task,), False)
        run = Run(RunSpec(spec.run, "plan", key, source), seq=1, counts={State.QUEUED: 1, State.FAILED: 0})
        self.table[task.id], self.run_table[run.id] = task, run
        await self.happen(EventKind.RUN_SUBMITTED, run=run.id)
        return Planned(run, (task,), True)

    async def task(self, ref: str) -> Task:
        if self.fail is not None:
            raise self.fail
        run, slash, name = ref.partition("/")
        found = [
            task
            for task in self.table.values()
            if (slash and name == task.spec.name and run in (task.spec.run, "plan"))
            or (not slash and task.id.startswith(ref))
        ]
        if not found:
            raise NotFound(f"no task {ref!r}", hint="qd ls")
        if len(found) > 1:
            raise Ambiguous(f"{ref!r} fits more than one task")
        return found[0]

    async def tasks(self, query: TaskQuery) -> Sequence[Task]:
        self.calls.append(("tasks", query))
        found = [task for task in self.table.values() if not query.states or task.state in query.states]
        if query.run is not None:
            found = [task for task in found if task.spec.run == query.run]
        return found[: query.limit]

    async def run(self, ref: str) -> Run:
        for run in self.run_table.values():
            if ref and (run.id.startswith(ref) or run.spec.name == ref):
                return run
        raise NotFound(f"no run {ref!r}")

    async def runs(self, query: RunQuery) -> Sequence[Run]:
        return [run for run in self.run_table.values() if not query.states or run.state in query.states]

    async def explain(self, ref: str) -> Why:
        return Why((await self.task(ref)).id, "it waits for a free slot")

    async def cancel(self, ref: str, reason: str = "user") -> Task:
        task = await self.task(ref)
        self.calls.append(("cancel", reason))
        await self.become(task.id, EventKind.TASK_CANCELLED, state=State.CANCELLED, reason=reason)
        return self.table[task.id]

    async def retry(self, ref: str) -> Task:
        task = await self.task(ref)
        if not task.state.terminal:
            raise IllegalState(f"a {task.state.value} task cannot reopen")
        await self.become(task.id, EventKind.TASK_REOPENED, state=State.QUEUED)
        return self.table[task.id]

    async def send(self, ref: str, data: bytes, *, here: bool = False) -> Sent:
        task = await self.task(ref)
        self.calls.append(("send", data))
        return Sent("delivered") if task.state is State.RUNNING else Sent("refused", "the task is not running")

    async def release(self, ref: str) -> Hold:
        self.calls.append(("release", ref))
        if ref != "claude":
            raise NotFound(f"account {ref!r} is not held")
        return Hold("claude", "not-logged-in", "run /login", 7)

    async def answer(self, ref: str, answer: Answer, *, here: bool = False) -> Sent:
        self.calls.append(("answer", (ref, answer)))
        return Sent("delivered") if answer.id == "q1" else Sent("refused", "it asks something else now")

    def status_of(self, task: Task) -> Status | None:
        return self.statuses.get(task.id)

    async def attach(self, ref: str, *, control: bool, local: bool, here: bool = False) -> Offer:
        self.calls.append(("attach", (ref, control, local)))
        self.asked_here.append(here)
        if ref not in self.streams:
            raise SessionRefused("the task is not running yet", hint="qd explain")
        self.tickets["secret"] = ref
        return Offer(ref, "/h/s/x.sock" if local else "", "secret", 120, 40, self.elsewhere)

    async def open_remote(self, worker: str, session: str, *, control: bool, offset: int | None) -> FakeStream:
        self.calls.append(("open_remote", (worker, session, control, offset)))
        if self.fail is not None:
            raise self.fail
        return self.streams[session]

    async def inspect(self, session: str, *, here: bool = False) -> Inspection:
        self.asked_here.append(here)
        if session not in self.inspections:
            raise NotFound(f"no session {session!r}")
        return self.inspections[session]

    async def find_transcript(self, session: str, *, here: bool = False) -> Any:
        self.asked_here.append(here)
        directory = self.recording_directory(session)
        if transcript_size(directory) is None:
            raise NotFound("no transcript")
        return directory

    async def transcript_grown(self, session: str, size: int) -> None:
        self.transcript_waits.append(size)
        self.transcript_asked.set()
        directory = self.recording_directory(session)
        async with self.changed:
            await self.changed.wait_for(
                lambda: (
                    (transcript_size(directory) or 0) > size
                    or self.table[session.partition("-")[0]].state is not State.RUNNING
                )
            )

    async def transcript_grew(self) -> None:
        async with self.changed:
            self.changed.notify_all()

    async def find_recording(self, session: str, *, here: bool = False) -> Any:
        self.asked_here.append(here)
        return self.remote_recordings.get(session) or self.recording_directory(session)

    def relay_socket(self, session: str) -> Path:
        assert self.relay_directory is not None
        return self.relay_directory / f"{session}.sock"

    async def open_stream(self, ticket: str, *, offset: int | None) -> FakeStream:
        session = self.tickets.pop(ticket, None)
        if session is None:
            raise SessionRefused("this ticket is not valid")
        self.streams[session].offset = offset
        return self.streams[session]

    async def watch_session(self, session: str, offset: int) -> FakeStream | None:
        stream = self.streams.get(session)
        if stream is not None:
            stream.offset = offset
            stream.opened.set()
        return stream

    def recording_directory(self, session: str) -> str:
        if self.sessions is None or "/" in session or not session or not (self.sessions / session).is_dir():
            raise NotFound(f"no recording of session {session!r}")
        return str(self.sessions / session)

    async def events(self, after: int, limit: int, run: str = "", task: str = "") -> Sequence[Event]:
        fitting = [one for one in self.log if one.cursor > after and run in ("", one.run) and task in ("", one.task)]
        return fitting[:limit]

    async def wait_events(self, after: int, timeout_ms: int | None) -> int:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(None if timeout_ms is None else timeout_ms / 1000), self.changed:
                await self.changed.wait_for(lambda: len(self.log) > after)
        return len(self.log)

    async def activities(self) -> AsyncIterator[tuple[str, Status]]:
        while True:
            yield await self.activity.get()

    async def costs(self, by: By, since: int) -> Sequence[tuple[Cost, str]]:
        self.calls.append(("costs", by, since))
        return [(Cost("a", attempts=2, reported_usd=0.5), ""), (Cost("01r", attempts=1, unpriced=1), "night")]

    async def workers(self) -> Sequence[Worker]:
        return list(self.worker_table.values())

    async def deregister(self, worker: str) -> Worker:
        if worker not in self.worker_table:
            raise NotFound(f"no worker {worker!r}")
        return self.worker_table.pop(worker)

    async def cordon(self, worker: str, on: bool) -> Worker:
        if worker not in self.worker_table:
            raise NotFound(f"no worker {worker!r}")
        self.worker_table[worker] = replace(self.worker_table[worker], cordoned=on)
        return self.worker_table[worker]

    async def agents(self) -> Sequence[AgentInfo]:
        return [AgentInfo(agent, problem="claude is not on PATH") for agent in self.settings.agents.values()]

    async def reload(self) -> Settings:
        if self.fail is not None:
            raise self.fail
        self.settings = replace(self.settings, slots=9)
        return self.settings

    def supervisor(self) -> Info:
        return self.info

    async def shutdown(self, *, keep_sessions: bool) -> None:
        self.calls.append(("shutdown", keep_sessions))

    def metrics(self) -> Mapping[str, float]:
        return {"quarterdeck_sessions": 3, 'quarterdeck_service_restarts_total{service="a"}': 1}


def running(task: Task) -> dict[str, Any]:
    """The change that makes a task of the stub run."""
    return {"state": State.RUNNING, "attempt": 1, "started_at": 10}


WORKING = Status(Activity.WORKING, "terminal", "title", 11)
QUESTION = Waiting("q1", "question", "Which one?", "h")
