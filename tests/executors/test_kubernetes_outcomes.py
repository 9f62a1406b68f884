"""Every end a pod can come to, from what the API says of it: the outcome's name, and whether it uses up a retry."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lite.executors.kubernetes import outcomes
from lite.executors.kubernetes.outcomes import History, judge, refused, reported
from lite.model.task import MAX_FAULTS, Outcome, OutcomeKind, Reason
from lite.rules.pick import NO_PLACE
from lite.rules.retry import settle

Json = dict[str, Any]

NOW = 1_790_000_000_000
MINUTE = 60_000
EMPTY = History("agent", NOW, 10 * MINUTE, asked=True)


def pod(phase: str = "Running", *, state: Json | None = None, **more: Any) -> Json:
    """`more`: `conditions`, `reason`, `message` of the status, the rest of the metadata."""
    status = {key: more.pop(key) for key in ("conditions", "reason", "message") if key in more}
    if state is not None:
        status["containerStatuses"] = [{"name": "sidecar", "state": {"running": {}}}, {"name": "agent", "state": state}]
    return {"metadata": {"name": "p", "uid": "u", **more}, "status": {"phase": phase, **status}}


def terminated(code: int, reason: str = "Error", report: Json | None = None, at: str = "2026-11-21T10:00:00Z") -> Json:
    found: Json = {"exitCode": code, "reason": reason, "finishedAt": at}
    if report is not None:
        found["message"] = json.dumps({"version": 1, **report})
    return {"terminated": found}


def waiting(reason: str) -> Json:
    return {"waiting": {"reason": reason, "message": "words of the kubelet"}}


def disrupted(reason: str) -> list[Json]:
    return [{"type": "DisruptionTarget", "status": "True", "reason": reason, "message": "why"}]


def deleted(at: str = "2026-11-21T10:00:30Z", grace: int = 30) -> Json:
    """Asked for at 10:00:00."""
    return {"deletionTimestamp": at, "deletionGracePeriodSeconds": grace}


def seen(*pods: Json, after: int = 0) -> Outcome | None:
    """The end after these were seen at once, `after` ms later."""
    history = EMPTY
    for one in pods:
        history = history.saw(one, NOW)
    return judge(history, NOW + after).outcome


def ended(*pods: Json, after: int = 0) -> Outcome:
    outcome = seen(*pods, after=after)
    assert outcome is not None
    return outcome


OWN, INFRA, NOBODY = OutcomeKind.FAILED, OutcomeKind.UNEXECUTABLE, OutcomeKind.RESCHEDULED

TABLE: dict[str, tuple[Json, OutcomeKind, str]] = {
    "succeeded": (pod("Succeeded", state=terminated(0, "Completed", {"code": 0})), OutcomeKind.SUCCEEDED, ""),
    "exit 3": (pod("Failed", state=terminated(3, report={"code": 3})), OWN, Reason.EXIT),
    "ended by a signal": (pod("Failed", state=terminated(143, report={"code": 143, "signal": 15})), OWN, Reason.SIGNAL),
    "a child killed by -9": (
        pod("Failed", state=terminated(137, report={"code": 137, "signal": 9})),
        OWN,
        Reason.SIGNAL,
    ),
    "no such program": (
        pod("Failed", state=terminated(127, report={"code": 127, "launch": "not found: x"})),
        OWN,
        Reason.LAUNCH,
    ),
    "out of memory": (pod("Failed", state=terminated(137, "OOMKilled")), OWN, outcomes.OOM),
    "deadline": (pod("Failed", state=terminated(143), reason="DeadlineExceeded"), OWN, outcomes.DEADLINE),
    "deadline without a container": (pod("Failed", reason="DeadlineExceeded"), OWN, outcomes.DEADLINE),
    "killed from outside": (pod("Failed", state=terminated(137)), INFRA, outcomes.KILLED),
    "succeeded without a report": (pod("Succeeded", state=terminated(0, "Completed")), INFRA, outcomes.NO_REPORT),
    "succeeded and nothing else": (pod("Succeeded"), INFRA, outcomes.NO_REPORT),
    "failed without a report": (pod("Failed", state=terminated(1)), INFRA, outcomes.NO_REPORT),
    "a report that says it knows nothing": (
        pod("Failed", state=terminated(1, report={"code": 1, "lost": "nobody knows"})),
        INFRA,
        outcomes.NO_REPORT,
    ),
    "no sh in the image": (pod("Failed", state=terminated(128, "StartError")), INFRA, outcomes.CONTAINER),
    "evicted by its node": (pod("Failed", reason="Evicted", state=terminated(137)), INFRA, outcomes.EVICTED),
    "evicted before it began": (pod("Failed", reason="Evicted"), INFRA, outcomes.EVICTED),
    "evicted, as its conditions say": (
        pod("Failed", state=terminated(137), conditions=disrupted("TerminationByKubelet")),
        INFRA,
        outcomes.EVICTED,
    ),
    "its node goes down": (pod("Failed", reason="NodeShutdown"), INFRA, outcomes.NODE_LOST),
    "its node would not take it": (pod("Failed", reason="OutOfcpu"), INFRA, outcomes.NODE_REFUSED),
    "preempted": (
        pod("Failed", state=terminated(143), conditions=disrupted("PreemptionByScheduler"), **deleted()),
        NOBODY,
        outcomes.PREEMPTED,
    ),
    "preempted by its node": (pod("Failed", reason="Preempting"), NOBODY, outcomes.PREEMPTED),
    "drained": (
        pod("Failed", state=terminated(143), conditions=disrupted("EvictionByEvictionAPI"), **deleted()),
        NOBODY,
        outcomes.DRAINED,
    ),
    "node lost": (
        pod(state={"running": {}}, conditions=disrupted("DeletionByTaintManager"), **deleted()),
        INFRA,
        outcomes.NODE_LOST,
    ),
    "node removed": (
        pod(state={"running": {}}, conditions=disrupted("DeletionByPodGC"), **deleted()),
        INFRA,
        outcomes.NODE_LOST,
    ),
    "deleted by hand": (
        pod(
            "Failed", state=terminated(143, report={"code": 143, "signal": 15}, at="2026-11-21T10:00:02Z"), **deleted()
        ),
        INFRA,
        outcomes.DELETED,
    ),
    "ended by itself, then deleted": (
        pod("Succeeded", state=terminated(0, report={"code": 0}, at="2026-11-21T09:59:00Z"), **deleted()),
        OutcomeKind.SUCCEEDED,
        "",
    ),
}


@pytest.mark.parametrize("row", TABLE, ids=str)
def test_every_end_has_a_name(row: str) -> None:
    found, kind, reason = TABLE[row]
    outcome = ended(found)
    assert (outcome.kind, outcome.reason) == (kind, reason)
    assert outcome.detail or kind is OutcomeKind.SUCCEEDED


@pytest.mark.parametrize("row", TABLE, ids=str)
def test_only_the_task_s_own_failures_use_up_its_retries(row: str) -> None:
    found, kind, _ = TABLE[row]
    following = settle(ended(found), retries=1, failures=0, faults=0, cancel="", now=NOW, delay_ms=0)
    assert following.failures == (kind is OWN)
    assert following.faults == (kind is INFRA)
    assert MAX_FAULTS > 1


PENDING: dict[str, tuple[Json, int, str]] = {
    "an image that is not there": (
        pod("Pending", state=waiting("ErrImageNeverPull")),
        outcomes.FIXED_GRACE_MS,
        outcomes.IMAGE,
    ),
    "an impossible image": (pod("Pending", state=waiting("InvalidImageName")), outcomes.FIXED_GRACE_MS, outcomes.IMAGE),
    "an image that cannot be pulled": (
        pod("Pending", state=waiting("ErrImagePull")),
        outcomes.IMAGE_GRACE_MS,
        outcomes.IMAGE,
    ),
    "a Secret that is not there": (
        pod("Pending", state=waiting("CreateContainerConfigError")),
        outcomes.CONFIG_GRACE_MS,
        outcomes.CONTAINER,
    ),
    "no node": (
        pod("Pending", conditions=[{"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}]),
        10 * MINUTE,
        outcomes.UNSCHEDULABLE,
    ),
    "anything else that lasts": (
        pod("Pending", state=waiting("ContainerCreating")),
        10 * MINUTE,
        outcomes.START_TIMEOUT,
    ),
}


@pytest.mark.parametrize("row", PENDING, ids=str)
def test_what_does_not_start_is_given_time(row: str) -> None:
    found, grace, reason = PENDING[row]
    assert seen(found, after=grace - 1) is None
    assert judge(EMPTY.saw(found, NOW), NOW).due == NOW + grace
    outcome = ended(found, after=grace)
    assert (outcome.kind, outcome.reason) == (INFRA, reason)
    assert outcome.reason in NO_PLACE


def test_the_time_of_one_trouble_goes_on_while_its_words_change_and_begins_anew_after_another() -> None:
    pulling, backing_off = (
        pod("Pending", state=waiting("ErrImagePull")),
        pod("Pending", state=waiting("ImagePullBackOff")),
    )
    history = EMPTY.saw(pulling, NOW).saw(backing_off, NOW + 40_000)
    assert judge(history, NOW + outcomes.IMAGE_GRACE_MS).outcome is not None
    fine = pod("Pending", state=waiting("ContainerCreating"))
    history = EMPTY.saw(pulling, NOW).saw(fine, NOW + 30_000).saw(pulling, NOW + 40_000)
    assert judge(history, NOW + outcomes.IMAGE_GRACE_MS).outcome is None


@pytest.mark.parametrize(
    "found",
    [
        pod("Pending"),
        pod(state={"running": {}}),
        pod("Unknown"),
        pod(state={"running": {}}, conditions=[{"type": "Ready", "status": "False"}]),
        pod(state={"running": {}}, **deleted()),
        {"metadata": {}, "status": {}},
        {},
    ],
)
def test_what_may_yet_go_on_is_left_alone(found: Json) -> None:
    assert seen(found, after=5 * MINUTE if "deletionTimestamp" not in found.get("metadata", {}) else 0) is None


def test_why_its_container_has_ended_is_waited_for_a_moment() -> None:
    """The kubelet tells of containers and of the pod's phase one after the other."""
    found = pod(state=terminated(143, report={"code": 143, "signal": 15}))
    assert seen(found, after=outcomes.SETTLE_MS - 1) is None
    assert ended(found, after=outcomes.SETTLE_MS).reason == Reason.SIGNAL
    late = {**found, "status": {**found["status"], "phase": "Failed", "reason": "DeadlineExceeded"}}
    assert ended(found, late).reason == outcomes.DEADLINE


