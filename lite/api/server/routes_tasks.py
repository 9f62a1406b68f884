"""Tasks: hand in, look at, change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Query, Response

from lite.api import messages
from lite.api.server import bodies
from lite.api.server.answers import answer, answer_list, described
from lite.api.server.parameters import Count, Here, Name, Ref, Seq
from lite.api.server.render import explanation_json, task_json
from lite.errors import UsageError
from lite.model.task import State, Task, TaskQuery

if TYPE_CHECKING:
    from lite.engine.operations import Operations


def router(operations: Operations) -> APIRouter:
    routes = APIRouter(prefix="/v1/tasks", tags=["tasks"])

    def show(task: Task) -> messages.TaskJson:
        return task_json(task, operations.status_of(task))

    @routes.get("", responses=described(messages.TaskJson, "In order of submission", many=True))
    async def list_tasks(
        run: Annotated[Name, Query(description="A run's id, unique prefix or name")] = "",
        adhoc: Annotated[bool, Query(description="Only tasks of no run")] = False,
        state: Annotated[tuple[State, ...], Query(description="Any of these")] = (),
        agent: Name = "",
        name: Name = "",
        worker: Name = "",
        dead: Annotated[bool, Query(description="Failed as poison")] = False,
        after: Seq = 0,
        limit: Count = None,
        newest: Annotated[bool, Query(description="With limit: the newest ones")] = False,
    ) -> Response:
        if run and adhoc:
            raise UsageError("a run's tasks are not ad-hoc", hint="give either", place="adhoc")
        query = TaskQuery(
            run=(await operations.run(run)).id if run else "" if adhoc else None,
            states=tuple(state),
            agent=agent,
            name=name,
            worker=worker,
            dead=dead,
            after_seq=after,
            limit=limit,
            newest=newest,
        )
        return await answer_list(await operations.tasks(query), show)

    @routes.post("", status_code=201, responses=described(messages.SubmittedJson, "Handed in", status=201))
    async def submit(body: bodies.Submit) -> Response:
        """200 instead of 201 when the key already had its task."""
        task, created = await operations.submit(bodies.order_from(body))
        return answer({"task": show(task), "created": created}, 201 if created else 200)

    @routes.get("/{ref}", responses=described(messages.TaskJson))
    async def show_task(ref: Ref) -> Response:
        return answer(show(await operations.task(ref)))

    @routes.get("/{ref}/explain", responses=described(messages.ExplanationJson))
    async def explain(ref: Ref) -> Response:
        """Why the task is in its state."""
        return answer(explanation_json(await operations.explain(ref)))

    @routes.post("/{ref}/cancel", responses=described(messages.TaskJson))
    async def cancel(ref: Ref, body: bodies.Cancel = None) -> Response:
        """A queued task ends at once, a running one is asked to; an ended one stays as it is."""
        reason = (body or {}).get("reason") or "user"
        bodies.checked(reason, "reason")
        return answer(show(await operations.cancel(ref, reason)))

    @routes.post("/{ref}/retry", responses=described(messages.TaskJson))
    async def retry(ref: Ref) -> Response:
        """Reopen a failed, cancelled or skipped task."""
        return answer(show(await operations.retry(ref)))

    @routes.post("/{ref}/send", responses=described(messages.SendJson))
    async def send(ref: Ref, body: bodies.Send, here: Here) -> Response:
        """Type into the task's session. `ref` may be the session too."""
        done = await operations.send(ref, bodies.bytes_from(body), here=here)
        return answer({"result": done.result, "reason": done.reason})

    @routes.post("/{ref}/answer", responses=described(messages.SendJson))
    async def answer_question(ref: Ref, body: bodies.Answering, here: Here) -> Response:
        """Approve, deny or answer what the task's session asks; refused unless it asks exactly that at this moment.
        `queued`: it was told, and has not said yet that it took it."""
        done = await operations.answer(ref, bodies.answer_from(body), here=here)
        return answer({"result": done.result, "reason": done.reason})

    return routes
