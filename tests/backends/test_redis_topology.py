"""The streams around the truth: who waits is woken by them, others may read them, nothing depends on them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from lite.aio.tasks import spawn
from lite.backends.redis import RedisBackend, waiting
from lite.model.task import Outcome, OutcomeKind
from tests.support.backends import Desk
from tests.support.redis_server import RedisServer


@pytest.fixture
async def backend(redis_server: RedisServer, redis_prefix: str) -> AsyncIterator[RedisBackend]:
    backend = RedisBackend(redis_server.options(redis_prefix))
    await backend.open()
    yield backend
    await backend.close()


@pytest.fixture
async def desk(backend: RedisBackend) -> Desk:
    desk = Desk(backend)
    await desk.join("w1")
    return desk


class Streams:
    """What is in the streams of one prefix."""

    def __init__(self, server: RedisServer, prefix: str) -> None:
        self._server = server
        self._prefix = prefix

    def entries(self, name: str) -> list[dict[str, str]]:
        found = self._server.ask("XRANGE", f"{self._prefix}:{name}", "-", "+")
        texts = [[part.decode() for part in flat] for _, flat in found]
        return [dict(zip(flat[::2], flat[1::2], strict=True)) for flat in texts]

    def pending(self, name: str) -> int:
        groups = self._server.ask("XINFO", "GROUPS", f"{self._prefix}:{name}")
        told: dict[str, Any] = {}
        for flat in groups:
            told = {key.decode(): value for key, value in zip(flat[::2], flat[1::2], strict=True)}
        return int(told["pending"])


@pytest.fixture
def streams(redis_server: RedisServer, redis_prefix: str) -> Streams:
    return Streams(redis_server, redis_prefix)


async def test_ends_are_told_once_each(desk: Desk, streams: Streams) -> None:
    await desk.add("good")
    await desk.run_next()
    bad = await desk.add("bad", retries=1)
    await desk.run_next("failed", detail="why")
    assert streams.entries("work:failed") == []  # it is tried again
    await desk.run_next("failed", detail="why")
    need = await desk.add("need")
    await desk.add("skipped", needs=(need.id,))
    await desk.backend.cancel(need.id, now=desk.now)
    (completed,) = streams.entries("work:completed")
    assert (completed["name"], completed["state"], completed["attempt"]) == ("good", "succeeded", "1")
    failed = streams.entries("work:failed")
    assert [(one["name"], one["state"]) for one in failed] == [
        ("bad", "failed"),
        ("need", "cancelled"),
        ("skipped", "skipped"),
    ]
    assert (failed[0]["task"], failed[0]["attempt"], failed[0]["detail"]) == (bad.id, "2", "why")
    assert failed[0]["at"] == str(desk.now)


async def test_an_end_that_was_refused_is_not_told(desk: Desk, streams: Streams) -> None:
    await desk.add("a")
    claim = await desk.take()
    await desk.finish(claim)
    with pytest.raises(Exception, match="lost"):
        await desk.backend.finish(claim.lease, Outcome(OutcomeKind.SUCCEEDED), now=desk.now)
    assert len(streams.entries("work:completed")) == 1


async def test_health_tells_who_comes_lives_and_goes(desk: Desk, streams: Streams) -> None:
    await desk.add("a")
    await desk.take()
    await desk.backend.heartbeat("w1", now=desk.now + 5)
    await desk.backend.deregister("w1", now=desk.now + 6)
    told = [(one["worker"], one["state"], one["running"]) for one in streams.entries("system.health")]
    assert told == [("w1", "joined", "0"), ("w1", "alive", "1"), ("w1", "left", "1")]


async def test_offers_are_acknowledged_and_leave_nothing_behind(desk: Desk, streams: Streams) -> None:
    await desk.names()
    for name in ("a", "b", "c"):
        await desk.add(name)
    assert [one["task"] != "" for one in streams.entries("triggers.dev")] == [True] * 3
    await desk.backend.offered("w1", ["dev"])
    assert streams.pending("triggers.dev") == 1
    assert await desk.names(limit=3) == ["a", "b", "c"]
    assert streams.entries("triggers.dev") == []
    assert streams.pending("triggers.dev") == 0


async def test_an_offer_whose_taker_died_is_found(
    backend: RedisBackend, desk: Desk, streams: Streams, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was delivered to one that never claimed; after a while whoever waits takes it over."""
    await desk.join("w2")
    await desk.names(worker="w2")
    await desk.add("a")
    await desk.backend.offered("w1", ["dev"])  # and w1 is never heard of again
    monkeypatch.setattr(waiting, "ABANDONED_MS", 0)
    await desk.backend.offered("w2", ["dev"])
    assert await desk.names(worker="w2") == ["a"]
    assert streams.pending("triggers.dev") == 0


async def test_what_is_due_is_found_though_nobody_was_left_to_wait_for_it(desk: Desk) -> None:
    """Its delay ran out with the worker that was to look then."""
    await desk.join("w2")
    await desk.submit(desk.spec("late", run_at=desk.now + 5))
    await desk.backend.offered("w1", ["dev"])  # told that there is something to wait for, and gone
    assert await desk.names() == []
    await desk.backend.offered("w2", ["dev"])
    desk.now += 5
    assert await desk.names(worker="w2") == ["late"]


async def test_a_worker_of_a_server_that_forgot_the_groups_goes_on_waiting(
    desk: Desk, redis_server: RedisServer, redis_prefix: str
) -> None:
    await desk.backend.offered("w1", ["dev"])  # because it has just registered
    assert await desk.names() == []
    job = spawn(desk.backend.offered("w1", ["dev"]), "waiting")
    await blocked(redis_server)
    redis_server.ask("DEL", f"{redis_prefix}:triggers.dev")
    await desk.add("a")
    await job
    assert await desk.names() == ["a"]


async def blocked(server: RedisServer) -> None:
    """Until a client blocks."""
    while int(server.info("clients")["blocked_clients"]) == 0:
        await spawn(_turn(), "turn")


async def _turn() -> None:
    """The loop goes round once."""
