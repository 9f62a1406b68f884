"""One member is told to read its configuration again, and the whole fleet does."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from lite.errors import BackendError, ConfigInvalid
from lite.model.letter import Letter
from lite.model.settings import Agent, Settings
from lite.model.task import State
from tests.engine.conftest import Build
from tests.support.engines import SETTINGS, Engine

FLEETS = ("memory", "sqlite", "redis")

WITH_DEV = replace(SETTINGS, agents=dict(SETTINGS.agents) | {"dev": Agent("dev", "shell", roles=("build",))})
OTHER = replace(SETTINGS, agents=dict(SETTINGS.agents) | {"other": Agent("other", "shell", roles=("build",))})


class Channel:
    """Where asking is heard by everybody else."""

    def __init__(self) -> None:
        self.ends: list[ChannelBridge] = []
        self.broken = 0  # waits that still fail


class ChannelBridge:
    """The part of `lite.ports.Bridge` that reloading needs."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._asked = asyncio.Event()
        self.closed = False
        channel.ends.append(self)

    async def receive(self, consumer: str, *, limit: int) -> Sequence[Letter]:
        await asyncio.Event().wait()
        return ()

    async def settle(self, letter: Letter) -> None: ...

    async def refuse(self, letter: Letter, reason: str, *, now: int) -> None: ...

    async def reload_asked(self) -> None:
        if self._channel.broken > 0:
            self._channel.broken -= 1
            raise BackendError("connection reset")
        await self._asked.wait()
        self._asked.clear()

    async def ask_reload(self) -> None:
        for end in self._channel.ends:
            if end is not self:
                end._asked.set()

    async def close(self) -> None:
        self.closed = True


async def pass_time(engine: Engine, seconds: float) -> None:
    for _ in range(round(seconds * 2)):
        await engine.settle()
        await engine.clock.advance(0.5)


async def test_asked_of_one_it_is_done_by_all_once_each(fleet: Build) -> None:
    machines, channel = fleet(settings=WITH_DEV), Channel()
    channel.broken = 2  # and not in vain when the connection had to be made again
    members = [
        await machines.start(name, role, bridge=ChannelBridge(channel), load_settings=lambda: OTHER)
        for name, role in (("o", "orchestrator"), ("w1", "worker"), ("w2", "worker"))
    ]
    await pass_time(members[0], 2)
    await members[1].operations.reload()
    await pass_time(members[0], 2)
    assert all(member.context.settings is OTHER for member in members)
    kinds = [one.kind.value for one in await members[0].events()]
    assert kinds.count("config.reloaded") == 3
    for name in machines.engines:
        await machines.engines[name].supervisor.stop(keep_sessions=False)
    assert all(end.closed for end in channel.ends)


async def test_what_one_member_cannot_read_keeps_nobody_else_from_it(fleet: Build) -> None:
    def broken() -> Settings:
        raise ConfigInvalid("no", place="quarterdeck.yaml:1:1")

    machines, channel = fleet(settings=WITH_DEV), Channel()
    orchestrator = await machines.start("o", "orchestrator", bridge=ChannelBridge(channel), load_settings=lambda: OTHER)
    worker = await machines.start("w", "worker", bridge=ChannelBridge(channel), load_settings=broken)
    await orchestrator.operations.reload()
    await pass_time(orchestrator, 2)
    assert (orchestrator.context.settings, worker.context.settings) == (OTHER, WITH_DEV)
    assert "quarterdeck.yaml:1:1" in worker.supervisor.info().config_error
    with pytest.raises(ConfigInvalid):
        await worker.operations.reload()
    assert all(one.state == "running" for one in worker.supervisor.info().services)


async def test_a_reload_that_the_backend_interrupts_is_carried_through_later(fleet: Build) -> None:
    """The settings are new already; the queue is routed by them once it can be."""
    machines, channel = fleet(settings=WITH_DEV), Channel()
    orchestrator = await machines.start("o", "orchestrator", bridge=ChannelBridge(channel), load_settings=lambda: OTHER)
    other = await machines.start("w", "worker", bridge=ChannelBridge(channel), settings=SETTINGS)
    await orchestrator.submit("a", type="build")
    real = machines.backend.append
    failures = iter(range(3))

    async def failing(*args: Any, **fields: Any) -> Any:
        if next(failures, None) is not None:
            raise BackendError("connection reset")
        return await real(*args, **fields)

    machines.backend.append = failing  # type: ignore[method-assign]
    await other.operations.reload()
    await pass_time(orchestrator, 5)
    row = await orchestrator.task("a")
    assert (row.state, row.spec.agent) == (State.QUEUED, "other")
