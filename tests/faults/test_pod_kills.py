"""Attempts in pods through the front door: submitted, placed, killed at every step, taken over; nothing runs twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from lite.recordings.reader import Recording
from lite.terminal.packets import OUT
from tests.support.fleet import Fleet, until
from tests.support.history import check_all_ended, check_history
from tests.support.kube.control import RemoteCluster
from tests.support.kube.fixtures import remote_cluster

__all__ = ["remote_cluster"]

LINES = 40
STEPS = [
    "runner.prepared",
    "runner.handle",
    "kubernetes.recorded",
    "kubernetes.created",
    "runner.started",
    "runner.ended",
    "runner.finished",
]

# notes once that it ran (a fake pod's files are this machine's), prints half, waits, prints the rest
TASK = (
    "echo $QD_TASK >> {project}/ran.log; i=1; while [ $i -le {lines} ]; do echo line $i; "
    "[ $i -eq {half} ] && while [ ! -e {project}/gate ]; do sleep 0.05; done; i=$((i+1)); done; echo done > $QD_OUTPUT"
)


def config(cluster: RemoteCluster, more: str = "", executor: str = "kubernetes") -> str:
    return (
        f"executor: {executor}\nlimits: {{slots: 12}}\n"
        f"kubernetes:\n  image: agent:1\n  kubeconfig: {cluster.kubeconfig('qd')}\n{more}"
    )


@pytest.fixture
def fleet(tmp_path: Path, remote_cluster: RemoteCluster) -> Iterator[Fleet]:
    with Fleet(tmp_path / "project", config(remote_cluster)) as made:
        yield made


def plan(fleet: Fleet, count: int) -> str:
    task = TASK.format(project=fleet.project, lines=LINES, half=LINES // 2)
    return "name: pods\ntasks:\n" + "".join(f"  t{number}: {{command: {task!r}}}\n" for number in range(count))


def check(fleet: Fleet, cluster: RemoteCluster) -> None:
    """Every promise about what has run."""
    tasks = fleet.tasks()
    assert {task["state"] for task in tasks} == {"succeeded"}, fleet.describe()
    assert {task["output"] for task in tasks} == {"done\n"}
    events = fleet.events()
    check_history(events)
    check_all_ended(events)
    ran = Counter((fleet.project / "ran.log").read_text().split())
    assert ran == {task["id"]: 1 for task in tasks}, f"ran more than once, or never: {ran}"
    wanted = b"".join(b"line %d\r\n" % number for number in range(1, LINES + 1))
    for task in tasks:
        entries = Recording(fleet.home.session(task["session"])).entries()
        assert b"".join(entry.data for entry in entries if entry.stream == OUT).endswith(wanted)


@pytest.mark.parametrize("step", STEPS)
def test_killed_at_every_step(fleet: Fleet, remote_cluster: RemoteCluster, step: str) -> None:
    (fleet.project / "gate").touch()
    fleet.up(failpoint=f"{step}:2")
    try:
        fleet.submit_plan(plan(fleet, 3), key="once")
    except Exception:
        pass  # it died before it could answer
    fleet.died()
    assert fleet.up() == "ready"
    fleet.submit_plan(plan(fleet, 3), key="once")
    fleet.wait()
    check(fleet, remote_cluster)


def test_ten_running_pods_outlive_their_supervisor(fleet: Fleet, remote_cluster: RemoteCluster) -> None:
    assert fleet.up() == "ready"
    fleet.submit_plan(plan(fleet, 10), key="ten")
    until(
        lambda: (
            len((fleet.project / "ran.log").read_text().splitlines()) == 10
            if (fleet.project / "ran.log").exists()
            else 0
        ),
        90,
    )
    fleet.kill()
    (fleet.project / "gate").touch()
    assert fleet.up() == "ready"
    fleet.wait()
    check(fleet, remote_cluster)
    assert {task["attempt"] for task in fleet.tasks()} == {1}
    assert len(remote_cluster.pods()) == 10


def test_a_pod_is_cancelled_like_any_session(fleet: Fleet, remote_cluster: RemoteCluster) -> None:
    assert fleet.up() == "ready"
    fleet.submit_plan(plan(fleet, 1))
    until((fleet.project / "ran.log").exists)
    (task,) = fleet.tasks()
    fleet.qd("cancel", task["id"])
    (ended,) = fleet.wait()
    assert ended["state"] == "cancelled"
    until(lambda: not any(remote_cluster.processes().values()), explain=lambda: str(remote_cluster.processes()))


def test_a_pod_that_was_asked_for_waits_for_its_place_and_uses_up_no_retry(
    tmp_path: Path, remote_cluster: RemoteCluster
) -> None:
    remote_cluster.quota({"pods": "0"})
    with Fleet(tmp_path / "project", config(remote_cluster, executor="local")) as fleet:
        assert fleet.up() == "ready"
        until(lambda: "kubernetes" in fleet.qd("workers").stdout)
        text = "name: auto\ntasks:\n  here: {command: 'echo ran $QD_ATTEMPT', strategy: kubernetes}\n"
        fleet.submit_plan(text)
        until(lambda: fleet.tasks()[0]["faults"] > 0, explain=fleet.describe)
        assert any(event["data"].get("reason") == "quota" for event in fleet.events())
        remote_cluster.quota({"pods": "9"})
        (task,) = fleet.wait()
        assert (task["state"], task["failures"]) == ("succeeded", 0)


def test_why_there_are_no_pods_is_said(tmp_path: Path, remote_cluster: RemoteCluster) -> None:
    remote_cluster.down()
    with Fleet(tmp_path / "project", config(remote_cluster, executor="local")) as fleet:
        assert fleet.up() == "ready"
        assert "kubernetes: " in fleet.qd("doctor", check=False).stdout
        assert "kubernetes" not in fleet.qd("workers").stdout
        assert fleet.qd("submit", "--wait", "--", "echo", "local all the same").returncode == 0
        remote_cluster.up()
        until(lambda: "kubernetes" in fleet.qd("workers").stdout, 60)
        assert "kubernetes: " not in fleet.qd("doctor", check=False).stdout
