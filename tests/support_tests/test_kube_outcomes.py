"""Every end of a pod a real cluster was seen to make, and what is then seen of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.support.kube.cluster import FakeCluster
from tests.support_tests.conftest import Asker, Json, alive, condition, state

SLEEP = ("sleep", "1000")
DEAF = ("python", "-c", "import signal; signal.signal(15, signal.SIG_IGN); print('up', flush=True); signal.pause()")
HEEDS = ("sh", "-c", "trap 'exit 4' TERM; echo up; while :; do sleep 1000 & wait; done")


@pytest.mark.parametrize(("code", "phase", "reason"), [(0, "Succeeded", "Completed"), (3, "Failed", "Error")])
async def test_a_program_that_ends(cluster: FakeCluster, ask: Asker, code: int, phase: str, reason: str) -> None:
    await ask.create("p", "sh", "-c", f"echo said; printf why >/dev/termination-log; exit {code}")
    assert await cluster.until_phase("p", "Succeeded", "Failed") == phase
    ended = state(cluster.pod("p"))["terminated"]
    assert (ended["exitCode"], ended["reason"], ended["message"]) == (code, reason, "why")
    assert (await ask.log("p")).text == "said\n"  # complete at the moment of its end


async def test_the_last_words_of_a_log_are_the_message_where_the_pod_asks_for_it(
    cluster: FakeCluster, ask: Asker
) -> None:
    policy = {"terminationMessagePolicy": "FallbackToLogsOnError"}
    await ask.create("p", "sh", "-c", "echo oh; exit 1", container=policy)
    await cluster.until_phase("p", "Failed")
    assert state(cluster.pod("p"))["terminated"]["message"] == "oh\n"


async def test_out_of_memory_and_killed_from_outside_differ_by_reason_only(cluster: FakeCluster, ask: Asker) -> None:
    for name, verb in (("fat", cluster.oom), ("shot", cluster.kill)):
        await ask.run(name, *SLEEP)
        verb(name)
        assert await cluster.until_phase(name, "Succeeded", "Failed") == "Failed"
    ends = [state(cluster.pod(name))["terminated"] for name in ("fat", "shot")]
    assert [(end["reason"], end["exitCode"]) for end in ends] == [("OOMKilled", 137), ("Error", 137)]


async def test_nothing_tells_of_a_child_that_was_killed_for_memory(cluster: FakeCluster, ask: Asker) -> None:
    await ask.run("p", "sh", "-c", "(echo up; exec sleep 1000); echo child: $?; sleep 1000")
    await cluster.until_log("p", "up")
    assert await cluster.oom_child("p")
    await cluster.until_log("p", "child: 137")
    assert cluster.phase("p") == "Running"
    assert "OOMKilled" not in str(cluster.pod("p"))


async def test_a_deadline(cluster: FakeCluster, ask: Asker) -> None:
    await ask.run("p", *SLEEP, activeDeadlineSeconds=1, terminationGracePeriodSeconds=0)
    assert await cluster.until_phase("p", "Succeeded", "Failed") == "Failed"
    assert cluster.pod("p")["status"]["reason"] == "DeadlineExceeded"


async def test_a_deadline_counts_while_the_image_is_waited_for(cluster: FakeCluster, ask: Asker) -> None:
    cluster.hold_image("*")
    await ask.create("p", *SLEEP, activeDeadlineSeconds=1)
    assert await cluster.until_phase("p", "Running", "Failed") == "Failed"
    assert cluster.pod("p")["status"]["reason"] == "DeadlineExceeded"


async def test_refused_by_its_node(cluster: FakeCluster, ask: Asker) -> None:
    cluster.reject("OutOfcpu")
    await ask.create("p", *SLEEP)
    assert await cluster.until_phase("p", "Running", "Failed") == "Failed"
    assert cluster.pod("p")["status"]["reason"] == "OutOfcpu"
    assert "containerStatuses" not in cluster.pod("p")["status"]


async def test_deleted_with_its_grace(cluster: FakeCluster, ask: Asker) -> None:
    """The object stays until the program has ended, and says when that is at the latest."""
    await ask.run("p", *HEEDS)
    await cluster.until_log("p", "up")
    async with ask.watch(resourceVersion=cluster.pod("p")["metadata"]["resourceVersion"]) as events:
        assert (await ask.delete("p")).json()["metadata"]["deletionGracePeriodSeconds"] == 5
        seen = [event async for event in _until_deleted(events)]
    assert seen[0]["type"] == "MODIFIED"
    assert "deletionTimestamp" in seen[0]["object"]["metadata"]
    assert state(seen[-1]["object"])["terminated"]["exitCode"] == 4
    assert cluster.pods() == []


@pytest.mark.parametrize("program", [DEAF, SLEEP], ids=["ignores TERM", "has no handler, and is PID 1"])
async def test_killed_after_the_whole_grace(cluster: FakeCluster, ask: Asker, program: tuple[str, ...]) -> None:
    await ask.run("p", *program)
    if program is DEAF:
        await cluster.until_log("p", "up")
    (pid,) = cluster.processes()["p"]
    begun = asyncio.get_running_loop().time()
    await ask.delete("p", gracePeriodSeconds=1)
    await cluster.until(lambda: cluster.pods() == [])
    assert asyncio.get_running_loop().time() - begun >= 1
    assert not alive(pid)


async def test_a_second_delete_shortens_the_grace(cluster: FakeCluster, ask: Asker) -> None:
    await ask.run("p", *SLEEP)
    await ask.delete("p", gracePeriodSeconds=1000)
    assert cluster.pods() == ["p"]
    await ask.delete("p", gracePeriodSeconds=1)
    await cluster.until(lambda: cluster.pods() == [])


async def test_the_end_of_pid_1_is_the_end_of_all_it_started(cluster: FakeCluster, ask: Asker) -> None:
    """Also of what has left its group and its session."""
    script = "setsid sh -c 'sleep 1000 & echo $! >far; wait' & until [ -s far ]; do :; done; cat far; exec sleep 1000"
    await ask.run("p", "sh", "-c", script)
    await cluster.until(lambda: cluster.log("p").endswith(b"\n"))
    far = int(cluster.log("p"))
    assert alive(far)
    cluster.kill("p")
    await cluster.until_phase("p", "Failed")
    assert not alive(far)


async def test_evicted_under_pressure(cluster: FakeCluster, ask: Asker) -> None:
    """The object stays, and says so twice."""
    await ask.run("p", *SLEEP)
    cluster.evict("p")
    assert await cluster.until_phase("p", "Succeeded", "Failed") == "Failed"
    pod = cluster.pod("p")
    assert pod["status"]["reason"] == "Evicted"
    assert condition(pod, "DisruptionTarget") == ("True", "TerminationByKubelet")


async def test_evicted_by_the_api(cluster: FakeCluster, ask: Asker) -> None:
    await ask.run("p", *HEEDS)
    await cluster.until_log("p", "up")
    cluster.protect("p")
    assert (await ask.http.post("pods/p/eviction", json={"metadata": {"name": "p"}})).status_code == 429
    cluster.protect("p", False)
    async with ask.watch(resourceVersion=cluster.pod("p")["metadata"]["resourceVersion"]) as events:
        assert (await ask.http.post("pods/p/eviction", json={"metadata": {"name": "p"}})).status_code == 201
        last = [event async for event in _until_deleted(events)][-1]
    assert condition(last["object"], "DisruptionTarget") == ("True", "EvictionByEvictionAPI")


async def test_preempted(cluster: FakeCluster, ask: Asker) -> None:
    await ask.run("p", *HEEDS)
    await cluster.until_log("p", "up")
    async with ask.watch(resourceVersion=cluster.pod("p")["metadata"]["resourceVersion"]) as events:
        cluster.preempt("p")
        last = [event async for event in _until_deleted(events)][-1]
    assert condition(last["object"], "DisruptionTarget") == ("True", "PreemptionByScheduler")


async def test_a_lost_node_keeps_its_pod_running(cluster: FakeCluster, ask: Asker) -> None:
    """The object is marked, its phase stays, logs fail, the process lives on; it all ends when the kubelet is back."""
    await ask.run("p", *HEEDS)
    await cluster.until_log("p", "up")
    (pid,) = cluster.processes()["p"]
    cluster.lose_node("node-1")
    pod = cluster.pod("p")
    assert pod["status"]["phase"] == "Running"
    assert "deletionTimestamp" in pod["metadata"]
    assert condition(pod, "DisruptionTarget") == ("True", "DeletionByTaintManager")
    assert (await ask.log("p")).status_code == 500
    assert alive(pid)
    cluster.restore_node("node-1")
    await cluster.until(lambda: cluster.pods() == [] and not cluster.processes())
    assert not alive(pid)


async def test_a_forced_delete_removes_the_object_only(cluster: FakeCluster, ask: Asker) -> None:
    """While its node is lost: a pod of the same name can run a second copy elsewhere."""
    cluster.add_node("node-2")
    await ask.run("p", *SLEEP)
    first = cluster.pod("p")
    (pid,) = cluster.processes()["p"]
    cluster.lose_node(first["spec"]["nodeName"])
    await ask.delete("p", gracePeriodSeconds=0)
    assert cluster.pods() == []
    assert alive(pid)
    second = await ask.run("p", *SLEEP)
    assert second["metadata"]["uid"] != first["metadata"]["uid"]
    assert second["spec"]["nodeName"] != first["spec"]["nodeName"]
    assert alive(pid)
    cluster.restore_node(first["spec"]["nodeName"])
    await cluster.until(lambda: len(cluster.kubelet.lives) == 1)
    assert not alive(pid)


async def test_a_removed_node_takes_its_pods_along(cluster: FakeCluster, ask: Asker) -> None:
    await ask.run("p", *SLEEP)
    (pid,) = cluster.processes()["p"]
    cluster.remove_node("node-1")
    assert cluster.pods() == []
    await cluster.until(lambda: not cluster.processes())
    assert not alive(pid)


async def test_a_program_that_is_not_there(cluster: FakeCluster, ask: Asker) -> None:
    await ask.create("p", "/no/such/program")
    await cluster.until_phase("p", "Failed")
    ended = state(cluster.pod("p"))["terminated"]
    assert (ended["reason"], ended["exitCode"]) == ("StartError", 128)
    assert "executable file not found" in ended["message"]


@pytest.mark.parametrize(
    ("verb", "policy", "reason"),
    [
        ("break_image", "IfNotPresent", "ImagePullBackOff"),
        ("remove_image", "Never", "ErrImageNeverPull"),
        ("hold_image", "IfNotPresent", "ContainerCreating"),
    ],
)
async def test_an_image_that_does_not_come(
    cluster: FakeCluster, ask: Asker, verb: str, policy: str, reason: str
) -> None:
    """Pending for ever, and never Failed by itself."""
    getattr(cluster, verb)("*/agent:*")
    async with ask.watch() as events:
        await ask.create("p", "true", container={"imagePullPolicy": policy})
        reasons: list[str] = []
        async for event in events:
            if waiting := (event["object"]["status"].get("containerStatuses") or [{"state": {}}])[0]["state"]:
                reasons.append(waiting["waiting"]["reason"])
            if reasons[-1:] == [reason]:
                break
    assert reasons == (["ErrImagePull"] if reason == "ImagePullBackOff" else []) + [reason]
    assert cluster.phase("p") == "Pending"
    cluster.release_image("*/agent:*")
    await cluster.until_phase("p", "Succeeded")


async def test_unschedulable(cluster: FakeCluster, ask: Asker) -> None:
    """For ever, until there is room; one to be deleted goes at once."""
    impossible = {"resources": {"requests": {"cpu": "65"}}}
    for name in ("p", "q"):
        await ask.create(name, "true", container=impossible)
        await cluster.until(lambda: all(condition(cluster.pod(each), "PodScheduled")[0] for each in cluster.pods()))
        assert condition(cluster.pod(name), "PodScheduled") == ("False", "Unschedulable")
        assert cluster.phase(name) == "Pending"
    await ask.delete("q")
    assert cluster.pods() == ["p"]
    events = (await ask.http.get("events", params={"fieldSelector": "involvedObject.name=p"})).json()["items"]
    assert [(event["reason"], event["message"]) for event in events] == [
        ("FailedScheduling", "0/1 nodes are available: 1 Insufficient cpu.")
    ]
    cluster.add_node("large", cpu="128")
    await cluster.until_phase("p", "Succeeded")


async def test_what_a_container_needs_is_not_there(cluster: FakeCluster, ask: Asker) -> None:
    env = [{"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "it"}}}]
    await ask.create("p", "sh", "-c", "echo $KEY", container={"env": env})
    await cluster.until(lambda: "containerStatuses" in cluster.pod("p")["status"])
    assert state(cluster.pod("p"))["waiting"] == {
        "reason": "CreateContainerConfigError",
        "message": 'secret "keys" not found',
    }
    cluster.secret("keys", {"it": "opens"})
    await cluster.until_phase("p", "Succeeded")
    assert cluster.log("p") == b"opens\n"


async def test_deleted_by_hand_while_pending(cluster: FakeCluster, ask: Asker) -> None:
    """On a node, but not started: no grace is waited for."""
    cluster.hold_image("*")
    await ask.create("p", "true")
    await cluster.until(lambda: "containerStatuses" in cluster.pod("p")["status"])
    cluster.delete_by_hand("p")
    await cluster.until(lambda: cluster.pods() == [])


async def test_no_process_survives_the_cluster(ask: Asker, cluster: FakeCluster) -> None:
    await ask.run("p", *DEAF)
    await ask.run("q", "sh", "-c", "setsid sleep 1000 & exec sleep 1000")
    pids = [pid for pids in cluster.processes().values() for pid in pids]
    assert len(pids) == 2
    await cluster.kubelet.close()
    assert not any(alive(pid) for pid in pids)


async def _until_deleted(events: AsyncIterator[Json]) -> AsyncIterator[Json]:
    async for event in events:
        yield event
        if event["type"] == "DELETED":
            return
