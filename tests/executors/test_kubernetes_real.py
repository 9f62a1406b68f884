"""The same promises on a real cluster, when there is one: `QD_TEST_KUBECONFIG`, and `QD_TEST_IMAGE` with sh and python.

Everything happens in a namespace of its own, which is removed afterwards; the account must be allowed to make one.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from lite.executors.kubernetes.client import KubernetesClient
from lite.executors.kubernetes.failures import ApiRefused
from lite.model.kubernetes import PodSecurity
from lite.model.task import OutcomeKind, Reason
from lite.terminal import packets
from providers.base import Launch
from tests.contracts.executor import ExecutorContract, Make
from tests.executors.pods import Harbour, output_of, over, pod_of, printed, until
from tests.executors.sessions import acked, read_until

KUBECONFIG, IMAGE = os.environ.get("QD_TEST_KUBECONFIG", ""), os.environ.get("QD_TEST_IMAGE", "")

pytestmark = [
    pytest.mark.skipif(not (KUBECONFIG and IMAGE), reason="QD_TEST_KUBECONFIG and QD_TEST_IMAGE name no cluster"),
    pytest.mark.timeout(300),
]


async def _account(client: KubernetesClient, namespace: str) -> None:
    """A new namespace gets its default account a moment later; without it no pod is admitted."""
    try:
        async with asyncio.timeout(3):
            while True:
                try:
                    path = f"/api/v1/namespaces/{namespace}/serviceaccounts/default"
                    await client._call("GET", path, what="service account")
                    return
                except ApiRefused:
                    await asyncio.sleep(0.1)
    except TimeoutError:
        pass  # the first pod will say what is wrong


class RealCluster:
    def kubeconfig(self, _account: str) -> str:
        return KUBECONFIG


@pytest.fixture
async def harbour(tmp_path: Path) -> AsyncIterator[Harbour]:
    client = KubernetesClient(tmp_path / "client", kubeconfig=KUBECONFIG)
    await client.open()
    name = f"qd-test-{secrets.token_hex(4)}"
    space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    await client._call("POST", "/api/v1/namespaces", {}, space, what="create namespace")
    await _account(client, name)
    security = PodSecurity(run_as_user=1000)  # of a user that only has a name, no kubelet knows that it is not root
    made = Harbour(tmp_path, RealCluster(), namespace=name, image=IMAGE, security=security)  # type: ignore[arg-type]
    try:
        yield made
        await made.close()
    finally:
        made.desk.kill_all()
        await client._call("DELETE", f"/api/v1/namespaces/{name}", {}, {}, what="delete namespace")
        await client.close()


class TestRealKubernetesContract(ExecutorContract):
    @pytest.fixture
    def make(self, harbour: Harbour) -> Make:
        return harbour.executor

    def succeeding(self) -> Launch:
        return Launch(argv=("true",))

    def failing(self) -> Launch:
        return Launch(argv=("sh", "-c", "exit 3"))

    def lasting(self) -> Launch:
        return Launch(argv=("sleep", "600"))


async def test_what_is_typed_reaches_it_and_what_it_prints_is_recorded(harbour: Harbour) -> None:
    handle = await harbour.run("sh", "-c", "stty size; printf 'name? '; read x; echo \"got $x\"")
    stream = await harbour.executors[0].attach(handle, control=True, offset=0)
    await read_until(stream, b"name? ")
    assert (await acked(stream, b"joe\r"))[0]
    await read_until(stream, b"got joe")
    assert (await over(harbour.executors[0], handle)).kind is OutcomeKind.SUCCEEDED
    await stream.aclose()
    assert output_of(handle).endswith(b"40 120\r\nname? joe\r\ngot joe\r\n")


async def test_pipes_keep_out_and_err_apart(harbour: Harbour) -> None:
    line = b'{"prompt":"' + b"x" * 100_000 + b'"}\n'
    script = "import sys,os; d=sys.stdin.buffer.readline(); os.write(2,b'got %d'%len(d)); sys.stdout.buffer.write(d)"
    handle = await harbour.run("python3", "-c", script, stdio="pipes", stdin_data=line)
    assert (await over(harbour.executors[0], handle)).kind is OutcomeKind.SUCCEEDED
    assert output_of(handle, packets.OUT) == line
    assert output_of(handle, packets.ERR).endswith(b"got %d" % len(line))


async def test_a_killed_bridge_is_replaced_and_its_recording_goes_on(harbour: Harbour) -> None:
    script = "i=0; while [ $i -lt 200 ]; do echo line $i; i=$((i+1)); done; read x; echo $x; exit 5"
    handle = await harbour.run("sh", "-c", script)
    await printed(handle, b"line 199")
    for pid in harbour.desk.survivors():
        if b"_pod" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0"):
            os.kill(pid, signal.SIGKILL)
    session = harbour.executors[0]._sessions[handle]
    await until(lambda: session.inner, lambda inner: inner != session.parts.inner)
    stream = await harbour.executors[0].attach(handle, control=True)
    await stream.write((packets.INPUT, b"word\r"))
    assert (await over(harbour.executors[0], handle)).exit_code == 5
    await stream.aclose()
    lines = b"".join(b"line %d\r\n" % number for number in range(200))
    assert output_of(handle).endswith(lines + b"word\r\nword\r\n")


async def test_its_output_file_comes_home_and_its_own_end_is_told(harbour: Harbour) -> None:
    env = {"QD_OUTPUT": str(harbour.home.session("task1-1") / "output")}
    handle = await harbour.run("sh", "-c", "printf result > $QD_OUTPUT; kill -9 $$", env=env)
    outcome = await over(harbour.executors[0], handle)
    assert (outcome.reason, outcome.signal) == (Reason.SIGNAL, 9)
    assert (harbour.home.session("task1-1") / "output").read_bytes() == b"result"


async def test_a_pod_deleted_by_hand(harbour: Harbour) -> None:
    handle = await harbour.run("sh", "-c", "echo begun; exec sleep 600")
    await printed(handle, b"begun")
    client = harbour.executors[0].client
    options = {"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 1}
    await client.delete_pod(harbour.kube.namespace, pod_of(handle), options)
    outcome = await over(harbour.executors[0], handle)
    assert (outcome.kind, outcome.reason) == (OutcomeKind.UNEXECUTABLE, "pod-deleted")
