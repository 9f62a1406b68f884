from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from lite.backends.sqlite import SqliteBackend
from lite.ports import Backend
from tests.contracts.backend import BackendContract


class TestSqlite(BackendContract):
    @pytest.fixture(params=["full", "normal"])
    async def backend(self, tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Backend]:
        backend = SqliteBackend(tmp_path / "q.db", synchronous=request.param)
        await backend.open()
        yield backend
        await backend.close()
