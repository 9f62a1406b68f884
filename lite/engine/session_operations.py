"""What the control API may ask about sessions, whichever worker of the fleet has them.

`here`: another worker asks on behalf of its client, for a session of ours; what we do not have ourselves is not found,
so that nothing is passed on twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from lite.engine.references import find_task
from lite.engine.remote import RemoteRecording, RemoteSessions, RemoteTranscript, nothing_live
from lite.engine.runner import Runner
from lite.engine.supervisor import Supervisor
from lite.errors import ExecutorError, NotFound, SessionRefused
from lite.model.ids import ID
from lite.model.session import Activity, Inspection, Status, session_id
from lite.model.task import Task
from lite.ports import TerminalStream
from lite.recordings.reader import Recording
from lite.terminal import packets
from lite.transcripts.reader import transcript_size

_SEND_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class SendResult:
    """What really happened to what was sent."""

    result: Literal["delivered", "queued", "refused"]
    reason: str = ""


@dataclass(frozen=True, slots=True)
class AttachOffer:
    """How to watch or control a session: the holder's socket for a client on this machine, or a one-use ticket for the
    API's WebSocket. `worker`: the other one that has the session, "" when it is here."""

    session: str
    address: str
    ticket: str
    cols: int
    rows: int
    worker: str = ""


