"""A cluster that is reached through an HTTP proxy only: by the kubeconfig's word or the environment's."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit

import pytest

from lite.aio.tasks import Jobs
from lite.errors import ExecutorError
from lite.executors.kubernetes.bridge_http import Api, Unreachable
from lite.executors.kubernetes.client import KubernetesClient
from lite.executors.kubernetes.credentials import Credentials
from lite.model.task import OutcomeKind
from tests.executors.pods import Harbour, output_of, over, printed
from tests.support.kube.cluster import FakeCluster

WAY = {"server": "https://cluster.invalid:6443", "insecure-skip-tls-verify": True}


class Proxy:
    """Leads to the port `behind`, whatever it is asked for, and whoever says the right word."""

    def __init__(self, behind: int, answer: bytes = b"200 Connection established") -> None:
        self._behind, self._answer = behind, answer
        self._jobs = Jobs("proxy")
        self.asked: list[str] = []
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://ann:w%40rd@127.0.0.1:{self.port}"

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Proxy]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            await self._jobs.cancel()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            self.asked.append(head.split("\r\n")[0])
            assert base64.b64encode(b"ann:w@rd").decode() in head
            writer.write(b"HTTP/1.1 " + self._answer + b"\r\n\r\n")
            if not self._answer.startswith(b"200"):
                return
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._behind)
            ways = (self._copy(reader, far_writer), self._copy(far_reader, writer))
            await asyncio.wait([self._jobs.spawn(way, "way") for way in ways])
        finally:
            writer.close()

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(1 << 16):
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        writer.close()


def changed(path: str, **cluster: object) -> str:
    """The kubeconfig with another way to its cluster."""
    found = json.loads(Path(path).read_text())
    found["clusters"][0]["cluster"] = cluster
    Path(path).write_text(json.dumps(found))
    return path


async def test_a_pod_behind_a_proxy(tmp_path: Path) -> None:
    async with FakeCluster(tmp_path / "cluster", tls=True) as cluster:
        behind = urlsplit(cluster.url).port
        assert behind
        async with Proxy(behind).running() as proxy:
            path = changed(cluster.kubeconfig("qd"), **WAY, **{"proxy-url": proxy.url})
            harbour = Harbour(tmp_path, cluster, kubeconfig=path)
            try:
                handle = await harbour.run("sh", "-c", "echo hello; read x; echo got $x")
                await printed(handle, b"hello")
                stream = await harbour.executors[0].attach(handle, control=True)
                await stream.write((0x02, b"word\r"))
                assert (await over(harbour.executors[0], handle)).kind is OutcomeKind.SUCCEEDED
                await stream.aclose()
                assert output_of(handle) == b"hello\r\nword\r\ngot word\r\n"
                await harbour.close()
            finally:
                harbour.desk.kill_all()
            assert set(proxy.asked) == {"CONNECT cluster.invalid:6443 HTTP/1.1"}
            assert len(proxy.asked) >= 4  # the executor's, and of the bridge: watch, log, attach


async def test_a_proxy_that_says_no_is_told_of(tmp_path: Path) -> None:
    async with Proxy(1, b"403 Forbidden").running() as proxy:
        pod = SimpleNamespace(
            server=WAY["server"], proxy=proxy.url, ca="", verify=False, cert="", key="", server_name="", token_file=""
        )
        with pytest.raises(Unreachable, match=r"the proxy 127\.0\.0\.1 says 403"):
            await Api(pod).call("GET", "/version")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("configured", "environment", "proxy"),
    [
        ("", {}, ""),
        ("http://p:1", {}, "http://p:1"),
        ("", {"HTTPS_PROXY": "http://e:2"}, "http://e:2"),
        ("", {"HTTP_PROXY": "http://e:2"}, ""),
        ("http://p:1", {"HTTPS_PROXY": "http://e:2"}, "http://p:1"),
        ("", {"HTTPS_PROXY": "http://e:2", "NO_PROXY": "cluster.invalid"}, ""),
        ("http://p:1", {"NO_PROXY": "cluster.invalid"}, "http://p:1"),
    ],
)
async def test_bridges_go_the_way_the_executor_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, configured: str, environment: dict[str, str], proxy: str
) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY"):
        for spelt in (name, name.lower()):
            monkeypatch.delenv(spelt, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    credentials = Credentials(tmp_path, kubeconfig=kubeconfig(tmp_path, configured), context="")
    await credentials.load()
    assert credentials.way.proxy == proxy


@pytest.mark.parametrize("url", ["socks5://p:1", "https://p:1", "p:1", "http://"])
async def test_a_proxy_of_another_kind_is_refused_by_its_name(tmp_path: Path, url: str) -> None:
    client = KubernetesClient(tmp_path, kubeconfig=kubeconfig(tmp_path, url))
    with pytest.raises(ExecutorError, match="which is not supported") as refused:
        await client.open()
    assert "proxy-url" in refused.value.hint


def kubeconfig(folder: Path, proxy: str) -> str:
    own = {"proxy-url": proxy} if proxy else {}
    body = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "c",
        "clusters": [{"name": "c", "cluster": {**WAY, **own}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
    }
    (folder / "config").write_text(json.dumps(body))
    return str(folder / "config")
