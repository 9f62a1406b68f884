from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from lite.backends.redis import RedisBackend
from lite.ports import Backend
from tests.contracts.backend import BackendContract
from tests.support.redis_server import RedisServer


class TestRedis(BackendContract):
    @pytest.fixture
    async def backend(self, redis_server: RedisServer, redis_prefix: str) -> AsyncIterator[Backend]:
        backend = RedisBackend(redis_server.options(redis_prefix))
        await backend.open()
        yield backend
        await backend.close()
