"""Leases live on through what heartbeats meet: time-outs, errors, a fleet that forgot us."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from lite.engine.registry import machine_load
from lite.errors import BackendError
from lite.executors.fake import Behaviour
from tests.engine.conftest import Build, Make
from tests.support.engines import SETTINGS, Engine

HANGS = Behaviour(hangs=True)
LEASE = SETTINGS.lease_ms / 1000


async def lives_through(engine: Engine, seconds: float) -> None:
    """The lease of task a is never seen expired, at any tenth of a second."""
    for _ in range(round(seconds * 10)):
        await engine.settle()
        row = await engine.task("a")
        assert row.lease is not None
        assert row.lease.expires_at > engine.clock.now()
        await engine.clock.advance(0.1)


def disturb(engine: Engine, verb: str, trouble: Callable[[int], Any]) -> list[float]:
    """`trouble(n)` before the n-th call of `verb` (0-based); when each was made (s)."""
    backend = engine.context.backend
    real = getattr(backend, verb)
    calls: list[float] = []

    async def disturbed(*args: Any, **fields: Any) -> Any:
        if args != ([],):
            calls.append(engine.clock.monotonic())
            await trouble(len(calls) - 1)
        return await real(*args, **fields)

    setattr(backend, verb, disturbed)
    return calls


async def hang() -> None:
    await asyncio.Event().wait()


async def running(make: Make) -> Engine:
    engine = await make({"a": HANGS})
    await engine.submit("a")
    await engine.until_started("a")
    return engine


async def test_renewals_that_get_no_answer_are_asked_again_within_the_lease(make: Make) -> None:
    engine = await running(make)

    async def first_three_hang(call: int) -> None:
        if call < 3:
            await hang()

    calls = disturb(engine, "renew", first_three_hang)
    await lives_through(engine, 3 * LEASE)
    assert calls[3] - calls[0] < LEASE - SETTINGS.heartbeat_ms / 1000
    assert engine.supervisor.registry.late == 3


async def test_a_failed_renewal_is_tried_again_far_sooner_than_the_next_beat(make: Make) -> None:
    engine = await running(make)
    broken_until = engine.clock.monotonic() + 9.0

    async def broken(_: int) -> None:
        if engine.clock.monotonic() < broken_until:
            raise BackendError("connection refused")

    calls = disturb(engine, "renew", broken)
    await lives_through(engine, 3 * LEASE)
    failed = [at for at in calls if at < broken_until]
    assert len(failed) >= 4
    assert min(at for at in calls if at >= broken_until) - broken_until < LEASE / 10


async def test_a_heartbeat_that_hangs_holds_up_no_renewal(make: Make) -> None:
    engine = await running(make)

    async def hangs(_: int) -> None:
        await hang()

    disturb(engine, "heartbeat", hangs)
    await lives_through(engine, 3 * LEASE)
    assert engine.supervisor.registry.late > 3


async def test_forgotten_while_it_works_it_registers_again_and_keeps_what_it_runs(make: Make) -> None:
    engine = await running(make)
    backend = engine.context.backend
    await backend.deregister("w1", now=engine.clock.now(), reason="lost")
    await lives_through(engine, LEASE)
    (row,) = await backend.workers()
    assert (row.id, len(row.running)) == ("w1", 1)
    await engine.submit("b")
    await engine.until_states(b="succeeded")


async def test_the_row_tells_how_and_where_the_worker_can_be_reached_and_what_it_runs(fleet: Build) -> None:
    machines = fleet()
    worker = await machines.start("w", "worker", settings=replace(SETTINGS, labels={"zone": "a"}))
    worker.context.address, worker.context.token = "https://10.0.0.7:7000", "secret"
    worker.supervisor.registry.load = lambda: 0.75
    await worker.clock.advance(SETTINGS.heartbeat_ms / 1000 + 0.1)
    await worker.settle()
    await worker.clock.advance(SETTINGS.heartbeat_ms / 1000 + 0.1)
    await worker.settle()
    (row,) = await machines.backend.workers()
    assert (row.address, row.token, row.executors, row.labels, row.load, row.ttl_ms) == (
        "https://10.0.0.7:7000",
        "secret",
        ("fake",),
        {"node": "node-w", "zone": "a"},
        0.75,
        SETTINGS.lease_ms,
    )


def test_the_load_is_that_of_one_processor_and_nothing_where_the_system_does_not_tell(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    monkeypatch.setattr(os, "getloadavg", lambda: (6.0, 1.0, 1.0))
    assert machine_load() == 1.5
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert machine_load() == 6.0

    def unknown() -> tuple[float, float, float]:
        raise OSError

    monkeypatch.setattr(os, "getloadavg", unknown)
    assert machine_load() == 0.0