def test_what_its_container_said_last_counts_when_the_pod_is_gone() -> None:
    history = EMPTY.saw(pod(state=terminated(3, report={"code": 3})), NOW).missed(NOW).missed(NOW + MINUTE)
    outcome = judge(history, NOW + MINUTE).outcome
    assert outcome is not None
    assert (outcome.kind, outcome.exit_code) == (OWN, 3)


def test_once_it_ran_no_start_is_timed() -> None:
    assert seen(pod(state={"running": {}}), pod("Pending"), after=60 * MINUTE) is None


def test_only_a_404_for_its_name_twice_says_that_it_is_gone() -> None:
    history = EMPTY.saw(pod(state={"running": {}}), NOW)
    assert judge(history, NOW + 600 * MINUTE).outcome is None  # silence
    once = history.missed(NOW)
    assert judge(once, NOW + 600 * MINUTE).outcome is None
    assert judge(once, NOW).look
    assert judge(once.missed(NOW + outcomes.GONE_GRACE_MS - 1), NOW + MINUTE).outcome is None
    outcome = judge(once.missed(NOW + outcomes.GONE_GRACE_MS), NOW + MINUTE).outcome
    assert outcome is not None
    assert (outcome.kind, outcome.reason) == (INFRA, outcomes.DELETED)
    back = once.saw(pod(state={"running": {}}), NOW + 1).missed(NOW + MINUTE)
    assert judge(back, NOW + MINUTE).outcome is None  # it was there in between


