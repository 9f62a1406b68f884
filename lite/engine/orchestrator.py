"""Routes and places queued work: what must be placed gets its worker, what lost its agent is routed again or parked."""

from __future__ import annotations

import logging
from collections.abc import Callable

from lite.aio.probe import hit
from lite.aio.service import Service
from lite.engine.context import Context
from lite.engine.explaining import team_index
from lite.errors import IllegalState, InvalidTask, NotFound
from lite.model.order import Order
from lite.model.task import Assignment, Reason, State, Task, TaskQuery
from lite.rules.place import place
from lite.rules.route import route

log = logging.getLogger(__name__)

_PAUSE_SECONDS = 0.05  # between two looks at a busy queue
_BATCH = 200


class Orchestrator:
    """Looks at the queue whenever the event log has grown, at most some times a second."""

    def __init__(self, context: Context, wake: Callable[[], None] = lambda: None) -> None:
        self._context = context
        self._wake = wake  # whoever claims
        self.service = Service("route", self._loop)

    async def place_waiting(self) -> int:
        """Assign a worker to queued tasks that need one; returns how many got it."""
        context = self._context
        waiting = await context.backend.unplaced(now=context.clock.now(), limit=_BATCH)
        if not waiting:
            return 0
        live = await context.backend.tasks(TaskQuery(states=(State.RUNNING, State.QUEUED)))
        running = [task for task in live if task.state is State.RUNNING or task.assigned]
        workers = list(await context.backend.workers())
        index = team_index(workers, running)
        nodes = {worker.id: worker.node for worker in workers}
        placed = 0
        for task in waiting:
            chosen = place(task.spec, workers, index, context.clock.now())
            if chosen.worker is None:
                continue
            await self._assign(task, Assignment(worker=chosen.worker, why=chosen.why))
            index[nodes.get(chosen.worker, ""), task.spec.team] += 1
            placed += 1
        return placed

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
            return False  # it ended or was claimed meanwhile
        self._wake()
        return True

    async def _loop(self) -> None:
        cursor = 0
        while True:
            cursor = await self._context.backend.wait(cursor)
            placed = await self.place_waiting()
            hit("orchestrator.looked", placed=placed)
            await self._context.clock.sleep(_PAUSE_SECONDS)
