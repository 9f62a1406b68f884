from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from tests.support.kube.cluster import FakeCluster
from tests.support.kube.fixtures import cluster, remote_cluster

__all__ = ["cluster", "remote_cluster"]

Json = dict[str, Any]


class Asker:
    """A client of the API as plain as can be."""

    def __init__(self, cluster: FakeCluster) -> None:
        self.cluster = cluster
        self.headers = {"Authorization": f"Bearer {cluster.token('tester')}"}
        self.http = httpx.AsyncClient(
            base_url=f"{cluster.url}/api/v1/namespaces/default/", headers=self.headers, timeout=30, trust_env=False
        )

    async def create(self, name: str, *argv: str, strict: bool = True, **fields: Any) -> httpx.Response:
        query = {"fieldValidation": "Strict"} if strict else {}
        return await self.http.post("pods", json=pod(name, *argv, **fields), params=query)

    async def run(self, name: str, *argv: str, **fields: Any) -> Json:
        """The pod once it runs, or has ended already."""
        answer = await self.create(name, *argv, **fields)
        assert answer.status_code == 201, answer.text
        await self.cluster.until_phase(name, "Running", "Succeeded", "Failed")
        return self.cluster.pod(name)

    async def delete(self, name: str, **options: Any) -> httpx.Response:
        return await self.http.request("DELETE", f"pods/{name}", json=options)

    async def log(self, name: str, **query: Any) -> httpx.Response:
        return await self.http.get(f"pods/{name}/log", params=query)

    @asynccontextmanager
    async def watch(self, path: str = "pods", **query: Any) -> AsyncIterator[AsyncIterator[Json]]:
        async with self.http.stream("GET", path, params={"watch": "1", **query}) as answer:
            assert answer.status_code == 200, answer
            yield (json.loads(line) async for line in answer.aiter_lines())

    @asynccontextmanager
    async def attach(
        self, name: str, streams: str = "stdin=true&stdout=true&tty=true", protocol: str = "v5.channel.k8s.io"
    ) -> AsyncIterator[ClientConnection]:
        url = f"{self.cluster.url.replace('http', 'ws', 1)}/api/v1/namespaces/default/pods/{name}/attach?{streams}"
        protocols = [Subprotocol(protocol)]
        async with connect(
            url, subprotocols=protocols, additional_headers=self.headers, proxy=None, close_timeout=5
        ) as socket:
            yield socket


@pytest.fixture
async def ask(cluster: FakeCluster) -> AsyncIterator[Asker]:
    asker = Asker(cluster)
    yield asker
    await asker.http.aclose()


def pod(name: str, *argv: str, container: Json | None = None, labels: Json | None = None, **spec: Any) -> Json:
    """One container `main` that runs argv; grace 5 s."""
    main = {"name": "main", "image": "registry.example/agent:1", "command": list(argv)} | (container or {})
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": labels or {}},
        "spec": {"restartPolicy": "Never", "terminationGracePeriodSeconds": 5, "containers": [main]} | spec,
    }


def state(pod: Json) -> Json:
    """Of the first container: {waiting|running|terminated: ...}."""
    found: Json = pod["status"]["containerStatuses"][0]["state"]
    return found


def condition(pod: Json, kind: str) -> tuple[str, str]:
    """Status and reason."""
    found = [each for each in pod["status"].get("conditions") or [] if each["type"] == kind]
    return (found[0]["status"], found[0].get("reason", "")) if found else ("", "")


async def output(socket: ClientConnection, until: bytes, channel: int = 1) -> bytes:
    """What came on that channel up to and with `until`."""
    seen = b""
    while until not in seen:
        message = await socket.recv()
        assert isinstance(message, bytes)
        if message[0] == channel:
            seen += message[1:]
    return seen


async def to_the_end(socket: ClientConnection) -> dict[int, bytes]:
    """All that came, by channel."""
    seen: dict[int, bytes] = {}
    try:
        while True:
            message = await socket.recv()
            assert isinstance(message, bytes)
            seen[message[0]] = seen.get(message[0], b"") + message[1:]
    except ConnectionClosed:
        return seen


def alive(pid: int) -> bool:
    """Also false for one that nobody has reaped."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
