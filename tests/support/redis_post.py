"""A sender of letters who knows the Redis server, the prefix and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from lite.backends.redis.bridge import GROUP, RedisBridge
from lite.model.settings import RedisOptions
from tests.support.bridges import DeadLetter
from tests.support.redis_server import RedisServer


class RedisPost:
    """Implements `tests.contracts.bridge.Post`."""

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

    async def ask(self, *words: bytes | str | int) -> Any:
        return await asyncio.to_thread(self.server.ask, *words)

    async def close(self) -> None:
        for bridge in self.made:
            await bridge.close()
