"""An executor that plays behaviours instead of running programs: for engine tests in virtual time, and for trying out
plans and settings without doing anything.

Its sessions live in a `World`, which outlives an executor as real programs outlive a supervisor: a second executor over
the same world recovers them.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lite.aio.tasks import Job, Jobs
from lite.errors import ExecutorError, HandleGone, QuarterdeckError, SessionRefused
from lite.executors.fake_terminal import FakeStream, FakeTerminal
from lite.model.session import Activity, ExecutorCapabilities, Inspection, SessionRequest, Status
from lite.model.task import Outcome, OutcomeKind, Reason
from lite.ports import Clock, RecordHandle, TerminalStream
from lite.terminal import packets

_DEADLY = (signal.SIGINT, signal.SIGTERM, signal.SIGKILL, signal.SIGHUP, signal.SIGQUIT)

LAPSED = Outcome(OutcomeKind.UNEXECUTABLE, Reason.LOST, "its lease ran out: nobody renewed it")

WatchStatus = Callable[[Status], None]


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How one attempt goes. Times are seconds of the clock."""

    outcome: Outcome = Outcome(OutcomeKind.SUCCEEDED, exit_code=0)  # noqa: RUF009 - frozen
    seconds: float = 0.0
    output: str | None = None  # written to `$QD_OUTPUT` when it ends
    hangs: bool = False  # runs until stopped
    stubborn: float = 0.0  # how long it goes on after it was stopped
    start_fails: str | QuarterdeckError = ""  # `start` raises this, or an ExecutorError with these words
    lost_on_recover: bool = False
    statuses: Sequence[tuple[float, Activity, str]] = ()  # after how long, what, text; in order of time
    prints: Sequence[tuple[float, bytes]] = ()  # after how long, what; in order of time. With any it has a terminal
    replies: Callable[[bytes], bytes] | None = None  # what it prints at once when this is typed


@dataclass(slots=True)
class Session:
    """One attempt that was let go."""

    handle: str
    request: SessionRequest
    behaviour: Behaviour
    token: int
    started_at: int
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    stopped: asyncio.Event = field(default_factory=asyncio.Event)
    lapsed: asyncio.Event = field(default_factory=asyncio.Event)
    leash: Job | None = None  # ends it should it not be kept again
    signum: int = int(signal.SIGTERM)  # what ended it, if it was stopped
    outcome: Outcome | None = None
    status: Status | None = None
    watchers: list[WatchStatus] = field(default_factory=list)
    terminal: FakeTerminal | None = None


