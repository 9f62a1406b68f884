"""The bridge on a real Redis server, and the fake one that stands for it: the same contract; then what only the real
one can meet."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

import pytest

from lite.aio.probe import reached
from lite.aio.tasks import Job, Jobs, spawn
from lite.backends.redis import bridge as module
from lite.backends.redis.bridge import GROUP, MAX_PAYLOAD, RedisBridge
from lite.errors import BackendError
from lite.model.letter import Letter
from lite.model.settings import RedisOptions
from lite.ports import Bridge
from tests.contracts.bridge import NOW, BridgeContract, listening, payloads
from tests.support.bridges import DeadLetter, FakeBridge, Office
from tests.support.redis_fixtures import NewRedis
from tests.support.redis_server import RedisServer


class RedisPost:
    """Whoever knows the server, the prefix and nothing else."""

    def __init__(self, server: RedisServer, options: RedisOptions) -> None:
        self.server = server
        self.options = options
        self.incoming = f"{options.prefix}:work:incoming"
        self.made: list[RedisBridge] = []

    def bridge(self) -> RedisBridge:
        self.made.append(RedisBridge(self.options))
        return self.made[-1]

    async def send(self, payload: bytes | str) -> str:
        return await self.add("task", payload)

    async def add(self, *fields: bytes | str) -> str:
        return (await self.ask("XADD", self.incoming, "*", *fields)).decode()

    async def abandon(self) -> None:
        """Their idle time is set; who has them stays who has them."""
        for entry, taker, *_ in await self.pending():
            await self.ask("XCLAIM", self.incoming, GROUP, taker, 0, entry, "IDLE", 60_000, "JUSTID")

    async def pending(self) -> list[tuple[bytes, bytes, int, int]]:
        return await self.ask("XPENDING", self.incoming, GROUP, "-", "+", 1000)

    async def lying(self) -> int:
        return await self.ask("XLEN", self.incoming)

    async def dead(self) -> Sequence[DeadLetter]:
        found = []
        for _, flat in await self.ask("XRANGE", f"{self.options.prefix}:work:dead-letter", "-", "+"):
            fields = dict(zip(flat[::2], flat[1::2], strict=True))
            assert set(fields) == {b"id", b"reason", b"payload", b"time"}
            entry, reason = fields[b"id"].decode(), fields[b"reason"].decode()
            found.append(DeadLetter(entry, reason, fields[b"payload"], int(fields[b"time"])))
        return found

    async def ask_reload(self) -> None:
        assert await self.ask("PUBLISH", f"{self.options.prefix}:system.reload", "please") >= 1

    async def ask(self, *words: bytes | str | int):  # type: ignore[no-untyped-def]
        return await asyncio.to_thread(self.server.ask, *words)

    async def close(self) -> None:
        for bridge in self.made:
            await bridge.close()


@pytest.fixture
async def post(redis_server: RedisServer, redis_prefix: str) -> AsyncIterator[RedisPost]:
    post = RedisPost(redis_server, redis_server.options(redis_prefix))
    yield post
    await post.close()


@pytest.fixture
async def jobs() -> AsyncIterator[Jobs]:
    jobs = Jobs("test")
    yield jobs
    await jobs.cancel()


class TestRedisBridge(BridgeContract):
    pass


class TestRedisBridgeResp2(BridgeContract):
    """As older servers and some proxies speak."""

    @pytest.fixture
    async def post(self, redis_server: RedisServer, redis_prefix: str) -> AsyncIterator[RedisPost]:
        options = redis_server.options(redis_prefix)
        post = RedisPost(redis_server, replace(options, url=f"{options.url}&protocol=2"))
        yield post
        await post.close()


class FakePost:
    def __init__(self) -> None:
        self.office = Office()

    def bridge(self) -> Bridge:
        return FakeBridge(self.office)

    async def send(self, payload: bytes) -> str:
        return self.office.post(payload)

    async def abandon(self) -> None:
        self.office.abandon()

    async def lying(self) -> int:
        return len(self.office.letters)

    async def dead(self) -> Sequence[DeadLetter]:
        return self.office.dead

    async def ask_reload(self) -> None:
        self.office.ask_reload()


class TestFakeBridge(BridgeContract):
    @pytest.fixture
    def post(self) -> FakePost:
        return FakePost()
