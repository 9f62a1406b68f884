"""The worker protocol: register, heartbeat, claim, renew, record, finish, deregister, for workers that do not reach the
backend themselves."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from fastapi import APIRouter, Request, Response

from lite.aio.tasks import spawn
from lite.api import messages, messages_workers
from lite.api.server import bodies_workers as bodies
from lite.api.server.answers import answer, answer_list, described
from lite.api.server.bodies_workers import WorkerId, WorkerToken
from lite.api.server.render import task_json, worker_json
from lite.api.server.render_workers import lease_json, renewal_json
from lite.api.server.streams import Streams, gone

if TYPE_CHECKING:
    from lite.engine.operations import Operations
    from lite.model.task import Task


def router(operations: Operations, streams: Streams) -> APIRouter:
    routes = APIRouter(prefix="/v1", tags=["worker protocol"])

    def show(task: Task) -> messages.TaskJson:
        return task_json(task, operations.status_of(task))

    @routes.post(
        "/workers", status_code=201, responses=described(messages_workers.RegisteredJson, "Registered", status=201)
    )
    async def register(body: bodies.Register, token: WorkerToken = "") -> Response:
        """Join the fleet, or say anew what one can do: then with the token. The id of a living worker is refused to
        whoever does not show it; that of one that fell silent goes to who asks, with a new token."""
        worker = bodies.worker_from(body, operations.settings.lease_ms)
        row, given = await operations.worker_protocol.register(worker, token)
        return answer({"worker": worker_json(row, operations.now()), "token": given}, 201)

    @routes.post("/workers/{worker}/heartbeat", responses=described(messages.WorkerJson))
    async def heartbeat(worker: WorkerId, body: bodies.Heartbeat = None, token: WorkerToken = "") -> Response:
        """A sign of life; `state` draining: finish what runs, there will be no more. Leases are renewed by
        themselves."""
        row = await operations.worker_protocol.heartbeat(worker, token, (body or {}).get("load", 0.0))
        return answer(worker_json(row, operations.now()))

    @routes.delete("/workers/{worker}", responses=described(messages.WorkerJson))
    async def leave(worker: WorkerId, token: WorkerToken = "") -> Response:
        """Leave the fleet. Finish (or reschedule) everything before: what is still held waits until its lease has run
        out."""
        return answer(worker_json(await operations.worker_protocol.leave(worker, token), operations.now()))

    @routes.post("/workers/{worker}/leases", responses=described(messages_workers.LeaseJson, many=True))
    async def claim(
        worker: WorkerId, request: Request, body: bodies.ClaimLeases = None, token: WorkerToken = ""
    ) -> Response:
        """Take work; also a sign of life. A worker that asks again ends its wait from before; hang up, and nothing is
        taken."""
        wanted = bodies.wanted_from(body or {})
        hung_up = asyncio.Event()
        streams.enter()
        watching = spawn(_set_when_gone(request, hung_up), "claimer")
        try:
            handed = await operations.worker_protocol.claim(
                worker, token, wanted, gone=hung_up, closing=streams.closing
            )
        finally:
            streams.leave()
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
        now = operations.now()
        return await answer_list(handed, lambda one: lease_json(one, now))

    @routes.get("/workers/{worker}/leases", responses=described(messages_workers.LeaseJson, many=True))
    async def list_leases(worker: WorkerId, token: WorkerToken = "") -> Response:
        """All it holds: for a worker that died, or lost the answer to its claim."""
        handed = await operations.worker_protocol.leases(worker, token)
        now = operations.now()
        return await answer_list(handed, lambda one: lease_json(one, now))

    @routes.post("/leases/renew", responses=described(messages_workers.RenewalJson, many=True))
    async def renew(body: bodies.Renew, token: WorkerToken = "") -> Response:
        """In the order asked. Do it at least three times in a lease's length."""
        leases = [bodies.held_from(one) for one in body["leases"]]
        renewals = await operations.worker_protocol.renew(body["worker"], token, leases, body.get("ttl_ms"))
        return await answer_list(renewals, renewal_json)

    @routes.post("/leases/record", responses=described(messages.TaskJson))
    async def record(body: bodies.Record, token: WorkerToken = "") -> Response:
        """Write down what the attempt has come to; 409 `lease-lost`: stop it at once. `cancel` in the answer: somebody
        wants its end."""
        progress = bodies.progress_from(body)
        lease = bodies.held_from(body)
        return answer(show(await operations.worker_protocol.record(body["worker"], token, lease, progress)))

    @routes.post("/leases/finish", responses=described(messages.TaskJson))
    async def finish(body: bodies.Finish, token: WorkerToken = "") -> Response:
        """The attempt's end, once; 409 `lease-lost`: it has ended already, or is another's now. What follows (a retry
        and its back-off, the tasks behind it) is decided here."""
        outcome = bodies.outcome_from(body)
        lease, delay_ms = bodies.held_from(body), body.get("delay_ms", 0)
        task = await operations.worker_protocol.finish(body["worker"], token, lease, outcome, delay_ms)
        return answer(show(task))

    return routes


async def _set_when_gone(request: Request, event: asyncio.Event) -> None:
    await gone(request.receive)
    event.set()
