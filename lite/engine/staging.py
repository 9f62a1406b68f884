"""Staging volumes: given to the tasks of a run, freed by rule, each beginning and end in the event log."""

from __future__ import annotations

import logging
from collections.abc import Coroutine
from typing import Any

from lite.aio.probe import hit
from lite.aio.service import Service
from lite.aio.tasks import Jobs
from lite.engine.context import Context
from lite.errors import ExecutorError
from lite.model.event import Event, EventKind
from lite.model.run import RunQuery
from lite.model.staging import Staging, Volume
from lite.model.task import Task
from lite.ports import Volumes
from lite.rules.staging import end_of

log = logging.getLogger(__name__)

VARIABLE = "QD_STAGING"

_PAUSE_SECONDS = 5.0  # between two looks while the log grows
_AGAIN_MS = 60_000  # after one that could not be taken away, or that another process should
_PAGE = 1000


async def provide(context: Context, task: Task, executor: str) -> str:
    """The directory its run's tasks share, as they see it; "" when they share none. Raises `ExecutorError`."""
    volumes, run = context.volumes.get(executor), task.spec.run
    if volumes is None or not run or _keep_ms(context, executor) is None:
        return ""
    if await volumes.provide(run, now=context.clock.now()):
        await _note(context, EventKind.STAGING_CREATED, run, {"volume": volumes.name(run)})
    context.staged.set()
    return volumes.place(run)


def _keep_ms(context: Context, executor: str) -> int | None:
    """None: such volumes are not asked for."""
    settings = context.settings
    if executor == "kubernetes":
        claims = settings.kubernetes.staging if settings.kubernetes else None
        return claims.keep_ms if claims else None
    return settings.staging.keep_ms if settings.staging else None


async def _note(context: Context, kind: EventKind, run: str, data: dict[str, str]) -> None:
    await context.backend.append(Event(kind, context.clock.now(), run=run, worker=context.worker, data=data))


class StagingKeeper:
    """Frees what is due: looks when it starts, when the log has grown, when one is due. `alone`: while this process
    knows of no volume there is none."""

    def __init__(self, context: Context, *, alone: bool) -> None:
        self._context = context
        self._alone = alone
        self._left: dict[str, int] = {}  # run -> when (ms) to take care of what another process has freed
        self._failure: BaseException | None = None
        self.service = Service("staging", self._loop, sleep=context.clock.sleep)

    async def look(self) -> tuple[bool, int | None]:
        """Free what is due. Is there any left, and when (ms) is the next one due?"""
        left, due = False, []
        for executor, volumes in self._context.volumes.items():
            for volume in await volumes.volumes():
                try:
                    at = await self._look_at(executor, volumes, volume)
                except ExecutorError as error:
                    log.warning("staging of run %s: %s", volume.run, error)
                    at = self._context.clock.now() + _AGAIN_MS
                left |= at != 0
                if at:
                    due.append(at)
        return left, min(due, default=None)

    async def _look_at(self, executor: str, volumes: Volumes, volume: Volume) -> int | None:
        """When (ms) it is due, None while its run goes on, 0 when it is gone."""
        context, why = self._context, volume.freed
        if not why:
            runs = await context.backend.runs(RunQuery(ids=(volume.run,)))
            keep_ms = _keep_ms(context, executor)
            end = end_of(volume, runs[0] if runs else None, Staging().keep_ms if keep_ms is None else keep_ms)
            if end is None:
                return None
            at, why = end
            if at > context.clock.now():
                return at
            if not await volumes.free(volume.run, why):
                return context.clock.now() + _AGAIN_MS  # another process does it
            hit("staging.freed", run=volume.run)
        elif not self._alone:
            at = self._left.setdefault(volume.run, context.clock.now() + _AGAIN_MS)
            if at > context.clock.now():
                return at  # whoever freed it may be at it
        self._left.pop(volume.run, None)
        if not await self._told(volume.run, volumes.name(volume.run)):
            await _note(
                context, EventKind.STAGING_DELETED, volume.run, {"volume": volumes.name(volume.run), "why": why}
            )
            hit("staging.told", run=volume.run)
        await volumes.remove(volume.run)
        return 0

    async def _told(self, run: str, name: str) -> bool:
        """Whoever freed it may have died after it said so."""
        told, after = False, 0
        while True:
            page = await self._context.backend.events(after, limit=_PAGE, run=run)
            for event in page:
                if event.data.get("volume") == name:
                    told = event.kind is EventKind.STAGING_DELETED
            if len(page) < _PAGE:
                return told
            after = page[-1].cursor

    async def _loop(self) -> None:
        context, seen = self._context, 0
        self._failure = None
        while True:
            context.staged.clear()
            seen = await context.backend.wait(seen, timeout_ms=0)
            left, due = await self.look()
            hit("staging.looked", worker=context.worker, left=left)
            await context.clock.sleep(_PAUSE_SECONDS)
            await self._rest(seen if left or not self._alone else None, due)
            if self._failure is not None:
                raise self._failure

    async def _rest(self, seen: int | None, due: int | None) -> None:
        alarms = Jobs("staging", on_error=self._failed)
        try:
            if seen is not None:
                alarms.spawn(self._stir_after(self._context.backend.wait(seen)), "events")
            if due is not None:
                alarms.spawn(self._stir_after(self._context.sleep_until(due)), "due")
            await self._context.staged.wait()
        finally:
            await alarms.cancel()

    async def _stir_after(self, waiting: Coroutine[Any, Any, Any]) -> None:
        await waiting
        self._context.staged.set()

    def _failed(self, error: BaseException) -> None:
        self._failure = error
        self._context.staged.set()
