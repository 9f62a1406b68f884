"""Work without a process: no-ops, and HTTP calls made here.

Sessions do not outlive this process, so after a crash a call is made again (at least once; a POST carries the
task's id as `Idempotency-Key`). A no-op leaves nothing to record: its handle is a constant.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from dataclasses import dataclass

from lite.aio.tasks import Job, Jobs
from lite.clock import SystemClock
from lite.errors import ExecutorError, HandleGone, SessionRefused
from lite.executors.http_call import Resolve, perform, resolve
from lite.model.session import ExecutorCapabilities, Inspection, SessionRequest, Status
from lite.model.task import Outcome, OutcomeKind, Reason
from lite.ports import Clock, RecordHandle, TerminalStream
from providers.base import HttpCall

DEFAULT_TIMEOUT_MS = 30_000
_NOOP = "1:noop"
_DONE = Outcome(OutcomeKind.SUCCEEDED)


@dataclass(slots=True)
class _Call:
    job: Job
    stopped: bool = False


class InlineExecutor:
    """Carries out `Launch.inline`."""

    name = "inline"

    def __init__(self, *, resolve: Resolve = resolve, clock: Clock | None = None) -> None:
        self._resolve = resolve
        self._clock = clock or SystemClock()
        self._calls: dict[str, _Call] = {}
        self._jobs = Jobs("inline")
        self._numbers = itertools.count(1)

    def __repr__(self) -> str:
        return f"<InlineExecutor, {len(self._calls)} calls>"

    def capabilities(self) -> ExecutorCapabilities:
        return ExecutorCapabilities()

    async def open(self) -> None:
        """Nothing to prepare."""

    async def close(self) -> None:
        await self._jobs.cancel()
        self._calls.clear()

    async def start(self, request: SessionRequest, record: RecordHandle) -> str:
        inline = request.launch.inline
        if inline == "noop":
            return _NOOP
        if not isinstance(inline, HttpCall):
            raise ExecutorError("the inline executor starts no programs")
        handle = f"1:{request.session}:{next(self._numbers)}"
        await record(handle)
        timeout_ms = request.timeout_ms if request.timeout_ms is not None else DEFAULT_TIMEOUT_MS
        work = perform(inline, timeout_ms / 1000, self._resolve, self._clock, key=request.task, secrets=request.headers)
        job = self._jobs.spawn(work, handle)
        self._calls[handle] = _Call(job)
        return handle

    async def recover(self, handle: str, token: int) -> None:
        if handle not in self._calls:
            raise HandleGone("a call cannot be taken up again; it is made anew")

    async def wait(self, handle: str) -> Outcome:
        if handle == _NOOP:
            return _DONE
        call = self._call(handle)
        await asyncio.wait([call.job])
        if call.job.cancelled():
            detail = "stopped" if call.stopped else "the supervisor ended"
            kind = OutcomeKind.CANCELLED if call.stopped else OutcomeKind.UNEXECUTABLE
            return Outcome(kind, Reason.NONE if call.stopped else Reason.INFRASTRUCTURE, detail)
        if error := call.job.exception():
            return Outcome(OutcomeKind.UNEXECUTABLE, Reason.INFRASTRUCTURE, f"{type(error).__name__}: {error}")
        outcome: Outcome = call.job.result()
        return outcome

    async def inspect(self, handle: str) -> Inspection:
        if handle == _NOOP:
            return Inspection(alive=False)
        return Inspection(alive=not self._call(handle).job.done())

    async def signal(self, handle: str, signum: int) -> None:
        raise SessionRefused("an inline task has no process to signal")

    async def stop(self, handle: str, *, grace_ms: int) -> None:
        call = self._calls.get(handle)
        if call is not None and not call.job.done():
            call.stopped = True
            call.job.cancel()

    async def destroy(self, handle: str) -> None:
        call = self._calls.get(handle)
        if call is not None and call.job.done():
            del self._calls[handle]

    async def attach(self, handle: str, *, control: bool, offset: int | None = None) -> TerminalStream:
        raise SessionRefused("an inline task has no terminal")

    async def keep(self, handle: str, ttl_ms: int) -> None:
        """No-op: nothing of it outlives this process."""

    def watch_status(self, handle: str, callback: Callable[[Status], None]) -> None:
        """An inline task says nothing."""

    def address(self, handle: str) -> str:
        """ "": there is nothing to connect to."""
        return ""

    def _call(self, handle: str) -> _Call:
        call = self._calls.get(handle)
        if call is None:
            raise HandleGone(f"no inline task {handle!r}")
        return call
