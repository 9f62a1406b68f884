"""Plans and the runs they become."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Query, Response

from lite.api import messages
from lite.api.server import bodies
from lite.api.server.answers import answer, answer_list, described
from lite.api.server.parameters import Count, Name, Ref
from lite.api.server.render import run_json, task_json
from lite.model.run import RunQuery, RunState

if TYPE_CHECKING:
    from lite.engine.operations import Operations


def router(operations: Operations) -> APIRouter:
    routes = APIRouter(prefix="/v1", tags=["runs"])

    @routes.post(
        "/plans",
        status_code=201,
        responses=described(messages.PlanSubmittedJson, "The whole plan was taken", status=201),
    )
    async def submit_plan(body: bodies.Plan) -> Response:
        """All of its tasks or none. 200 instead of 201 for a dry run and when the key already had its run."""
        bodies.checked(dict(body))
        done = await operations.submit_plan(
            body["text"],
            body.get("source", ""),
            body.get("cwd", ""),
            key=body.get("key", ""),
            dry_run=body.get("dry_run", False),
            watched=body.get("watched", False),
        )
        value: messages.PlanSubmittedJson = {
            "run": run_json(done.run) if done.run is not None else None,
            "tasks": [task_json(task, operations.status_of(task)) for task in done.tasks],
            "created": done.created,
        }
        return answer(value, 201 if done.created else 200)

    @routes.get("/runs", responses=described(messages.RunJson, "In order of submission", many=True))
    async def list_runs(
        state: Annotated[tuple[RunState, ...], Query(description="Any of these")] = (),
        name: Name = "",
        limit: Count = None,
        newest: Annotated[bool, Query(description="With limit: the newest ones")] = False,
    ) -> Response:
        query = RunQuery(states=tuple(state), name=name, limit=limit, newest=newest)
        return await answer_list(await operations.runs(query), run_json)

    @routes.get("/runs/{ref}", responses=described(messages.RunJson))
    async def show_run(ref: Ref) -> Response:
        return answer(run_json(await operations.run(ref)))

    return routes
