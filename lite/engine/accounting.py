"""What attempts used and cost."""

from __future__ import annotations

from dataclasses import replace

from lite.engine.context import Context
from lite.model.run import RunQuery
from lite.model.task import NO_USAGE, Task, TaskQuery, TaskSpec
from lite.ports import Backend
from lite.rules.costs import By, Cost, Tally, priced
from providers.base import Failure, Usage, Verdict
from providers.parsing import count_of

_PAGE = 1_000
_TOKENS = ("tokens_in", "tokens_out", "tokens_cached")


def accounted(context: Context, spec: TaskSpec, usage: Usage | None, *, ran: bool) -> Usage | None:
    """What the ledger is told of an attempt: an agent that ran and said nothing used something all the same."""
    if usage is None:
        known = context.providers.capabilities().get(spec.provider)
        if not ran or known is None or not known.prompt:
            return None
        usage = NO_USAGE
    return priced(usage, context.agent(spec.agent, spec.provider).model, context.settings.prices)


async def own_share(backend: Backend, task: Task, attempt: int, verdict: Verdict) -> Verdict:
    """The verdict with what this attempt itself used: less what is told already of those that had its conversation
    before. What one of them used and could not tell (it broke off) is in it, so that nothing is lost or told twice."""
    if not verdict.whole:
        return verdict
    told = await _told(backend, task, attempt)
    if any((getattr(verdict.usage, name) or 0) < count for name, count in told.items()):
        return replace(verdict, whole=False)  # it cannot be the whole
    usage = replace(
        verdict.usage,
        tokens_in=_less(verdict.usage.tokens_in, told["tokens_in"]),
        tokens_out=_less(verdict.usage.tokens_out, told["tokens_out"]),
        tokens_cached=_less(verdict.usage.tokens_cached, told["tokens_cached"]),
    )
    return replace(verdict, usage=usage, whole=False)


def _less(count: int | None, told: int) -> int | None:
    return None if count is None else count - told


async def _told(backend: Backend, task: Task, attempt: int) -> dict[str, int]:
    """Of the task's attempts before this one, since the conversation they had was lost (if it was)."""
    sums, after = dict.fromkeys(_TOKENS, 0), 0
    while page := await backend.events(after, limit=_PAGE, task=task.id):
        for event in page:
            if event.attempt >= attempt:
                continue
            if event.data.get("reason") == Failure.UNKNOWN_SESSION:
                sums = dict.fromkeys(_TOKENS, 0)
            for name in _TOKENS:
                sums[name] += count_of(event.data.get(name)) or 0
        after = page[-1].cursor
    return sums


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
