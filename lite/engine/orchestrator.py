"""Routes and places queued work: what must be placed gets its worker, what lost its agent is routed again or parked."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from lite.aio.probe import hit
from lite.aio.service import Service
from lite.aio.tasks import Jobs
from lite.engine.context import Context
from lite.engine.placing import Looked, look
from lite.errors import IllegalState, InvalidTask, NotFound
from lite.model.order import Order
from lite.model.task import Assignment, Reason, State, Task, TaskQuery
from lite.rules.route import route

log = logging.getLogger(__name__)

_PAUSE_SECONDS = 0.05  # between two looks at a busy queue
_LONGEST_BACKOFF_SECONDS = 2.0


class Orchestrator:
    """Looks at the queue whenever the event log has grown, at most some times a second; when a delayed task is due;
    and, while something waits for a place or in one, every heartbeat: who falls silent or recovers appends no event."""

    def __init__(self, context: Context, wake: Callable[[], None] = lambda: None) -> None:
        self._context = context
        self._wake = wake  # whoever claims
        self._stirred = asyncio.Event()
        self._failure: BaseException | None = None
        self.service = Service("route", self._loop, longest=_LONGEST_BACKOFF_SECONDS, sleep=context.clock.sleep)

    async def place_waiting(self, skip: int = 0) -> Looked:
        """Assign workers to queued tasks that need one, and take back assignments that lead nowhere."""
        return await look(self._context, self._assign, skip)

    async def reroute(self) -> int:
        """After a reload: route again what has no agent any more, or park it. Returns how many changed."""
        context = self._context
        changed = 0
        for task in await context.backend.tasks(TaskQuery(states=(State.QUEUED,))):
            if task.spec.agent in context.settings.agents and task.reason != Reason.UNROUTABLE:
                continue
            changed += await self._reroute(task)
        return changed

    async def _reroute(self, task: Task) -> bool:
        spec = task.spec
        order = Order(type=spec.type, trigger=spec.trigger, prompt=spec.prompt, command=spec.command, http=spec.http)
        if not spec.type and not spec.trigger:
            order = Order(agent=spec.agent, prompt=spec.prompt, command=spec.command, http=spec.http)
        try:
            chosen = route(order, self._context.settings)
        except InvalidTask as error:
            if task.reason == Reason.UNROUTABLE:
                return False
            return await self._assign(task, Assignment(park=True, why=error.message))
        agent = self._context.settings.agents[chosen.agent]
        capabilities = self._context.providers.capabilities().get(agent.provider)
        mode = agent.mode or (capabilities.default_mode if capabilities else spec.mode)
        return await self._assign(
            task, Assignment(agent=chosen.agent, provider=agent.provider, mode=mode, why=chosen.rule)
        )

    async def _assign(self, task: Task, assignment: Assignment) -> bool:
        try:
            await self._context.backend.assign(task.id, assignment, now=self._context.clock.now())
        except (IllegalState, NotFound):
            return False  # it ended, was claimed, placed by another, or its team moved: an event tells of each
        self._wake()
        return True

    async def _loop(self) -> None:
        self._failure = None
        jobs = Jobs("route", on_error=self._failed)
        try:
            jobs.spawn(self._follow_events(), "follow events")
            skip = 0
            while True:
                self._stirred.clear()
                looked = await self.place_waiting(skip)
                skip = looked.skip
                hit("orchestrator.looked", worker=self._context.worker, placed=looked.placed, pending=looked.pending)
                await self._context.clock.sleep(_PAUSE_SECONDS)
                if not skip:
                    await self._rest(looked.pending)
                if self._failure is not None:
                    raise self._failure
        finally:
            await jobs.cancel()

    async def _rest(self, pending: bool) -> None:
        """Until something may have changed."""
        context, alarms = self._context, Jobs("alarms", on_error=self._failed)
        try:
            due = await context.backend.next_due(context.clock.now())
            if due is not None:
                alarms.spawn(self._stir_at(due), "due")
            if pending:
                alarms.spawn(self._stir_in(context.settings.heartbeat_ms / 1000), "heartbeat")
            await self._stirred.wait()
        finally:
            await alarms.cancel()

    async def _stir_at(self, due: int) -> None:
        await self._context.sleep_until(due)
        self._stirred.set()

    async def _stir_in(self, seconds: float) -> None:
        await self._context.clock.sleep(seconds)
        self._stirred.set()

    async def _follow_events(self) -> None:
        cursor = 0
        while True:
            cursor = await self._context.backend.wait(cursor)
            self._stirred.set()

    def _failed(self, error: BaseException) -> None:
        self._failure = error
        self._stirred.set()
