"""As whom pods are made and watched: least privilege, credentials that change, TLS, where the library is loaded."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from lite.aio import probe
from lite.aio.tasks import spawn
from lite.executors.kubernetes.client import KubernetesClient
from lite.executors.kubernetes.failures import ApiRefused
from lite.executors.kubernetes.staging import StagingClaims
from lite.model.kubernetes import StagingVolume
from lite.model.task import OutcomeKind
from tests.executors.pods import Harbour, output_of, over, printed
from tests.support.kube.cluster import FakeCluster
from tests.support.kube.fixtures import cluster
from tests.support.kubernetes_role import role_rules, role_verbs

__all__ = ["cluster"]


@pytest.fixture
async def harbour(tmp_path: Path, cluster: FakeCluster) -> AsyncIterator[Harbour]:
    made = Harbour(tmp_path, cluster)
    try:
        yield made
        await made.close()
    finally:
        made.desk.kill_all()


async def test_the_role_of_the_example_is_enough_and_no_more_than_that(harbour: Harbour) -> None:
    path = harbour.cluster.kubeconfig("least", rules=role_rules())
    executor = await harbour.executor(kubeconfig=path, finished_ttl_ms=0, staging=StagingVolume())
    handle = await harbour.run("sh", "-c", "echo begun; exec sleep 600", executor=executor)
    await printed(handle, b"begun")
    await executor.stop(handle, grace_ms=500)
    assert (await over(executor, handle)).kind is OutcomeKind.FAILED
    await executor.destroy(handle)
    handle = await harbour.run("true", executor=executor)
    await over(executor, handle)
    gone = spawn(probe.reached("kubernetes.collected"))
    await executor.destroy(handle)
    await gone

    claims = StagingClaims(executor.client, harbour.kube, fleet="fleet1")
    await claims.provide("run1", now=0)
    assert await claims.volumes()
    await claims.free("run1", "done")
    await claims.remove("run1")
    used = {(f"{kind}/{part}" if part else kind, verb) for verb, _, kind, part in harbour.cluster.used_by("least")}
    assert used == role_verbs()


async def test_without_rights_the_first_pod_says_so(harbour: Harbour) -> None:
    path = harbour.cluster.kubeconfig("nobody", rules=[])
    executor = await harbour.executor(kubeconfig=path)
    with pytest.raises(Exception, match="not allowed to create pods"):
        await harbour.run("true", executor=executor)


async def test_a_token_that_was_replaced_is_read_again(tmp_path: Path, cluster: FakeCluster) -> None:
    path = cluster.kubeconfig("qd", token_file=True)
    client = KubernetesClient(tmp_path / "home", kubeconfig=path)
    await client.open()
    assert await client.list_pods("default", "") is not None
    token = Path(f"{path}.token")
    cluster.access.tokens.pop(token.read_text())
    token.write_text(cluster.token("qd"))
    assert await client.list_pods("default", "") is not None  # refused once, then with the new one
    assert Path(client.way.token_file).read_text() == f"Bearer {token.read_text()}"  # for the bridges too
    cluster.access.tokens.clear()
    with pytest.raises(ApiRefused, match="Unauthorized"):
        await client.list_pods("default", "")
    await client.close()


async def test_over_tls_with_a_certificate_of_the_cluster_s_own(tmp_path: Path) -> None:
    async with FakeCluster(tmp_path / "cluster", tls=True) as cluster:
        harbour = Harbour(tmp_path, cluster)
        try:
            handle = await harbour.run("echo", "hello")
            assert (await over(harbour.executors[0], handle)).kind is OutcomeKind.SUCCEEDED
            assert output_of(handle) == b"hello\r\n"
            await harbour.close()
        finally:
            harbour.desk.kill_all()


LEAN = """
import sys
import lite.executors.kubernetes.bridge
print(*sorted({name.split(".")[0] for name in sys.modules}))
print(*sorted(name for name in sys.modules if name.startswith("lite.")))
"""


def test_a_bridge_loads_little_and_an_executor_no_library() -> None:
    for program, forbidden in (
        (LEAN, {"pydantic", "aiohttp", "kubernetes_asyncio", "fastapi", "httpx", "yaml", "textual", "redis"}),
        (LEAN.replace("bridge", "executor"), {"kubernetes_asyncio", "aiohttp"}),
    ):
        found = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True, env=dict(os.environ)
        )
        tops, ours = (set(line.split()) for line in found.stdout.splitlines())
        assert not tops & forbidden
        if program is LEAN:
            assert not {name for name in ours if name.startswith(("lite.engine", "lite.model", "lite.ports"))}
