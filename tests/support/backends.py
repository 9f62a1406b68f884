"""A desk in front of a backend: short verbs, its own clock, small deterministic ids."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lite.model.event import Event
from lite.model.run import RunSpec, Submission, Submitted
from lite.model.task import Claim, ClaimRequest, Outcome, OutcomeKind, Task, TaskQuery, TaskSpec
from lite.model.worker import Worker
from lite.ports import Backend

TTL = 15_000
START = 1_700_000_000_000


def task_id(number: int) -> str:
    return f"0{number:025d}"


class Desk:
    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.now = START
        self._last = 0

    def spec(self, name: str = "", **fields: Any) -> TaskSpec:
        self._last += 1
        fields = {"agent": "dev", "provider": "scripted"} | fields
        return TaskSpec(fields.pop("id", task_id(self._last)), name or f"t{self._last}", **fields)

    async def add(self, name: str = "", **fields: Any) -> Task:
        """One ad-hoc task."""
        return (await self.submit(self.spec(name, **fields))).tasks[0]

    async def submit(self, *specs: TaskSpec) -> Submitted:
        return await self.backend.submit(Submission(specs), now=self.now)

    async def plan(self, *specs: TaskSpec, run: str = "run", key: str = "") -> Submitted:
        """The specs must have been made with the same `run`."""
        return await self.backend.submit(Submission(specs, RunSpec(run, run, key)), now=self.now)

    async def join(self, worker: str = "w1", **fields: Any) -> Worker:
        return await self.backend.register(Worker(worker, "node", **({"slots": 4} | fields)), now=self.now)

    async def claim(
        self, limit: int = 1, worker: str = "w1", agents: Mapping[str, int | None] | None = None
    ) -> list[Claim]:
        request = ClaimRequest(worker, limit, {"dev": None} if agents is None else agents, TTL)
        return list(await self.backend.claim(request, now=self.now))

    async def names(self, limit: int = 100, **fields: Any) -> list[str]:
        """Claim, and tell the names of what was taken."""
        return [claim.task.spec.name for claim in await self.claim(limit, **fields)]

    async def take(self, **fields: Any) -> Claim:
        """Claim exactly one; there must be one."""
        (claim,) = await self.claim(1, **fields)
        return claim

    async def finish(self, claim: Claim, kind: str = "succeeded", *, delay_ms: int = 0, **fields: Any) -> Task:
        outcome = Outcome(OutcomeKind(kind), **fields)
        return await self.backend.finish(claim.lease, outcome, now=self.now, delay_ms=delay_ms)

    async def run_next(self, kind: str = "succeeded", **fields: Any) -> Task:
        """Claim one task and end it."""
        return await self.finish(await self.take(), kind, **fields)

    async def events(self, after: int = 0, **fields: Any) -> list[Event]:
        return list(await self.backend.events(after, **fields))

    async def cursor(self) -> int:
        return await self.backend.wait(0, timeout_ms=0)

    async def story(self, after: int = 0) -> list[tuple[str, str]]:
        """(kind, name of the task; or run, or worker) of each event."""
        names = {task.id: task.spec.name for task in await self.all_tasks()}
        return [
            (str(event.kind), names.get(event.task, event.task) or event.run or event.worker)
            for event in await self.events(after, limit=100_000)
        ]

    async def all_tasks(self) -> list[Task]:
        return list(await self.backend.tasks(TaskQuery()))

    async def states(self) -> dict[str, str]:
        """name -> state, of all tasks."""
        return {task.spec.name: str(task.state) for task in await self.all_tasks()}
