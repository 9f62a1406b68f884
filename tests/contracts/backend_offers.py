"""Offers: no worker waits while there is something it could take, whoever else was told of it before.

A wait may end without a reason, so nothing here says when it must not. After each a worker claims, as it has to.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest

from lite.aio.tasks import Job, Jobs, spawn
from lite.model.run import Submission
from lite.model.task import Assignment
from tests.contracts.backend_base import BackendTopic
from tests.support.backends import Desk

PATIENCE = 20.0  # seconds; an offer that takes longer has been missed
DEV: Mapping[str, int | None] = {"dev": None}
Cause = Callable[[], Awaitable[Any]]


@asynccontextmanager
async def helping() -> AsyncIterator[Jobs]:
    """Workers that go on beside the test, until its end."""
    jobs = Jobs("workers")
    try:
        yield jobs
    finally:
        await jobs.cancel()


async def work(desk: Desk, worker: str = "w1", *, room: int = 1, agents: Mapping[str, int | None] = DEV) -> list[str]:
    """Ask and claim until `room` tasks are taken; their names."""
    taken: list[str] = []
    while len(taken) < room:
        await desk.backend.offered(worker, list(agents))
        taken += await desk.names(limit=room - len(taken), worker=worker, agents=agents)
    return taken


async def begun(desk: Desk) -> None:
    """Let those who were told to wait get there. They need not: what is promised holds either way."""
    for _ in range(10):
        await asyncio.sleep(0)
        await desk.backend.workers()


async def soon(job: Job) -> Any:
    async with asyncio.timeout(PATIENCE):
        return await job


class OffersTopic(BackendTopic):
    @pytest.fixture(params=["it waits", "it does not wait yet"])
    def waiting(self, request: pytest.FixtureRequest) -> bool:
        """Does it happen while the worker waits, or between its claim and its wait?"""
        return bool(request.param == "it waits")

    async def hears(
        self,
        desk: Desk,
        waiting: bool,
        cause: Cause,
        *expected: str,
        worker: str = "w1",
        agents: Mapping[str, int | None] = DEV,
    ) -> None:
        """There is nothing for the worker; `cause` happens; then it takes what is expected."""
        assert await desk.names(worker=worker, agents=agents) == []
        async with helping() as jobs:
            if not waiting:
                await cause()
            job = jobs.spawn(work(desk, worker, room=len(expected), agents=agents))
            if waiting:
                await begun(desk)
                await cause()
            assert await soon(job) == list(expected)

    # -- what makes work claimable -------------------------------------------------------------------------------

    async def test_what_is_submitted_is_offered(self, desk: Desk, waiting: bool) -> None:
        await self.hears(desk, waiting, lambda: desk.add("a"), "a")

    async def test_a_wait_that_was_given_up_leaves_the_next_as_it_would_be(self, desk: Desk, waiting: bool) -> None:
        await desk.names()
        for _ in range(2):
            job = spawn(desk.backend.offered("w1", ["dev"]))
            await begun(desk)
            job.cancel()
            await asyncio.gather(job, return_exceptions=True)
        await self.hears(desk, waiting, lambda: desk.add("a"), "a")

    async def test_all_of_a_run_that_fits_is_offered(self, desk: Desk, waiting: bool) -> None:
        specs = [desk.spec(name, run="run") for name in ("a", "b", "c")]
        await self.hears(desk, waiting, lambda: desk.plan(*specs), "a", "b", "c")

    @pytest.mark.parametrize(
        ("end", "on_failure"), [("succeeded", "skip"), ("failed", "continue"), ("cancelled", "continue")]
    )
    async def test_a_need_that_ends_offers_what_waited_for_it(
        self, desk: Desk, waiting: bool, end: str, on_failure: str
    ) -> None:
        await desk.join("w2")
        need = await desk.add("need", on_failure=on_failure)
        await desk.add("a", needs=(need.id,))
        claim = await desk.take(worker="w2")
        await self.hears(desk, waiting, lambda: desk.finish(claim, end), "a")

    async def test_a_need_that_is_cancelled_while_queued_offers_what_goes_on_without_it(
        self, desk: Desk, waiting: bool
    ) -> None:
        need = await desk.add("need", on_failure="continue", agent="nobody")
        await desk.add("a", needs=(need.id,))
        await self.hears(desk, waiting, lambda: desk.backend.cancel(need.id, now=desk.now), "a")

    @pytest.mark.parametrize("end", ["succeeded", "failed", "cancelled"])
    async def test_the_next_of_a_lane_is_offered(self, desk: Desk, waiting: bool, end: str) -> None:
        await desk.join("w2")
        await desk.submit(desk.spec("first", lane="l"), desk.spec("a", lane="l"))
        claim = await desk.take(worker="w2")
        await self.hears(desk, waiting, lambda: desk.finish(claim, end), "a")

    async def test_a_lane_whose_first_is_cancelled_offers_the_next(self, desk: Desk, waiting: bool) -> None:
        first = await desk.add("first", lane="l", agent="nobody")
        await desk.add("a", lane="l")
        await self.hears(desk, waiting, lambda: desk.backend.cancel(first.id, now=desk.now), "a")

    async def test_an_agent_below_its_cap_again_offers_what_waited(self, desk: Desk, waiting: bool) -> None:
        await desk.join("w2")
        await desk.submit(desk.spec("first"), desk.spec("a"))
        claim = await desk.take(worker="w2")
        await self.hears(desk, waiting, lambda: desk.finish(claim), "a", agents={"dev": 1})

    async def test_files_nobody_touches_any_more_offer_what_waited(self, desk: Desk, waiting: bool) -> None:
        await desk.join("w2")
        await desk.submit(desk.spec("first", touches=("/src",), agent="other"), desk.spec("a", touches=("/src/x",)))
        claim = await desk.take(worker="w2", agents={"other": None})
        await self.hears(desk, waiting, lambda: desk.finish(claim, "failed"), "a")

    @pytest.mark.parametrize("end", ["rescheduled", "unexecutable", "failed"])
    async def test_an_attempt_that_is_to_be_repeated_is_offered(self, desk: Desk, waiting: bool, end: str) -> None:
        await desk.join("w2")
        await desk.add("a", retries=1)
        claim = await desk.take(worker="w2")
        await self.hears(desk, waiting, lambda: desk.finish(claim, end), "a")

    async def test_what_is_retried_by_hand_is_offered(self, desk: Desk, waiting: bool) -> None:
        task = await desk.add("a")
        await desk.run_next("failed")
        await self.hears(desk, waiting, lambda: desk.backend.retry(task.id, now=desk.now), "a")

    async def test_what_is_assigned_to_it_is_offered(self, desk: Desk, waiting: bool) -> None:
        await desk.join("w2")
        task = await desk.add("a", selector={"zone": "a"})
        await self.assigned(desk, waiting, task.id, Assignment(worker="w2"), worker="w2")

    async def test_what_is_assigned_to_nobody_any_more_is_offered(self, desk: Desk, waiting: bool) -> None:
        await desk.join("w2")
        task = await desk.add("a")
        await desk.backend.assign(task.id, Assignment(worker="w2"), now=desk.now)
        await self.assigned(desk, waiting, task.id, Assignment(worker=""))

    async def test_what_is_routed_to_an_agent_it_serves_is_offered(self, desk: Desk, waiting: bool) -> None:
        task = await desk.add("a", agent="other")
        await self.assigned(desk, waiting, task.id, Assignment(agent="dev"))

    async def test_what_was_parked_and_is_routed_is_offered(self, desk: Desk, waiting: bool) -> None:
        task = await desk.add("a")
        await desk.backend.assign(task.id, Assignment(park=True, why="nobody"), now=desk.now)
        await self.assigned(desk, waiting, task.id, Assignment(agent="dev"))

    async def assigned(
        self, desk: Desk, waiting: bool, task: str, assignment: Assignment, *, worker: str = "w1"
    ) -> None:
        cause = lambda: desk.backend.assign(task, assignment, now=desk.now)  # noqa: E731
        await self.hears(desk, waiting, cause, "a", worker=worker)

    async def test_what_only_a_worker_that_left_could_take_is_offered(self, desk: Desk, waiting: bool) -> None:
        await desk.join("w2")
        task = await desk.add("a")
        await desk.backend.assign(task.id, Assignment(worker="w2"), now=desk.now)
        await self.hears(desk, waiting, lambda: desk.backend.deregister("w2", now=desk.now), "a")

    async def test_a_worker_that_is_uncordoned_is_offered_what_waits(self, desk: Desk, waiting: bool) -> None:
        await desk.backend.cordon("w1", True, now=desk.now)
        await desk.add("a")
        await self.hears(desk, waiting, lambda: desk.backend.cordon("w1", False, now=desk.now), "a")

    async def test_a_worker_that_registers_again_is_offered_what_waits(self, desk: Desk, waiting: bool) -> None:
        """It was thought to be dead."""
        await desk.backend.deregister("w1", now=desk.now)
        await desk.add("a")
        await self.hears(desk, waiting, lambda: desk.join("w1"), "a")

    # -- several workers -----------------------------------------------------------------------------------------

    async def test_as_many_workers_as_tasks_get_one_each(self, desk: Desk, waiting: bool) -> None:
        workers = [f"w{number}" for number in range(1, 6)]
        for worker in workers:
            await desk.join(worker)
            await desk.names(worker=worker)
        need = await desk.add("need", agent="other")
        await desk.submit(*(desk.spec(f"t-{worker}", needs=(need.id,)) for worker in workers))
        (claim,) = await desk.claim(agents={"other": None})
        async with helping() as jobs:
            if not waiting:
                await desk.finish(claim)
            asking = [jobs.spawn(work(desk, worker)) for worker in workers]
            if waiting:
                await begun(desk)
                await desk.finish(claim)
            got = [await soon(job) for job in asking]
        assert sorted(name for names in got for name in names) == [f"t-{worker}" for worker in workers]

    async def test_many_submissions_fill_all_workers(self, desk: Desk) -> None:
        workers = [f"w{number}" for number in range(1, 5)]
        for worker in workers:
            await desk.join(worker)
            await desk.names(worker=worker)
        async with helping() as jobs:
            asking = [jobs.spawn(work(desk, worker, room=10)) for worker in workers]
            specs = [desk.spec() for _ in range(40)]
            await asyncio.gather(*(desk.backend.submit(Submission((spec,)), now=desk.now) for spec in specs))
            got = [await soon(job) for job in asking]
        assert sorted(name for names in got for name in names) == sorted(spec.name for spec in specs)

    async def test_what_the_first_has_no_room_for_is_offered_to_the_second(self, desk: Desk, waiting: bool) -> None:
        await desk.join("w2")
        for worker in ("w1", "w2"):
            assert await desk.names(worker=worker) == []
        async with helping() as jobs:
            first = jobs.spawn(work(desk, "w1"))
            await begun(desk)
            second = jobs.spawn(work(desk, "w2")) if waiting else None
            await begun(desk)
            await desk.submit(desk.spec("a"), desk.spec("b"))
            got = await soon(first)
            got += await soon(second or jobs.spawn(work(desk, "w2")))
        assert sorted(got) == ["a", "b"]

    async def test_a_cordoned_worker_that_waits_keeps_nothing_from_others(self, desk: Desk) -> None:
        await desk.join("w2")
        await desk.backend.cordon("w1", True, now=desk.now)
        async with helping() as jobs:
            jobs.spawn(work(desk, "w1"))
            await begun(desk)
            for name in ("a", "b", "c"):
                assert await desk.names(worker="w2") == []
                second = jobs.spawn(work(desk, "w2"))
                await begun(desk)
                await desk.add(name)
                assert await soon(second) == [name]

    @pytest.mark.parametrize("kept_by", ["touches", "cap"])
    async def test_what_only_one_may_take_is_offered_to_that_one_when_a_place_is_freed(
        self, desk: Desk, waiting: bool, kept_by: str
    ) -> None:
        """Others wait too, and have no use for it."""
        agents = {"dev": 1} if kept_by == "cap" else DEV
        await desk.join("w2")
        await desk.add("first", touches=("/x",))
        claim = await desk.take()
        task = await desk.add("second", touches=("/x",) if kept_by == "touches" else ())
        await desk.backend.assign(task.id, Assignment(worker="w2"), now=desk.now)
        for worker in ("w1", "w2"):
            assert await desk.names(worker=worker, agents=agents) == []
        async with helping() as jobs:
            jobs.spawn(work(desk, "w1", agents=agents))
            await begun(desk)
            asking = jobs.spawn(work(desk, "w2", agents=agents)) if waiting else None
            await begun(desk)
            await desk.finish(claim)
            assert await soon(asking or jobs.spawn(work(desk, "w2", agents=agents))) == ["second"]

    async def test_what_is_claimed_by_nobody_is_offered_to_the_second(self, desk: Desk, waiting: bool) -> None:
        """The first stops, and says so by a claim of nothing."""
        await self.passes_on(desk, waiting, lambda: desk.names(limit=0))

    async def test_what_the_first_may_not_take_is_offered_to_the_second(self, desk: Desk, waiting: bool) -> None:
        async def cordoned() -> list[str]:
            await desk.backend.cordon("w1", True, now=desk.now)
            return await desk.names()

        await self.passes_on(desk, waiting, cordoned)

    async def test_what_is_above_the_firsts_cap_is_offered_to_the_second(self, desk: Desk, waiting: bool) -> None:
        """The configuration of the one allows less than that of the other."""
        await desk.add("runs")
        await desk.take()
        await self.passes_on(desk, waiting, lambda: desk.names(agents={"dev": 1}))

    async def test_what_the_first_serves_no_more_is_offered_to_the_second(self, desk: Desk, waiting: bool) -> None:
        await self.passes_on(desk, waiting, lambda: desk.names(agents={"other": None}))

    async def test_what_the_first_gave_up_waiting_for_is_offered_to_the_second(self, desk: Desk, waiting: bool) -> None:
        """It was cancelled just when there was something, and claims nothing then, as it has to."""
        await desk.join("w2")
        for worker in ("w1", "w2"):
            assert await desk.names(worker=worker) == []
        async with helping() as jobs:
            first = jobs.spawn(desk.backend.offered("w1", ["dev"]))
            await begun(desk)
            second = jobs.spawn(work(desk, "w2")) if waiting else None
            await desk.add("a")
            first.cancel()
            await asyncio.gather(first, return_exceptions=True)
            assert await desk.names(limit=0) == []
            assert await soon(second or jobs.spawn(work(desk, "w2"))) == ["a"]

    async def passes_on(self, desk: Desk, waiting: bool, claims: Callable[[], Awaitable[list[str]]]) -> None:
        """w1, which was the first to wait, is offered a task and takes nothing; w2 gets it."""
        await desk.join("w2")
        for worker in ("w1", "w2"):
            assert await desk.names(limit=0, worker=worker) == []

        async def declines() -> list[str]:
            await desk.backend.offered("w1", ["dev"])
            return await claims()

        async with helping() as jobs:
            first = jobs.spawn(declines())
            await begun(desk)
            second = jobs.spawn(work(desk, "w2")) if waiting else None
            await begun(desk)
            await desk.add("a")
            if second is None:
                assert await soon(first) == []
                second = jobs.spawn(work(desk, "w2"))
            assert await soon(second) == ["a"]
