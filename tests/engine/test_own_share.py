"""What a resumed attempt used is told once, though its program counts the conversation from its beginning."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from lite.backends.memory import MemoryBackend
from lite.engine.accounting import own_share, sum_up
from lite.executors.fake import Behaviour
from lite.model.event import Event, EventKind
from lite.model.session import session_id
from lite.model.settings import Agent
from lite.model.task import Outcome, Task, TaskSpec
from providers.base import Source, Usage, Verdict
from tests.engine.conftest import Make
from tests.support.agents import FAILED, with_agents
from tests.support.engines import Engine

THREAD = "0abc0000-0000-4000-8000-000000000001"
OTHER = "0abc0000-0000-4000-8000-000000000002"
SETTINGS = with_agents(Agent("bot", "codex", mode="headless", model="model-1"))
BROKEN = "stream disconnected before completion: Transport error: network error"


def turn(total: int | None, *, thread: str = THREAD, outcome: Outcome | None = None, seconds: float = 1.0) -> Behaviour:
    """An attempt of `codex exec --json`; `total` tokens were read in its thread so far, None: the turn broke off."""
    end: dict[str, Any] = {"type": "turn.failed", "error": {"message": BROKEN}}
    if total is not None:
        usage = {"input_tokens": total, "cached_input_tokens": total // 2, "output_tokens": total // 20}
        end = {"type": "turn.completed", "usage": usage}
    said = [{"type": "thread.started", "thread_id": thread}, {"type": "turn.started"}, end]
    lines = b"".join(json.dumps(one).encode() + b"\n" for one in said)
    return Behaviour(outcome or Behaviour().outcome, seconds, prints=((0.0, lines),))


async def lines(engine: Engine) -> list[tuple[int | None, int | None, int | None]]:
    """What the ledger has of each attempt."""
    usages = [line.usage for line in await engine.context.backend.ledger()]
    return [(usage.tokens_in, usage.tokens_cached, usage.tokens_out) for usage in usages]


async def started(make: Make, *behaviours: Behaviour, **fields: int) -> Engine:
    engine = await make({"*": list(behaviours)}, settings=SETTINGS)
    await engine.submit("a", agent="bot", prompt="do it", command=(), **fields)
    return engine


async def test_each_attempt_adds_its_own_tokens_to_the_costs(make: Make) -> None:
    engine = await started(make, turn(1000, outcome=FAILED), turn(3000, outcome=FAILED), turn(3500), retries=2)
    await engine.until_states(a="succeeded")
    assert [argv[3:5] for argv in engine.launched][1:] == [("--json", "--skip-git-repo-check")] * 2
    assert all(THREAD in argv for argv in engine.launched[1:]), "they went on with its thread"
    assert await lines(engine) == [(1000, 500, 50), (2000, 1000, 100), (500, 250, 25)]
    ((cost, _),) = await sum_up(engine.context.backend, "agent", 0)
    assert (cost.tokens_in, cost.tokens_cached, cost.tokens_out) == (3500, 1750, 175)
    assert (await engine.task("a")).usage.tokens_in == 500


async def test_what_a_broken_attempt_could_not_tell_is_in_the_next_ones_share(make: Make) -> None:
    engine = await started(make, turn(1000, outcome=FAILED), turn(None, outcome=FAILED), turn(3000), retries=1)
    await engine.until_states(a="succeeded")
    assert await lines(engine) == [(1000, 500, 50), (None, None, None), (2000, 1000, 100)]


async def test_a_new_conversation_begins_at_nothing(make: Make) -> None:
    engine = await started(make, turn(1000, outcome=FAILED), turn(300, thread=OTHER), retries=1)
    await engine.until_states(a="succeeded")
    assert await lines(engine) == [(1000, 500, 50), (300, 150, 15)]


async def test_also_where_a_supervisor_took_the_attempt_over(make: Make) -> None:
    engine = await started(make, turn(1000, outcome=FAILED), turn(3000, seconds=120), retries=1)

    async def again() -> bool:
        task = await engine.task("a")
        return task.attempt == 2 and session_id(task.id, 2) in str(engine.world.sessions)

    await engine.until(again)
    await engine.crash()
    second = engine.again()
    make.made.append(second)  # type: ignore[attr-defined]
    await second.start()
    await second.until_states(a="succeeded", step=1.0)
    assert second.launched == []
    assert await lines(second) == [(1000, 500, 50), (2000, 1000, 100)]


def event(attempt: int, kind: EventKind = EventKind.TASK_RETRYING, **data: Any) -> Event:
    return Event(kind, 0, "", "t", attempt, data=data)


@pytest.mark.parametrize(
    ("told", "own"),
    [
        ([], 3000),
        ([event(1, tokens_in=1000), event(2, EventKind.TASK_PARKED, tokens_in=500)], 1500),
        ([event(1, tokens_in=1000), event(2, reason="unknown-session"), event(3, tokens_in=40)], 2960),
        ([event(1, tokens_in=1000), event(4, tokens_in=7), event(5, tokens_in=7)], 2000),
        ([event(1, tokens_in=5000)], 3000),
        ([event(1, tokens_in="many"), event(1, tokens_in=-5)], 3000),
    ],
    ids=["nothing", "two", "since-it-was-lost", "before-this-one", "impossible", "nonsense"],
)
async def test_what_is_taken_off(told: list[Event], own: int) -> None:
    backend = MemoryBackend()
    await backend.open()
    for one in told:
        await backend.append(one)
    task = Task(spec=TaskSpec("t", "t", "bot", "codex"), seq=1)
    verdict = Verdict(True, usage=Usage(3000, source=Source.REPORTED), whole=True)
    shared = await own_share(backend, task, 4, verdict)
    assert shared.usage.tokens_in == own
    assert shared.usage.tokens_out is None
    untouched = replace(verdict, whole=False)
    assert await own_share(backend, task, 4, untouched) == untouched
