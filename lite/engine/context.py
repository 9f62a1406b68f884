"""What every part of the engine is given: ports, settings, names. No part reaches for anything else."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from lite.home import Home
from lite.model.order import Order, Plan
from lite.model.settings import Agent, Secret, Settings
from lite.ports import Backend, Bridge, Clock, Executor, Peers, Volumes
from lite.rules.accounts import Gate
from providers.base import Capabilities, Provider

Role = Literal["all", "orchestrator", "worker"]
LoadPlan = Callable[[str, str, str], Plan]  # text, source, cwd
LoadSettings = Callable[[], Settings]
ReadOrder = Callable[[bytes], Order]  # raises `UsageError`


class Providers(Protocol):
    """Where adapters come from."""

    def get(self, name: str) -> Provider:
        """Raises `providers.errors.UnknownProvider` or `BrokenProvider`."""
        ...

    def capabilities(self) -> Mapping[str, Capabilities]:
        """Of every provider that could be loaded."""
        ...


class SecretSource(Protocol):
    """Fetches values from where the configuration says they are."""

    async def value(self, secret: Secret) -> str:
        """Raises `SecretUnavailable`."""
        ...

    def problem(self, secret: Secret) -> str:
        """Why it cannot be had; "" when nothing is known. Runs no command; may read a small file."""
        ...


@dataclass
class Context:
    """Shared by the engine's parts. `settings` is replaced as a whole when the configuration is reloaded."""

    backend: Backend
    executors: Mapping[str, Executor]
    providers: Providers
    clock: Clock
    settings: Settings
    home: Home
    worker: str
    node: str
    load_plan: LoadPlan
    load_settings: LoadSettings
    read_order: ReadOrder
    random: random.Random = field(default_factory=random.Random)
    role: Role = "all"
    bridge: Bridge | None = None  # None: nobody sends work around the API
    secrets: SecretSource | None = None
    peers: Peers | None = None  # None: there are no other workers
    address: str = ""  # of our control API, for other machines; "" when they cannot reach it
    token: str = ""  # what it wants to see from them
    gate: Gate = field(default_factory=Gate)  # which accounts are held
    volumes: Mapping[str, Volumes] = field(default_factory=dict)  # by executor
    staged: asyncio.Event = field(default_factory=asyncio.Event)  # somebody was given one
    notes: Sequence[str] = ()  # what whoever started us should hear, beside the backend's warnings

    def agent(self, name: str, provider: str) -> Agent:
        """The configured agent, or a bare one of that provider (built-in agents need no configuration)."""
        return self.settings.agents.get(name) or Agent(name=name, provider=provider)

    async def sleep_until(self, at: int) -> None:
        """Until the wall clock says `at` (ms), also when it was set back meanwhile."""
        while (left := at - self.clock.now()) > 0:
            await self.clock.sleep(left / 1000)

    def split_handle(self, handle: str) -> tuple[Executor | None, str]:
        """The executor that made a recorded handle, and its own part of it."""
        name, _, rest = handle.partition(":")
        return self.executors.get(name), rest
