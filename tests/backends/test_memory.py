from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from lite.backends.memory import MemoryBackend
from lite.ports import Backend
from tests.contracts.backend import BackendContract


class TestMemory(BackendContract):
    @pytest.fixture
    async def backend(self) -> AsyncIterator[Backend]:
        backend = MemoryBackend()
        await backend.open()
        yield backend
        await backend.close()
