"""Needs and what the end of a task means for those that need it."""

from __future__ import annotations

import pytest

from lite.model.run import RunQuery, RunState
from lite.model.task import State
from tests.contracts.backend_base import BackendTopic
from tests.support.backends import Desk


class NeedsTopic(BackendTopic):
    async def test_all_needs_must_be_met(self, desk: Desk) -> None:
        a, b = desk.spec("a"), desk.spec("b")
        await desk.submit(a, b, desk.spec("c", needs=(a.id, b.id)))
        first, second = await desk.claim(2)
        assert await desk.names() == []
        await desk.finish(second)
        assert await desk.names() == []
        await desk.finish(first)
        assert await desk.names() == ["c"]

    async def test_a_need_named_twice_counts_once(self, desk: Desk) -> None:
        a = desk.spec("a")
        await desk.submit(a, desk.spec("b", needs=(a.id, a.id)))
        await desk.run_next()
        assert await desk.names() == ["b"]

    async def test_a_retrying_need_keeps_its_dependents_waiting(self, desk: Desk) -> None:
        a = desk.spec("a", retries=1)
        await desk.submit(a, desk.spec("b", needs=(a.id,)))
        await desk.run_next("failed")
        assert await desk.names() == ["a"]
        assert await desk.states() == {"a": "running", "b": "queued"}

    @pytest.mark.parametrize(
        ("on_failure", "end", "expected"),
        [
            ("skip", "failed", "skipped"),
            ("skip", "cancelled", "skipped"),
            ("fail", "failed", "failed"),
            ("fail", "cancelled", "skipped"),
            ("continue", "failed", "queued"),
            ("continue", "cancelled", "queued"),
            ("skip", "succeeded", "queued"),
        ],
    )
    async def test_on_failure_of_the_need_decides(self, desk: Desk, on_failure: str, end: str, expected: str) -> None:
        a = desk.spec("a", on_failure=on_failure)
        b = desk.spec("b", needs=(a.id,))
        await desk.submit(a, b)
        before = await desk.cursor()
        await desk.run_next(end)
        task = await desk.backend.get(b.id)
        assert str(task.state) == expected
        if expected == "queued":
            assert await desk.names() == ["b"]
            return
        assert (task.reason, task.cause, task.ended_at, task.attempt) == ("need", a.id, desk.now, 0)
        event = (await desk.events(before))[-1]
        assert (event.kind, event.task, event.attempt) == (f"task.{expected}", b.id, 0)
        assert event.data == {"reason": "need", "cause": a.id}
        assert await desk.claim() == []

    async def test_consequences_are_told_breadth_first_in_order_of_submission(self, desk: Desk) -> None:
        needs = {"e": "b", "a": "", "d": "cb", "b": "a", "c": "a"}
        specs = [
            desk.spec(name, run="run", id=f"id-{name}", needs=tuple(f"id-{need}" for need in needed))
            for name, needed in needs.items()
        ]
        await desk.plan(*specs)
        claim = await desk.take()
        before = await desk.cursor()
        await desk.finish(claim, "failed")
        assert await desk.story(before) == [
            ("task.failed", "a"),
            ("task.skipped", "b"),
            ("task.skipped", "c"),
            ("task.skipped", "e"),
            ("task.skipped", "d"),
            ("run.finished", "run"),
        ]

    async def test_a_skipped_task_passes_its_skip_on_but_continue_stops_it(self, desk: Desk) -> None:
        a = desk.spec("a")
        b = desk.spec("b", needs=(a.id,), on_failure="continue")
        await desk.submit(a, b, desk.spec("c", needs=(b.id,)))
        await desk.run_next("failed")
        assert await desk.states() == {"a": "failed", "b": "skipped", "c": "queued"}
        assert await desk.names() == ["c"]

    async def test_a_condemned_task_fails_its_own_dependents_as_it_declares(self, desk: Desk) -> None:
        a = desk.spec("a", on_failure="fail")
        b = desk.spec("b", needs=(a.id,), on_failure="fail")
        await desk.submit(a, b, desk.spec("c", needs=(b.id,)))
        await desk.run_next("failed")
        assert await desk.states() == {"a": "failed", "b": "failed", "c": "failed"}

    async def test_one_bad_need_decides_while_others_still_run(self, desk: Desk) -> None:
        a, b = desk.spec("a"), desk.spec("b")
        await desk.submit(a, b, desk.spec("c", needs=(a.id, b.id)))
        _, second = await desk.claim(2)
        await desk.finish(second, "failed")
        assert await desk.states() == {"a": "running", "b": "failed", "c": "skipped"}

    async def test_cancelling_a_queued_task_has_consequences_too(self, desk: Desk) -> None:
        a = desk.spec("a", run="run")
        await desk.plan(a, desk.spec("b", run="run", needs=(a.id,)))
        before = await desk.cursor()
        await desk.backend.cancel(a.id, now=desk.now)
        assert await desk.story(before) == [
            ("task.cancelled", "a"),
            ("task.skipped", "b"),
            ("run.finished", "run"),
        ]

    async def test_consequences_cross_runs(self, desk: Desk) -> None:
        a = desk.spec("a", run="one")
        await desk.plan(a, run="one")
        await desk.plan(desk.spec("b", run="two", needs=(a.id,)), run="two")
        before = await desk.cursor()
        await desk.run_next("failed")
        assert (await desk.story(before))[1:] == [
            ("task.failed", "a"),
            ("task.skipped", "b"),
            ("run.finished", "one"),
            ("run.finished", "two"),
        ]

    @pytest.mark.parametrize(
        ("ends", "expected"),
        [
            (("succeeded", "succeeded"), RunState.SUCCEEDED),
            (("succeeded", "failed"), RunState.FAILED),
            (("cancelled", "failed"), RunState.FAILED),
            (("cancelled", "succeeded"), RunState.CANCELLED),
        ],
    )
    async def test_a_run_finishes_with_its_last_task(self, desk: Desk, ends: tuple[str, str], expected: str) -> None:
        await desk.plan(desk.spec("a", run="run"), desk.spec("b", run="run"))
        before = await desk.cursor()
        await desk.run_next(ends[0])
        (run,) = await desk.backend.runs(RunQuery())
        assert (run.state, run.ended_at) == (RunState.RUNNING, None)
        desk.now += 5
        await desk.run_next(ends[1])
        (run,) = await desk.backend.runs(RunQuery())
        assert (run.state, run.ended_at) == (expected, desk.now)
        assert run.counts == {State(end): ends.count(end) for end in ends}
        finished = [event for event in await desk.events(before) if event.kind == "run.finished"]
        assert [(event.run, event.task, event.data) for event in finished] == [
            ("run", "", {"name": "run", "state": str(expected)})
        ]
