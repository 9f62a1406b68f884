"""Ends: outcomes, retries, faults, cancels, outputs."""

from __future__ import annotations

import pytest

from lite.errors import LeaseLost, NotFound, OutputTooLarge
from lite.model.attempt import Attempt
from lite.model.task import MAX_FAULTS, MAX_OUTPUT, Assignment, Progress, State, Waiting
from providers.base import Source, Usage
from tests.contracts.backend_base import BackendTopic
from tests.support.backends import Desk


class EndsTopic(BackendTopic):
    async def test_the_ledger_has_a_line_for_each_attempt_that_used_a_model(self, desk: Desk) -> None:
        usage = Usage(100, 20, 0.25, Source.REPORTED, 40, "m-1", Source.ESTIMATED)
        task = await desk.add("a", retries=1)
        first = await desk.take()
        await desk.backend.record(first.lease, Progress(started=True), now=desk.now)
        await desk.finish(first, "failed", usage=usage, reason="exit")
        started = desk.now
        desk.now += 7
        second = await desk.take()
        await desk.finish(second, usage=Usage())
        await desk.add("used no model")
        await desk.run_next()
        third = await desk.add("c")
        claim = await desk.take()
        await desk.backend.record(claim.lease, Progress(usage=Usage(5)), now=desk.now)
        await desk.finish(claim)
        lines = list(await desk.backend.ledger())
        assert lines == [
            Attempt(1, task.id, 1, "", "dev", "w1", "task.retrying", "retry", started, started, usage),
            Attempt(2, task.id, 2, "", "dev", "w1", "task.succeeded", "", None, desk.now, Usage()),
            Attempt(3, third.id, 1, "", "dev", "w1", "task.succeeded", "", None, desk.now, Usage(5)),
        ]
        assert list(await desk.backend.ledger(1, limit=1)) == [lines[1]]
        assert not await desk.backend.ledger(3)
        assert (await desk.backend.get(third.id)).usage == Usage(5)

    async def test_an_attempt_that_was_not_ended_is_not_in_the_ledger(self, desk: Desk) -> None:
        await desk.add("a")
        claim = await desk.take()
        await desk.finish(claim, usage=Usage(1))
        with pytest.raises(LeaseLost):
            await desk.finish(claim, usage=Usage(2))
        assert [line.usage for line in await desk.backend.ledger()] == [Usage(1)]

    async def test_success_ends_the_task_with_all_it_left(self, desk: Desk) -> None:
        await desk.add("a")
        claim = await desk.take()
        await desk.backend.record(
            claim.lease, Progress(handle="h", started=True, waiting=Waiting("1", "input", "?")), now=desk.now
        )
        usage = Usage(1, 2, 0.5, Source.REPORTED)
        began = desk.now
        desk.now += 7
        task = await desk.finish(
            claim, detail="fine", exit_code=0, output="döne", usage=usage, provider_session="session"
        )
        assert (task.state, task.reason, task.detail, task.exit_code) == (State.SUCCEEDED, "", "fine", 0)
        assert (task.output, task.usage, task.provider_session) == ("döne", usage, "session")
        assert (task.started_at, task.ended_at) == (began, desk.now)
        assert (task.lease, task.waiting, task.handle) == (None, None, "h")
        assert await desk.backend.get(task.id) == task

    async def test_own_failures_use_up_the_retries(self, desk: Desk) -> None:
        await desk.add("a", retries=1)
        first = await desk.take()
        await desk.backend.record(first.lease, Progress(handle="h", started=True, usage=Usage(5)), now=desk.now)
        task = await desk.finish(first, "failed", reason="exit", exit_code=3, signal=None, output="half")
        assert (task.state, task.reason, task.failures, task.exit_code) == (State.QUEUED, "retry", 1, 3)
        assert (task.started_at, task.ended_at, task.output) == (desk.now, None, "half")
        again = await desk.take()
        assert (again.lease.attempt, again.task.handle, again.task.exit_code) == (2, "", None)
        assert (again.task.output, again.task.usage, again.task.started_at) == (None, Usage(), None)
        task = await desk.finish(again, "failed", reason="signal", signal=9)
        assert (task.state, task.reason, task.failures, task.signal) == (State.FAILED, "signal", 2, 9)
        assert task.ended_at == desk.now
        assert await desk.claim() == []

    async def test_a_failure_without_a_reason_is_an_exit(self, desk: Desk) -> None:
        await desk.add("a")
        assert (await desk.run_next("failed")).reason == "exit"

    async def test_a_retry_waits_for_its_delay(self, desk: Desk) -> None:
        await desk.add("a", retries=1)
        task = await desk.finish(await desk.take(), "failed", delay_ms=50)
        assert task.run_at == desk.now + 50
        assert await desk.backend.next_due(desk.now) == desk.now + 50
        assert await desk.claim() == []
        desk.now += 50
        assert (await desk.take()).task.run_at == 0

    async def test_faults_do_not_use_up_retries_until_the_task_is_poison(self, desk: Desk) -> None:
        await desk.add("a")
        for number in range(1, MAX_FAULTS):
            task = await desk.run_next("unexecutable", detail="no pty")
            assert (task.state, task.reason, task.faults, task.failures) == (
                State.QUEUED,
                "infrastructure",
                number,
                0,
            )
        task = await desk.run_next("unexecutable")
        assert (task.state, task.reason, task.faults) == (State.FAILED, "poison", MAX_FAULTS)

    async def test_rescheduling_counts_nothing(self, desk: Desk) -> None:
        await desk.add("a")
        task = await desk.run_next("rescheduled", reason="shutdown")
        assert (task.state, task.reason, task.failures, task.faults) == (State.QUEUED, "shutdown", 0, 0)
        task = await desk.run_next("rescheduled", until=desk.now + 9)
        assert (task.reason, task.run_at) == ("parked", desk.now + 9)
        desk.now += 9
        assert (await desk.take()).lease.attempt == 3

    async def test_a_retry_is_placed_anew(self, desk: Desk) -> None:
        task = await desk.add("a", selector={"x": "y"}, retries=1)
        await desk.backend.assign(task.id, Assignment(worker="w1", why="x"), now=desk.now)
        assert (await desk.run_next("failed")).assigned == ""
        assert await desk.claim() == []

    async def test_a_provider_session_outlives_attempts(self, desk: Desk) -> None:
        await desk.add("a", retries=1)
        await desk.run_next("failed", provider_session="s")
        assert (await desk.take()).task.provider_session == "s"

    @pytest.mark.parametrize("text", ["x" * (MAX_OUTPUT + 1), "€" * (MAX_OUTPUT // 3 + 1)])
    async def test_too_large_an_output_changes_nothing(self, desk: Desk, text: str) -> None:
        await desk.add("a")
        claim = await desk.take()
        before = await desk.cursor()
        with pytest.raises(OutputTooLarge):
            await desk.finish(claim, output=text)
        assert await desk.backend.get(claim.task.id) == claim.task
        assert await desk.events(before) == []
        task = await desk.finish(claim, output="x" * MAX_OUTPUT)
        assert (await desk.backend.get(task.id)).output == "x" * MAX_OUTPUT

    async def test_a_queued_task_is_cancelled_at_once(self, desk: Desk) -> None:
        task = await desk.add("a")
        before = await desk.cursor()
        ended = await desk.backend.cancel(task.id, now=desk.now)
        assert (ended.state, ended.reason, ended.ended_at) == (State.CANCELLED, "user", desk.now)
        assert await desk.claim() == []
        assert await desk.backend.cancel(task.id, now=desk.now + 1, reason="shutdown") == ended
        assert await desk.story(before) == [("task.cancelled", "a")]

    async def test_a_running_task_is_asked_once(self, desk: Desk) -> None:
        await desk.add("a", retries=5)
        claim = await desk.take()
        before = await desk.cursor()
        asked = await desk.backend.cancel(claim.task.id, now=desk.now, reason="budget")
        again = await desk.backend.cancel(claim.task.id, now=desk.now, reason="user")
        assert asked == again
        assert (asked.state, asked.cancel) == (State.RUNNING, "budget")
        (event,) = await desk.events(before)
        assert (event.kind, event.attempt, event.worker, event.data) == (
            "task.cancelling",
            1,
            "w1",
            {"reason": "budget"},
        )
        task = await desk.finish(claim, "failed", exit_code=1)
        assert (task.state, task.reason, task.cancel) == (State.CANCELLED, "budget", "")

    async def test_success_wins_over_a_cancel_request(self, desk: Desk) -> None:
        await desk.add("a")
        claim = await desk.take()
        await desk.backend.cancel(claim.task.id, now=desk.now)
        assert (await desk.finish(claim)).state is State.SUCCEEDED

    async def test_an_ended_task_stays_as_it_is(self, desk: Desk) -> None:
        await desk.add("a")
        task = await desk.run_next()
        before = await desk.cursor()
        assert await desk.backend.cancel(task.id, now=desk.now) == task
        assert await desk.events(before) == []

    async def test_cancelling_what_does_not_exist(self, desk: Desk) -> None:
        with pytest.raises(NotFound):
            await desk.backend.cancel("nothing", now=desk.now)
