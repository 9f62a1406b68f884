"""The client library the executor uses finds what it expects."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from kubernetes_asyncio import client, config, watch
from kubernetes_asyncio.stream import WsApiClient

from tests.support.kube.cluster import FakeCluster
from tests.support_tests.conftest import pod


@pytest.fixture(params=[False, True], ids=["http", "https"])
async def secured(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[FakeCluster]:
    async with FakeCluster(tmp_path / "secured", tls=request.param) as running:
        yield running


async def test_a_pod_from_creation_to_deletion(secured: FakeCluster) -> None:
    settings = client.Configuration()
    await config.load_kube_config(secured.kubeconfig("qd"), client_configuration=settings)
    async with client.ApiClient(settings) as api:
        core = client.CoreV1Api(api)
        assert (await client.VersionApi(api).get_code()).git_version == "v1.36.2"
        script = "echo up; read x; echo got $x; exit 3"
        body: Any = pod("p", "sh", "-c", script, container={"tty": True, "stdin": True}, labels={"a": "b"})
        made = await core.create_namespaced_pod("default", body, field_validation="Strict")
        assert (made.metadata.name, made.status.phase) == ("p", "Pending")
        async with watch.Watch() as stream:
            async for event in stream.stream(core.list_namespaced_pod, "default", label_selector="a=b"):
                if event["object"].status.phase == "Running":
                    break
        await secured.until_log("p", "up")
        assert await core.read_namespaced_pod_log("p", "default") == "up\n"
        seen = await _converse(settings)
        assert seen[1] == b"word\r\ngot word\r\n"
        await secured.until_phase("p", "Failed")
        ended = (await core.read_namespaced_pod("p", "default")).status.container_statuses[0].state.terminated
        assert (ended.exit_code, ended.reason) == (3, "Error")
        with pytest.raises(client.ApiException) as refused:
            await core.create_namespaced_pod("default", body)
        assert (refused.value.status, json.loads(refused.value.body or "")["reason"]) == (409, "AlreadyExists")
        await core.delete_namespaced_pod("p", "default", body=client.V1DeleteOptions(grace_period_seconds=0))
        assert (await core.list_namespaced_pod("default", limit=1)).items == []
    assert {use[0] + " " + use[2] + ("/" + use[3] if use[3] else "") for use in secured.used_by("qd")} == {
        *("create pods", "get pods", "list pods", "watch pods", "delete pods"),
        *("get pods/log", "get pods/attach", "create pods/attach"),
    }


async def test_a_watch_that_is_too_late(cluster: FakeCluster) -> None:
    settings = client.Configuration()
    await config.load_kube_config(cluster.kubeconfig(token_file=True), client_configuration=settings)
    async with client.ApiClient(settings) as api:
        core = client.CoreV1Api(api)
        cluster.secret("any", {})
        cluster.compact()
        async with watch.Watch() as stream:
            with pytest.raises(client.ApiException) as expired:
                await anext(stream.stream(core.list_namespaced_pod, "default", resource_version="1", timeout_seconds=9))
    assert expired.value.status == 410


async def test_from_within_the_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with FakeCluster(tmp_path / "c", tls=True) as cluster:
        place = cluster.in_cluster("qd")
        _, _, address = cluster.url.partition("://")
        host, _, port = address.partition(":")
        monkeypatch.setenv("KUBERNETES_SERVICE_HOST", host)
        monkeypatch.setenv("KUBERNETES_SERVICE_PORT", port)
        from kubernetes_asyncio.config.incluster_config import InClusterConfigLoader

        settings = client.Configuration()
        loader = InClusterConfigLoader(f"{place}/token", f"{place}/ca.crt")
        loader.load_and_set(settings)
        async with client.ApiClient(settings) as api:
            assert (await client.CoreV1Api(api).list_namespaced_pod("default")).items == []
        assert cluster.used_by("qd") == [["list", "", "pods", ""]]


async def _converse(settings: Any) -> dict[int, bytes]:
    seen: dict[int, bytes] = {}
    async with WsApiClient(settings) as api:
        attached: Any = await client.CoreV1Api(api).connect_get_namespaced_pod_attach(
            "p", "default", stdin=True, stdout=True, tty=True, _preload_content=False
        )
        async with attached as socket:
            await socket.send_bytes(b"\x00word\r")
            async for message in socket:
                seen[message.data[0]] = seen.get(message.data[0], b"") + message.data[1:]
    return seen
