"""What happens to pods in a cluster, and what the executor makes of it: named outcomes, on positive evidence only."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from lite.aio import probe
from lite.aio.tasks import spawn
from lite.executors.kubernetes import outcomes
from lite.executors.kubernetes.failures import PodRefused
from lite.model.task import OutcomeKind, Reason
from lite.rules.pick import NO_PLACE
from tests.executors.pods import Harbour, output_of, over, pod_of, printed, until
from tests.support.kube.cluster import FakeCluster
from tests.support.kube.fixtures import cluster

__all__ = ["cluster"]

OWN, INFRA, NOBODY = OutcomeKind.FAILED, OutcomeKind.UNEXECUTABLE, OutcomeKind.RESCHEDULED
LASTING = ("sh", "-c", "echo begun; exec sleep 600")


@pytest.fixture
async def harbour(tmp_path: Path, cluster: FakeCluster) -> AsyncIterator[Harbour]:
    made = Harbour(tmp_path, cluster)
    try:
        yield made
        await made.close()
    finally:
        made.desk.kill_all()


async def begun(harbour: Harbour) -> str:
    handle = await harbour.run(*LASTING)
    await printed(handle, b"begun")
    return handle


async def ends(harbour: Harbour, handle: str) -> tuple[OutcomeKind, str]:
    outcome = await over(harbour.executors[-1], handle)
    assert outcome.detail
    return outcome.kind, outcome.reason


@pytest.mark.parametrize(
    ("what", "end"),
    [
        ("oom", (OWN, outcomes.OOM)),
        ("kill", (INFRA, outcomes.KILLED)),
        ("evict", (INFRA, outcomes.EVICTED)),
        ("expire", (OWN, outcomes.DEADLINE)),
        ("preempt", (NOBODY, outcomes.PREEMPTED)),
    ],
)
async def test_what_befalls_a_running_pod(harbour: Harbour, what: str, end: tuple[OutcomeKind, str]) -> None:
    handle = await begun(harbour)
    getattr(harbour.cluster, what)(pod_of(handle))
    assert await ends(harbour, handle) == end
    assert output_of(handle).startswith(b"begun\r\n")


async def test_deleted_by_hand(harbour: Harbour) -> None:
    handle = await begun(harbour)
    harbour.cluster.delete_by_hand(pod_of(handle), 1)
    assert await ends(harbour, handle) == (INFRA, outcomes.DELETED)


async def test_deleted_by_force(harbour: Harbour) -> None:
    handle = await begun(harbour)
    harbour.cluster.delete_by_hand(pod_of(handle), force=True)
    assert await ends(harbour, handle) == (INFRA, outcomes.DELETED)


async def test_a_child_killed_for_its_memory_is_told_by_who_waited_for_it(harbour: Harbour) -> None:
    handle = await harbour.run("sh", "-c", "echo pid=$$.; exec sleep 600")
    pid = re.search(rb"pid=(\d+)\.", await printed(handle, b"."))
    assert pid is not None
    os.kill(int(pid[1]), signal.SIGKILL)  # a container's processes are this machine's
    assert await ends(harbour, handle) == (OWN, Reason.SIGNAL)
    assert (await over(harbour.executors[0], handle)).signal == 9


async def test_a_lost_node(harbour: Harbour) -> None:
    handle = await begun(harbour)
    harbour.cluster.lose_node()
    assert await ends(harbour, handle) == (INFRA, outcomes.NODE_LOST)
    harbour.cluster.restore_node()


async def test_a_node_that_is_silent_for_a_while_is_not_lost(harbour: Harbour) -> None:
    handle = await begun(harbour)
    harbour.cluster.lose_node(tainted=False)
    harbour.cluster.restore_node()
    harbour.cluster.cut_connections()
    await harbour.executors[0].stop(handle, grace_ms=0)
    assert (await ends(harbour, handle))[0] is OWN


async def test_an_image_that_is_on_no_node(harbour: Harbour, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outcomes, "FIXED_GRACE_MS", 100)
    await harbour.executor(pull_policy="Never")
    harbour.cluster.remove_image("agent:*")
    handle = await harbour.run("true")
    assert await ends(harbour, handle) == (INFRA, outcomes.IMAGE)
    await until(harbour.cluster.pods, lambda pods: not pods)


async def test_an_image_that_cannot_be_pulled_is_given_time(harbour: Harbour, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outcomes, "IMAGE_GRACE_MS", 300)
    harbour.cluster.break_image("agent:*")
    handle = await harbour.run("true")
    assert await ends(harbour, handle) == (INFRA, outcomes.IMAGE)


async def test_no_node_takes_it_for_longer_than_it_may_take_to_start(harbour: Harbour) -> None:
    await harbour.executor(start_timeout_ms=300)
    harbour.cluster.unschedulable()
    handle = await harbour.run("true")
    assert await ends(harbour, handle) == (INFRA, outcomes.UNSCHEDULABLE)


async def test_a_quota_that_is_used_up(harbour: Harbour) -> None:
    harbour.cluster.quota({"pods": "0"})
    with pytest.raises(PodRefused) as refused:
        await harbour.run("true")
    assert refused.value.reason == outcomes.QUOTA
    assert refused.value.reason in NO_PLACE
    assert not harbour.cluster.pods()


async def test_the_api_server_is_away_for_a_while(harbour: Harbour) -> None:
    handle = await harbour.run("sh", "-c", "echo begun; read x; echo got $x; exit 4")
    await printed(handle, b"begun")
    harbour.cluster.down()
    await until(lambda: harbour.executors[0].capabilities().problem, bool)
    await harbour.cluster.up(logs_missing=1)
    await until(lambda: harbour.executors[0].capabilities().problem, lambda problem: not problem)
    stream = await harbour.executors[0].attach(handle, control=True)
    await stream.write((0x02, b"word\r"))
    outcome = await over(harbour.executors[0], handle)
    await stream.aclose()
    assert (outcome.kind, outcome.exit_code) == (OWN, 4)
    assert output_of(handle).replace(b"word\r\n", b"", 1) == b"begun\r\ngot word\r\n"


async def test_it_ends_while_the_api_server_is_away(harbour: Harbour, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    handle = await harbour.run("sh", "-c", f"echo begun; while [ ! -e {gate} ]; do sleep 0.05; done; echo late; exit 4")
    await printed(handle, b"begun")
    harbour.cluster.down()
    gate.touch()
    await until(lambda: not any(harbour.cluster.processes().values()), bool)
    await harbour.cluster.up(logs_missing=2)
    outcome = await over(harbour.executors[0], handle)
    assert (outcome.kind, outcome.exit_code) == (OWN, 4)
    assert output_of(handle) == b"begun\r\nlate\r\n"


async def test_a_version_that_is_too_old_is_listed_again(harbour: Harbour) -> None:
    handle = await begun(harbour)
    expired, listed = spawn(probe.reached("kubernetes.expired")), spawn(probe.reached("kubernetes.listed"))
    harbour.cluster.compact(watching=True)
    await expired
    await listed
    harbour.cluster.kill(pod_of(handle))
    assert await ends(harbour, handle) == (INFRA, outcomes.KILLED)


async def test_bookmarks_and_throttling_change_nothing(harbour: Harbour) -> None:
    harbour.cluster.fail_next("create", "pods", 429, times=2, retry_after=1)
    handle = await begun(harbour)
    harbour.cluster.bookmark()
    harbour.cluster.fail_next("*", "pods", 500, times=3)
    harbour.cluster.cut_connections()
    harbour.cluster.kill(pod_of(handle))
    assert await ends(harbour, handle) == (INFRA, outcomes.KILLED)


async def test_a_finished_pod_goes_after_its_time_once_its_outcome_is_recorded(harbour: Harbour) -> None:
    executor = await harbour.executor(finished_ttl_ms=0)
    handle = await harbour.run("true")
    await over(executor, handle)
    assert harbour.cluster.pods() == [pod_of(handle)]  # until its outcome is in the store
    gone = probe.reached("kubernetes.collected")
    await executor.destroy(handle)
    assert (await gone)["pod"] == pod_of(handle)
    assert not harbour.cluster.pods()


async def test_who_has_a_smaller_token_deletes_nothing(harbour: Harbour) -> None:
    handle = await begun(harbour)
    first = harbour.executors[0]
    second = await harbour.executor()
    await second.recover(handle, 7)
    await until(
        lambda: harbour.cluster.pod(pod_of(handle))["metadata"]["annotations"]["quarterdeck.dev/token"], "7".__eq__
    )
    assert not await first._sessions[handle].remove(1)
    assert harbour.cluster.phase(pod_of(handle)) == "Running"
    await second.stop(handle, grace_ms=0)
    assert (await over(second, handle)).kind is OWN


async def test_the_pod_of_an_earlier_attempt_ends_before_the_next_begins(harbour: Harbour) -> None:
    handle = await begun(harbour)
    task = harbour.executors[0]._sessions[handle].parts.session.rpartition("-")[0]
    later = await harbour.run("true", task=task, attempt=2, token=2)
    assert harbour.cluster.phase(pod_of(handle)) in ("", "Failed", "Succeeded")
    assert (await over(harbour.executors[0], later)).kind is OutcomeKind.SUCCEEDED
    assert (await ends(harbour, handle))[0] is not OutcomeKind.SUCCEEDED


async def test_where_no_cluster_answers_nothing_is_offered_until_one_does(harbour: Harbour) -> None:
    harbour.cluster.down()
    executor = await harbour.executor()
    assert executor.capabilities().problem
    await harbour.cluster.up()
    await until(lambda: executor.capabilities().problem, lambda problem: not problem)
