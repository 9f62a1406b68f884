"""An engine in virtual time over a real backend and fake programs, driven step by step."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lite.clock import VirtualClock
from lite.config.orders import read_order
from lite.config.plan import load_plan
from lite.engine.context import Context, Role
from lite.engine.operations import Operations
from lite.engine.supervisor import Supervisor
from lite.executors.fake import Behaviour, FakeExecutor, World
from lite.executors.inline import InlineExecutor
from lite.home import Home
from lite.model.event import Event
from lite.model.order import Order
from lite.model.session import SessionRequest
from lite.model.settings import Agent, RetryPolicy, Settings
from lite.model.task import State, Task, TaskQuery
from lite.ports import Backend, Bridge, Volumes
from providers.registry import Registry

Script = Mapping[str, Behaviour | Sequence[Behaviour]]

SETTINGS = Settings(
    agents={"shell": Agent("shell", "shell"), "http": Agent("http", "http"), "noop": Agent("noop", "noop")},
    slots=4,
    executor="fake",
    retry=RetryPolicy(base_ms=1000, factor=2, cap_ms=60_000, jitter=0),
)


class Engine:
    """One supervisor; `crash` leaves the backend and the programs as a kill -9 would, `again` starts the next one."""

    def __init__(
        self,
        backend: Backend,
        home: Path,
        script: Script | None = None,
        settings: Settings = SETTINGS,
        *,
        clock: VirtualClock | None = None,
        world: World | None = None,
        worker: str = "w1",
        node: str = "node",
        role: Role = "all",
        alone: bool = True,
        bridge: Bridge | None = None,
        load_settings: Callable[[], Settings] | None = None,
        volumes: Volumes | None = None,
    ) -> None:
        self.clock = clock or VirtualClock()
        self.world = world or World(self.clock)
        self.script = script or {}
        self.launched: list[tuple[str, ...]] = []  # each attempt's argv
        self.environments: list[Mapping[str, str]] = []  # and what it found
        self.executor = FakeExecutor(self.world, self.script, name_of=self._name_of)
        self.home = Home(home)
        self.home.create()
        self.context = Context(
            backend=backend,
            executors={"fake": self.executor, "inline": InlineExecutor()},
            providers=Registry.with_installed(),
            clock=self.clock,
            settings=settings,
            home=self.home,
            worker=worker,
            node=node,
            load_plan=load_plan,
            load_settings=load_settings or (lambda: settings),
            read_order=read_order,
            random=random.Random(1),
            role=role,
            bridge=bridge,
            volumes={"fake": volumes} if volumes is not None else {},
        )
        self.supervisor = Supervisor(self.context, alone=alone)
        self.supervisor.registry.load = lambda: 0.0  # not that of the machine the tests run on
        self.operations = Operations(self.supervisor)
        self._alone = alone

    async def start(self) -> Engine:
        await self.supervisor.start()
        return self

    async def crash(self) -> None:
        """Everything of this process stops at once: nothing is written, no program is told."""
        for service in self.supervisor.services:
            await service.stop()
        await self.supervisor.dispatcher.let_go()

    def again(self, worker: str = "w2", settings: Settings | None = None) -> Engine:
        return Engine(
            self.context.backend,
            self.home.root,
            self.script,
            settings or self.context.settings,
            clock=self.clock,
            world=self.world,
            worker=worker,
            node=self.context.node,
            role=self.context.role,
            alone=self._alone,
            bridge=self.context.bridge,
            volumes=self.context.volumes.get("fake"),
        )

    async def close(self) -> None:
        await self.crash()
        await self.world.close()

    async def submit(self, name: str, **fields: Any) -> Task:
        """A command whose last word is its name, which the script knows."""
        order = Order(name=name, **({"command": ("run", name)} | fields))
        task, _ = await self.operations.submit(order)
        return task

    async def task(self, name: str) -> Task:
        (found,) = await self.context.backend.tasks(TaskQuery(name=name))
        return found

    async def states(self) -> dict[str, str]:
        return {task.spec.name: task.state.value for task in await self.context.backend.tasks(TaskQuery())}

    async def history(self, name: str) -> list[str]:
        task = await self.task(name)
        return [event.kind.value for event in await self.context.backend.events(0, task=task.id)]

    async def events(self) -> list[Event]:
        return list(await self.context.backend.events(0, limit=100_000))

    async def has(self, name: str, **fields: Any) -> bool:
        """Has its row these values?"""
        task = await self.task(name)
        return all(getattr(task, key) == value for key, value in fields.items())

    def _name_of(self, request: SessionRequest) -> str:
        self.launched.append(request.launch.argv)
        self.environments.append(request.env)
        return next((word for word in (request.task, *request.launch.argv[-1:]) if word in self.script), "*")

    async def until(self, condition: Callable[[], Any], *, steps: int = 4000, step: float = 0.05) -> None:
        """Let virtual time pass until the (async) condition holds; real threads get their moments."""
        for _ in range(steps):
            if await condition():
                return
            await self.settle()
            await self.clock.advance(step)
        raise AssertionError(f"not within {steps * step} virtual seconds: {await self.states()}")

    async def until_states(self, step: float = 0.05, **wanted: str) -> None:
        async def there() -> bool:
            states = await self.states()
            return all(states.get(name) == state for name, state in wanted.items())

        await self.until(there, step=step)

    async def until_started(self, name: str) -> None:
        """Its program runs."""

        async def there() -> bool:
            task = await self.task(name)
            return task.state is State.RUNNING and task.started_at is not None

        await self.until(there)

    async def settle(self) -> None:
        """Let everything that can happen at this moment happen."""
        backend = self.context.backend
        for _ in range(3):
            await asyncio.sleep(0)
            await backend.renew([], now=self.clock.now(), ttl_ms=1)  # a round trip through the writer
            await backend.wait(0, timeout_ms=0)
