from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from lite.aio.tasks import spawn
from lite.api.server.app import build_app
from lite.api.server.listen import ApiServer, bind
from tests.api.stub_operations import StubOperations


@pytest.fixture
def operations(tmp_path: Path, socket_path: str) -> StubOperations:
    made = StubOperations(tmp_path)
    made.relay_directory = Path(socket_path).parent / "r"
    return made


@pytest.fixture
async def http(operations: StubOperations) -> AsyncIterator[httpx.AsyncClient]:
    """The application without a socket."""
    app: Any = build_app(operations)  # type: ignore[arg-type]
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://qd") as client:
        yield client


@pytest.fixture
def socket_path() -> Iterator[str]:
    """Short enough for a socket, in a directory of its own."""
    with tempfile.TemporaryDirectory(prefix="qd-api-") as directory:
        yield f"{directory}/run/qd.sock"


@asynccontextmanager
async def served(path: str, operations: StubOperations) -> AsyncIterator[ApiServer]:
    """A real server on a real socket."""
    server = ApiServer([bind(path)], operations)  # type: ignore[arg-type]
    serving = spawn(server.serve(), "server")
    await server.started.wait()
    try:
        yield server
    finally:
        async with asyncio.timeout(30):
            await server.stop()
            await serving
