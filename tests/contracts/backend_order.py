"""Lanes: strictly one after the other."""

from __future__ import annotations

import pytest

from tests.contracts.backend_base import BackendTopic
from tests.support.backends import Desk


class OrderTopic(BackendTopic):
    async def _lane(self, desk: Desk, names: str, **fields: object) -> None:
        await desk.submit(*(desk.spec(name, lane="x", **fields) for name in names))

    @pytest.mark.parametrize("end", ["succeeded", "failed", "cancelled"])
    async def test_one_after_the_other_however_they_end(self, desk: Desk, end: str) -> None:
        await self._lane(desk, "abc")
        for expected in "abc":
            claim = await desk.take()
            assert claim.task.spec.name == expected
            assert await desk.names() == []
            await desk.finish(claim, end)

    async def test_priority_does_not_reorder_a_lane(self, desk: Desk) -> None:
        await desk.submit(desk.spec("a", lane="x"), desk.spec("b", lane="x", priority=9))
        assert await desk.names() == ["a"]

    async def test_lanes_are_separate_by_name_and_by_run(self, desk: Desk) -> None:
        await desk.plan(desk.spec("a", run="1", lane="x"), desk.spec("b", run="1", lane="y"), run="1")
        await desk.plan(desk.spec("c", run="2", lane="x"), desk.spec("d", run="2"), run="2")
        await self._lane(desk, "ef")
        assert await desk.names() == ["a", "b", "c", "d", "e"]

    async def test_ad_hoc_tasks_share_lanes_over_submissions(self, desk: Desk) -> None:
        await desk.add("a", lane="x")
        await desk.add("b", lane="x")
        assert await desk.names() == ["a"]

    async def test_a_back_off_holds_the_lane(self, desk: Desk) -> None:
        await self._lane(desk, "ab", retries=1)
        await desk.finish(await desk.take(), "failed", delay_ms=10)
        assert await desk.names() == []
        desk.now += 10
        assert await desk.names() == ["a"]

    async def test_a_waiting_need_holds_the_lane(self, desk: Desk) -> None:
        other = desk.spec("other")
        await desk.submit(other, desk.spec("a", lane="x", needs=(other.id,)), desk.spec("b", lane="x"))
        claim = await desk.take()
        assert await desk.names() == []
        await desk.finish(claim)
        assert await desk.names() == ["a"]

    async def test_a_middle_task_that_ends_lets_nobody_pass_the_first(self, desk: Desk) -> None:
        a, b, c = (desk.spec(name, lane="x") for name in "abc")
        await desk.submit(a, b, c)
        await desk.backend.cancel(b.id, now=desk.now)
        claim = await desk.take()
        assert claim.task.spec.name == "a"
        assert await desk.names() == []
        await desk.finish(claim)
        assert await desk.names() == ["c"]

    async def test_cancelling_the_first_frees_the_second(self, desk: Desk) -> None:
        a = desk.spec("a", lane="x")
        await desk.submit(a, desk.spec("b", lane="x"))
        await desk.backend.cancel(a.id, now=desk.now)
        assert await desk.names() == ["b"]

    async def test_a_skipped_first_frees_the_second(self, desk: Desk) -> None:
        other = desk.spec("other")
        await desk.submit(other, desk.spec("a", lane="x", needs=(other.id,)), desk.spec("b", lane="x"))
        await desk.run_next("failed")
        assert await desk.names() == ["b"]

    async def test_a_reopened_task_makes_later_ones_wait_again(self, desk: Desk) -> None:
        await self._lane(desk, "abc")
        ended = await desk.run_next("failed")
        running = await desk.take()
        await desk.backend.retry(ended.id, now=desk.now)
        assert await desk.names() == []  # b still runs
        await desk.finish(running)
        assert await desk.names() == ["a"]

    async def test_a_requeued_task_goes_behind_a_reopened_earlier_one(self, desk: Desk) -> None:
        await self._lane(desk, "ab", retries=1)
        a = await desk.take()
        await desk.backend.cancel(a.task.id, now=desk.now)
        ended = await desk.finish(a, "cancelled")
        b = await desk.take()
        await desk.backend.retry(ended.id, now=desk.now)
        await desk.finish(b, "failed")
        claim = await desk.take()
        assert claim.task.spec.name == "a"
        await desk.finish(claim)
        assert await desk.names() == ["b"]

    async def test_a_second_lane_member_queued_before_the_reopening_waits(self, desk: Desk) -> None:
        await self._lane(desk, "ab")
        ended = await desk.run_next("failed")
        await desk.backend.retry(ended.id, now=desk.now)
        assert await desk.names() == ["a"]
