"""Jobs end together, are reported when they fail, and never keep `cancel` or `join` from returning."""

from __future__ import annotations

import asyncio
import logging

import pytest

from lite.aio.service import Service
from lite.aio.tasks import Jobs


async def forever() -> None:
    await asyncio.Event().wait()


async def fail() -> None:
    raise ValueError("broken")


async def test_cancel_ends_all_and_waits_for_them() -> None:
    jobs = Jobs("test")
    ended = []

    async def slow_to_end() -> None:
        try:
            await forever()
        finally:
            await asyncio.sleep(0)
            ended.append(1)

    for _ in range(3):
        jobs.spawn(slow_to_end())
    await asyncio.sleep(0)
    await jobs.cancel()
    assert (len(jobs), ended) == (0, [1, 1, 1])


@pytest.mark.parametrize("ending", ["cancel", "join"])
async def test_jobs_that_have_just_ended_are_no_reason_to_spin(ending: str) -> None:
    jobs = Jobs("test")
    job = jobs.spawn(asyncio.sleep(0))
    async with asyncio.timeout(10):
        while not job.done():  # noqa: ASYNC110 - the very moment counts, before its callbacks run
            await asyncio.sleep(0)
        await getattr(jobs, ending)()
    assert len(jobs) == 0


async def test_a_failure_is_logged_and_told(caplog: pytest.LogCaptureFixture) -> None:
    told: list[BaseException] = []
    jobs = Jobs("test", told.append)
    jobs.spawn(fail(), "culprit")
    with caplog.at_level(logging.ERROR):
        await jobs.join()
        await asyncio.sleep(0)
    assert [str(error) for error in told] == ["broken"]
    assert "culprit" in caplog.text


async def test_a_service_starts_stops_and_starts_again() -> None:
    service = Service("test", forever)
    await service.start()
    assert service.health().state == "running"
    await service.stop()
    await service.stop()
    assert service.health().state == "stopped"
    await service.start()
    assert service.health().state == "running"
    await service.stop()


async def test_a_failing_service_is_restarted_and_remembers_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Service, "FIRST_DELAY", 0.0)
    runs = 0
    again = asyncio.Event()

    async def loop() -> None:
        nonlocal runs
        runs += 1
        if runs < 3:
            await fail()
        again.set()
        await forever()

    service = Service("test", loop)
    await service.start()
    await again.wait()
    health = service.health()
    assert (health.restarts, health.last_error, health.state) == (2, "ValueError: broken", "running")
    await service.stop()