def test_before_it_was_created_its_absence_says_nothing() -> None:
    history = replace(EMPTY, asked=False).missed(NOW).missed(NOW + MINUTE)
    assert judge(history, NOW + MINUTE).outcome is None


def test_what_was_known_before_it_vanished_tells_why() -> None:
    preempted = pod(state={"running": {}}, conditions=disrupted("PreemptionByScheduler"), **deleted())
    history = EMPTY.saw(preempted, NOW).missed(NOW).missed(NOW + MINUTE)
    outcome = judge(history, NOW + MINUTE).outcome
    assert outcome is not None
    assert (outcome.kind, outcome.reason) == (NOBODY, outcomes.PREEMPTED)


def test_what_we_ended_ourselves_is_nobody_else_s_deed() -> None:
    stopping = replace(EMPTY, stopping=True)
    for history in (
        stopping.saw(pod(), NOW).missed(NOW).missed(NOW + MINUTE),
        stopping.saw(pod("Failed", state=terminated(137), **deleted()), NOW),
    ):
        outcome = judge(history, NOW + MINUTE).outcome
        assert outcome is not None
        assert (outcome.kind, outcome.reason) == (OWN, Reason.SIGNAL)
    polite = stopping.saw(pod("Succeeded", state=terminated(0, report={"code": 0}), **deleted()), NOW)
    assert judge(polite, NOW).outcome == Outcome(OutcomeKind.SUCCEEDED, exit_code=0)