class SessionOperations:
    """The part of `Operations` about sessions. Those of other workers raise `PeerUnavailable` when these are silent."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._context = supervisor.context
        self._backend = supervisor.context.backend
        self._remote = RemoteSessions(supervisor.context)

    def status_of(self, task: Task) -> Status | None:
        """The live activity, None when no session of it runs here."""
        runner = self._supervisor.sessions.of_task(task.id)
        return runner.status if runner else None

    async def status_now(self, task: Task) -> Status | None:
        """The same, and of a session elsewhere if its worker says so within a second."""
        return self.status_of(task) or await self._remote.status(task)

    def activities(self) -> AsyncIterator[tuple[str, Status]]:
        return self._supervisor.sessions.watch()

    async def inspect(self, session: str, *, here: bool = False) -> Inspection:
        """A look at a session, live or ended."""
        runner = self._supervisor.sessions.of_session(session)
        if runner is not None:
            await launched(runner)
            if runner.reached is not None:
                executor, handle = runner.reached
                seen = await executor.inspect(handle)
                start = Recording(self._context.home.session(session)).start()
                start, said = min(start, seen.offset), self._transcript_size(session)
                return replace(seen, status=runner.status, start=start, transcript=said)
        try:
            kept = Recording(self.recording_directory(session))
        except NotFound:
            if here or runner is not None:
                raise
            task, session = await self._meant(session)
            return (await self._remote.look(task, session))[1]
        header = await asyncio.to_thread(kept.header)
        cols, rows = (header.cols, header.rows) if header else (0, 0)
        said = self._transcript_size(session)
        return Inspection(False, offset=kept.end(), cols=cols, rows=rows, start=kept.start(), transcript=said)

    async def send(self, ref: str, data: bytes, *, here: bool = False) -> SendResult:
        """Type `data` into the session (of the task), as it is."""
        task, session = await self._meant(ref)
        runner = self._supervisor.sessions.of_session(session)
        if task.state.terminal:
            return SendResult("refused", f"the task has {task.state.value}")
        if runner is None and here:
            raise NotFound(f"no session {ref!r} here")
        if runner is None and self._is_elsewhere(task, session):
            delivered, reason = await self._remote.send(task, session, data)
            return SendResult("delivered" if delivered else "refused", reason)
        if runner is not None:
            await launched(runner)
        if runner is None or runner.reached is None:
            return SendResult("refused", "the task is not running")
        return await self._type(runner, data)

    async def _type(self, runner: Runner, data: bytes) -> SendResult:
        if runner.reached is None:
            return SendResult("refused", "the session has ended")
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

    async def attach(self, ref: str, *, control: bool, local: bool, here: bool = False) -> AttachOffer:
        """Raises `SessionRefused` when there is no session to attach to."""
        sessions, now = self._supervisor.sessions, self._context.clock.monotonic()
        runner = sessions.of_session(ref)
        if runner is None:
            task, session = await self._meant(ref)
            runner = sessions.of_session(session)
            if runner is None and here and not self._context.home.session(session).is_dir():
                raise NotFound(f"no session {ref!r} here")
            if runner is None and not here and self._is_elsewhere(task, session):
                worker, seen = await self._remote.look(task, session)
                ticket = sessions.issue(session, control, now, worker=worker.id)
                return AttachOffer(session, "", ticket, seen.cols, seen.rows, worker.id)
            if runner is None:
                raise nothing_live(task)
        await launched(runner)
        if runner.reached is None or not runner.reached[0].capabilities().terminal:
            raise SessionRefused("this task has no terminal (yet)", hint="qd logs -f follows its output")
        executor, handle = runner.reached
        seen = await executor.inspect(handle)
        address = executor.address(handle) if local else ""
        return AttachOffer(runner.session, address, sessions.issue(runner.session, control, now), seen.cols, seen.rows)

    async def open_stream(self, ticket: str, *, offset: int | None) -> TerminalStream:
        """Use a ticket. Raises `SessionRefused`."""
        right = self._supervisor.sessions.redeem(ticket, self._context.clock.monotonic())
        if right.worker:
            return await self.open_remote(right.worker, right.session, control=right.control, offset=offset)
        runner = self._supervisor.sessions.of_session(right.session)
        if runner is None or runner.reached is None:
            raise SessionRefused("the session has ended")
        executor, handle = runner.reached
        return await executor.attach(handle, control=right.control, offset=offset)

    async def open_remote(self, worker: str, session: str, *, control: bool, offset: int | None) -> TerminalStream:
        """The terminal of a session that an offer said is with `worker`."""
        return await self._remote.attach(worker, session, control=control, offset=offset)

    async def watch_session(self, session: str, offset: int) -> TerminalStream | None:
        """The live output of a session from `offset` on; None when it does not run here (its recording has it all)."""
        runner = self._supervisor.sessions.of_session(session)
        if runner is None or runner.reached is None:
            return None
        executor, handle = runner.reached
        return await executor.attach(handle, control=False, offset=offset)

    def recording_directory(self, session: str) -> str:
        """Of a session recorded here. Raises `NotFound`."""
        task, _, attempt = session.rpartition("-")
        directory = self._context.home.session(session)
        if not task.isalnum() or not attempt.isdigit() or not directory.is_dir():
            raise NotFound(f"no recording of session {session!r}")
        return str(directory)

    async def find_recording(self, session: str, *, here: bool = False) -> str | RemoteRecording:
        """The directory of a session recorded here, or the recording at the worker that has it."""
        try:
            return self.recording_directory(session)
        except NotFound:
            if here:
                raise
        task, session = await self._meant(session)
        if not session:
            raise NotFound("the task has not run yet")
        return await self._remote.recording(task, session)

    async def find_transcript(self, session: str, *, here: bool = False) -> str | RemoteTranscript:
        """The directory of a structured session of this worker, or the transcript at the worker that has it. Raises
        `NotFound` for a session that is not structured, too."""
        runner = self._supervisor.sessions.of_session(session)
        if runner is not None:
            await launched(runner)
        try:
            directory = self.recording_directory(session)
        except NotFound:
            if here or runner is not None:
                raise
        else:
            if self._transcript_size(session) is None:
                raise _no_transcript(session)
            return directory
        task, session = await self._meant(session)
        found = await self._remote.transcript(task, session) if session else None
        if found is None:
            raise _no_transcript(session)
        return found

    async def transcript_grown(self, session: str, size: int) -> None:
        """Returns once there is more of it than `size` bytes, or nobody writes it (any more)."""
        runner = self._supervisor.sessions.of_session(session)
        if runner is not None and runner.transcript is not None:
            await runner.transcript.grown(size)

    def _transcript_size(self, session: str) -> int | None:
        return transcript_size(self._context.home.session(session))

    def relay_socket(self, session: str) -> Path:
        """Where clients on this machine may reach a session that is elsewhere."""
        return self._context.home.relay_socket(session)

    def _is_elsewhere(self, task: Task, session: str) -> bool:
        return self._remote.runs_elsewhere(task) and session == session_id(task.id, task.attempt)

    async def _meant(self, ref: str) -> tuple[Task, str]:
        """The task and the session: a session's id names its attempt, a task its last one ("" before the first)."""
        head, _, attempt = ref.rpartition("-")
        if not ID.match(head):
            task = await find_task(self._backend, ref)
            return task, session_id(task.id, task.attempt) if task.attempt else ""
        task = await self._backend.get(head)
        if attempt not in {str(number) for number in range(1, task.attempt + 1)}:
            raise NotFound(f"task {task.id} has no session {ref!r}", hint=f"qd show {task.id}")
        return task, ref


def _no_transcript(session: str) -> NotFound:
    return NotFound(f"session {session!r} has no transcript: its output is not structured", hint="it has a recording")


async def launched(runner: Runner) -> None:
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
