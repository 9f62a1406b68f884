"""What attempts used and cost."""

from __future__ import annotations

from lite.engine.context import Context
from lite.model.run import RunQuery
from lite.model.task import NO_USAGE, TaskQuery, TaskSpec
from lite.ports import Backend
from lite.rules.costs import By, Cost, Tally, priced
from providers.base import Usage

_PAGE = 1_000


def accounted(context: Context, spec: TaskSpec, usage: Usage | None, *, ran: bool) -> Usage | None:
    """What the ledger is told of an attempt: an agent that ran and said nothing used something all the same."""
    if usage is None:
        known = context.providers.capabilities().get(spec.provider)
        if not ran or known is None or not known.prompt:
            return None
        usage = NO_USAGE
    return priced(usage, context.agent(spec.agent, spec.provider).model, context.settings.prices)


async def sum_up(backend: Backend, by: By, since: int) -> list[tuple[Cost, str]]:
    """Of the whole ledger, a page at a time; each sum with the name of its run or task ("" where there is none)."""
    tally, after = Tally(by, since), 0
    while page := await backend.ledger(after, limit=_PAGE):
        for attempt in page:
            tally.add(attempt)
        after = page[-1].line
    costs = tally.costs()
    names: dict[str, str] = {}
    for at in range(0, len(costs), _PAGE):
        keys = tuple(cost.key for cost in costs[at : at + _PAGE] if cost.key)
        if keys and by == "run":
            names |= {run.id: run.spec.name for run in await backend.runs(RunQuery(ids=keys))}
        elif keys and by == "task":
            names |= {task.id: task.spec.name for task in await backend.tasks(TaskQuery(ids=keys))}
    return [(cost, names.get(cost.key, "")) for cost in costs]
