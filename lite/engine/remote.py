"""Sessions that other workers have: who has them, and the way there through `Context.peers`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass

from lite.engine.context import Context
from lite.engine.questions import Answer
from lite.errors import NotFound, PeerUnavailable, QuarterdeckError, SessionRefused
from lite.model.event import EventKind
from lite.model.session import Inspection, Status, session_id
from lite.model.task import State, Task
from lite.model.worker import Worker
from lite.ports import Peers, TerminalStream
from lite.terminal.packets import Packet

_STATUS_SECONDS = 1.0
_PAGE = 1000
_LEASED = (EventKind.TASK_CLAIMED, EventKind.LEASE_LOST)


@dataclass(frozen=True, slots=True)
class RemoteRecording:
    """What another worker keeps of a session; `start` is the first offset kept."""

    peers: Peers
    worker: Worker
    session: str
    start: int

    def play(self, offset: int, *, follow: bool) -> AsyncGenerator[Packet, None]:
        return self.peers.recording(self.worker, self.session, offset, follow=follow)

    def cast(self, version: int) -> AsyncGenerator[bytes, None]:
        return self.peers.cast(self.worker, self.session, version)


@dataclass(frozen=True, slots=True)
class RemoteTranscript:
    """What another worker keeps of what a structured session said."""

    peers: Peers
    worker: Worker
    session: str

    def play(self, offset: int, *, follow: bool) -> AsyncGenerator[Packet, None]:
        return self.peers.transcript(self.worker, self.session, offset, follow=follow)


class RemoteSessions:
    """Every verb raises `PeerUnavailable` when the worker that has the session cannot be asked, and `NotFound` when
    nobody but this worker ever had it, or it is kept no more."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def look(self, task: Task, session: str) -> tuple[Worker, Inspection]:
        """Who has it, and how it is."""
        peers = self._peers(session)
        missed: QuarterdeckError | None = None
        for worker in await self._holders(task, session):
            try:
                return worker, await peers.inspect(worker, session)
            except (NotFound, PeerUnavailable) as error:
                missed = missed if isinstance(missed, PeerUnavailable) else error
        raise missed or NotFound(f"no session {session!r}")

    async def status(self, task: Task) -> Status | None:
        """What a running task's session does, if its worker says so at once."""
        if not self.runs_elsewhere(task) or self._context.peers is None:
            return None
        try:
            async with asyncio.timeout(_STATUS_SECONDS):
                _, seen = await self.look(task, session_id(task.id, task.attempt))
                return seen.status
        except (TimeoutError, QuarterdeckError):
            return None

    async def send(self, task: Task, session: str, data: bytes) -> tuple[bool, str]:
        """Delivered?, else why not."""
        peers = self._peers(session)
        (worker, *_) = await self._holders(task, session)
        return await peers.send(worker, session, data)

    async def answer(self, task: Task, session: str, answer: Answer) -> tuple[str, str]:
        """What became of an answer to what the session asks, and why."""
        peers = self._peers(session)
        (worker, *_) = await self._holders(task, session)
        said = {"id": answer.id, "decision": answer.decision, "text": answer.text, "hash": answer.hash}
        return await peers.answer(worker, session, said)

    async def attach(self, worker: str, session: str, *, control: bool, offset: int | None) -> TerminalStream:
        """The terminal of a session at a worker found by `look`."""
        peers = self._peers(session)
        return await peers.attach(await self._registered(worker), session, control=control, offset=offset)

    async def recording(self, task: Task, session: str) -> RemoteRecording:
        worker, seen = await self.look(task, session)
        return RemoteRecording(self._peers(session), worker, session, seen.start)

    async def transcript(self, task: Task, session: str) -> RemoteTranscript | None:
        """None: the session is not structured."""
        worker, seen = await self.look(task, session)
        return RemoteTranscript(self._peers(session), worker, session) if seen.transcript is not None else None

    def runs_elsewhere(self, task: Task) -> bool:
        return task.state is State.RUNNING and task.worker not in ("", self._context.worker)

    def _peers(self, session: str) -> Peers:
        if self._context.peers is None:
            raise PeerUnavailable(
                f"not available: session {session} is another worker's",
                hint="this supervisor's backend is not shared, so it knows no other workers",
            )
        return self._context.peers

    async def _holders(self, task: Task, session: str) -> Sequence[Worker]:
        """Those that may have it, likeliest first; never none, never us."""
        if self.runs_elsewhere(task) and session == session_id(task.id, task.attempt):
            names = [task.worker]
        else:
            names = await self._once(task, session)
        others = [name for name in names if name != self._context.worker]
        if not others:
            raise NotFound(f"no session {session!r}", hint="nothing of it is kept here")
        rows = {worker.id: worker for worker in await self._context.backend.workers()}
        found = [rows[name] for name in others if name in rows]
        if not found:
            raise _left(others[0])
        return found

    async def _once(self, task: Task, session: str) -> list[str]:
        """The workers that had the lease of that attempt, the last one first."""
        names: list[str] = []
        after = 0
        while True:
            page = await self._context.backend.events(after, limit=_PAGE, task=task.id)
            for event in page:
                if event.kind in _LEASED and event.worker and session_id(task.id, event.attempt) == session:
                    names.append(event.worker)
            if len(page) < _PAGE:
                return list(dict.fromkeys(reversed(names)))
            after = page[-1].cursor

    async def _registered(self, name: str) -> Worker:
        for worker in await self._context.backend.workers():
            if worker.id == name:
                return worker
        raise _left(name)


def _left(name: str) -> PeerUnavailable:
    return PeerUnavailable(
        f"not available: worker {name} has left the fleet", hint="what it recorded is on its machine, and comes with it"
    )


def nothing_live(task: Task) -> SessionRefused:
    """Why there is no session of it to attach to."""
    if task.state is State.QUEUED:
        return SessionRefused("the task is not running yet", hint=f"qd explain {task.id}")
    if task.state is State.RUNNING:
        return SessionRefused("its session is not here (yet)", hint=f"qd explain {task.id}")
    last = session_id(task.id, task.attempt)
    return SessionRefused(f"the task has {task.state.value}", hint=f"qd logs {task.id} shows session {last}")
