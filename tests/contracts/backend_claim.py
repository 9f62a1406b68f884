"""Claiming: who may take what, and in which order."""

from __future__ import annotations

import asyncio

import pytest

from lite.errors import IllegalState, NotFound
from lite.model.task import Assignment, State
from tests.contracts.backend_base import BackendTopic
from tests.support.backends import TTL, Desk


class ClaimTopic(BackendTopic):
    async def test_a_claim_starts_an_attempt_under_a_lease(self, desk: Desk) -> None:
        task = await desk.add("a")
        claim = await desk.take()
        assert (claim.lease.task, claim.lease.attempt, claim.lease.worker) == (task.id, 1, "w1")
        assert claim.lease.expires_at == desk.now + TTL
        assert claim.task.lease == claim.lease
        assert (claim.task.state, claim.task.attempt, claim.task.worker) == (State.RUNNING, 1, "w1")
        assert await desk.backend.get(task.id) == claim.task
        assert await desk.claim() == []

    async def test_higher_priority_first_then_the_order_of_submission(self, desk: Desk) -> None:
        for name, priority in (("a", 0), ("b", 5), ("c", -5), ("d", 5), ("e", 0)):
            await desk.add(name, priority=priority)
        assert await desk.names(limit=2) == ["b", "d"]
        assert await desk.names() == ["a", "e", "c"]

    async def test_order_holds_across_agents(self, desk: Desk) -> None:
        for name, agent, priority in (("a", "x", 0), ("b", "y", 1), ("c", "x", 1), ("d", "y", 0)):
            await desk.add(name, agent=agent, priority=priority)
        assert await desk.names(agents={"x": None, "y": None}) == ["b", "c", "a", "d"]

    async def test_never_more_than_asked_for(self, desk: Desk) -> None:
        for _ in range(3):
            await desk.add()
        assert len(await desk.claim(2)) == 2
        assert await desk.claim(0) == []

    async def test_a_delayed_task_waits_for_its_time_but_holds_nobody_up(self, desk: Desk) -> None:
        await desk.add("later", priority=10, run_at=desk.now + 10)
        await desk.add("now")
        assert await desk.names() == ["now"]
        desk.now += 9
        assert await desk.names() == []
        desk.now += 1
        assert await desk.names() == ["later"]

    async def test_next_due_is_the_earliest_start_still_to_come(self, desk: Desk) -> None:
        assert await desk.backend.next_due(desk.now) is None
        for after in (30, 10, 20):
            await desk.add(run_at=desk.now + after)
        assert await desk.backend.next_due(desk.now) == desk.now + 10
        assert await desk.backend.next_due(desk.now + 10) == desk.now + 20
        desk.now += 10
        await desk.take()
        assert await desk.backend.next_due(desk.now - 10) == desk.now + 10
        assert await desk.backend.next_due(desk.now + 20) is None

    async def test_only_the_agents_asked_for(self, desk: Desk) -> None:
        await desk.add("a", agent="x")
        assert await desk.names() == []
        assert await desk.names(agents={}) == []
        assert await desk.names(agents={"x": None}) == ["a"]

    async def test_an_agents_cap_counts_the_whole_fleet_and_this_call(self, desk: Desk) -> None:
        await desk.join("w2")
        for name in ("a", "b", "c"):
            await desk.add(name)
        assert await desk.names(agents={"dev": 2}) == ["a", "b"]
        assert await desk.names(worker="w2", agents={"dev": 2}) == []
        assert await desk.names(worker="w2", agents={"dev": 3}) == ["c"]

    async def test_a_full_agent_does_not_hold_up_another(self, desk: Desk) -> None:
        for name, agent in (("a", "x"), ("b", "x"), ("c", "y")):
            await desk.add(name, agent=agent)
        assert await desk.names(agents={"x": 1, "y": 1}) == ["a", "c"]

    async def test_unknown_and_cordoned_workers_get_nothing(self, desk: Desk) -> None:
        await desk.add("a")
        assert await desk.claim(worker="stranger") == []
        await desk.backend.cordon("w1", True, now=desk.now)
        assert await desk.claim() == []
        await desk.backend.cordon("w1", False, now=desk.now)
        assert await desk.names() == ["a"]

    async def test_overlapping_touches_never_run_at_the_same_time(self, desk: Desk) -> None:
        await desk.add("a", touches=("/src",))
        await desk.add("b", touches=("/src/x", "/other"))
        await desk.add("c", touches=("/srcs",))
        await desk.add("d", touches=("/srcs",))
        await desk.add("e")
        claims = await desk.claim(10)
        assert [claim.task.spec.name for claim in claims] == ["a", "c", "e"]
        assert await desk.names() == []
        await desk.finish(claims[0], "failed")
        assert await desk.names() == ["b"]

    async def test_a_task_to_be_placed_waits_for_its_worker(self, desk: Desk) -> None:
        await desk.join("w2")
        task = await desk.add("a", selector={"gpu": "yes"})
        assert await desk.names() == []
        placed = await desk.backend.assign(task.id, Assignment(worker="w2", why="has a gpu"), now=desk.now)
        assert (placed.assigned, placed.assigned_why) == ("w2", "has a gpu")
        assert await desk.names() == []
        assert await desk.names(worker="w2") == ["a"]

    async def test_any_assigned_task_is_for_that_worker_only_until_cleared(self, desk: Desk) -> None:
        await desk.join("w2")
        task = await desk.add("a")
        await desk.backend.assign(task.id, Assignment(worker="w2"), now=desk.now)
        assert await desk.names() == []
        await desk.backend.assign(task.id, Assignment(worker=""), now=desk.now)
        assert await desk.names() == ["a"]

    async def test_routing_again_changes_the_agent(self, desk: Desk) -> None:
        task = await desk.add("a")
        before = await desk.cursor()
        routed = await desk.backend.assign(
            task.id, Assignment(agent="ops", provider="shell", mode="interactive", why="default"), now=desk.now
        )
        spec = routed.spec
        assert (spec.agent, spec.provider, spec.mode, spec.rule) == ("ops", "shell", "interactive", "default")
        assert await desk.backend.get(task.id) == routed
        assert await desk.story(before) == [("task.routed", "a")]
        assert await desk.names() == []
        assert await desk.names(agents={"ops": None}) == ["a"]

    async def test_an_unroutable_task_is_parked_until_routed(self, desk: Desk) -> None:
        task = await desk.add("a")
        before = await desk.cursor()
        parked = await desk.backend.assign(task.id, Assignment(park=True, why="no such agent"), now=desk.now)
        assert (parked.state, parked.reason, parked.detail) == (State.QUEUED, "unroutable", "no such agent")
        assert await desk.names() == []
        assert await desk.story(before) == [("task.parked", "a")]
        await desk.backend.assign(task.id, Assignment(agent="dev"), now=desk.now)
        assert await desk.names() == ["a"]

    async def test_an_assignment_is_refused_when_the_task_is_not_where_it_was_thought_to_be(self, desk: Desk) -> None:
        await desk.join("w2")
        task = await desk.add("a", strategy="local")
        await desk.backend.assign(task.id, Assignment(worker="w1", before=""), now=desk.now)
        before = await desk.cursor()
        for stale in (Assignment(worker="w2", before=""), Assignment(worker="", before="w2")):
            with pytest.raises(IllegalState):
                await desk.backend.assign(task.id, stale, now=desk.now)
        assert await desk.events(before) == []
        assert (await desk.backend.get(task.id)).assigned == "w1"
        moved = await desk.backend.assign(task.id, Assignment(worker="w2", before="w1"), now=desk.now)
        assert moved.assigned == "w2"

    async def test_an_assignment_is_refused_when_its_team_has_moved(self, desk: Desk) -> None:
        await desk.join("w2")
        a, b = await desk.add("a", team="web"), await desk.add("b", team="web")
        await desk.add("other", team="ops", priority=1)
        await desk.take(worker="w2")
        await desk.backend.assign(a.id, Assignment(worker="w1", seen={}), now=desk.now)
        assert await desk.backend.team_index() == {("w1", "web"): 1, ("w2", "ops"): 1}
        before = await desk.cursor()
        for stale in ({}, {"w2": 1}, {"w1": 2}, {"w1": 1, "w2": 1}):
            with pytest.raises(IllegalState):
                await desk.backend.assign(b.id, Assignment(worker="w2", seen=stale), now=desk.now)
        assert await desk.events(before) == []
        claim = await desk.take(worker="w1")
        assert claim.task.id == a.id
        await desk.backend.assign(b.id, Assignment(worker="w2", seen={"w1": 1, "w2": 0}), now=desk.now)
        assert await desk.backend.team_index() == {("w1", "web"): 1, ("w2", "web"): 1, ("w2", "ops"): 1}
        await desk.finish(claim)
        assert await desk.backend.team_index() == {("w2", "web"): 1, ("w2", "ops"): 1}

    async def test_only_queued_tasks_are_assigned_and_only_to_known_workers(self, desk: Desk) -> None:
        task = await desk.add("a")
        with pytest.raises(NotFound):
            await desk.backend.assign(task.id, Assignment(worker="nobody"), now=desk.now)
        with pytest.raises(NotFound):
            await desk.backend.assign("nothing", Assignment(worker="w1"), now=desk.now)
        await desk.take()
        before = await desk.cursor()
        with pytest.raises(IllegalState):
            await desk.backend.assign(task.id, Assignment(worker="w1"), now=desk.now)
        assert await desk.events(before) == []

    async def test_concurrent_claims_never_share_a_task(self, desk: Desk) -> None:
        for _ in range(30):
            await desk.add()
        taken = await asyncio.gather(*(desk.claim(2) for _ in range(20)))
        ids = [claim.task.id for claims in taken for claim in claims]
        assert len(ids) == len(set(ids)) == 30
        tokens = [claim.lease.token for claims in taken for claim in claims]
        assert len(set(tokens)) == 30
