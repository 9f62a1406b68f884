"""The registry of workers."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lite.errors import NotFound
from lite.model.task import Assignment
from lite.model.worker import Worker, WorkerState
from tests.contracts.backend_base import BackendTopic
from tests.support.backends import TTL, Desk


class WorkersTopic(BackendTopic):
    async def test_a_worker_is_stored_as_registered(self, desk: Desk) -> None:
        before = await desk.cursor()
        worker = Worker("w2", "n", 3, ("a", "b"), {"gpu": "yes"}, 42, "unix:/x", "1.0", 9_000, 1, 2, True, ("ghost",))
        worker = replace(worker, executors=("local", "kubernetes"), token="s3cret é", load=0.25)
        row = await desk.backend.register(worker, now=desk.now)
        assert row == replace(worker, registered_at=desk.now, heartbeat_at=desk.now, cordoned=False, running=())
        assert [worker.id for worker in await desk.backend.workers()] == ["w1", "w2"]
        assert (await desk.backend.workers())[1] == row
        (event,) = await desk.events(before)
        assert (event.kind, event.worker, event.data) == ("worker.joined", "w2", {"node": "n", "slots": 3})

    async def test_registering_again_refreshes(self, desk: Desk) -> None:
        await desk.backend.cordon("w1", True, now=desk.now)
        before, began = await desk.cursor(), desk.now
        desk.now += 10
        row = await desk.join("w1", slots=9)
        assert (row.registered_at, row.heartbeat_at, row.slots, row.cordoned) == (began, desk.now, 9, True)
        assert await desk.events(before) == []

    async def test_a_heartbeat_is_noted(self, desk: Desk) -> None:
        desk.now += 7
        row = await desk.backend.heartbeat("w1", now=desk.now)
        assert row.heartbeat_at == desk.now
        assert await desk.backend.workers() == [row]
        assert row.state(desk.now + row.ttl_ms + 1) is WorkerState.UNHEALTHY

    async def test_a_heartbeat_tells_the_load_of_its_machine(self, desk: Desk) -> None:
        await desk.join("w2", executors=("inline",), token="t", load=4.5)
        for load in (0.75, 1 / 3, 12.0):
            row = await desk.backend.heartbeat("w2", now=desk.now, load=load)
            assert (row.load, row.executors, row.token) == (load, ("inline",), "t")
            assert (await desk.backend.workers())[1] == row
        assert (await desk.backend.heartbeat("w2", now=desk.now)).load == 0.0
        assert (await desk.backend.workers())[0].load == 0.0

    async def test_registering_again_tells_anew_what_it_is(self, desk: Desk) -> None:
        await desk.join("w1", executors=("local", "kubernetes"), token="old", address="tcp:a:1", labels={"gpu": "1"})
        row = await desk.join("w1", executors=("local",), token="new", address="tcp:b:2")
        assert (row.executors, row.token, row.address, row.labels) == (("local",), "new", "tcp:b:2", {})
        assert await desk.backend.workers() == [row]

    async def test_who_is_not_registered_is_told(self, desk: Desk) -> None:
        with pytest.raises(NotFound):
            await desk.backend.heartbeat("w9", now=desk.now)
        with pytest.raises(NotFound):
            await desk.backend.cordon("w9", True, now=desk.now)

    async def test_running_is_counted_from_leases(self, desk: Desk) -> None:
        a, b = await desk.add("a"), await desk.add("b", priority=1)
        claims = await desk.claim(2)
        (row,) = await desk.backend.workers()
        assert row.running == (a.id, b.id)
        assert row.state(desk.now) is WorkerState.BUSY
        await desk.join("w2")
        await desk.backend.rescue(claims[0].lease, "w2", now=desk.now, ttl_ms=TTL)
        await desk.finish(claims[1])
        assert [row.running for row in await desk.backend.workers()] == [(), (b.id,)]
        assert (await desk.backend.heartbeat("w2", now=desk.now)).running == (b.id,)

    async def test_deregistering_clears_assignments_and_leaves_leases(self, desk: Desk) -> None:
        await desk.join("w2")
        running = await desk.add("running")
        await desk.take(worker="w2")
        task = await desk.add("a", selector={"x": "y"})
        await desk.backend.assign(task.id, Assignment(worker="w2", why="only one"), now=desk.now)
        before = await desk.cursor()
        await desk.backend.deregister("w2", now=desk.now, reason="lost")
        (event,) = await desk.events(before)
        assert (event.kind, event.worker, event.data) == ("worker.left", "w2", {"reason": "lost"})
        row = await desk.backend.get(task.id)
        assert (row.assigned, row.assigned_why) == ("", "")
        assert (await desk.backend.get(running.id)).worker == "w2"
        assert [worker.id for worker in await desk.backend.workers()] == ["w1"]
        await desk.backend.assign(task.id, Assignment(worker="w1"), now=desk.now)
        assert await desk.names() == ["a"]

    async def test_deregistering_a_stranger_does_nothing(self, desk: Desk) -> None:
        before = await desk.cursor()
        await desk.backend.deregister("w9", now=desk.now)
        assert await desk.events(before) == []

    async def test_cordoning_is_told_when_it_changes(self, desk: Desk) -> None:
        before = await desk.cursor()
        for on in (True, True, False):
            assert (await desk.backend.cordon("w1", on, now=desk.now)).cordoned is on
        events = await desk.events(before)
        assert [(str(event.kind), event.worker, event.data) for event in events] == [
            ("worker.cordoned", "w1", {"on": True}),
            ("worker.cordoned", "w1", {"on": False}),
        ]
