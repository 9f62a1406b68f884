"""What is said of each end, exactly: words, codes, what is complete, when to look again. The names of the ends are
proven in `test_kubernetes_outcomes`."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest

from lite.executors.kubernetes import outcomes
from lite.executors.kubernetes.outcomes import Judged, judge, refused, reported
from lite.model.task import Outcome, OutcomeKind, Reason
from tests.executors.test_kubernetes_outcomes import (
    EMPTY,
    INFRA,
    MINUTE,
    NOBODY,
    NOW,
    OWN,
    PENDING,
    TABLE,
    deleted,
    disrupted,
    ended,
    pod,
    seen,
    terminated,
    waiting,
)

Json = dict[str, Any]

RUNNING = {"running": {}}
LOST = {"code": 1, "lost": "nobody knows"}
DONE = {"code": 0}
EARLY, LATE, TOGETHER = "2026-11-21T09:59:59Z", "2026-11-21T10:00:02Z", "2026-11-21T10:00:00Z"  # asked for at 10:00:00


def by_node(reason: str, **more: Any) -> Json:
    return pod("Failed", reason=reason, message="why", **more)


def failed(state: Json | None = None, **more: Any) -> Json:
    return pod("Failed", state=state, **more)


def said(state: Json, message: str) -> Json:
    return {"terminated": {**state["terminated"], "message": message}}


EXACT: dict[str, tuple[Json, Outcome]] = {
    "exit 3": (
        failed(terminated(3, report={"code": 3})),
        Outcome(OWN, Reason.EXIT, "exit code 3", exit_code=3),
    ),
    "no such program": (
        failed(terminated(127, report={"code": 127, "launch": "not found: x"})),
        Outcome(OWN, Reason.LAUNCH, "not found: x", exit_code=127),
    ),
    "TERM": (
        failed(terminated(143, report={"code": 143, "signal": 15})),
        Outcome(OWN, Reason.SIGNAL, "ended by SIGTERM", signal=15),
    ),
    "KILL": (
        failed(terminated(137, report={"code": 137, "signal": 9})),
        Outcome(OWN, Reason.SIGNAL, "ended by SIGKILL, perhaps for its memory limit", signal=9),
    ),
    "a signal nobody knows": (
        failed(terminated(228, report={"code": 228, "signal": 100})),
        Outcome(OWN, Reason.SIGNAL, "ended by signal 100", signal=100),
    ),
    "deadline, with what its program said": (
        failed(terminated(143, report={"code": 143, "signal": 15}), reason="DeadlineExceeded"),
        Outcome(OWN, outcomes.DEADLINE, "it ran into the pod's active deadline", signal=15),
    ),
    "deadline, exited": (
        failed(terminated(7, report={"code": 7}), reason="DeadlineExceeded"),
        Outcome(OWN, outcomes.DEADLINE, "it ran into the pod's active deadline", exit_code=7),
    ),
    "deadline, and its program said that it knows nothing": (
        failed(terminated(1, report=LOST), reason="DeadlineExceeded"),
        Outcome(OWN, outcomes.DEADLINE, "it ran into the pod's active deadline"),
    ),
    "deadline, deleted": (
        failed(terminated(143), reason="DeadlineExceeded", **deleted()),
        Outcome(OWN, outcomes.DEADLINE, "it ran into the pod's active deadline"),
    ),
    "out of memory": (
        failed(terminated(137, "OOMKilled", {"code": 137, "signal": 9})),
        Outcome(OWN, outcomes.OOM, "killed: it went over its memory limit", signal=9),
    ),
    "out of memory, and its program said that it knows nothing": (
        failed(terminated(137, "OOMKilled", LOST)),
        Outcome(OWN, outcomes.OOM, "killed: it went over its memory limit"),
    ),
    "evicted": (by_node("Evicted"), Outcome(INFRA, outcomes.EVICTED, "its node evicted it: why")),
    "evicted, without a word": (
        pod("Failed", reason="Evicted"),
        Outcome(INFRA, outcomes.EVICTED, "its node evicted it"),
    ),
    "preempted by its node": (
        by_node("Preempting"),
        Outcome(NOBODY, outcomes.PREEMPTED, "its node needed the place: why"),
    ),
    **{
        reason: (by_node(reason), Outcome(INFRA, outcomes.NODE_LOST, "its node went down: why"))
        for reason in ("NodeShutdown", "Shutdown", "Terminated", "NodeLost")
    },
    **{
        reason: (by_node(reason), Outcome(INFRA, outcomes.NODE_REFUSED, f"its node would not take it: {reason}: why"))
        for reason in ("OutOfcpu", "OutOfpods", "UnexpectedAdmissionError", "NodeAffinity", "NodePorts")
    },
    "by its node, after a report of its program": (
        by_node("Evicted", state=terminated(3, report={"code": 3})),
        Outcome(OWN, Reason.EXIT, "exit code 3", exit_code=3),
    ),
    "no sh in the image": (
        failed(said(terminated(128, "StartError"), "exec: /bin/sh")),
        Outcome(INFRA, outcomes.CONTAINER, "the container could not be started: StartError: exec: /bin/sh"),
    ),
    "not executable, as the pod says": (
        failed(terminated(126, "ContainerCannotRun"), message="permission denied"),
        Outcome(INFRA, outcomes.CONTAINER, "the container could not be started: ContainerCannotRun: permission denied"),
    ),
    "the kubelet lost sight of it": (
        failed(terminated(137, "ContainerStatusUnknown")),
        Outcome(INFRA, outcomes.NO_REPORT, "its node does not know what became of its container"),
    ),
    "a report that says it knows nothing": (
        failed(terminated(137, report={"code": 137, "lost": "nobody knows"})),
        Outcome(INFRA, outcomes.NO_REPORT, "nobody knows"),
    ),
    "killed": (
        failed(terminated(137)),
        Outcome(INFRA, outcomes.KILLED, "its container was killed from outside (Error)"),
    ),
    "terminated": (
        failed(terminated(143, "")),
        Outcome(INFRA, outcomes.KILLED, "its container was killed from outside (143)"),
    ),
    "succeeded without a report": (
        pod("Succeeded", state=terminated(0, "Completed")),
        Outcome(INFRA, outcomes.NO_REPORT, "its pod succeeded without a report (exit code 0)"),
    ),
    "failed without a report": (
        failed(terminated(2)),
        Outcome(INFRA, outcomes.NO_REPORT, "its pod failed without a report (exit code 2)"),
    ),
    "failed with a reason nobody knows": (
        by_node("Whatever"),
        Outcome(INFRA, outcomes.NO_REPORT, "its pod failed without a report (why)"),
    ),
    "failed with a container of which nothing is known": (
        failed({"terminated": {"reason": "Odd"}}),
        Outcome(INFRA, outcomes.NO_REPORT, "its pod failed without a report (Odd)"),
    ),
    "failed and nothing else": (
        pod("Failed"),
        Outcome(INFRA, outcomes.NO_REPORT, "its pod failed without a report (and no word of its container)"),
    ),
    "somebody else's words in the termination message": (
        failed(said(terminated(2), "Traceback: no JSON")),
        Outcome(INFRA, outcomes.NO_REPORT, "its pod failed without a report (exit code 2)"),
    ),
    "drained": (
        failed(terminated(143), conditions=disrupted("EvictionByEvictionAPI"), **deleted()),
        Outcome(NOBODY, outcomes.DRAINED, "its node was drained: why"),
    ),
    "preempted": (
        failed(terminated(143), conditions=disrupted("PreemptionByScheduler"), **deleted()),
        Outcome(NOBODY, outcomes.PREEMPTED, "a pod of higher priority took its place: why"),
    ),
    "ended by its kubelet": (
        failed(terminated(137), conditions=disrupted("TerminationByKubelet")),
        Outcome(INFRA, outcomes.EVICTED, "its node had to end it: why"),
    ),
    "disrupted in a way nobody knows": (
        failed(terminated(137), conditions=disrupted("SomethingNew")),
        Outcome(INFRA, outcomes.EVICTED, "SomethingNew: why"),
    ),
    "disrupted, without a word": (
        failed(conditions=[{"type": "DisruptionTarget", "status": "True", "reason": "DeletionByPodGC"}]),
        Outcome(INFRA, outcomes.NODE_LOST, "its node is gone"),
    ),
    "to be disrupted, and then not": (
        failed(terminated(137), conditions=[{**disrupted("PreemptionByScheduler")[0], "status": "False"}]),
        Outcome(INFRA, outcomes.KILLED, "its container was killed from outside (Error)"),
    ),
    "another condition": (
        failed(terminated(137), conditions=[{**disrupted("PreemptionByScheduler")[0], "type": "Ready"}]),
        Outcome(INFRA, outcomes.KILLED, "its container was killed from outside (Error)"),
    ),
    "ended by itself, then preempted": (
        failed(terminated(3, report={"code": 3}, at=EARLY), conditions=disrupted("PreemptionByScheduler"), **deleted()),
        Outcome(OWN, Reason.EXIT, "exit code 3", exit_code=3),
    ),
    "preempted, and then it ended as it was told to": (
        failed(terminated(0, report=DONE, at=LATE), conditions=disrupted("PreemptionByScheduler"), **deleted()),
        Outcome(NOBODY, outcomes.PREEMPTED, "a pod of higher priority took its place: why"),
    ),
    "ended before it was preempted, and nobody knows how": (
        failed(terminated(1, report=LOST, at=EARLY), conditions=disrupted("PreemptionByScheduler"), **deleted()),
        Outcome(NOBODY, outcomes.PREEMPTED, "a pod of higher priority took its place: why"),
    ),
    "deleted by hand": (
        failed(terminated(0, report=DONE, at=LATE), **deleted()),
        Outcome(INFRA, outcomes.DELETED, "somebody deleted its pod"),
    ),
    "ended in the second in which it was deleted": (
        failed(terminated(0, report=DONE, at=TOGETHER), **deleted()),
        Outcome(INFRA, outcomes.DELETED, "somebody deleted its pod"),
    ),
    "deleted, and nobody knows when it ended": (
        failed(terminated(0, report=DONE, at=""), **deleted()),
        Outcome(INFRA, outcomes.DELETED, "somebody deleted its pod"),
    ),
    "deleted with no grace": (
        failed(terminated(0, report=DONE, at=EARLY), deletionTimestamp=TOGETHER),
        Outcome(OutcomeKind.SUCCEEDED, exit_code=0),
    ),
    "ended before it was deleted, and nobody knows how": (
        failed(terminated(1, report=LOST, at=EARLY), **deleted()),
        Outcome(INFRA, outcomes.DELETED, "somebody deleted its pod"),
    ),
}


@pytest.mark.parametrize("row", EXACT, ids=str)
def test_what_is_said_of_each_end(row: str) -> None:
    found, outcome = EXACT[row]
    assert judge(EMPTY.saw(found, NOW), NOW) == Judged(outcome, ended=True)


def test_long_words_of_others_are_cut() -> None:
    long = "x" * 10_000
    for found in (
        failed(said(terminated(128, "StartError"), long)),
        failed(conditions=[{**disrupted("DeletionByPodGC")[0], "message": long}]),
    ):
        assert 300 < len(ended(found).detail) < 400
    for found in (
        pod("Pending", state={"waiting": {"reason": "ErrImagePull", "message": long}}),
        pod("Pending", conditions=[{"type": "PodScheduled", "status": "False", "message": long}]),
    ):
        assert 300 < len(ended(found, after=10 * MINUTE).detail) < 400


# going, gone


def test_deleted_it_may_end_for_its_grace_and_a_time_beyond_from_when_we_first_saw_it() -> None:
    dying = pod(state=RUNNING, **deleted(grace=30))
    latest = 30_000 + outcomes.OVERDUE_MS
    history = EMPTY.saw(pod(state=RUNNING), NOW - 60 * MINUTE).saw(dying, NOW).saw(dying, NOW + latest - 1)
    assert judge(history, NOW + latest - 1) == Judged(due=NOW + latest)
    outcome = Outcome(INFRA, outcomes.NODE_LOST, "its pod was deleted, and its node does not say that it has ended")
    assert judge(history, NOW + latest) == Judged(outcome)  # its output may go on, as far as anybody knows
    bare = EMPTY.saw(pod(state=RUNNING, deletionTimestamp="2026-11-21T10:00:00Z"), NOW)
    assert judge(bare, NOW).due == NOW + outcomes.OVERDUE_MS


@pytest.mark.parametrize("reason", ["DeletionByTaintManager", "DeletionByPodGC"])
def test_what_a_lost_node_runs_is_lost_at_once_and_may_go_on_there(reason: str) -> None:
    judged = judge(EMPTY.saw(pod(state=RUNNING, conditions=disrupted(reason), **deleted()), NOW), NOW)
    assert judged.outcome is not None
    assert (judged.outcome.reason, judged.ended) == (outcomes.NODE_LOST, False)


@pytest.mark.parametrize("reason", ["PreemptionByScheduler", "EvictionByEvictionAPI", "TerminationByKubelet"])
def test_what_is_disrupted_otherwise_is_waited_for(reason: str) -> None:
    found = pod(state=RUNNING, conditions=disrupted(reason), **deleted(grace=30))
    assert judge(EMPTY.saw(found, NOW), NOW) == Judged(due=NOW + 30_000 + outcomes.OVERDUE_MS)
    assert seen(pod(state=RUNNING, conditions=disrupted(reason)), after=60 * MINUTE) is None  # not even deleted


def test_a_container_that_has_ended_is_judged_a_moment_after_its_end_was_seen_first() -> None:
    found = pod(state=terminated(3, report={"code": 3}))
    running = EMPTY.saw(pod(state=RUNNING), NOW - MINUTE)
    history = running.saw(found, NOW).saw(found, NOW + outcomes.SETTLE_MS - 1)
    assert judge(history, NOW + outcomes.SETTLE_MS - 1) == Judged(due=NOW + outcomes.SETTLE_MS)
    outcome = Outcome(OWN, Reason.EXIT, "exit code 3", exit_code=3)
    assert judge(history, NOW + outcomes.SETTLE_MS) == Judged(outcome, ended=True)
    going = pod(state=terminated(3, report={"code": 3}, at=EARLY), **deleted())
    assert judge(EMPTY.saw(going, NOW), NOW) == Judged(due=NOW + outcomes.SETTLE_MS)


def test_one_that_is_not_there_is_looked_for_again_after_a_grace() -> None:
    history = EMPTY.saw(pod(state=RUNNING), NOW).missed(NOW)
    assert judge(history, NOW) == Judged(due=NOW + outcomes.GONE_GRACE_MS, look=True)
    gone = history.missed(NOW + outcomes.GONE_GRACE_MS)
    outcome = Outcome(INFRA, outcomes.DELETED, "its pod is gone; somebody deleted it")
    assert judge(gone, NOW + outcomes.GONE_GRACE_MS) == Judged(outcome, ended=True)
    assert judge(gone.missed(NOW + 1), NOW + MINUTE) == Judged(outcome, ended=True)  # a later word changes nothing
    back = gone.saw(pod(state=RUNNING), NOW + MINUTE)
    assert judge(back, NOW + MINUTE) == Judged()
    assert judge(back.missed(NOW + 2 * MINUTE), NOW + 2 * MINUTE).outcome is None


def test_to_have_been_seen_is_to_have_been_created() -> None:
    history = replace(EMPTY, asked=False).saw(pod(), NOW).missed(NOW).missed(NOW + MINUTE)
    assert judge(history, NOW + MINUTE).outcome is not None
    assert not outcomes.History("agent", NOW, MINUTE).asked


@pytest.mark.parametrize("history", [EMPTY, EMPTY.saw({"metadata": {}, "status": None}, NOW)], ids=["never", "bare"])
def test_one_that_nobody_ever_saw_can_be_gone(history: outcomes.History) -> None:
    for stopping, reason in ((False, outcomes.DELETED), (True, Reason.SIGNAL)):
        found = judge(replace(history, stopping=stopping).missed(NOW).missed(NOW + MINUTE), NOW + MINUTE).outcome
        assert found is not None
        assert found.reason == reason


def test_what_we_ended_is_told_as_ended_on_request() -> None:
    history = replace(EMPTY, stopping=True)
    asked = Outcome(OWN, Reason.SIGNAL, "ended on request", signal=15)
    for found in (failed(terminated(137), **deleted()), failed(terminated(1, report=LOST)), by_node("Evicted")):
        assert judge(history.saw(found, NOW), NOW) == Judged(asked, ended=True)
    gone = history.saw(pod(state=RUNNING, conditions=disrupted("EvictionByEvictionAPI")), NOW).missed(NOW)
    assert judge(gone.missed(NOW + MINUTE), NOW + MINUTE).outcome == asked


# not running yet

STUCK: dict[str, tuple[str, int, str]] = {
    **dict.fromkeys(("ErrImageNeverPull", "InvalidImageName"), ("image", outcomes.FIXED_GRACE_MS, outcomes.IMAGE)),
    **dict.fromkeys(
        ("ErrImagePull", "ImagePullBackOff", "RegistryUnavailable", "ImageInspectError"),
        ("image", outcomes.IMAGE_GRACE_MS, outcomes.IMAGE),
    ),
    **dict.fromkeys(
        ("CreateContainerConfigError", "CreateContainerError", "RunContainerError", "CrashLoopBackOff"),
        ("container", outcomes.CONFIG_GRACE_MS, outcomes.CONTAINER),
    ),
}


@pytest.mark.parametrize("reason", STUCK)
def test_what_keeps_a_container_from_starting_has_its_patience(reason: str) -> None:
    _, grace, name = STUCK[reason]
    found = pod("Pending", state=waiting(reason))
    history = EMPTY.saw(pod("Pending"), NOW - MINUTE).saw(found, NOW).saw(found, NOW + grace - 1)
    assert judge(history, NOW + grace - 1) == Judged(due=NOW + grace)
    outcome = Outcome(INFRA, name, f"{reason}: words of the kubelet")
    assert judge(history, NOW + grace) == Judged(outcome)
    bare = pod("Pending", state={"waiting": {"reason": reason}})
    assert ended(bare, after=grace).detail == reason


def test_no_patience_is_longer_than_a_start_may_take() -> None:
    history = replace(EMPTY, start_timeout_ms=10_000).saw(pod("Pending", state=waiting("ErrImagePull")), NOW + 1_000)
    assert judge(history, NOW + 9_999) == Judged(due=NOW + 10_000)
    assert judge(history, NOW + 10_000).outcome is not None


def test_a_node_is_waited_for_as_long_as_a_start_may_take() -> None:
    found = pod("Pending", conditions=[{"type": "PodScheduled", "status": "False", "message": "0/1 nodes"}])
    history = EMPTY.saw(found, NOW + 9 * MINUTE)
    assert judge(history, NOW + 9 * MINUTE) == Judged(due=NOW + 10 * MINUTE)
    outcome = Outcome(INFRA, outcomes.UNSCHEDULABLE, "no node takes it: 0/1 nodes")
    assert judge(history, NOW + 10 * MINUTE) == Judged(outcome)
    bare = pod("Pending", conditions=[{"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}])
    assert ended(bare, after=10 * MINUTE).detail == "no node takes it: Unschedulable"
    for other in ({"type": "PodScheduled", "status": "True"}, {"type": "Ready", "status": "False"}):
        assert ended(pod("Pending", conditions=[other]), after=10 * MINUTE).reason == outcomes.START_TIMEOUT
    words = Outcome(INFRA, outcomes.START_TIMEOUT, "it did not start within 600 s")
    assert judge(EMPTY.saw(pod("Pending"), NOW), NOW + 10 * MINUTE) == Judged(words)


def test_only_what_is_pending_can_fail_to_start() -> None:
    for phase in ("Running", "Unknown", ""):
        assert seen(pod(phase, state=waiting("ErrImagePull")), after=60 * MINUTE) is None
    history = EMPTY.saw(pod(state=RUNNING), NOW).saw(pod("Pending", state=waiting("ErrImagePull")), NOW)
    assert judge(history, NOW + 60 * MINUTE) == Judged()


def test_nothing_is_known_of_one_that_was_not_seen() -> None:
    assert judge(EMPTY, NOW + 600 * MINUTE) == Judged()
    assert Judged() == Judged(None, due=None, ended=False, look=False)


# words of the API


@pytest.mark.parametrize(
    ("answer", "message", "reason", "words"),
    [
        (403, "exceeded quota: q", outcomes.QUOTA, "the namespace's quota is used up: exceeded quota: q"),
        (403, "no", outcomes.FORBIDDEN, "not allowed to create pods: no"),
        (401, "exceeded quota", outcomes.FORBIDDEN, "not allowed to create pods: exceeded quota"),
        (422, "exceeded quota", outcomes.REFUSED, "the cluster refuses the pod: exceeded quota"),
    ],
)
def test_what_is_said_of_a_pod_that_was_refused(answer: int, message: str, reason: str, words: str) -> None:
    assert refused(answer, message) == (reason, words)


@pytest.mark.parametrize(("code", "number"), [(1, None), (127, None), (128, None), (129, 1), (137, 9), (255, 127)])
def test_a_code_above_128_in_the_end_mark_is_a_signal(code: int, number: int | None) -> None:
    bare = ended(pod("Succeeded", state=terminated(0, "Completed")))
    found = reported(bare, code)
    assert (found.kind, found.signal) == (OWN, number)
    assert found.exit_code == (code if number is None else None)


# hostile answers


def _mutilated(found: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The places of all values in it."""
    if path:
        yield path
    items = found.items() if isinstance(found, dict) else enumerate(found) if isinstance(found, list) else ()
    for key, value in items:
        yield from _mutilated(value, (*path, key))


ROWS = {
    **{row: found for row, (found, _, _) in (TABLE | PENDING).items()},
    **{row: one for row, (one, _) in EXACT.items()},
}


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_no_field_that_is_missing_or_empty_is_an_error_or_a_success(row: str) -> None:
    succeeds = ended(ROWS[row], after=10 * MINUTE).kind is OutcomeKind.SUCCEEDED
    for path in _mutilated(ROWS[row]):
        for gone in (True, False):
            found = deepcopy(ROWS[row])
            inner = found
            for key in path[:-1]:
                inner = inner[key]
            if isinstance(inner, list) or gone:
                del inner[path[-1]]
            else:
                inner[path[-1]] = None
            for stopping in (False, True):
                history = replace(EMPTY, stopping=stopping).saw(found, NOW)
                judge(history, NOW)
                judged = judge(history, NOW + 10 * MINUTE)
                missed = judge(history.missed(NOW).missed(NOW + MINUTE), NOW + MINUTE)
                for one in (judged, missed):
                    if one.outcome is not None and one.outcome.kind is OutcomeKind.SUCCEEDED:
                        assert succeeds or "deletionTimestamp" in str(ROWS[row])
