"""The event log: one event per change, in order, and waiting for more."""

from __future__ import annotations

import asyncio

from lite.aio.tasks import spawn
from lite.model.event import Event, EventKind
from lite.model.task import Assignment, Progress
from providers.base import Source, Usage
from tests.contracts.backend_base import BackendTopic
from tests.support.backends import TTL, Desk

ENDS = ("task.succeeded", "task.failed", "task.retrying", "task.parked", "task.cancelled")


class EventsTopic(BackendTopic):
    async def test_one_event_for_each_change_of_a_life(self, desk: Desk) -> None:
        before = await desk.cursor()
        task = await desk.add("a", retries=1, rule="default", lane="x")
        await desk.backend.assign(task.id, Assignment(worker="w1", why="near"), now=desk.now)
        claim = await desk.take()
        await desk.backend.record(claim.lease, Progress(handle="h", started=True), now=desk.now)
        taken = await desk.backend.rescue(claim.lease, "w2", now=desk.now, ttl_ms=TTL)
        await desk.finish(taken, "failed", exit_code=2, detail="no", delay_ms=5)
        desk.now += 5
        second = await desk.take()
        await desk.backend.cancel(task.id, now=desk.now)
        await desk.finish(second, "cancelled", signal=15)
        events = await desk.events(before)
        assert [(str(event.kind), event.attempt, event.worker) for event in events] == [
            ("task.submitted", 0, ""),
            ("task.routed", 0, ""),
            ("task.claimed", 1, "w1"),
            ("task.started", 1, "w1"),
            ("lease.lost", 1, "w2"),
            ("task.retrying", 1, "w2"),
            ("task.claimed", 2, "w1"),
            ("task.cancelling", 2, "w1"),
            ("task.cancelled", 2, "w1"),
        ]
        assert {event.task for event in events} == {task.id}
        assert events[0].data == {"name": "a", "agent": "dev", "rule": "default", "lane": "x"}
        assert events[1].data == {"worker": "w1", "why": "near"}
        assert events[2].data == {"agent": "dev"}
        assert events[4].data == {"from": "w1", "to": "w2"}
        assert events[5].data == {
            "reason": "retry",
            "detail": "no",
            "exit_code": 2,
            "signal": None,
            "failures": 1,
            "faults": 0,
            "run_at": desk.now,
        }
        assert events[8].data["signal"] == 15

    async def test_events_of_queued_tasks_carry_no_attempt(self, desk: Desk) -> None:
        before = await desk.cursor()
        a = desk.spec("a", retries=1)
        await desk.submit(a, desk.spec("b", needs=(a.id,)))
        await desk.run_next("failed")
        await desk.backend.assign(a.id, Assignment(park=True, why="x"), now=desk.now)
        await desk.backend.cancel(a.id, now=desk.now)
        await desk.backend.retry(a.id, now=desk.now)
        events = await desk.events(before)
        attempts = {(str(event.kind), event.task): event.attempt for event in events if event.attempt}
        assert attempts == {("task.claimed", a.id): 1, ("task.retrying", a.id): 1}

    async def test_every_attempt_has_exactly_one_end(self, desk: Desk) -> None:
        await desk.add("a", retries=3)
        for kind in ("failed", "rescheduled", "unexecutable", "failed", "succeeded"):
            await desk.run_next(kind)
        ends = [event.attempt for event in await desk.events() if event.kind in ENDS and event.attempt]
        assert ends == [1, 2, 3, 4, 5]

    async def test_usage_is_told_at_the_end(self, desk: Desk) -> None:
        await desk.add("a")
        await desk.run_next(usage=Usage(7, None, 0.5, Source.MEASURED))
        data = (await desk.events())[-1].data
        assert (data["tokens_in"], data["cost_usd"], data["source"]) == (7, 0.5, "measured")
        assert "tokens_out" not in data

    async def test_cursors_grow_and_paging_loses_nothing(self, desk: Desk) -> None:
        for _ in range(10):
            await desk.add()
        everything = await desk.events()
        cursors = [event.cursor for event in everything]
        assert cursors == sorted(set(cursors))
        assert cursors[0] > 0
        paged: list[Event] = []
        while page := await desk.events(paged[-1].cursor if paged else 0, limit=3):
            assert len(page) <= 3
            paged += page
        assert paged == everything

    async def test_events_of_one_run_or_one_task(self, desk: Desk) -> None:
        done = await desk.plan(desk.spec("a", run="run"), desk.spec("b", run="run"))
        await desk.add("c")
        await desk.run_next()
        assert [str(event.kind) for event in await desk.events(run="run")] == [
            "run.submitted",
            "task.submitted",
            "task.submitted",
            "task.claimed",
            "task.succeeded",
        ]
        mine = await desk.events(task=done.tasks[0].id)
        assert [str(event.kind) for event in mine] == ["task.submitted", "task.claimed", "task.succeeded"]
        assert await desk.events(mine[0].cursor, task=done.tasks[0].id, limit=1) == mine[1:2]
        assert await desk.events(run="nothing") == []

    async def test_an_appended_event_gets_a_cursor_and_comes_back(self, desk: Desk) -> None:
        before = await desk.cursor()
        event = await desk.backend.append(
            Event(
                EventKind.CONFIG_RELOADED, desk.now, "r", "t", 3, "w", {"path": "/x", "n": [1, {"a": None}], "ü": 1.5}
            )
        )
        assert event.cursor > before
        assert await desk.events(before) == [event]
        assert await desk.events(before, task="t") == [event]

    async def test_waiting_returns_at_once_when_there_is_news(self, desk: Desk) -> None:
        cursor = await desk.cursor()
        assert cursor > 0
        assert await desk.backend.wait(0) == cursor
        assert await desk.backend.wait(cursor - 1) == cursor

    async def test_waiting_times_out_with_the_newest_cursor(self, desk: Desk) -> None:
        cursor = await desk.cursor()
        assert await desk.backend.wait(cursor, timeout_ms=10) == cursor
        assert await desk.backend.wait(cursor + 100, timeout_ms=0) == cursor

    async def test_a_change_wakes_everybody_who_waits(self, desk: Desk) -> None:
        cursor = await desk.cursor()
        waiters = [spawn(desk.backend.wait(cursor, timeout_ms=30_000)) for _ in range(3)]
        await asyncio.sleep(0)
        await desk.add()
        assert await asyncio.gather(*waiters) == [cursor + 1] * 3
        assert len(await desk.events(cursor)) == 1

    async def test_a_waiter_that_gives_up_disturbs_nobody(self, desk: Desk) -> None:
        cursor = await desk.cursor()
        impatient, patient = (spawn(desk.backend.wait(cursor, timeout_ms=30_000)) for _ in range(2))
        await asyncio.sleep(0)
        impatient.cancel()
        await asyncio.gather(impatient, return_exceptions=True)
        await desk.add()
        assert await patient > cursor
