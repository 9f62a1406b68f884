"""Fixtures around `tests.support.redis_server`: one server for all, or one that a test may break."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.redis_server import PROGRAM, RedisServer, installed

_numbers = itertools.count(1)
NewRedis = Callable[..., RedisServer]


def fresh_prefix() -> str:
    """A key prefix nobody has used on the shared server."""
    return f"t{os.getpid()}-{next(_numbers)}"


def _needed() -> None:
    if not installed():
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"{PROGRAM} is not installed")


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """Shared by the session: never break it, and use a prefix of your own (`redis_prefix`)."""
    _needed()
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    try:
        yield server.start()
    finally:
        server.kill()


@pytest.fixture
def redis_prefix() -> str:
    return fresh_prefix()


@pytest.fixture
def new_redis(tmp_path: Path) -> Iterator[NewRedis]:
    """Starts a server that belongs to the test alone; takes the options of `RedisServer`."""
    _needed()
    servers: list[RedisServer] = []

    def new(**options: Any) -> RedisServer:
        folder = tmp_path / f"redis{len(servers)}"
        folder.mkdir()
        servers.append(RedisServer(folder, **options))
        return servers[-1].start()

    try:
        yield new
    finally:
        for server in servers:
            server.kill()
