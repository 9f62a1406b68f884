"""The port on Redis: every verb one script call, looks in bounded pieces, waits on blocking reads."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from lite.backends import changes
from lite.backends.redis import looks
from lite.backends.redis.calls import Calls, Refusal
from lite.backends.redis.connection import Link, place_of
from lite.backends.redis.failures import mapped
from lite.backends.redis.refusals import raised
from lite.backends.redis.rows import (
    attempt_from_text,
    encode,
    event_from_entry,
    lease_to_fields,
    outcome_to_fields,
    progress_to_fields,
    rerouted,
    run_from_row,
    spec_to_fields,
    task_from_row,
    worker_from_row,
)
from lite.backends.redis.server import Server, check_schema, look_at
from lite.backends.redis.waiting import Follower, Offer, Offers
from lite.backends.texts import worker_to_text
from lite.errors import QuarterdeckError
from lite.model.attempt import Attempt
from lite.model.event import Event
from lite.model.run import Run, RunQuery, Submission, Submitted
from lite.model.settings import RedisOptions
from lite.model.task import (
    MAX_FAULTS,
    MAX_OUTPUT,
    Assignment,
    Claim,
    ClaimRequest,
    Lease,
    Outcome,
    Progress,
    Renewal,
    Task,
    TaskQuery,
    TaskSpec,
)
from lite.model.worker import Worker

_KNOWN_SPECS = 10_000
_PIECE = 500  # lines asked for at once


class RedisBackend:
    """Implements `lite.ports.Backend`."""

    def __init__(self, options: RedisOptions, heard_time: Callable[[int, float], None] = lambda *_: None) -> None:
        """`heard_time(ms, seconds)` is told the server's wall time with every answer, and how long that took."""
        self._options = options
        self._prefix = options.prefix
        self._place = place_of(options)
        self._server: Server | None = None
        self._specs: OrderedDict[str, TaskSpec] = OrderedDict()
        self._heard_time = heard_time
        self._due: tuple[int, int | None] | None = None  # (now of the last claim, earliest run_at after it)
        self._follower = Follower(Link(options, "events"), self._prefix, self._place)
        self._offers = Offers(lambda: Link(options, "offers"), self._prefix, self._place, self._hand_back)
        self._link = Link(options, "verbs", self._greet)
        patience = 2 * options.answer_ms / 1000
        self._verbs = self._calls(self._link, patience)
        self._looks = self._calls(Link(options, "looks"), patience, looks=True)

    def __repr__(self) -> str:
        return f"<RedisBackend {self._place} {self._prefix}:, cursor {self._follower.cursor}>"

    async def open(self) -> None:
        try:
            await self._link.connect()
        except QuarterdeckError:
            await self._link.drop()
            raise
        except Exception as error:
            await self._link.drop()
            raise mapped(error, self._place) from error
        self._verbs.open()
        self._looks.open()
        await self._look("cursor", {})

    async def close(self) -> None:
        await self._offers.close()
        await self._follower.close()
        await self._verbs.close()
        await self._looks.close()

    def describe(self) -> str:
        promise = f", {self._server.version}, {self._server.promise()}" if self._server else ""
        return f"Redis {self._place}, keys {self._prefix}:*{promise}"

    def warnings(self) -> Sequence[str]:
        return self._server.warnings() if self._server else ()

    # -- tasks ---------------------------------------------------------------------------------------------------

    async def submit(self, submission: Submission, *, now: int) -> Submitted:
        run = submission.run
        asked: dict[str, Any] = {"now": now, "tasks": [spec_to_fields(spec) for spec in submission.tasks]}
        if run is not None:
            asked["run"] = {"id": run.id, "name": run.name, "source": run.source}
            if run.key:
                asked["run"]["key"] = run.key
        told = await self._call("submit", asked, takes_work=True)
        stored = run_from_row(told["run"]) if told.get("run") else None
        if told.get("known"):
            tasks = tuple(self._task(row) for row in told["tasks"] or ())
            return Submitted(tasks, (False,) * len(tasks), stored)
        rows = tuple(
            self._keep(changes.submitted(spec, row, now)[0]) if isinstance(row, int) else self._task(row)
            for spec, row in zip(submission.tasks, told["tasks"] or (), strict=True)
        )
        return Submitted(rows, tuple(told["created"] or ()), stored)

    async def assign(self, task: str, assignment: Assignment, *, now: int) -> Task:
        asked = {
            "task": task,
            "now": now,
            "worker": assignment.worker,
            "before": assignment.before,
            "seen": None if assignment.seen is None else dict(assignment.seen),
            "agent": assignment.agent,
            "provider": assignment.provider,
            "mode": assignment.mode,
            "park": assignment.park,
            "why": assignment.why,
        }
        return self._task(await self._call("assign", asked))

    async def claim(self, request: ClaimRequest, *, now: int) -> Sequence[Claim]:
        offers = self._offers.take(request.worker)
        asked = {
            "worker": request.worker,
            "limit": request.limit,
            "agents": {agent: -1 if cap is None else cap for agent, cap in request.agents.items()},
            "ttl": request.ttl_ms,
            "now": now,
            "offers": offers,
        }
        try:
            told = await self._call("claim", asked)
        except BaseException:
            self._offers.keep(request.worker, offers)
            raise
        self._offers.answered(request.worker, bool(told.get("closed")))
        self._due = now, told.get("due") or None
        return [_claim(self._task(row)) for row in told.get("claims") or ()]

    async def unplaced(self, *, now: int, limit: int, skip: int = 0) -> Sequence[Task]:
        told = await self._call("unplaced", {"now": now, "limit": limit, "skip": skip})
        return [self._task(row) for row in told or ()]

    async def offered(self, worker: str, agents: Collection[str]) -> None:
        await self._offers.wait(worker, agents)

    async def team_index(self) -> Mapping[tuple[str, str], int]:
        flat = await self._look("teams", {}) or []
        index = {}
        for field, count in zip(flat[::2], flat[1::2], strict=True):
            worker, _, team = field.partition(" ")
            index[worker, team] = int(count)
        return index

    async def next_due(self, now: int) -> int | None:
        known, self._due = self._due, None
        if known is not None and known[0] == now:
            return known[1]  # the claim just before told; whatever others delay is offered
        return await self._look("next_due", {"now": now}) or None

    async def renew(self, leases: Sequence[Lease], *, now: int, ttl_ms: int) -> Sequence[Renewal]:
        if not leases:
            return []
        asked = {"leases": [lease_to_fields(lease) for lease in leases], "now": now, "ttl": ttl_ms}
        told = await self._call("renew", asked)
        return [
            Renewal(lease, lost=True)
            if cancel is False
            else Renewal(replace(lease, expires_at=now + ttl_ms), cancel=cancel)
            for lease, cancel in zip(leases, told, strict=True)
        ]

    async def record(self, lease: Lease, progress: Progress, *, now: int) -> Task:
        asked = {"lease": lease_to_fields(lease), "now": now, **progress_to_fields(progress)}
        return await self._known(await self._call("record", asked))

    async def finish(self, lease: Lease, outcome: Outcome, *, now: int, delay_ms: int = 0) -> Task:
        output = outcome.output
        asked: dict[str, Any] = {
            "lease": lease_to_fields(lease),
            "now": now,
            "delay": delay_ms,
            "most_faults": MAX_FAULTS,
        }
        if output is not None and len(output.encode("utf-8", "surrogatepass")) > MAX_OUTPUT:
            asked |= {"outcome": {}, "too_large": True}
        else:
            asked["outcome"] = outcome_to_fields(outcome)
        return await self._known(await self._call("finish", asked))

    async def retry(self, task: str, *, now: int) -> Task:
        return self._task(await self._call("retry", {"task": task, "now": now}))

    async def cancel(self, task: str, *, now: int, reason: str = "user") -> Task:
        return self._task(await self._call("cancel", {"task": task, "now": now, "reason": reason or "user"}))

    async def rescue(self, lease: Lease, worker: str, *, now: int, ttl_ms: int) -> Claim:
        asked = {"lease": lease_to_fields(lease), "worker": worker, "now": now, "ttl": ttl_ms}
        return _claim(self._task(await self._call("rescue", asked)))

    async def get(self, task: str) -> Task:
        return self._task(await self._look("get", {"task": task}))

    async def tasks(self, query: TaskQuery) -> Sequence[Task]:
        return [self._task(row) for row in await looks.tasks(self._look, query)]

    async def runs(self, query: RunQuery) -> Sequence[Run]:
        return [run_from_row(row) for row in await looks.runs(self._look, query)]

    # -- events --------------------------------------------------------------------------------------------------

    async def append(self, event: Event) -> Event:
        asked = {
            "kind": event.kind.value,
            "at": event.at,
            "run": event.run,
            "task": event.task,
            "attempt": event.attempt,
            "worker": event.worker,
            "data": encode(event.data) if event.data else "{}",
        }
        return replace(event, cursor=await self._call("append", asked))

    async def ledger(self, after: int = 0, *, limit: int = 1000) -> Sequence[Attempt]:
        after = max(after, 0)
        found: list[Attempt] = []
        while len(found) < limit:
            asked = min(limit - len(found), _PIECE)
            piece = await self._look("ledger", {"after": after + len(found), "limit": asked}) or []
            found += [attempt_from_text(after + at, text) for at, text in enumerate(piece, len(found) + 1)]
            if len(piece) < asked:
                break
        return found

    async def events(self, after: int = 0, *, limit: int = 1000, run: str = "", task: str = "") -> Sequence[Event]:
        return [event_from_entry(entry) for entry in await looks.events(self._look, after, limit, run, task)]

    async def wait(self, after: int, *, timeout_ms: int | None = None) -> int:
        if timeout_ms == 0:
            await self._look("cursor", {})  # what is known here may be old: others are at work too
        elif self._follower.cursor <= after:
            try:
                async with asyncio.timeout(None if timeout_ms is None else timeout_ms / 1000):
                    await self._follower.beyond(after)
            except TimeoutError:
                await self._look("cursor", {})
        return self._follower.cursor

    # -- workers -------------------------------------------------------------------------------------------------

    async def register(self, worker: Worker, *, now: int) -> Worker:
        asked = {
            "id": worker.id,
            "row": worker_to_text(worker),
            "load": worker.load,
            "data": encode({"node": worker.node, "slots": worker.slots}),
            "now": now,
        }
        return worker_from_row(await self._call("register", asked))

    async def heartbeat(self, worker: str, *, now: int, load: float = 0.0) -> Worker:
        return worker_from_row(await self._call("heartbeat", {"worker": worker, "now": now, "load": load}))

    async def deregister(self, worker: str, *, now: int, reason: str = "") -> None:
        await self._call("deregister", {"worker": worker, "now": now, "reason": reason})
        await self._offers.forget(worker)

    async def workers(self) -> Sequence[Worker]:
        return [worker_from_row(row) for row in await self._look("workers", {}) or ()]

    async def cordon(self, worker: str, on: bool, *, now: int) -> Worker:
        return worker_from_row(await self._call("cordon", {"worker": worker, "on": on, "now": now}))

    # -- inside --------------------------------------------------------------------------------------------------

    async def _greet(self, link: Link) -> None:
        """Each time, not only the first: it may be another server by now."""
        self._server = await look_at(link, self._place)
        await check_schema(link, self._prefix, self._place)

    def _calls(self, link: Link, patience: float, *, looks: bool = False) -> Calls:
        return Calls(
            link,
            self._prefix,
            self._place,
            patience=patience,
            heard=self._heard,
            seen=lambda: self._follower.cursor,
            run_id=lambda: self._server.run_id if self._server else "",
            looks=looks,
        )

    async def _call(self, verb: str, arguments: Any, *, takes_work: bool = False) -> Any:
        self._due = None
        try:
            return await self._verbs.do(verb, arguments, takes_work=takes_work)
        except Refusal as refusal:
            raise raised(refusal) from None

    async def _look(self, verb: str, arguments: Any) -> Any:
        try:
            return await self._looks.do(verb, arguments)
        except Refusal as refusal:
            raise raised(refusal) from None

    def _heard(self, cursor: int, server_ms: int, round_trip: float) -> None:
        self._follower.advance(cursor)
        self._heard_time(server_ms, round_trip)

    async def _hand_back(self, worker: str, offers: Sequence[Offer]) -> None:
        nothing = {"worker": worker, "limit": 0, "agents": {}, "ttl": 0, "now": 0, "offers": offers}
        await self._call("claim", nothing)

    def _task(self, row: Sequence[Any]) -> Task:
        known = None if rerouted(row) else self._specs.get(row[0])
        return task_from_row(row, known) if known is not None else self._keep(task_from_row(row))

    async def _known(self, row: Sequence[Any]) -> Task:
        """A row that came without its spec."""
        spec = self._specs.get(row[0])
        if spec is None:
            return replace(task_from_row(row, known=(await self.get(row[0])).spec))
        return task_from_row(row, known=spec)

    def _keep(self, task: Task) -> Task:
        self._specs[task.id] = task.spec
        if len(self._specs) > _KNOWN_SPECS:
            self._specs.popitem(last=False)
        return task


def _claim(task: Task) -> Claim:
    assert task.lease is not None
    return Claim(task, task.lease)
