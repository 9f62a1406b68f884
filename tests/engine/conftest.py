"""Engines over memory and SQLite, with fake programs, in virtual time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from lite.backends.memory import MemoryBackend
from lite.backends.sqlite import SqliteBackend
from lite.ports import Backend
from tests.support.engines import Engine, Script
from tests.support.machines import Machines

Make = Callable[..., Awaitable[Engine]]
Build = Callable[..., Machines]


class Shared:
    """A backend that is open already: engines after one another, or side by side, use the same."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    async def open(self) -> None:
        pass

    async def close(self) -> None:
        pass

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)


@pytest.fixture(params=["memory", "sqlite"])
async def make(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Make]:
    """Start an engine over one kind of backend; all are ended after the test."""
    made: list[Engine] = []
    backend: Backend = MemoryBackend() if request.param == "memory" else SqliteBackend(tmp_path / "q.db")

    await backend.open()

    async def build(script: Script | None = None, **options: Any) -> Engine:
        engine = Engine(Shared(backend), tmp_path / "home", script, **options)
        made.append(engine)
        return await engine.start()

    build.made = made  # type: ignore[attr-defined]
    yield build
    for engine in made:
        await engine.close()
    await backend.close()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A module whose tests can bear answers that take real time while virtual time goes on says so in `FLEETS`."""
    if "fleet" in metafunc.fixturenames:
        kinds = getattr(metafunc.module, "FLEETS", ("memory", "sqlite"))
        metafunc.parametrize("fleet", kinds, indirect=True)


@pytest.fixture
async def fleet(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Build]:
    """Machines over one kind of backend that they share; `fleet(script, settings)` gives them."""
    made: list[Machines] = []
    backend: Backend
    if request.param == "memory":
        backend = MemoryBackend()
    elif request.param == "sqlite":
        backend = SqliteBackend(tmp_path / "q.db")
    else:
        from lite.backends.redis import RedisBackend

        server, prefix = request.getfixturevalue("redis_server"), request.getfixturevalue("redis_prefix")
        backend = RedisBackend(server.options(prefix))
    await backend.open()

    def build(*arguments: Any, **options: Any) -> Machines:
        made.append(Machines(Shared(backend), tmp_path, *arguments, **options))
        return made[-1]

    yield build
    for machines in made:
        await machines.close()
    await backend.close()
