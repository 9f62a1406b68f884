"""Telling a cluster in another process what to do: every public method of `FakeCluster`, by name, over its own port."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import httpx

from tests.support.kube.server import Answer, Request, Server, as_json

if TYPE_CHECKING:
    from tests.support.kube.cluster import FakeCluster

PATIENCE = 60.0  # seconds, for any answer
_NOT = {"start", "aclose", "until"}


class Control:
    """The server's side: a port of its own, which stays when the API is down. The path of its URL is its key."""

    def __init__(self, cluster: FakeCluster) -> None:
        self._cluster = cluster
        self._key = f"/{secrets.token_hex(16)}/"
        self._server = Server(self._handle)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.port}{self._key}"

    async def start(self) -> None:
        await self._server.up()

    async def aclose(self) -> None:
        await self._server.aclose()

    async def _handle(self, request: Request) -> Answer:
        name = request.path.removeprefix(self._key)
        target = getattr(type(self._cluster), name, None)
        if name == request.path or name.startswith("_") or name in _NOT or target is None:
            return as_json({"error": f"there is no {name}"}, 404)
        given = json.loads(request.body or b"{}")
        try:
            value: Any = getattr(self._cluster, name)
            if callable(value):
                value = value(*given.get("args", ()), **given.get("kwargs", {}))
            if hasattr(value, "__await__"):
                value = await value
        except (KeyError, AssertionError) as error:
            return as_json({"error": repr(error)}, 422)
        if isinstance(value, bytes):
            value = value.decode(errors="replace")
        if isinstance(value, set):
            value = sorted(value)
        return as_json({"value": str(value) if isinstance(value, Path) else value})


class RemoteCluster:
    """A cluster in a process of its own, which outlives whoever is killed in a test and ends with the test's process.

    Its verbs are those of `FakeCluster`, synchronous: `remote.oom("pod")`, `remote.until_phase("pod", "Failed")`. Start
    it in the main thread: it ends with the thread that started it.
    """

    def __init__(self, folder: Path, *, tls: bool = False, namespace: str = "default") -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        words = [sys.executable, "-m", "tests.support.kube", "--port", "0", "--dir", str(folder)]
        words += ["--namespace", namespace, "--die-with", str(os.getpid()), *(["--tls"] if tls else [])]
        root = Path(__file__).parents[3]
        self._log = (folder / "cluster.log").open("wb")
        self._process = subprocess.Popen(
            words, cwd=root, stdout=subprocess.PIPE, stderr=self._log, start_new_session=True
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the fake cluster did not start: {(folder / 'cluster.log').read_text()[-2000:]}")
        told = json.loads(line)
        self.address: str = told["url"]
        self._client = httpx.Client(
            base_url=told["control"],
            timeout=PATIENCE,
            trust_env=False,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)

        def call(*args: Any, **kwargs: Any) -> Any:
            answer = self._client.post(name, json={"args": args, "kwargs": kwargs})
            told = answer.json()
            if answer.status_code != 200:
                raise RuntimeError(told.get("error", answer.text))
            return told["value"]

        return call

    def close(self) -> None:
        """Ends it and all its containers."""
        self._client.close()
        self._process.terminate()
        try:
            code = self._process.wait(PATIENCE)
        finally:
            assert self._process.stdout is not None
            self._process.stdout.close()
            self._log.close()
        if code != 0:
            raise RuntimeError(f"the fake cluster failed: {(self.folder / 'cluster.log').read_text()[-4000:]}")


def die_with(parent: int) -> None:
    """This process ends with that one (Linux)."""
    import ctypes

    ctypes.CDLL(None).prctl(1, signal.SIGTERM)
    if os.getppid() != parent:
        raise SystemExit("whoever started the cluster is gone")
