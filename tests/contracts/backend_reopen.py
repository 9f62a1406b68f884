"""Retry by hand: an ended task returns to the queue, and with it what it had made skip or fail."""

from __future__ import annotations

import pytest

from lite.errors import IllegalState, NotFound
from lite.model.run import RunQuery, RunState
from lite.model.task import Claim, Progress, State, Waiting
from tests.contracts.backend_base import BackendTopic
from tests.support.backends import Desk


class ReopenTopic(BackendTopic):
    async def test_counters_start_anew_but_attempts_go_on(self, desk: Desk) -> None:
        await desk.add("a", retries=1)
        await desk.run_next("unexecutable")
        await desk.run_next("failed")
        ended = await desk.run_next("failed", exit_code=3, signal=2, output="x", detail="bad", provider_session="s")
        before = await desk.cursor()
        task = await desk.backend.retry(ended.id, now=desk.now)
        assert (task.state, task.reason, task.detail) == (State.QUEUED, "reopened", "")
        assert (task.failures, task.faults, task.attempt) == (0, 0, 3)
        assert (task.exit_code, task.signal, task.output, task.ended_at) == (None, None, None, None)
        assert (task.cancel, task.cause, task.run_at, task.provider_session) == ("", "", 0, "s")
        assert await desk.backend.get(task.id) == task
        assert await desk.story(before) == [("task.reopened", "a")]
        assert (await desk.take()).lease.attempt == 4

    @pytest.mark.parametrize("end", ["queued", "running", "succeeded"])
    async def test_only_what_ended_without_success(self, desk: Desk, end: str) -> None:
        task = await desk.add("a")
        if end == "running":
            await desk.take()
        elif end == "succeeded":
            await desk.run_next()
        before = await desk.cursor()
        with pytest.raises(IllegalState):
            await desk.backend.retry(task.id, now=desk.now)
        assert await desk.events(before) == []
        assert str((await desk.backend.get(task.id)).state) == end

    async def test_retrying_what_does_not_exist(self, desk: Desk) -> None:
        with pytest.raises(NotFound):
            await desk.backend.retry("nothing", now=desk.now)

    async def test_a_cancelled_task_can_be_retried(self, desk: Desk) -> None:
        task = await desk.add("a")
        await desk.backend.cancel(task.id, now=desk.now)
        await desk.backend.retry(task.id, now=desk.now)
        assert await desk.names() == ["a"]

    async def test_what_was_skipped_or_condemned_returns_with_it(self, desk: Desk) -> None:
        a = desk.spec("a", run="run", on_failure="fail")
        b = desk.spec("b", run="run", needs=(a.id,))
        c = desk.spec("c", run="run", needs=(b.id,))
        await desk.plan(a, b, c)
        await desk.run_next("failed")
        assert await desk.states() == {"a": "failed", "b": "failed", "c": "skipped"}
        before = await desk.cursor()
        await desk.backend.retry(a.id, now=desk.now)
        assert await desk.story(before) == [
            ("run.reopened", "run"),
            ("task.reopened", "a"),
            ("task.reopened", "b"),
            ("task.reopened", "c"),
        ]
        (run,) = await desk.backend.runs(RunQuery())
        assert (run.state, run.ended_at) == (RunState.RUNNING, None)
        assert (await desk.backend.get(b.id)).cause == ""
        for name in "abc":
            assert await desk.names(1) == [name]
            (task,) = [task for task in await desk.all_tasks() if task.spec.name == name]
            assert task.lease is not None
            await desk.finish(Claim(task, task.lease))
        (run,) = await desk.backend.runs(RunQuery())
        assert run.state is RunState.SUCCEEDED

    async def test_another_need_may_still_forbid_it(self, desk: Desk) -> None:
        a, b = desk.spec("a"), desk.spec("b")
        c = desk.spec("c", needs=(a.id, b.id))
        await desk.submit(a, b, c)
        await desk.run_next("failed")
        await desk.run_next("failed")
        await desk.backend.retry(a.id, now=desk.now)
        assert await desk.states() == {"a": "queued", "b": "failed", "c": "skipped"}
        await desk.backend.retry(b.id, now=desk.now)
        assert await desk.states() == {"a": "queued", "b": "queued", "c": "queued"}
        assert sorted(await desk.names()) == ["a", "b"]

    async def test_what_a_person_cancelled_stays_cancelled(self, desk: Desk) -> None:
        a = desk.spec("a")
        b = desk.spec("b", needs=(a.id,))
        await desk.submit(a, b)
        await desk.backend.cancel(b.id, now=desk.now)
        await desk.run_next("failed")
        await desk.backend.retry(a.id, now=desk.now)
        assert await desk.states() == {"a": "queued", "b": "cancelled"}

    async def test_a_task_its_need_forbids_is_refused_naming_the_need(self, desk: Desk) -> None:
        a = desk.spec("a")
        b = desk.spec("b", needs=(a.id,))
        await desk.submit(a, b)
        await desk.run_next("failed")
        before = await desk.cursor()
        with pytest.raises(IllegalState) as refused:
            await desk.backend.retry(b.id, now=desk.now)
        assert a.id in refused.value.hint
        assert await desk.events(before) == []
        assert await desk.states() == {"a": "failed", "b": "skipped"}

    async def test_those_that_went_on_without_it_wait_again(self, desk: Desk) -> None:
        a = desk.spec("a", on_failure="continue")
        b = desk.spec("b", needs=(a.id,), retries=1)
        await desk.submit(a, b, desk.spec("c", needs=(a.id,)))
        await desk.run_next("failed")
        running = await desk.take()
        assert running.task.spec.name == "b"
        await desk.backend.retry(a.id, now=desk.now)
        await desk.finish(running, "failed")
        assert await desk.states() == {"a": "queued", "b": "queued", "c": "queued"}
        claim = await desk.take()
        assert claim.task.spec.name == "a"
        assert await desk.names() == []
        await desk.finish(claim, "failed")
        assert await desk.names() == ["b", "c"]

    async def test_a_running_run_is_not_reopened(self, desk: Desk) -> None:
        await desk.plan(desk.spec("a", run="run"), desk.spec("b", run="run"))
        ended = await desk.run_next("failed")
        before = await desk.cursor()
        await desk.backend.retry(ended.id, now=desk.now)
        assert await desk.story(before) == [("task.reopened", "a")]

    async def test_nothing_of_an_old_question_is_left(self, desk: Desk) -> None:
        await desk.add("a")
        claim = await desk.take()
        await desk.backend.record(claim.lease, Progress(waiting=Waiting("1", "input", "?")), now=desk.now)
        ended = await desk.finish(claim, "failed")
        assert (await desk.backend.retry(ended.id, now=desk.now)).waiting is None
