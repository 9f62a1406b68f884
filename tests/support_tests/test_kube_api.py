"""The API server's part: refusals, lists, watches, versions, rights, and what it is told to do wrong."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.support.kube.access import Use
from tests.support.kube.cluster import FakeCluster
from tests.support_tests.conftest import Asker, Json, alive, pod

MERGE = {"Content-Type": "application/merge-patch+json"}
CLAIM: Json = {
    "metadata": {"name": "c"},
    "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
}


async def test_a_name_is_taken_once(cluster: FakeCluster, ask: Asker) -> None:
    await ask.create("p", "sleep", "1000")
    answer = await ask.create("p", "true")
    assert (answer.status_code, answer.json()["reason"]) == (409, "AlreadyExists")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"metadata": {"name": "Upper"}}, "metadata.name: Invalid value"),
        ({"metadata": {"name": "x" * 254}}, "metadata.name: Invalid value"),
        ({"metadata": {"name": "p", "labels": {"team": "no good"}}}, "metadata.labels: Invalid value"),
        ({"metadata": {"name": "p", "labels": {"team": "x" * 64}}}, "metadata.labels: Invalid value"),
        ({"spec": {"containers": []}}, "spec.containers: Required value"),
        ({"spec": {"restartPolicy": "Sometimes"}}, "spec.restartPolicy: Unsupported value"),
        ({"container": {"imagePullPolicy": "Perhaps"}}, "imagePullPolicy: Unsupported value"),
        ({"container": {"image": ""}}, "spec.containers[0].image: Required value"),
        ({"container": {"volumeMounts": [{"name": "v", "mountPath": "/v"}]}}, 'volumeMounts[0].name: Not found: "v"'),
        ({"container": {"resources": {"limits": {"cpu": "much"}}}}, "resources.limits[cpu]: Invalid value"),
        (
            {"container": {"resources": {"limits": {"cpu": "1"}, "requests": {"cpu": "1500m"}}}},
            "must be less than or equal to cpu limit",
        ),
        ({"spec": {"activeDeadlineSeconds": 0}}, "spec.activeDeadlineSeconds: Invalid value"),
    ],
)
async def test_refused_for_what_is_in_it(cluster: FakeCluster, ask: Asker, change: Json, said: str) -> None:
    body = pod("p", "true", container=change.get("container"), **change.get("spec", {}))
    body["metadata"].update(change.get("metadata", {}))
    answer = await ask.http.post("pods", json=body)
    assert answer.status_code == 422, answer.text
    assert said in answer.json()["message"]
    assert cluster.pods() == []


async def test_unknown_fields(cluster: FakeCluster, ask: Asker) -> None:
    """Refused where the client asks for it, else dropped with a warning."""
    answer = await ask.create("p", "true", container={"comand": []})
    assert answer.status_code == 400
    assert 'strict decoding error: unknown field "spec.containers[0].comand"' in answer.json()["message"]
    answer = await ask.create("p", "true", container={"comand": []}, strict=False)
    assert answer.status_code == 201
    assert 'unknown field "spec.containers[0].comand"' in answer.headers["Warning"]
    assert "comand" not in answer.json()["spec"]["containers"][0]
    answer = await ask.create("q", "true", container={"tty": "yes"}, strict=False)
    assert answer.status_code == 400
    assert "cannot unmarshal" in answer.json()["message"]


@pytest.mark.parametrize("spec", [{"restartPolicy": "Always"}, {"initContainers": [{"name": "i", "image": "i:1"}]}])
async def test_what_the_fake_does_not_know_it_refuses(cluster: FakeCluster, ask: Asker, spec: Json) -> None:
    assert (await ask.create("p", "true", **spec)).status_code == 501


async def test_a_list_in_pages(cluster: FakeCluster, ask: Asker) -> None:
    """Of one moment, however long it takes; 410 when that is too long ago."""
    cluster.unschedulable()
    for number in range(5):
        await ask.create(f"p{number}", "true", labels={"odd": str(number % 2)})
    first = (await ask.http.get("pods", params={"limit": "2"})).json()
    assert first["metadata"]["remainingItemCount"] == 3
    await ask.delete("p3")
    second = (await ask.http.get("pods", params={"limit": "2", "continue": first["metadata"]["continue"]})).json()
    assert [each["metadata"]["name"] for each in second["items"]] == ["p2", "p3"]
    assert second["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
    cluster.compact()
    gone = await ask.http.get("pods", params={"limit": "2", "continue": second["metadata"]["continue"]})
    assert (gone.status_code, gone.json()["reason"]) == (410, "Expired")
    odd = (await ask.http.get("pods", params={"labelSelector": "odd=1"})).json()["items"]
    assert [each["metadata"]["name"] for each in odd] == ["p1"]
    named = (await ask.http.get("pods", params={"fieldSelector": "metadata.name=p4"})).json()["items"]
    assert [each["metadata"]["name"] for each in named] == ["p4"]
    assert (await ask.http.get("pods", params={"fieldSelector": "spec.image=x"})).status_code == 400
    several = (await ask.http.get("pods", params={"labelSelector": "odd in (0, 1),odd!=1,!even"})).json()["items"]
    assert [each["metadata"]["name"] for each in several] == ["p0", "p2", "p4"]


async def test_a_watch_from_a_version(cluster: FakeCluster, ask: Asker) -> None:
    """Everything since then, in order, without a gap to the list."""
    cluster.unschedulable()
    await ask.create("old", "true", labels={"a": "b"})
    version = (await ask.http.get("pods")).json()["metadata"]["resourceVersion"]
    await ask.create("new", "true", labels={"a": "b"})
    await ask.create("other", "true")
    async with ask.watch(resourceVersion=version, labelSelector="a=b", allowWatchBookmarks="true") as events:
        await _until(events, "ADDED", "new")
        # One that ceases to match is deleted for this watch, one that begins to is added.
        await ask.http.patch("pods/new", json={"metadata": {"labels": {"a": None}}}, headers=MERGE)
        await _until(events, "DELETED", "new")
        await ask.http.patch("pods/other", json={"metadata": {"labels": {"a": "b"}}}, headers=MERGE)
        await _until(events, "ADDED", "other")
        cluster.bookmark()
        bookmark = await _until(events, "BOOKMARK")
        assert int(bookmark["object"]["metadata"]["resourceVersion"]) == cluster.store.version


async def test_a_watch_that_is_too_late(cluster: FakeCluster, ask: Asker) -> None:
    """An event in a good answer: 410."""
    version = (await ask.http.get("pods")).json()["metadata"]["resourceVersion"]
    await ask.create("p", "true")
    cluster.compact()
    async with ask.watch(resourceVersion=version) as events:
        error = await _until(events, "ERROR")
        assert (error["object"]["code"], error["object"]["reason"]) == (410, "Expired")
        assert [event async for event in events] == []
    async with ask.watch(resourceVersion=str(cluster.store.version)) as events:
        cluster.compact(watching=True)
        await _until(events, "ERROR")


async def test_a_watch_ends_in_time_with_a_bookmark(cluster: FakeCluster, ask: Asker) -> None:
    async with ask.watch(timeoutSeconds="1", allowWatchBookmarks="true") as events:
        assert [event["type"] async for event in events] == ["BOOKMARK"]
    assert cluster.watches() == 0


async def test_a_watch_that_is_cut(cluster: FakeCluster, ask: Asker) -> None:
    async with ask.watch() as events:
        await cluster.until(lambda: cluster.watches() == 1)
        cluster.cut_connections()
        with pytest.raises(httpx.TransportError):
            await anext(events)
    await cluster.until(lambda: cluster.watches() == 0)


async def test_preconditions_of_a_delete(cluster: FakeCluster, ask: Asker) -> None:
    cluster.unschedulable()
    meta = (await ask.create("p", "true")).json()["metadata"]
    for wrong in ({"uid": "another"}, {"resourceVersion": "1"}):
        assert (await ask.delete("p", preconditions=wrong)).status_code == 409
    await cluster.until(lambda: cluster.pod("p")["status"].get("conditions") is not None)
    stale = {"uid": meta["uid"], "resourceVersion": meta["resourceVersion"]}
    assert (await ask.delete("p", preconditions=stale)).status_code == 409
    now = cluster.pod("p")["metadata"]["resourceVersion"]
    right = {"uid": meta["uid"], "resourceVersion": now}
    assert (await ask.delete("p", preconditions=right)).status_code == 200
    assert (await ask.delete("p")).status_code == 404


async def test_patches(cluster: FakeCluster, ask: Asker) -> None:
    cluster.unschedulable()
    await ask.create("p", "true")
    await cluster.until(lambda: cluster.pod("p")["status"].get("conditions") is not None)
    for kind in ("merge", "strategic-merge"):
        answer = await ask.http.patch(
            "pods/p",
            json={"metadata": {"annotations": {kind: "1"}}},
            headers={"Content-Type": f"application/{kind}-patch+json"},
        )
        assert answer.status_code == 200
    operation = {"op": "add", "path": "/metadata/annotations/a~1b", "value": "2"}
    plain = {"Content-Type": "application/json-patch+json"}
    assert (await ask.http.patch("pods/p", json=[operation], headers=plain)).status_code == 200
    assert cluster.pod("p")["metadata"]["annotations"] == {"merge": "1", "strategic-merge": "1", "a/b": "2"}
    test = {"op": "test", "path": "/metadata/annotations/merge", "value": "other"}
    assert (await ask.http.patch("pods/p", json=[test], headers=plain)).status_code == 422
    stale = {"metadata": {"resourceVersion": "1", "annotations": {"late": "1"}}}
    assert (await ask.http.patch("pods/p", json=stale, headers=MERGE)).status_code == 409
    moved = {"spec": {"nodeName": "node-1"}}
    assert (await ask.http.patch("pods/p", json=moved, headers=MERGE)).status_code == 422
    assert "late" not in cluster.pod("p")["metadata"]["annotations"]


async def test_quota(cluster: FakeCluster, ask: Asker) -> None:
    """A pod that has ended frees its place."""
    cluster.quota({"pods": "1"})
    await ask.run("p", "sleep", "1000")
    answer = await ask.create("q", "true")
    assert answer.status_code == 403
    assert "exceeded quota: quota, requested: pods=1, used: pods=1, limited: pods=1" in answer.json()["message"]
    cluster.kill("p")
    await cluster.until_phase("p", "Failed")
    assert (await ask.create("q", "true")).status_code == 201


async def test_it_fails_as_told(cluster: FakeCluster, ask: Asker) -> None:
    cluster.fail_next("create", "pods", 429, times=2, retry_after=3)
    answers = [await ask.create("p", "true") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [429, 429, 201]
    assert answers[0].headers["Retry-After"] == "3"
    cluster.fail_next("get", "pods/log", 500)
    assert (await ask.log("p")).status_code == 500


async def test_an_answer_that_is_lost(cluster: FakeCluster, ask: Asker) -> None:
    """It was done all the same."""
    cluster.lose_answer("create", "pods")
    with pytest.raises(httpx.TransportError):
        await ask.create("p", "true")
    assert (await ask.create("p", "true")).status_code == 409


async def test_down_and_up(cluster: FakeCluster, ask: Asker) -> None:
    """Pods are undisturbed, and the port is the same."""
    await ask.run("p", "sleep", "1000")
    (pid,) = cluster.processes()["p"]
    cluster.down()
    with pytest.raises(httpx.TransportError):
        await ask.http.get("pods")
    await cluster.up()
    assert (await ask.http.get("pods/p")).json()["status"]["phase"] == "Running"
    assert alive(pid)


async def test_who_may_what_and_who_did(cluster: FakeCluster, ask: Asker) -> None:
    rules = [
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]},
        {"apiGroups": [""], "resources": ["pods/attach"], "verbs": ["get"]},
    ]
    narrow = {"Authorization": f"Bearer {cluster.token('narrow', rules)}"}
    await ask.run("p", "sleep", "1000")
    assert (await ask.http.get("pods/p", headers=narrow)).status_code == 200
    refused = await ask.http.delete("pods/p", headers=narrow)
    assert refused.status_code == 403
    assert 'cannot delete resource "pods" in API group "" in the namespace "default"' in refused.json()["message"]
    upgrade = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Protocol": "v5.channel.k8s.io"}
    answer = await ask.http.get("pods/p/attach", params={"stdout": "true"}, headers=narrow | upgrade)
    assert answer.status_code == 403
    assert 'cannot create resource "pods/attach"' in answer.json()["message"]
    assert (await ask.http.get("pods", headers={"Authorization": "Bearer wrong"})).status_code == 401
    assert cluster.used_by("narrow") == [
        ["create", "", "pods", "attach"],
        ["delete", "", "pods", ""],
        ["get", "", "pods", ""],
        ["get", "", "pods", "attach"],
    ]
    assert Use("create", "", "pods") in cluster.used
    review = {"spec": {"resourceAttributes": {"verb": "delete", "resource": "pods", "namespace": "default"}}}
    url = f"{cluster.url}/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    answers = [await ask.http.post(url, json=review, headers=headers) for headers in (narrow, ask.headers)]
    assert [answer.json()["status"]["allowed"] for answer in answers] == [False, True]


async def test_a_claim_goes_when_nobody_uses_it(cluster: FakeCluster, ask: Asker, tmp_path: Any) -> None:
    """Its files are shared by the pods that mount it, and outlive them."""
    place = f"{tmp_path}/mounted"
    volume: Json = {"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}]}
    mount: Json = {"volumeMounts": [{"name": "v", "mountPath": place}]}
    await ask.create("p", "sh", "-c", f"echo kept >{place}/file; exec sleep 1000", container=mount, **volume)
    await cluster.until(lambda: "conditions" in cluster.pod("p")["status"])
    assert "persistentvolumeclaim" in cluster.pod("p")["status"]["conditions"][0]["message"]
    assert (await ask.http.post("persistentvolumeclaims", json=CLAIM)).json()["status"]["phase"] == "Bound"
    await cluster.until_phase("p", "Running")
    await ask.http.delete("persistentvolumeclaims/c")
    there = (await ask.http.get("persistentvolumeclaims/c")).json()
    assert "deletionTimestamp" in there["metadata"]
    await ask.create("q", "cat", f"{place}/file", container=mount, **volume)
    await cluster.until_phase("q", "Succeeded")
    assert cluster.log("q") == b"kept\n"
    await ask.delete("p", gracePeriodSeconds=0)
    await cluster.until(lambda: cluster.store.get("persistentvolumeclaims", "default", "c") is None)


async def test_what_a_container_is_given(cluster: FakeCluster, ask: Asker) -> None:
    """Expanded as the kubelet does it, also in a script; mount paths are replaced by folders."""
    cluster.config_map("settings", {"a.txt": "text"})
    env = [{"name": "ONE", "value": "1"}, {"name": "TWO", "value": "$(ONE)$(ONE) $(NONE) $$(ONE)"}]
    mount = [{"name": "v", "mountPath": "/etc/settings"}]
    script = "echo $TWO; echo $(ONE) $$ONE; cat /etc/settings/a.txt; echo :$QD_NOT_THERE:; pwd"
    await ask.create(
        "p",
        *("sh", "-c", script),
        container={"env": env, "volumeMounts": mount, "workingDir": "/etc/settings"},
        volumes=[{"name": "v", "configMap": {"name": "settings"}}],
    )
    await cluster.until_phase("p", "Succeeded", "Failed")
    lines = cluster.log("p").decode().splitlines()
    assert lines[:2] == ["11 $(NONE) $(ONE)", "1 1"]
    assert lines[2] == "text::"
    assert lines[3].endswith("/volumes/v")


async def test_team_affinity_and_selectors_place_pods(cluster: FakeCluster, ask: Asker) -> None:
    cluster.add_node("node-2", labels={"disk": "fast"})
    term = {"labelSelector": {"matchLabels": {"team": "a"}}, "topologyKey": "kubernetes.io/hostname"}
    together = {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
    apart = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
    sleep = ("sleep", "1000")
    first = await ask.run("p", *sleep, labels={"team": "a"}, nodeSelector={"disk": "fast"})
    second = await ask.run("q", *sleep, labels={"team": "a"}, affinity=together)
    third = await ask.run("r", *sleep, labels={"team": "a"}, affinity=apart)
    assert [each["spec"]["nodeName"] for each in (first, second, third)] == ["node-2", "node-2", "node-1"]
    await ask.create("s", *sleep, labels={"team": "a"}, affinity=apart)
    await cluster.until(lambda: "conditions" in cluster.pod("s")["status"])
    message = cluster.pod("s")["status"]["conditions"][0]["message"]
    assert message == "0/2 nodes are available: 2 node(s) didn't match pod anti-affinity rules."


async def test_namespaces(cluster: FakeCluster, ask: Asker) -> None:
    """What is in one goes with it."""
    base = f"{cluster.url}/api/v1/namespaces"
    assert (await ask.http.post(f"{base}/mine/pods", json=pod("p", "true"))).status_code == 404
    assert (await ask.http.post(base, json={"metadata": {"name": "mine"}})).status_code == 201
    assert (await ask.http.post(f"{base}/mine/pods", json=pod("p", "sleep", "1000"))).status_code == 201
    await cluster.until_phase("p", "Running")
    (pid,) = cluster.processes()["p"]
    await ask.http.delete(f"{base}/mine")
    await cluster.until(lambda: not cluster.processes())
    assert not alive(pid)
    assert (await ask.http.get(f"{base}/mine")).status_code == 404


async def _until(events: Any, kind: str, name: str = "") -> Json:
    async for event in events:
        if event["type"] == kind and (not name or event["object"]["metadata"]["name"] == name):
            return dict(event)
    raise AssertionError(f"no {kind} {name}")
