"""Looking: get, tasks, runs."""

from __future__ import annotations

import pytest

from lite.errors import NotFound
from lite.model.run import RunQuery, RunState
from lite.model.task import MAX_FAULTS, Assignment, State, TaskQuery
from tests.contracts.backend_base import BackendTopic
from tests.support.backends import TTL, Desk


class QueriesTopic(BackendTopic):
    async def _names(self, desk: Desk, **fields: object) -> list[str]:
        return [task.spec.name for task in await desk.backend.tasks(TaskQuery(**fields))]  # type: ignore[arg-type]

    async def _unplaced(self, desk: Desk, **fields: int) -> list[str]:
        found = await desk.backend.unplaced(now=desk.now, **({"limit": 100} | fields))
        return [task.spec.name for task in found]

    async def test_get_raises_for_what_is_not_there(self, desk: Desk) -> None:
        with pytest.raises(NotFound):
            await desk.backend.get("nothing")

    async def test_every_field_narrows(self, desk: Desk) -> None:
        await desk.plan(*(desk.spec(name, run="run", agent=agent) for name, agent in (("a", "x"), ("b", "y"))))
        await desk.submit(desk.spec("c", agent="x", id="abc1"), desk.spec("a", agent="z", id="abc2"))
        tasks = await desk.all_tasks()
        assert await self._names(desk, ids=(tasks[2].id, tasks[0].id, "nothing")) == ["a", "c"]
        assert await self._names(desk, prefix="abc") == ["c", "a"]
        assert await self._names(desk, prefix="abc2") == ["a"]
        assert await self._names(desk, prefix="ab_") == []
        assert await self._names(desk, prefix="%") == []
        assert await self._names(desk, run="run") == ["a", "b"]
        assert await self._names(desk, run="") == ["c", "a"]
        assert await self._names(desk, name="a") == ["a", "a"]
        assert await self._names(desk, agent="x") == ["a", "c"]
        assert await self._names(desk, agent="x", run="run") == ["a"]
        assert await self._names(desk, after_seq=tasks[1].seq) == ["c", "a"]
        assert await self._names(desk, run="nothing") == []

    async def test_by_state_worker_and_expired_lease(self, desk: Desk) -> None:
        await desk.join("w2")
        for name in ("a", "b", "c", "d"):
            await desk.add(name)
        await desk.run_next()
        await desk.take()
        desk.now += 1_000
        await desk.take(worker="w2")
        assert await self._names(desk, states=(State.RUNNING,)) == ["b", "c"]
        assert await self._names(desk, states=(State.SUCCEEDED, State.QUEUED)) == ["a", "d"]
        assert await self._names(desk, worker="w2") == ["c"]
        assert await self._names(desk, lease_before=desk.now + TTL) == ["b"]
        assert await self._names(desk, lease_before=desk.now + TTL + 1) == ["b", "c"]
        assert await self._names(desk, lease_before=desk.now) == []

    async def test_limit_takes_the_oldest_or_the_newest_in_order(self, desk: Desk) -> None:
        for name in "abcd":
            await desk.add(name)
        assert await self._names(desk, limit=2) == ["a", "b"]
        assert await self._names(desk, limit=2, newest=True) == ["c", "d"]
        assert await self._names(desk, newest=True) == ["a", "b", "c", "d"]
        assert await self._names(desk, limit=0) == []
        assert await self._names(desk, limit=0, newest=True) == []

    async def test_what_still_has_to_be_placed(self, desk: Desk) -> None:
        task = await desk.add("a", affinity="prefer-colocate")
        await desk.add("b", strategy="local")
        await desk.add("c", strategy="auto", priority=1)
        await desk.add("d", selector={"a": "b"}, priority=-1)
        await desk.add("plain")
        assert await self._unplaced(desk) == ["c", "a", "b", "d"]
        assert await self._unplaced(desk, limit=2, skip=1) == ["a", "b"]
        await desk.backend.assign(task.id, Assignment(worker="w1"), now=desk.now)
        assert await self._unplaced(desk, limit=2) == ["c", "b"]
        assert await self._names(desk, assigned=True) == ["a"]
        await desk.backend.deregister("w1", now=desk.now)
        assert await self._unplaced(desk) == ["c", "a", "b", "d"]
        assert await self._names(desk, assigned=True) == []

    async def test_what_could_not_be_claimed_anyway_is_not_to_be_placed_yet(self, desk: Desk) -> None:
        """A place is not kept for what waits for something else, which may wait for that place."""
        first = await desk.add("first")
        for name, fields in {
            "needs": {"needs": (first.id,)},
            "delayed": {"run_at": desk.now + 10},
            "lane-1": {"lane": "web"},
            "lane-2": {"lane": "web"},
        }.items():
            await desk.add(name, strategy="local", **fields)
        parked = await desk.add("parked", strategy="local")
        await desk.backend.assign(parked.id, Assignment(park=True, why="no agent"), now=desk.now)
        assert await self._unplaced(desk) == ["lane-1"]
        desk.now += 10
        assert await self._unplaced(desk) == ["delayed", "lane-1"]
        await desk.run_next()
        assert await self._unplaced(desk) == ["needs", "delayed", "lane-1"]
        (lane,) = [task for task in await desk.all_tasks() if task.spec.name == "lane-1"]
        await desk.backend.assign(lane.id, Assignment(worker="w1"), now=desk.now)
        claim = await desk.take()
        assert await self._unplaced(desk) == ["needs", "delayed"]
        await desk.finish(claim)
        assert await self._unplaced(desk) == ["needs", "delayed", "lane-2"]

    async def test_dead_letters_are_the_poisoned(self, desk: Desk) -> None:
        await desk.add("a")
        for _ in range(MAX_FAULTS):
            await desk.run_next("unexecutable")
        await desk.add("b")
        await desk.run_next("failed")
        assert await self._names(desk, dead=True) == ["a"]

    async def test_runs_by_every_field_with_counts(self, desk: Desk) -> None:
        await desk.plan(desk.spec("a", run="one"), desk.spec("b", run="one"), run="one")
        await desk.plan(desk.spec("a", run="only"), run="only")
        await desk.plan(desk.spec("a", run="two"), run="two")
        await desk.run_next("failed")
        await desk.run_next("succeeded")
        await desk.run_next("succeeded")

        async def ids(**fields: object) -> list[str]:
            return [run.id for run in await desk.backend.runs(RunQuery(**fields))]  # type: ignore[arg-type]

        assert await ids() == ["one", "only", "two"]
        assert await ids(ids=("two", "one")) == ["one", "two"]
        assert await ids(prefix="on") == ["one", "only"]
        assert await ids(name="only") == ["only"]
        assert await ids(states=(RunState.RUNNING,)) == ["two"]
        assert await ids(states=(RunState.FAILED, RunState.SUCCEEDED)) == ["one", "only"]
        assert await ids(limit=2) == ["one", "only"]
        assert await ids(limit=2, newest=True) == ["only", "two"]
        (run,) = await desk.backend.runs(RunQuery(ids=("one",)))
        assert run.counts == {State.SUCCEEDED: 1, State.FAILED: 1}
        assert (run.state, run.ended_at, run.created_at) == (RunState.FAILED, desk.now, desk.now)

    async def test_the_backend_says_what_it_is(self, desk: Desk) -> None:
        assert "\n" not in desk.backend.describe()
        assert desk.backend.describe()
