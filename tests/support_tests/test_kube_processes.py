"""The cluster as a program of its own, and that no container outlives whoever ran it, however that ended."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.support.kube.control import RemoteCluster
from tests.support_tests.conftest import alive, pod

ROOT = Path(__file__).parents[2]
PATIENCE_MS = 20_000
RUNS_ONE = """
import asyncio, sys
from pathlib import Path
import httpx
from tests.support.kube.cluster import FakeCluster
from tests.support_tests.conftest import Asker

async def main():
    async with FakeCluster(Path(sys.argv[1])) as cluster:
        ask = Asker(cluster)
        await ask.run("p", "sh", "-c", "setsid sleep 1000 & echo $!; exec sleep 1000")
        await cluster.until_log("p", "\\n")
        print(cluster.processes()["p"][0], int(cluster.log("p")), flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


def test_it_is_told_over_a_port_of_its_own(remote_cluster: RemoteCluster) -> None:
    """So also while its API is down."""
    http = _client(remote_cluster)
    assert http.post("pods", json=pod("p", "sleep", "1000")).status_code == 201
    assert remote_cluster.until_phase("p", "Running") == "Running"
    remote_cluster.down()
    with pytest.raises(httpx.TransportError):
        http.get("pods")
    remote_cluster.oom("p")
    assert remote_cluster.until_phase("p", "Failed") == "Failed"
    remote_cluster.up()
    assert http.get("pods/p").json()["status"]["containerStatuses"][0]["state"]["terminated"]["reason"] == "OOMKilled"
    assert ["create", "", "pods", ""] in remote_cluster.used()
    with pytest.raises(RuntimeError, match="there is no rm"):
        remote_cluster.rm()
    with pytest.raises(RuntimeError, match="KeyError"):
        remote_cluster.oom("none")
    http.close()


def test_closing_it_ends_its_containers(tmp_path: Path) -> None:
    with RemoteCluster(tmp_path / "cluster") as remote:
        http = _client(remote)
        assert http.post("pods", json=pod("p", "sleep", "1000")).status_code == 201
        remote.until_phase("p", "Running")
        (pid,) = remote.processes()["p"]
        http.close()
    assert not alive(pid)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_containers_end_with_a_test_that_was_killed(tmp_path: Path, number: int) -> None:
    runner = subprocess.Popen([sys.executable, "-c", RUNS_ONE, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE)
    assert runner.stdout is not None
    pids = [int(word) for word in runner.stdout.readline().split()]
    assert len(pids) == 2
    watched = [os.pidfd_open(pid) for pid in pids]
    runner.send_signal(number)
    runner.wait(20)
    runner.stdout.close()
    for fd in watched:
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        assert poll.poll(PATIENCE_MS), "it lives on"
        os.close(fd)


def test_a_shim_that_was_killed_takes_its_container_along(remote_cluster: RemoteCluster) -> None:
    """What the container itself had started is found by its environment."""
    http = _client(remote_cluster)
    script = "setsid sleep 1000 & echo $!; exec sleep 1000"
    assert http.post("pods", json=pod("p", "sh", "-c", script)).status_code == 201
    remote_cluster.until_phase("p", "Running")
    remote_cluster.until_log("p", "\n")
    (pid,) = remote_cluster.processes()["p"]
    far = int(remote_cluster.log("p"))
    shim = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    os.kill(shim, signal.SIGKILL)
    remote_cluster.until_phase("p", "Failed")
    assert not alive(pid)
    assert not alive(far)
    http.close()


def _client(remote: RemoteCluster) -> httpx.Client:
    settings = json.loads(Path(remote.kubeconfig()).read_text())
    token = settings["users"][0]["user"]["token"]
    return httpx.Client(
        base_url=f"{remote.address}/api/v1/namespaces/default/",
        headers={"Authorization": f"Bearer {token}"},
        trust_env=False,
        timeout=30,
    )
