"""Sessions in pods of a fake cluster (or, asked for, of a real one), for tests."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from lite.executors.kubernetes.executor import KubernetesExecutor
from lite.executors.kubernetes.handle import Handle, parse_handle
from lite.executors.kubernetes.session import inner_handle
from lite.executors.local.executor import LocalExecutor
from lite.home import Home
from lite.model.kubernetes import Kubernetes
from lite.model.session import SessionRequest
from lite.model.task import Outcome
from providers.base import Launch
from tests.executors.sessions import PATH, Desk, recorded
from tests.support.kube.cluster import FakeCluster

SECONDS = 30.0
FLEET = "fleet1"
_OWN = re.compile(rb"\x1b\[2m[^\x1b]*\x1b\[0m\r\n")


class Harbour:
    """One home and one cluster, as many executors as supervisors come and go."""

    def __init__(self, root: Path, cluster: FakeCluster, **settings: Any) -> None:
        self.root, self.cluster, self._settings = root, cluster, settings
        self.desk = Desk(root)
        self.home = Home(root / "home")
        self.kube = Kubernetes(**{"image": "agent:1", "kubeconfig": cluster.kubeconfig("qd"), **settings})
        self.executors: list[KubernetesExecutor] = []
        self.inners: dict[KubernetesExecutor, LocalExecutor] = {}
        self.count = 0

    async def executor(self, **settings: Any) -> KubernetesExecutor:
        """A new one, over the same world, with sessions of its own connection."""
        inner = await self.desk.executor()
        self.kube = replace(self.kube, **settings)
        made = KubernetesExecutor(inner, self.home, lambda _agent: self.kube, FLEET)
        self.executors.append(made)
        self.inners[made] = inner
        await made.open()
        return made

    def elsewhere(self, name: str = "elsewhere") -> Harbour:
        """Another machine of the same fleet: a home of its own, the same cluster."""
        return Harbour(self.root / name, self.cluster, **self._settings)

    def request(self, *argv: str, **fields: Any) -> SessionRequest:
        """`fields` go to the request or, those it does not know, to the launch."""
        self.count += 1
        own = {name: fields.pop(name) for name in list(fields) if name in SessionRequest.__dataclass_fields__}
        task, attempt = own.pop("task", f"task{self.count}"), own.pop("attempt", 1)
        return SessionRequest(
            task=task,
            attempt=attempt,
            token=own.pop("token", 1),
            launch=Launch(argv=argv, **fields),
            cwd=own.pop("cwd", ""),
            env={"PATH": PATH, "TERM": "xterm-256color", **own.pop("env", {})},
            directory=own.pop("directory", str(self.home.session(f"{task}-{attempt}"))),
            **own,
        )

    async def run(self, *argv: str, executor: KubernetesExecutor | None = None, **fields: Any) -> str:
        """Start a program; its handle."""
        executor = executor or (self.executors[-1] if self.executors else await self.executor())
        return await executor.start(self.request(*argv, **fields), _ignore)

    def python(self, script: str, *arguments: str) -> tuple[str, ...]:
        return (sys.executable, "-c", script, *arguments)

    async def close(self) -> None:
        for executor in self.executors:
            for handle, session in list(executor._sessions.items()):
                if not session.outcome.done():
                    await executor.stop(handle, grace_ms=0)
                    await asyncio.wait_for(session.wait(), SECONDS)
        for executor in self.executors:
            await executor.close()
        await self.desk.close()


async def _ignore(_handle: str) -> None:
    pass


def pod_of(handle: str) -> str:
    return parse_handle(handle).pod


def output_of(handle: str, *streams: int) -> bytes:
    """All that is recorded of these streams (default: the program's output), without the bridge's own lines."""
    return _OWN.sub(b"", all_of(handle, *streams))


def all_of(handle: str, *streams: int) -> bytes:
    """All that is recorded."""
    parsed: Handle = parse_handle(handle)
    return recorded(inner_handle(parsed), *streams)


async def over(executor: KubernetesExecutor, handle: str, seconds: float = SECONDS) -> Outcome:
    return await asyncio.wait_for(executor.wait(handle), seconds)


async def printed(handle: str, text: bytes, seconds: float = SECONDS) -> bytes:
    """Wait until that is recorded; all that is."""
    return await until(lambda: all_of(handle), lambda data: text in data, seconds)


async def until(look: Callable[[], Any], good: Callable[[Any], object], seconds: float = SECONDS) -> Any:
    """What other processes do tells nobody here: look until it is as wanted."""
    found = None
    try:
        async with asyncio.timeout(seconds):
            while not good(found := look()):  # noqa: ASYNC110
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(f"not within {seconds} s: {found!r}") from None
    return found
