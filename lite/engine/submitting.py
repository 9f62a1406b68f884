"""One order to one stored task: the way in for the API and for letters."""

from __future__ import annotations

from collections.abc import Callable

from lite.engine.context import Context
from lite.engine.preparation import check_with_provider
from lite.engine.references import find_task
from lite.model.ids import new_id
from lite.model.order import Order
from lite.model.run import Submission
from lite.model.task import Task
from lite.rules.compile import compile_order


async def submit_order(context: Context, order: Order, wake: Callable[[], None]) -> tuple[Task, bool]:
    """The task (a new one, or by key the one that stands for it) and whether it was created. `wake`: whoever claims.

    Raises `InvalidTask`, `NotFound`, `NotSupported`; `BackendError`.
    """
    needs = tuple([(await find_task(context.backend, ref)).id for ref in dict.fromkeys(order.needs)])
    now = context.clock.now()
    spec = compile_order(
        order, context.settings, context.providers.capabilities(), task_id=new_id(), now=now, needs=needs
    )
    check_with_provider(context, spec)
    wake()  # its claim follows the submission into the same commit
    done = await context.backend.submit(Submission(tasks=(spec,)), now=now)
    return done.tasks[0], done.created[0]
