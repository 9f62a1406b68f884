"""A worker's machine is gone, or cut off for long: another worker of the fleet goes on with its pods, nothing twice."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lite.recordings.reader import Recording
from lite.terminal.packets import OUT
from tests.faults.test_pod_kills import LINES, TASK
from tests.support.fleet import until
from tests.support.history import check_all_ended, check_history, check_holders
from tests.support.kube.control import RemoteCluster
from tests.support.kube.fixtures import remote_cluster
from tests.support.members import SHORT_LEASES, Member, Members
from tests.support.redis_server import RedisServer

__all__ = ["remote_cluster"]

COUNT = 3


class Ran:
    """A fleet whose first worker has pods that wait for `gate`."""

    def __init__(self, members: Members, cluster: RemoteCluster, folder: Path) -> None:
        self.members, self.cluster, self.gate = members, cluster, folder / "gate"
        self.first, self._log = self._worker("w0"), folder / "ran.log"
        command = TASK.format(project=folder, lines=LINES, half=LINES // 2)
        text = "name: pods\ntasks:\n" + "".join(f"  t{number}: {{command: {command!r}}}\n" for number in range(COUNT))
        members.ask(lambda client: client.submit_plan(text, source="plan.yaml", cwd="/", key="once"))
        until(lambda: self.halves(self.first) == COUNT, 60, self.describe)
        self.second = self._worker("w1")

    def _worker(self, name: str) -> Member:
        made = self.members.join(name, "worker")
        self.members.ready()
        return made

    def describe(self) -> str:
        return "\n".join(
            [f"{one['state']} {one['reason']} {one['detail']} {one['worker']}" for one in self.members.tasks()]
            + [str(self.cluster.pods()), self.members.errors()]
        )

    def recorded(self, member: Member, task: dict[str, Any]) -> bytes:
        folder = member.home.session(f"{task['id']}-1")
        if not (folder / "recording").is_dir():
            return b""
        return b"".join(entry.data for entry in Recording(folder).entries() if entry.stream == OUT)

    def halves(self, member: Member) -> int:
        """Of how many that member has recorded the first half."""
        half = b"line %d\r\n" % (LINES // 2)
        return sum(half in self.recorded(member, task) for task in self.members.tasks())

    def adopted(self) -> None:
        """Wait until the second one has them all, from the first line on."""
        worker = self.second.worker
        until(lambda: {one["worker"] for one in self.members.tasks()} == {worker}, 60, self.describe)
        until(lambda: self.halves(self.second) == COUNT, 60, self.describe)

    def check(self, pods: list[str]) -> None:
        self.gate.touch()
        until(lambda: {one["state"] for one in self.members.tasks()} == {"succeeded"}, 60, self.describe)
        tasks = self.members.tasks()
        assert [(one["attempt"], one["failures"], one["faults"]) for one in tasks] == [(1, 0, 0)] * COUNT
        assert {one["output"] for one in tasks} == {"done\n"}
        assert Counter(self._log.read_text().split()) == {one["id"]: 1 for one in tasks}
        assert self.cluster.pods() == pods
        wanted = b"".join(b"line %d\r\n" % number for number in range(1, LINES + 1))
        for task in tasks:
            assert self.recorded(self.second, task) == wanted
        events = self.members.events()
        check_history(events)
        check_all_ended(events)
        check_holders(events)
        assert sum(event["kind"] == "lease.lost" for event in events) == COUNT


@pytest.fixture
def ran(tmp_path: Path, remote_cluster: RemoteCluster, redis_server: RedisServer, redis_prefix: str) -> Iterator[Ran]:
    kube = f"executor: kubernetes\nkubernetes:\n  image: agent:1\n  kubeconfig: {remote_cluster.kubeconfig('qd')}\n"
    with Members(tmp_path, redis_server.url, redis_prefix, SHORT_LEASES + kube) as members:
        members.join("o", "orchestrator")
        members.ready()
        yield Ran(members, remote_cluster, tmp_path)


@pytest.mark.slow
def test_another_worker_goes_on_with_the_pods_of_a_machine_that_is_gone(ran: Ran) -> None:
    pods = ran.cluster.pods()
    ran.first.kill_machine()
    ran.adopted()
    ran.check(pods)


@pytest.mark.slow
def test_what_was_cut_off_wakes_up_and_ends_nothing(ran: Ran) -> None:
    pods = ran.cluster.pods()
    stopped = ran.first.stop_machine()
    ran.adopted()
    for pid in stopped:
        os.kill(pid, signal.SIGCONT)
    ran.first.go_on()
    ends = [ran.first.home.session(f"{task['id']}-1") / "pod-end.json" for task in ran.members.tasks()]
    until(lambda: all(end.exists() for end in ends), 60, ran.describe)
    assert all('"lost"' in end.read_text() for end in ends)
    assert all("deletionTimestamp" not in ran.cluster.pod(pod)["metadata"] for pod in pods)
    ran.check(pods)
