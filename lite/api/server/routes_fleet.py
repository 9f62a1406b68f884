"""Workers and agents."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import APIRouter, Response

from lite.api import messages
from lite.api.server import bodies
from lite.api.server.answers import answer, answer_list, described
from lite.api.server.parameters import CostsBy, Ref, Since
from lite.api.server.render import agent_json, costs_json, worker_json

if TYPE_CHECKING:
    from lite.engine.operations import Operations


def router(operations: Operations) -> APIRouter:
    routes = APIRouter(prefix="/v1", tags=["fleet"])

    @routes.get("/workers", responses=described(messages.WorkerJson, many=True))
    async def list_workers() -> Response:
        now = operations.now()
        return await answer_list(await operations.workers(), lambda worker: worker_json(worker, now))

    @routes.post("/workers/{ref}/cordon", responses=described(messages.WorkerJson))
    async def cordon(ref: Ref, body: bodies.Cordon = None) -> Response:
        """Let it claim nothing more, or again."""
        worker = await operations.cordon(ref, (body or {}).get("on", True))
        return answer(worker_json(worker, operations.now()))

    @routes.post("/workers/{ref}/deregister", responses=described(messages.WorkerJson))
    async def deregister(ref: Ref) -> Response:
        """Forget one that is gone; one that is alive is refused."""
        return answer(worker_json(await operations.deregister(ref), operations.now()))

    @routes.get("/agents", responses=described(messages.AgentJson, many=True))
    async def list_agents() -> Response:
        """Each agent's program is looked for and asked for its version."""
        return await answer_list(await operations.agents(), agent_json)

    @routes.post("/accounts/release", responses=described(messages.AccountJson))
    async def release(body: bodies.Account) -> Response:
        """Let the tasks of a held account go: somebody has logged in, or paid."""
        hold = await operations.release(body["account"])
        told = {"account": hold.account, "reason": hold.reason, "message": hold.message, "since": hold.since}
        return answer(told)

    @routes.get("/costs", responses=described(messages.CostsJson))
    async def costs(by: CostsBy = "agent", since: Since = 0) -> Response:
        """What the attempts that have ended used and cost, by agent, run, day (UTC), task or model."""
        return answer(costs_json(by, since, await operations.costs(by, since)))

    return routes