def test_a_node_that_never_confirms_a_deletion_is_lost() -> None:
    dying = pod(state={"running": {}}, **deleted(grace=30))
    latest = 30_000 + outcomes.OVERDUE_MS
    assert seen(dying, after=latest - 1) is None
    assert ended(dying, after=latest).reason == outcomes.NODE_LOST


@pytest.mark.parametrize(
    ("answer", "message", "reason"),
    [
        (403, 'pods "p" is forbidden: exceeded quota: q, requested: pods=1', outcomes.QUOTA),
        (403, 'pods is forbidden: User "x" cannot create resource "pods"', outcomes.FORBIDDEN),
        (401, "Unauthorized", outcomes.FORBIDDEN),
        (422, "spec.containers[0].name: Invalid value", outcomes.REFUSED),
        (400, "strict decoding error", outcomes.REFUSED),
    ],
)
def test_what_the_api_refuses_to_create_has_a_name(answer: int, message: str, reason: str) -> None:
    found, words = refused(answer, message)
    assert found == reason
    assert message in words
    assert reason in NO_PLACE


def test_the_mark_in_the_output_stands_in_for_a_missing_report() -> None:
    bare = ended(pod("Succeeded", state=terminated(0, "Completed")))
    assert reported(bare, 0) == Outcome(OutcomeKind.SUCCEEDED, exit_code=0)
    assert reported(bare, 137).signal == 9
    assert reported(bare, None) == bare
    evicted = ended(pod("Failed", reason="Evicted"))
    assert reported(evicted, 0) == evicted


PHASES = st.sampled_from(["Pending", "Running", "Succeeded", "Failed", "Unknown"])


@given(
    st.lists(st.tuples(PHASES, st.sampled_from([*TABLE, *PENDING]), st.booleans()), max_size=6), st.integers(0, 10**8)
)
def test_no_success_without_a_report_of_success(plan: list[tuple[str, str, bool]], after: int) -> None:
    """Whatever the API shows, in whatever order."""
    history, reports = EMPTY, False
    for phase, row, absent in plan:
        found = {**TABLE, **PENDING}[row][0]
        found = {**found, "status": {**found["status"], "phase": phase}}
        history = history.missed(NOW + after) if absent else history.saw(found, NOW)
        reports = reports or row in ("succeeded", "ended by itself, then deleted")
    outcome = judge(history, NOW + after).outcome
    if outcome is not None and outcome.kind is OutcomeKind.SUCCEEDED:
        assert reports
