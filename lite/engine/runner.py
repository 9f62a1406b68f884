"""Runs one lease: launch (or re-adopt), observe, stop when it must, record the one outcome."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from dataclasses import replace
from pathlib import Path

from lite.aio.probe import hit
from lite.aio.tasks import Jobs
from lite.engine.accounting import accounted, own_share
from lite.engine.accounts import hold_for
from lite.engine.context import Context
from lite.engine.fence import Fence
from lite.engine.judgement import Interruption, judge, put_off
from lite.engine.preparation import output_path, parser_for, prepare
from lite.engine.questions import Questions, text_hash
from lite.engine.sessions import Sessions
from lite.engine.transcript import Transcript
from lite.errors import (
    BackendError,
    ExecutorError,
    ExecutorUnavailable,
    HandleGone,
    InvalidTask,
    LeaseLost,
    OutputTooLarge,
    QuarterdeckError,
)
from lite.model.session import Activity, Status, session_id
from lite.model.task import MAX_OUTPUT, Claim, Lease, Outcome, OutcomeKind, Progress, Reason, Renewal, Task, Waiting
from lite.ports import Executor
from lite.rules.limits import Count, limits_for
from lite.rules.retry import backoff
from providers.base import AgentEvent, EventKind, Limits, Parser, Verdict
from providers.errors import ProviderError

log = logging.getLogger(__name__)

_WRITE_RETRY_SECONDS = (0.1, 0.5, 1.0, 2.0, 5.0)


class Runner:
    """One attempt, from the lease to its recorded outcome. `run` never raises for what an attempt may do.

    `fenced`: another worker may take the lease over once it has run out. So the session is told to end with it, the
    program is stopped here when it could not be renewed in time, and nothing is written any more."""

    def __init__(
        self, context: Context, sessions: Sessions, claim: Claim, *, adopted: bool = False, fenced: bool = False
    ) -> None:
        self.task: Task = claim.task
        self.lease: Lease = claim.lease
        self.status = Status(Activity.STARTING, "engine", "claim", context.clock.now())
        self.handle = ""
        self.executor: Executor | None = None
        self._context = context
        self._sessions = sessions
        self._adopted = adopted
        self._resumed = bool(claim.task.provider_session)
        self.launched = asyncio.Event()  # there is a session, or there will be none
        self.lost = False  # somebody else may have the lease: nothing may be written, nothing may run
        self._interruption: Interruption | None = None
        self._fence = Fence(context, claim.lease) if fenced else None
        self._running = False
        self._transcript: Transcript | None = None
        self._waiting: Waiting | None = claim.task.waiting
        self._count = Count(Limits())
        self.questions = Questions(self.session)
        # what the row said it asks when we took over; while its events are read again, it still does
        self._restored = claim.task.waiting.ref if adopted and claim.task.waiting is not None else ""
        self.asked_changed = asyncio.Event()  # of the questions; a new one each time
        self.answering = asyncio.Lock()
        self._jobs = Jobs(f"attempt {self.session}")
        self._writes = asyncio.Lock()

    def __repr__(self) -> str:
        return f"<Runner {self.session} {self.status.activity.value} {self._interruption or ''}>"

    @property
    def session(self) -> str:
        return session_id(self.lease.task, self.lease.attempt)

    @property
    def transcript(self) -> Transcript | None:
        """Of a structured session, once it runs."""
        return self._transcript

    @property
    def reached(self) -> tuple[Executor, str] | None:
        """The executor and handle of its session; None while there is none."""
        return (self.executor, self.handle) if self.executor is not None and self.handle else None

    async def run(self) -> None:
        """Everything; returns when the outcome is recorded, the lease is lost or (by cancellation) we let go."""
        try:
            if self._fence is not None:
                self._jobs.spawn(self._watch_lease(self._fence), "lease")
            if self.task.cancel:
                self.cancelled(self.task.cancel)
            outcome = await (self._resume() if self._adopted else self._launch())
            self._running = False
            hit("runner.ended", task=self.task.id)
            await self._jobs.cancel()  # what it came to is true however late it is told
            if self.lost:
                await self._give_up()
            else:
                await self._finish(outcome)
        except LeaseLost as lost:
            self._lose(lost.message)
            await self._give_up()
        finally:
            self.launched.set()
            await self._jobs.cancel()
            if self._transcript is not None:
                self._transcript.close()

    def interrupt(self, interruption: Interruption) -> None:
        """End the attempt for our own reasons; the first one counts."""
        if self._interruption is not None:
            return
        self._interruption = interruption
        if self._running:
            self._jobs.spawn(self._stop(), "stop")

    def renewed(self, renewal: Renewal, until: float | None = None) -> None:
        """Take the answer of the common renewal; `until` (monotonic seconds) is what it was asked for."""
        if renewal.lost:
            self._sessions.fenced_writes += until is not None
            self._lose("another worker has it, or may have it")
            return
        if self.lost:
            return
        if renewal.lease.token == self.lease.token:
            self.lease = renewal.lease
            if self._fence is not None and until is not None:
                self._fence.extend(until)
                if self._running and self.reached is not None:
                    self._jobs.spawn(self._fence.tell(*self.reached), "keep")
        if renewal.cancel:
            self.cancelled(renewal.cancel)

    def cancelled(self, reason: str) -> None:
        """Somebody asked for the task's end."""
        self.interrupt(Interruption(OutcomeKind.CANCELLED, reason))

    @property
    def waiting(self) -> Waiting | None:
        """What it asks at this moment."""
        return self.questions.current or self._waiting

    async def asked_now(self) -> None:
        """Returns when the row says what it asks now, too."""
        await self._record_waiting(self.questions.current)

    async def answered(self) -> None:
        """A person has typed something while it waited. What has a name is settled by what its program says only."""
        if self.questions.current is None:
            await self._record_waiting(None)

    # launching

    async def _launch(self) -> Outcome:
        hit("runner.claimed", task=self.task.id)
        try:
            prepared = await prepare(self._context, self.task, self.lease)
        except (BackendError, LeaseLost):
            raise
        except OSError as error:
            return Outcome(OutcomeKind.UNEXECUTABLE, Reason.INFRASTRUCTURE, f"{error.filename}: {error.strerror}")
        except ExecutorUnavailable as error:
            return self._put_off(error)
        except ExecutorError as error:
            return Outcome(OutcomeKind.UNEXECUTABLE, Reason.INFRASTRUCTURE, str(error))
        except QuarterdeckError as error:
            return Outcome(OutcomeKind.FAILED, Reason.LAUNCH, str(error))
        hit("runner.prepared", task=self.task.id)
        self.executor = self._context.executors[prepared.executor]
        if self._interruption is not None:
            return judge(Outcome(OutcomeKind.RESCHEDULED), None, self._interruption, None)
        try:
            self.handle = await self.executor.start(prepared.session, self._record_handle)
        except LeaseLost:
            raise
        except ExecutorUnavailable as error:
            return self._put_off(error)
        except ExecutorError as error:
            return Outcome(OutcomeKind.UNEXECUTABLE, error.reason or Reason.INFRASTRUCTURE, str(error))
        except InvalidTask as error:
            return Outcome(OutcomeKind.FAILED, Reason.LAUNCH, str(error))
        hit("runner.started", task=self.task.id)
        self._now_running()
        if prepared.inline:
            return judge(await self.executor.wait(self.handle), None, self._interruption, None)
        parser = prepared.provider.parser(prepared.asked) if prepared.structured else None
        return await self._observe(prepared.session.directory, parser, self._context.clock.now())

    def _put_off(self, error: ExecutorUnavailable) -> Outcome:
        return judge(put_off(str(error), self._context.clock.now(), self._rested), None, self._interruption, None)

    @property
    def _rested(self) -> int:
        """How many attempts before this one were neither failure nor fault."""
        return max(0, self.lease.attempt - 1 - self.task.failures - self.task.faults)

    async def _record_handle(self, handle: str) -> None:
        """Called by the executor before the program is let go."""
        assert self.executor is not None
        hit("runner.handle", task=self.task.id)
        self._still_ours()
        progress = Progress(handle=f"{self.executor.name}:{handle}", started=True)
        self.task = await self._written(
            self._context.backend.record(self.lease, progress, now=self._context.clock.now())
        )
        hit("runner.recorded", task=self.task.id)
        self._still_ours()
        if self._fence is not None:
            await self._fence.tell(self.executor, handle)

    async def _resume(self) -> Outcome:
        """Re-attach to what a dead supervisor started; start nothing."""
        executor, handle = self._context.split_handle(self.task.handle)
        if executor is None:
            return Outcome(OutcomeKind.UNEXECUTABLE, Reason.LOST, "its supervisor ended before it was started")
        self.executor, self.handle = executor, handle
        try:
            await self._recover(executor, handle)
        except HandleGone as gone:
            return Outcome(OutcomeKind.UNEXECUTABLE, Reason.LOST, gone.message)
        except ExecutorError as error:
            return Outcome(OutcomeKind.UNEXECUTABLE, Reason.INFRASTRUCTURE, str(error))
        if self._fence is not None:
            await self._fence.tell(executor, handle)
        hit("runner.adopted", task=self.task.id)
        self._now_running()
        directory = str(self._context.home.session(self.session))
        parser = parser_for(self._context, self.task, self.lease)
        return await self._observe(directory, parser, self.task.started_at or self._context.clock.now())

    async def _recover(self, executor: Executor, handle: str) -> None:
        """For as long as it takes: that an executor cannot be asked says nothing of what runs there. Raises as
        `Executor.recover`, and `LeaseLost`."""
        tries = 0
        while True:
            try:
                return await executor.recover(handle, self.lease.token)
            except ExecutorUnavailable as error:
                log.warning("%s: not recovered yet: %s", self.session, error)
            await self._context.clock.sleep(_WRITE_RETRY_SECONDS[min(tries, len(_WRITE_RETRY_SECONDS) - 1)])
            self._still_ours()
            tries += 1

    def _now_running(self) -> None:
        self._running = True
        self.launched.set()
        if self._interruption is not None:  # it came while the session was being started
            self._jobs.spawn(self._stop(), "stop")

    # observing

    async def _observe(self, directory: str, parser: Parser | None, started_at: int) -> Outcome:
        executor, handle = self.executor, self.handle
        assert executor is not None
        executor.watch_status(handle, self._on_status)
        self._publish(Status(Activity.UNKNOWN, "engine", "launch", self._context.clock.now()))
        limits = self._limits(structured=parser is not None)
        self._count = Count(limits)
        if parser is not None:
            self._transcript = Transcript(directory, parser, self._on_event)
            self._jobs.spawn(self._follow(executor, handle, self._transcript), "transcript")
        self._watch_time(started_at, limits)
        ended = await executor.wait(handle)
        await self._jobs.cancel()
        verdict: Verdict | None = None
        if self._transcript is not None:
            verdict = await self._own_share(await asyncio.to_thread(self._transcript.end, ended))
        if not self.lost:
            self._publish(Status(Activity.STOPPED, "holder", "exit", self._context.clock.now()))
        agent, now = self._context.agent(self.task.spec.agent, self.task.spec.provider), self._context.clock.now()
        if verdict is not None and self._interruption is None and not self.lost:
            await hold_for(self._context, agent, verdict)  # before the task is queued again
        return judge(
            ended,
            verdict,
            self._interruption,
            _read_output(directory),
            now=now,
            gated=agent.gate,
            rested=self._rested,
            resumed=self._resumed,
        )

    async def _own_share(self, verdict: Verdict) -> Verdict:
        """Without what earlier attempts used, for as long as it takes to know that."""
        tries = 0
        while not self.lost:
            try:
                return await own_share(self._context.backend, self.task, self.lease.attempt, verdict)
            except BackendError as error:
                log.warning("%s: not known yet what was used before: %s", self.session, error)
                await self._context.clock.sleep(_WRITE_RETRY_SECONDS[min(tries, len(_WRITE_RETRY_SECONDS) - 1)])
                tries += 1
        return verdict

    async def _follow(self, executor: Executor, handle: str, transcript: Transcript) -> None:
        try:
            await transcript.follow(await executor.attach(handle, control=False, offset=0))
        except ExecutorError as error:
            log.info("%s: %s; its recording is read at the end", self.session, error)

    def _limits(self, *, structured: bool) -> Limits:
        """What holds when neither the task nor its agent say anything is the provider's to know."""
        spec = self.task.spec
        try:
            default = self._context.providers.get(spec.provider).capabilities().limits
        except ProviderError:
            default = Limits()
        return limits_for(spec, self._context.agent(spec.agent, spec.provider).limits, default, structured=structured)

    def _watch_time(self, started_at: int, limits: Limits) -> None:
        if limits.wall_ms is not None:
            self._jobs.spawn(self._time_out(started_at + limits.wall_ms, limits.wall_ms), "timeout")
        if limits.idle_ms is not None:
            self._jobs.spawn(self._idle_out(limits.idle_ms), "idle timeout")

    async def _time_out(self, deadline: int, limit: int) -> None:
        await self._context.sleep_until(deadline)
        detail = f"ran longer than {limit / 1000:g} s"
        self.interrupt(Interruption(OutcomeKind.FAILED, Reason.TIMEOUT, detail))

    async def _idle_out(self, limit: int) -> None:
        """Fires after `limit` ms without output or change of status; the time spent waiting for a person is free."""
        clock = self._context.clock
        assert self.executor is not None
        quiet_since = clock.now()
        while True:
            await clock.sleep(max(limit - (clock.now() - quiet_since), 1) / 1000)
            if self.status.activity is Activity.WAITING:
                quiet_since = clock.now()
                continue
            try:
                seen = await self.executor.inspect(self.handle)
            except ExecutorError:
                return
            quiet_since = max(quiet_since, seen.last_output_at or 0, self.status.since)
            if clock.now() - quiet_since >= limit:
                detail = f"no output for {limit / 1000:g} s"
                self.interrupt(Interruption(OutcomeKind.FAILED, Reason.IDLE_TIMEOUT, detail))
                return

    def _on_status(self, status: Status) -> None:
        self._publish(status)
        if status.activity is Activity.WAITING:
            self._jobs.spawn(self._record_waiting(_waiting(self.session, status.text)), "waiting")
        elif self._waiting is not None and self._interruption is None and not self._restored:
            self._jobs.spawn(self._record_waiting(None), "answered")

    def _on_event(self, event: AgentEvent) -> None:
        now = self._context.clock.now()
        if broken := self._count.over(event):
            self.interrupt(Interruption(OutcomeKind.FAILED, Reason.LIMIT, broken))
        if self.questions.take(event):
            self._on_questions(now)
            return
        if event.kind is EventKind.NEEDS_USER:
            self._on_status(Status(Activity.WAITING, "events", event.kind.value, now, event.text))
            return
        if event.kind is EventKind.INIT and (known := str(event.data.get("session", ""))):
            self._jobs.spawn(self._write(Progress(provider_session=known)), "provider session")
        if self.status.activity is not Activity.WORKING and self.questions.current is None:
            self._on_status(Status(Activity.WORKING, "events", event.kind.value, now))

    def _on_questions(self, now: int) -> None:
        """What is asked, or answered, has changed."""
        changed, self.asked_changed = self.asked_changed, asyncio.Event()
        changed.set()
        if self._restored and not self.questions.is_open(self._restored):
            return
        self._restored = ""
        asked = self.questions.current
        if asked is None:
            self._on_status(Status(Activity.WORKING, "events", "answered", now))
            return
        self._publish(Status(Activity.WAITING, "events", EventKind.NEEDS_USER.value, now, asked.text))
        self._jobs.spawn(self._record_waiting(asked), "waiting")

    def _publish(self, status: Status) -> None:
        self.status = status
        self._sessions.publish(self.task.id, status)

    async def _record_waiting(self, waiting: Waiting | None) -> None:
        async with self._writes:
            if waiting == self._waiting:
                return
            self._waiting = waiting
            await self._write(Progress(waiting=waiting, answered=waiting is None))

    async def _write(self, progress: Progress) -> None:
        if self.lost:
            return
        try:
            self.task = await self._written(
                self._context.backend.record(self.lease, progress, now=self._context.clock.now())
            )
        except LeaseLost as lost:
            self._lose(lost.message)
        except BackendError as error:
            log.warning("%s: not recorded: %s", self.session, error)

    async def _written(self, write: Awaitable[Task]) -> Task:
        """Raises what `write` raises; counts what came too late."""
        try:
            return await write
        except LeaseLost:
            self._sessions.fenced_writes += 1
            raise

    # the lease

    async def _watch_lease(self, fence: Fence) -> None:
        await fence.run_out()
        self._lose("its lease ran out: it could not be renewed in time")

    def _still_ours(self) -> None:
        if self.lost:
            raise LeaseLost(f"{self.session}: its lease was lost meanwhile")

    def _lose(self, why: str) -> None:
        """The lease is lost: whatever still runs here must not go on, and nothing more may be written."""
        if self.lost:
            return
        self.lost = True
        log.warning("%s: lease lost, stopping: %s", self.session, why)
        ending = self._interruption is not None
        self.interrupt(Interruption(OutcomeKind.RESCHEDULED, Reason.LOST, why))
        if ending and self._running and self._fence is not None:
            self._jobs.spawn(self._stop(), "stop")  # at once, however gently it was being ended

    async def _give_up(self) -> None:
        if self.reached is not None:
            await self._stop()
        self._publish(Status(Activity.STOPPED, "engine", "lease", self._context.clock.now()))

    # ending

    async def _stop(self) -> None:
        assert self.executor is not None
        hit("runner.stopping", task=self.task.id)
        grace = self._context.settings.stop_grace_ms
        if self.lost and self._fence is not None:
            await self._fence.cut(self.executor, self.handle)
            grace = 0
        try:
            await self.executor.stop(self.handle, grace_ms=grace)
        except ExecutorError as error:
            log.info("%s: %s", self.session, error)

    async def _finish(self, outcome: Outcome) -> None:
        """Record the outcome, for as long as it takes: the program has ended, its end must not be lost."""
        outcome = replace(outcome, usage=accounted(self._context, self.task.spec, outcome.usage, ran=bool(self.handle)))
        count = self.task.failures + 1 if outcome.kind is OutcomeKind.FAILED else self.task.faults + 1
        delay = 0
        if outcome.kind in (OutcomeKind.FAILED, OutcomeKind.UNEXECUTABLE):
            delay = backoff(count, self._context.settings.retry, self._context.random.uniform(-1, 1))
        tries = 0
        while True:
            self._still_ours()
            self._sessions.finishing(self, True)
            try:
                self.task = await self._written(
                    self._context.backend.finish(self.lease, outcome, now=self._context.clock.now(), delay_ms=delay)
                )
                break
            except OutputTooLarge as error:
                outcome = replace(
                    outcome, kind=OutcomeKind.FAILED, reason=Reason.OUTPUT, detail=str(error), output=None
                )
            except LeaseLost:
                raise
            except BackendError as error:
                self._sessions.finishing(self, False)
                log.warning("%s: outcome not recorded yet: %s", self.session, error)
                await self._context.clock.sleep(_WRITE_RETRY_SECONDS[min(tries, len(_WRITE_RETRY_SECONDS) - 1)])
                tries += 1
        hit("runner.finished", task=self.task.id)
        await self._destroy()

    async def _destroy(self) -> None:
        if self.reached is not None:
            executor, handle = self.reached
            try:
                await executor.destroy(handle)
            except ExecutorError as error:
                log.info("%s: %s", self.session, error)


def _waiting(session: str, text: str) -> Waiting:
    digest = text_hash(text)
    return Waiting(id=f"{session}-{digest[:8]}", kind="question", text=text, hash=digest)


def _read_output(directory: str) -> bytes | None:
    """What was written to `$QD_OUTPUT`, one byte over the limit at most; None when nothing was."""
    path: Path = output_path(directory)
    try:
        if not path.is_file():
            return None
        with path.open("rb") as file:
            return file.read(MAX_OUTPUT + 1)
    except OSError:
        return None
