"""A fleet in virtual time: engines of any role on machines of their own, over one shared backend."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lite.clock import VirtualClock
from lite.engine.context import Role
from lite.executors.fake import World
from lite.model.settings import Settings
from lite.ports import Backend
from tests.support.engines import SETTINGS, Engine, Script


class Line:
    """What one machine sees of the shared backend. While it is cut, a call waits before it is made; so for the rest of
    the fleet the machine is silent, and what it then says comes late."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self.up = asyncio.Event()
        self.up.set()

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._backend, name)
        if name in ("describe", "warnings"):
            return real

        async def call(*arguments: Any, **fields: Any) -> Any:
            await self.up.wait()
            return await real(*arguments, **fields)

        return call


class Machines:
    """By name; a machine keeps its home and its programs when its engine dies and the next one starts."""

    def __init__(self, backend: Backend, root: Path, script: Script | None = None, settings: Settings = SETTINGS):
        self.backend = backend
        self.clock = VirtualClock()
        self.engines: dict[str, Engine] = {}  # the present one of each machine, dead or alive
        self.worlds: dict[str, World] = {}
        self.lines: dict[str, Line] = {}  # only of those started with `line=True`
        self.script = script or {}
        self.settings = settings
        self._root = root
        self._roles: dict[str, tuple[Role, Mapping[str, Any]]] = {}

    async def start(self, name: str, role: Role | None = None, **options: Any) -> Engine:
        """The first engine of a machine, or the next one of the same role and id."""
        if role is not None:
            self._roles[name] = role, options
        role, options = self._roles[name]
        world = self.worlds.setdefault(name, World(self.clock))
        options = {"settings": self.settings, "worker": name} | dict(options)
        backend: Any = self.backend
        if options.pop("line", False):
            backend = self.lines[name] = Line(self.backend)
        self.engines[name] = Engine(
            backend,
            self._root / name,
            self.script,
            clock=self.clock,
            world=world,
            node=f"node-{name}",
            role=role,
            alone=False,
            **options,
        )
        return await self.engines[name].start()

    async def kill(self, name: str, *, machine: bool = False) -> None:
        """kill -9 of the engine; `machine`: the power fails, its programs end too."""
        await self.engines[name].crash()
        if machine:
            await self.worlds[name].close()
            self.worlds[name].sessions.clear()

    def alive(self, task: str) -> list[str]:
        """Sessions of the task whose program runs, on whatever machine."""
        return [
            f"{name}:{session.handle}"
            for name, world in self.worlds.items()
            for session in world.sessions.values()
            if session.request.task == task and not session.ended.is_set()
        ]

    async def close(self) -> None:
        for engine in self.engines.values():
            await engine.close()