class World:
    """Where fake programs run. `close` ends whatever still does."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.sessions: dict[str, Session] = {}
        self._jobs = Jobs("fake world")

    def __repr__(self) -> str:
        alive = sum(not session.ended.is_set() for session in self.sessions.values())
        return f"<World {alive} of {len(self.sessions)} alive>"

    def let_go(self, session: Session) -> None:
        self.sessions[session.handle] = session
        self._jobs.spawn(self._run(session), session.handle)

    def keep(self, session: Session, seconds: float) -> None:
        """It may go on for that long, unless this is said again."""
        if session.leash is not None:
            session.leash.cancel()
        session.leash = self._jobs.spawn(self._lapse(session, seconds), f"{session.handle} leash")

    async def close(self) -> None:
        await self._jobs.cancel()

    async def _lapse(self, session: Session, seconds: float) -> None:
        if seconds > 0:
            await self.clock.sleep(seconds)
        session.lapsed.set()

    async def _run(self, session: Session) -> None:
        play = self._jobs.spawn(self._play(session), f"{session.handle} play")
        lapse = self._jobs.spawn(session.lapsed.wait(), f"{session.handle} lapse")
        await asyncio.wait([play, lapse], return_when=asyncio.FIRST_COMPLETED)
        if play.done():
            lapse.cancel()
            session.outcome = play.result()
        else:
            await _end(play)
            session.outcome = LAPSED
        if session.leash is not None:
            session.leash.cancel()
        session.ended.set()

    async def _play(self, session: Session) -> Outcome:
        behaviour = session.behaviour
        life = self._jobs.spawn(self._live(session), f"{session.handle} life")
        talk = self._jobs.spawn(self._talk(session), f"{session.handle} talk")
        stop = self._jobs.spawn(session.stopped.wait(), f"{session.handle} stop")
        try:
            await asyncio.wait([life, stop], return_when=asyncio.FIRST_COMPLETED)
            if life.done():
                if behaviour.output is not None:
                    _write_output(session.request, behaviour.output)
                return behaviour.outcome
        finally:
            stop.cancel()
            await _end(life)
            await _end(talk)
            if session.terminal is not None:
                session.terminal.end()
        await self.clock.sleep(behaviour.stubborn)
        return Outcome(OutcomeKind.FAILED, Reason.SIGNAL, "stopped", signal=session.signum)

    async def _talk(self, session: Session) -> None:
        """Print, and reply to what is typed."""
        behaviour, terminal = session.behaviour, session.terminal
        if terminal is None:
            return
        passed, heard = 0.0, 0
        for after, data in behaviour.prints:
            if after > passed:
                await self.clock.sleep(after - passed)
                passed = after
            terminal.print(data, self.clock.now())
        while behaviour.replies is not None:
            changed = terminal.changed
            while heard < len(terminal.said):
                heard += 1
                terminal.print(behaviour.replies(terminal.said[heard - 1]), self.clock.now())
            await changed.wait()

    async def _live(self, session: Session) -> None:
        behaviour = session.behaviour
        passed = 0.0
        for after, activity, text in behaviour.statuses:
            await self.clock.sleep(max(after - passed, 0.0))
            passed = max(after, passed)
            session.status = Status(activity, "holder", "fake", self.clock.now(), text)
            for watcher in list(session.watchers):
                watcher(session.status)
        if behaviour.hangs:
            await asyncio.Event().wait()
        if behaviour.seconds > passed:
            await self.clock.sleep(behaviour.seconds - passed)


class FakeExecutor:
    """Plays `script`: from a name to one behaviour for every attempt, or to a sequence, one per attempt (the last one
    goes on counting). The name is what `name_of` makes of the request: by default the task's id where the script has
    it, else the last word of its command, else `*`. What is not in the script succeeds at once.

    `calls` records every call as (verb, handle or session, argument).
    """

    name = "fake"

    def __init__(
        self,
        world: World,
        script: Mapping[str, Behaviour | Sequence[Behaviour]] | None = None,
        *,
        name_of: Callable[[SessionRequest], str] | None = None,
    ) -> None:
        self.calls: list[tuple[str, str, object]] = []
        self._world = world
        self._script = script or {}
        self._name_of = name_of or self._default_name
        self._held: set[str] = set()
        self._prepared: dict[str, Session] = {}  # not let go yet

    def __repr__(self) -> str:
        return f"<FakeExecutor holding {len(self._held)}, {len(self.calls)} calls>"

    def capabilities(self) -> ExecutorCapabilities:
        return ExecutorCapabilities(recover=True, signals=True)

    async def open(self) -> None:
        self._note("open")

    async def close(self) -> None:
        self._note("close")
        self._held.clear()

    async def start(self, request: SessionRequest, record: RecordHandle) -> str:
        self._note("start", request.session, request.token)
        behaviour = self._behaviour(request)
        if behaviour.start_fails:
            failed = behaviour.start_fails
            raise ExecutorError(failed) if isinstance(failed, str) else failed
        handle = f"1:{request.session}"
        session = Session(handle, request, behaviour, request.token, self._world.clock.now())
        if behaviour.prints:
            session.terminal = FakeTerminal(request.directory)
        self._prepared[handle] = session
        try:
            await record(handle)
        finally:
            del self._prepared[handle]
        session.started_at = self._world.clock.now()
        self._world.let_go(session)
        self._held.add(handle)
        return handle

    async def recover(self, handle: str, token: int) -> None:
        self._note("recover", handle, token)
        session = self._world.sessions.get(handle)
        if session is None or session.behaviour.lost_on_recover:
            raise HandleGone(f"no session {handle!r}")
        if token < session.token:
            raise HandleGone(f"{handle!r} belongs to a holder of token {session.token}")
        session.token = token
        self._held.add(handle)

    async def wait(self, handle: str) -> Outcome:
        session = self._session(handle)
        await session.ended.wait()
        assert session.outcome is not None
        return session.outcome

    async def inspect(self, handle: str) -> Inspection:
        session = self._session(handle)
        return Inspection(
            alive=not session.ended.is_set(),
            started_at=session.started_at,
            last_output_at=max(said) if (said := [at for at in _output_times(session) if at is not None]) else None,
            status=session.status,
            cols=session.request.cols,
            rows=session.request.rows,
        )

    async def signal(self, handle: str, signum: int) -> None:
        self._note("signal", handle, signum)
        session = self._session(handle)
        if session.ended.is_set():
            raise SessionRefused("the session has ended")
        if signum in _DEADLY:
            session.signum = signum
            session.stopped.set()

    async def stop(self, handle: str, *, grace_ms: int) -> None:
        self._note("stop", handle, grace_ms)
        self._session(handle).stopped.set()

    async def destroy(self, handle: str) -> None:
        self._note("destroy", handle)
        session = self._world.sessions.get(handle)
        if session is not None and session.ended.is_set():
            del self._world.sessions[handle]
        self._held.discard(handle)

    async def attach(self, handle: str, *, control: bool, offset: int | None = None) -> TerminalStream:
        terminal = self._session(handle).terminal
        if terminal is None:
            raise SessionRefused("this fake session has no terminal")
        return FakeStream(terminal, packets.END if offset is None else offset)

    async def keep(self, handle: str, ttl_ms: int) -> None:
        self._note("keep", handle, ttl_ms)
        session = self._prepared.get(handle) or self._session(handle)
        if not session.ended.is_set():
            self._world.keep(session, ttl_ms / 1000)

    def watch_status(self, handle: str, callback: WatchStatus) -> None:
        session = self._session(handle)
        session.watchers.append(callback)
        if session.status is not None:
            callback(session.status)

    def address(self, handle: str) -> str:
        """ "": there is nothing to connect to."""
        return ""

    def _session(self, handle: str) -> Session:
        session = self._world.sessions.get(handle)
        if session is None or handle not in self._held:
            raise HandleGone(f"no session {handle!r}")
        return session

    def _behaviour(self, request: SessionRequest) -> Behaviour:
        found = self._script.get(self._name_of(request), Behaviour())
        if isinstance(found, Behaviour):
            return found
        return found[min(request.attempt, len(found)) - 1]

    def _default_name(self, request: SessionRequest) -> str:
        words = (request.task, *request.launch.argv[-1:])
        return next((word for word in words if word in self._script), "*")

    def _note(self, verb: str, about: str = "", argument: object = None) -> None:
        self.calls.append((verb, about, argument))


def _output_times(session: Session) -> tuple[int | None, ...]:
    return (
        session.status.since if session.status else None,
        session.terminal.printed_at if session.terminal is not None else None,
    )


async def _end(job: Job) -> None:
    job.cancel()
    await asyncio.gather(job, return_exceptions=True)


def _write_output(request: SessionRequest, output: str) -> None:
    path = request.env.get("QD_OUTPUT")
    if path:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(output, encoding="utf-8")
