"""Where a team's tasks are, and assignments that rest on it."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest

from lite.errors import IllegalState
from lite.model.task import Assignment, Claim, State
from tests.contracts.backend_base import BackendTopic
from tests.support.backends import TTL, Desk


class TeamsTopic(BackendTopic):
    async def assign(self, desk: Desk, task: str, worker: str = "", **fields: Any) -> None:
        await desk.backend.assign(task, Assignment(**({"worker": worker} | fields)), now=desk.now)

    async def index(self, desk: Desk) -> dict[tuple[str, str], int]:
        """What the backend tells; it must be what its rows say."""
        told = dict(await desk.backend.team_index())
        rows = await desk.all_tasks()
        assert told == Counter((row.whereabouts, row.spec.team) for row in rows if row.spec.team and row.whereabouts)
        return told

    async def test_a_team_is_where_its_tasks_run_or_are_assigned(self, desk: Desk) -> None:
        await desk.join("w2")
        assert await self.index(desk) == {}
        tasks = [await desk.add(name, team="red", selector={"x": "y"}) for name in "abc"]
        await desk.add("elsewhere", team="blue", selector={"x": "y"})
        plain = await desk.add("no team", selector={"x": "y"})
        assert await self.index(desk) == {}
        for task, worker in ((tasks[0].id, "w1"), (tasks[1].id, "w2"), (tasks[2].id, "w2"), (plain.id, "w1")):
            await self.assign(desk, task, worker)
        assert await self.index(desk) == {("w1", "red"): 1, ("w2", "red"): 2}
        assert await desk.names(worker="w2") == ["b", "c"]
        assert await self.index(desk) == {("w1", "red"): 1, ("w2", "red"): 2}

    async def test_it_counts_what_was_never_placed_too(self, desk: Desk) -> None:
        await desk.add("a", team="red")
        claim = await desk.take()
        assert await self.index(desk) == {("w1", "red"): 1}
        await desk.finish(claim)
        assert await self.index(desk) == {}

    async def test_the_name_of_a_team_is_any_text(self, desk: Desk) -> None:
        names = ["red team", " w1", "a:b|c", "ü {x} \\n*?", "w1 red"]
        for name in names:
            await desk.add(team=name)
        await desk.claim(10)
        assert await self.index(desk) == {("w1", name): 1 for name in names}

    @pytest.mark.parametrize("end", ["succeeded", "failed", "cancelled"])
    async def test_what_has_ended_is_nowhere_and_what_is_retried_is_not_there_again(self, desk: Desk, end: str) -> None:
        task = await desk.add("a", team="red", selector={"x": "y"})
        await self.assign(desk, task.id, "w1")
        await desk.run_next(end)
        assert await self.index(desk) == {}
        if end != "succeeded":
            await desk.backend.retry(task.id, now=desk.now)
            assert (await desk.backend.get(task.id)).state is State.QUEUED
            await self.index(desk)

    @pytest.mark.parametrize("end", ["failed", "rescheduled", "unexecutable"])
    async def test_an_attempt_to_be_repeated_counts_where_it_may_go_on(self, desk: Desk, end: str) -> None:
        task = await desk.add("a", team="red", selector={"x": "y"}, retries=1)
        await self.assign(desk, task.id, "w1")
        row = await desk.finish(await desk.take(), end, delay_ms=5)
        assert row.state is State.QUEUED
        assert await self.index(desk) == ({("w1", "red"): 1} if row.assigned else {})

    async def test_a_lease_taken_over_moves_it(self, desk: Desk) -> None:
        await desk.join("w2")
        await desk.add("a", team="red")
        claim = await desk.take()
        await desk.backend.rescue(claim.lease, "w2", now=desk.now, ttl_ms=TTL)
        assert await self.index(desk) == {("w2", "red"): 1}

    async def test_assigning_anew_clearing_parking_and_routing_move_it(self, desk: Desk) -> None:
        await desk.join("w2")
        task = await desk.add("a", team="red", selector={"x": "y"})
        for worker in ("w1", "w2", "w2"):
            await self.assign(desk, task.id, worker)
            assert await self.index(desk) == {(worker, "red"): 1}
        await self.assign(desk, task.id, "")
        assert await self.index(desk) == {}
        await self.assign(desk, task.id, "w1")
        await desk.backend.assign(task.id, Assignment(agent="ops"), now=desk.now)
        assert await self.index(desk) == {}
        await self.assign(desk, task.id, "w1")
        await desk.backend.assign(task.id, Assignment(park=True, why="nobody"), now=desk.now)
        assert await self.index(desk) == {}

    async def test_cancelling_and_what_that_condemns_count_no_more(self, desk: Desk) -> None:
        need = await desk.add("need", team="red", selector={"x": "y"})
        task = await desk.add("a", team="red", selector={"x": "y"}, needs=(need.id,))
        for one in (need.id, task.id):
            await self.assign(desk, one, "w1")
        assert await self.index(desk) == {("w1", "red"): 2}
        await desk.backend.cancel(need.id, now=desk.now)
        assert (await desk.backend.get(task.id)).state is State.SKIPPED
        assert await self.index(desk) == {}

    async def test_a_worker_that_left_keeps_only_what_it_ran(self, desk: Desk) -> None:
        await desk.join("w2")
        await desk.add("runs", team="red")
        claim = await desk.take(worker="w2")
        task = await desk.add("a", team="red", selector={"x": "y"})
        await self.assign(desk, task.id, "w2")
        assert await self.index(desk) == {("w2", "red"): 2}
        await desk.backend.deregister("w2", now=desk.now)
        assert await self.index(desk) == {("w2", "red"): 1}
        await desk.finish(claim)
        assert await self.index(desk) == {}

    # -- seen ----------------------------------------------------------------------------------------------------

    async def spread(self, desk: Desk) -> tuple[str, str, Claim]:
        """Two tasks of team red that are queued, and one that w2 runs."""
        await desk.join("w2")
        await desk.add("runs", team="red")
        claim = await desk.take(worker="w2")
        a, b = [await desk.add(name, team="red", affinity="require-spread") for name in "ab"]
        return a.id, b.id, claim

    async def test_an_assignment_made_on_what_is_so_is_accepted(self, desk: Desk) -> None:
        a, b, claim = await self.spread(desk)
        await self.assign(desk, a, "w1", seen={"w2": 1})
        assert await self.index(desk) == {("w1", "red"): 1, ("w2", "red"): 1}
        await self.assign(desk, a, "", seen={"w1": 1, "w2": 1})
        await desk.finish(claim)
        await self.assign(desk, b, "w2", seen={})
        assert await self.index(desk) == {("w2", "red"): 1}

    async def test_a_count_of_none_is_the_same_as_no_count(self, desk: Desk) -> None:
        a, _, _ = await self.spread(desk)
        await self.assign(desk, a, "w1", seen={"w1": 0, "w2": 1, "w3": 0})
        assert (await desk.backend.get(a)).assigned == "w1"

    @pytest.mark.parametrize("seen", [{}, {"w1": 1}, {"w2": 2}, {"w1": 1, "w2": 1}, {"w2": 1, "gone": 1}])
    async def test_an_assignment_made_on_old_news_changes_nothing(self, desk: Desk, seen: dict[str, int]) -> None:
        a, _, _ = await self.spread(desk)
        before, row = await desk.cursor(), await desk.backend.get(a)
        with pytest.raises(IllegalState):
            await self.assign(desk, a, "w1", seen=seen)
        with pytest.raises(IllegalState):
            await self.assign(desk, a, "", seen=seen)
        assert await desk.events(before) == []
        assert await desk.backend.get(a) == row
        assert await self.index(desk) == {("w2", "red"): 1}

    async def test_what_was_seen_of_another_team_does_not_matter(self, desk: Desk) -> None:
        await desk.add("runs", team="blue")
        await desk.take()
        task = await desk.add("a", team="red", affinity="require-spread")
        with pytest.raises(IllegalState):
            await self.assign(desk, task.id, "w1", seen={"w1": 1})
        await self.assign(desk, task.id, "w1", seen={})
        assert await self.index(desk) == {("w1", "blue"): 1, ("w1", "red"): 1}

    async def test_who_has_no_team_has_seen_nobody(self, desk: Desk) -> None:
        await desk.add("also without")
        await desk.take()
        task = await desk.add("a", affinity="require-spread")
        with pytest.raises(IllegalState):
            await self.assign(desk, task.id, "w1", seen={"w1": 1})
        await self.assign(desk, task.id, "w1", seen={})
        assert (await desk.backend.get(task.id)).assigned == "w1"

    async def test_where_it_is_itself_belongs_to_what_is_seen(self, desk: Desk) -> None:
        a, _, _ = await self.spread(desk)
        await self.assign(desk, a, "w1")
        with pytest.raises(IllegalState):
            await self.assign(desk, a, "w2", seen={"w2": 1}, before="w1")
        await self.assign(desk, a, "w2", seen={"w1": 1, "w2": 1}, before="w1")
        assert await self.index(desk) == {("w2", "red"): 2}

    async def test_of_two_orchestrators_with_the_same_view_one_wins(self, desk: Desk) -> None:
        """Each chooses w1 for a task of its own: together they would break what both keep."""
        for _ in range(5):
            a, b, claim = await self.spread(desk)
            await self.one_wins(
                desk, *(desk.backend.assign(one, Assignment("w1", seen={"w2": 1}), now=desk.now) for one in (a, b))
            )
            assert await self.index(desk) == {("w1", "red"): 1, ("w2", "red"): 1}
            await desk.finish(claim)
            for one in (a, b):
                await desk.backend.cancel(one, now=desk.now)

    async def test_of_two_orchestrators_with_one_task_one_wins(self, desk: Desk) -> None:
        await desk.join("w2")
        task = await desk.add("a", strategy="auto")
        await self.one_wins(
            desk,
            *(desk.backend.assign(task.id, Assignment(one, before=""), now=desk.now) for one in ("w1", "w2")),
        )

    async def one_wins(self, desk: Desk, *verbs: Any) -> None:
        before = await desk.cursor()
        answers = await asyncio.gather(*verbs, return_exceptions=True)
        refused = [answer for answer in answers if isinstance(answer, BaseException)]
        assert [type(answer) for answer in refused] == [IllegalState]
        assert len(await desk.events(before)) == 1
