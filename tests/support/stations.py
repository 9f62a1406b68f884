"""Supervisors with real programs and real control APIs, several in one process over one backend."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from types import TracebackType

from lite.aio.tasks import Job, spawn
from lite.api.client import Client
from lite.api.server.listen import ApiServer, bind, bind_tcp
from lite.backends.memory import MemoryBackend
from lite.clock import SystemClock
from lite.config.orders import read_order
from lite.config.plan import load_plan
from lite.engine.context import Context, Role
from lite.engine.operations import Operations
from lite.engine.supervisor import Supervisor
from lite.executors.local.executor import LocalExecutor
from lite.home import Home
from lite.model.order import Order
from lite.model.session import session_id
from lite.model.settings import Agent, Settings
from lite.model.task import Task
from lite.peers.http_peers import HttpPeers
from lite.ports import Backend
from providers.registry import Registry
from tests.support.cutting import Cutter

AGENTS = {"shell": Agent("shell", "shell"), "actor": Agent("actor", "scripted")}
SETTINGS = Settings(agents=AGENTS, slots=4, executor="local")
PATIENCE = 2.0  # seconds


class SharedBackend(MemoryBackend):
    """Goes on when one of those who share it stops."""

    async def close(self) -> None:
        """It is nobody's."""


class Station:
    """One machine: a home, a supervisor, its API on a Unix socket and on TCP, the latter behind a proxy that cuts."""

    def __init__(self, name: str, backend: Backend, role: Role = "all", settings: Settings = SETTINGS) -> None:
        self.name = name
        # a holder may still be at its last file when the supervisor has stopped
        self._folder = tempfile.TemporaryDirectory(prefix=f"qd-{name}-", ignore_cleanup_errors=True)
        self.home = Home(f"{self._folder.name}/home")
        self.home.create()
        self.proxy = Cutter()
        self.outer = bind_tcp("127.0.0.1", 0)
        self.peers = HttpPeers(SystemClock(), patience=PATIENCE)
        self.context = Context(
            backend=backend,
            executors={"local": LocalExecutor(self.home)},
            providers=Registry.with_installed(),
            clock=SystemClock(),
            settings=settings,
            home=self.home,
            worker=name,
            node=name,
            load_plan=load_plan,
            read_order=read_order,
            load_settings=lambda: settings,
            role=role,
            peers=self.peers,
            token=f"token-of-{name}",
        )
        self.supervisor = Supervisor(self.context, alone=False)
        self.operations = Operations(self.supervisor)
        self.api: ApiServer | None = None
        self._serving: Job | None = None

    async def __aenter__(self) -> Station:
        await self.proxy.__aenter__()
        self.proxy.target = self.outer.getsockname()[1]
        self.context.address = f"http://127.0.0.1:{self.proxy.port}"
        await self.supervisor.start()
        self.api = ApiServer([bind(str(self.home.socket)), self.outer], self.operations)
        self._serving = spawn(self.api.serve(), f"api of {self.name}")
        await self.api.started.wait()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.silence()
        async with asyncio.timeout(60):
            await self.supervisor.stop(keep_sessions=False)
        self._folder.cleanup()

    async def silence(self) -> None:
        """Its API is gone, as if the process were."""
        if self.api is not None and self._serving is not None:
            await self.proxy.__aexit__()
            async with asyncio.timeout(30):
                await self.api.stop()
                await self._serving
            self.api = None

    def client(self) -> Client:
        return Client(str(self.home.socket))

    async def submit(self, *command: str, **fields: object) -> Task:
        order = Order(command=command, cwd=self._folder.name, mode="interactive", **fields)  # type: ignore[arg-type]
        task, _ = await self.operations.submit(order)
        return task

    async def submit_prompt(self, prompt: str, agent: str = "actor") -> Task:
        """For the scripted agent, without a terminal, or another one."""
        order = Order(agent=agent, prompt=prompt, cwd=self._folder.name, mode="headless")
        task, _ = await self.operations.submit(order)
        return task


async def running(backend: Backend, task: Task) -> str:
    """The session, once the program runs."""
    return await _seen(backend, task, "task.started")


async def ended(backend: Backend, task: Task) -> str:
    return await _seen(backend, task, "task.succeeded", "task.failed", "task.cancelled")


async def _seen(backend: Backend, task: Task, *kinds: str) -> str:
    cursor = 0
    async with asyncio.timeout(60):
        while True:
            for event in await backend.events(0, task=task.id):
                if event.kind in kinds:
                    return session_id(task.id, (await backend.get(task.id)).attempt)
            cursor = await backend.wait(cursor)


def directory_of(station: Station, session: str) -> Path:
    return station.home.session(session)
