"""Settings, providers and tasks for the rules' tests, and strategies that make many of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hypothesis import strategies as st

from lite.model.order import Order
from lite.model.settings import BUILT_IN, Agent, Routing, Settings
from lite.model.task import Lease, State, Task, TaskSpec
from lite.model.worker import Worker
from providers.base import Capabilities

NOW = 1_700_000_000_000

PROVIDERS: Mapping[str, Capabilities] = {
    "claude": Capabilities(),
    "shell": Capabilities(default_mode="interactive", prompt=False),
    "http": Capabilities(modes=("headless",), prompt=False, http=True),
}

names = st.from_regex(r"[a-z0-9][a-z0-9._-]{0,8}", fullmatch=True).filter(lambda name: ".." not in name)


def settings(*agents: Agent, routing: Routing = Routing(), **more: Any) -> Settings:  # noqa: B008 - frozen
    return Settings(agents={agent.name: agent for agent in (*agents, *BUILT_IN)}, routing=routing, **more)


DEV = Agent("dev", "claude", roles=("implement",))


def spec(name: str = "one", **more: Any) -> TaskSpec:
    return TaskSpec(
        **{"id": f"id-{name}", "name": name, "agent": "dev", "provider": "claude", "prompt": "do it", **more}
    )


def task(name: str = "one", seq: int = 1, state: State = State.QUEUED, **more: Any) -> Task:
    fields = Task.__dataclass_fields__
    row = {key: more.pop(key) for key in list(more) if key in fields}
    return Task(spec=spec(name, **more), seq=seq, state=state, **row)


def running(name: str, seq: int = 1, worker: str = "w1", **more: Any) -> Task:
    lease = Lease(f"id-{name}", 1, 1, worker, NOW + 10_000)
    return task(name, seq, State.RUNNING, **{"lease": lease, "attempt": 1, "started_at": NOW - 60_000, **more})


def worker(name: str = "w1", **more: Any) -> Worker:
    return Worker(
        **{"id": name, "node": f"node-{name}", "slots": 4, "agents": ("dev",), "heartbeat_at": NOW - 1_000, **more}
    )


def commands(edges: Mapping[str, Sequence[str]], lanes: Mapping[str, str] = {}) -> tuple[Order, ...]:
    return tuple(
        Order(name=name, command=("true",), needs=tuple(needs), lane=lanes.get(name, ""))
        for name, needs in edges.items()
    )
