"""The contract once more, with every verb sent by another machine than the one before: all that counts is in the store.

A worker's claims and offers belong to its own machine, as in life.
"""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from typing import Any

import pytest

from lite.backends.redis import RedisBackend
from tests.contracts.backend import BackendContract
from tests.support.redis_server import RedisServer


class Fleet:
    """Implements `lite.ports.Backend` by several of them."""

    def __init__(self, machines: list[RedisBackend]) -> None:
        self._machines = machines
        self._turns = itertools.cycle(machines)
        self._homes: dict[str, RedisBackend] = {}

    def __getattr__(self, verb: str) -> Any:
        if verb in ("describe", "warnings"):
            return getattr(next(self._turns), verb)

        async def send(*arguments: Any, **fields: Any) -> Any:
            machine = next(self._turns)
            if verb in ("claim", "offered"):
                worker = arguments[0].worker if verb == "claim" else arguments[0]
                machine = self._homes.setdefault(worker, machine)
            return await getattr(machine, verb)(*arguments, **fields)

        return send


class TestRedisFromSeveralMachines(BackendContract):
    @pytest.fixture
    async def backend(self, redis_server: RedisServer, redis_prefix: str) -> AsyncIterator[Any]:
        machines = [RedisBackend(redis_server.options(redis_prefix)) for _ in range(3)]
        for machine in machines:
            await machine.open()
        yield Fleet(machines)
        for machine in machines:
            await machine.close()
