"""What became of a pod, from what the API says of it: the one table of its ends. Pure.

`succeeded` and `failed` are the task's own, and only the pod's bootstrap says so: it runs as the container's first
process and reports how the program ended. Everything else is the infrastructure's (`unexecutable`, which uses up no
retry of the task's) or nobody's (`rescheduled`, which costs nothing at all). Silence and errors of the API are no
evidence of anything; a 404 for the exact name is.
"""

from __future__ import annotations

import signal
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from lite.executors.kubernetes.bootstrap import Ended, parse_termination
from lite.model.task import Outcome, OutcomeKind, Reason

Json = Mapping[str, Any]

# reasons, as they stand in the task's row
OOM: Final = "oom-killed"
DEADLINE: Final = "deadline"
IMAGE: Final = "image-pull"
CONTAINER: Final = "container-config"
UNSCHEDULABLE: Final = "unschedulable"
START_TIMEOUT: Final = "start-timeout"
QUOTA: Final = "quota"
FORBIDDEN: Final = "forbidden"
REFUSED: Final = "pod-refused"
PREEMPTED: Final = "preempted"
EVICTED: Final = "evicted"
DRAINED: Final = "drained"
NODE_LOST: Final = "node-lost"
NODE_REFUSED: Final = "node-refused"
DELETED: Final = "pod-deleted"
KILLED: Final = "container-killed"
NO_REPORT: Final = "no-report"

IMAGE_GRACE_MS = 60_000  # registries hiccup
FIXED_GRACE_MS = 5_000  # for what no waiting changes
CONFIG_GRACE_MS = 30_000  # a Secret or ConfigMap may come a little later
GONE_GRACE_MS = 2_000  # between two answers that there is no such pod
SETTLE_MS = 2_000  # until the pod's phase says why its container has ended
OVERDUE_MS = 60_000  # beyond its grace, for a pod that was deleted and whose node says nothing

_OVER = ("Succeeded", "Failed")
_FIXED = frozenset({"ErrImageNeverPull", "InvalidImageName"})
_IMAGE = frozenset({"ErrImagePull", "ImagePullBackOff", "RegistryUnavailable", "ImageInspectError"})
_CONFIG = frozenset({"CreateContainerConfigError", "CreateContainerError", "RunContainerError", "CrashLoopBackOff"})
_CANNOT_RUN = frozenset({"StartError", "ContainerCannotRun"})
_LOST_SIGHT = "ContainerStatusUnknown"
_NODE_SAYS = frozenset({"NodeShutdown", "Shutdown", "Terminated", "NodeLost"})
_DISRUPTIONS = {
    "PreemptionByScheduler": (OutcomeKind.RESCHEDULED, PREEMPTED, "a pod of higher priority took its place"),
    "EvictionByEvictionAPI": (OutcomeKind.RESCHEDULED, DRAINED, "its node was drained"),
    "DeletionByTaintManager": (OutcomeKind.UNEXECUTABLE, NODE_LOST, "its node does not answer"),
    "DeletionByPodGC": (OutcomeKind.UNEXECUTABLE, NODE_LOST, "its node is gone"),
    "TerminationByKubelet": (OutcomeKind.UNEXECUTABLE, EVICTED, "its node had to end it"),
}


@dataclass(frozen=True, slots=True)
class History:
    """What we saw of a pod, and since when (ms, by our own clock: the cluster's may differ). `stopping`: we asked for
    its end. `absent_since`: the API said that there is none of this name."""

    container: str
    since: int
    start_timeout_ms: int
    pod: Json | None = None
    running: bool = False
    trouble: str = ""
    trouble_since: int = 0
    deleting_since: int = 0
    terminated_since: int = 0  # the container's end, while the pod's phase does not say so yet
    absent_since: int = 0
    absent_again: bool = False
    stopping: bool = False
    asked: bool = False  # to be created: before, absence says nothing

    def saw(self, pod: Json, now: int) -> History:
        """An answer of the API, or an event, of `now`."""
        found = _trouble(self.container, pod)
        trouble = found[0] if found is not None else ""
        return replace(
            self,
            pod=pod,
            asked=True,
            running=self.running or "running" in state_of(self.container, pod),
            trouble=trouble,
            trouble_since=self.trouble_since if trouble == self.trouble else now,
            deleting_since=(self.deleting_since or now) if _deleting(pod) else 0,
            terminated_since=(self.terminated_since or now) if state_of(self.container, pod).get("terminated") else 0,
            absent_since=0,
            absent_again=False,
        )

    def missed(self, now: int) -> History:
        """The API said that there is no pod of exactly this name."""
        if not self.asked:
            return self
        if not self.absent_since:
            return replace(self, absent_since=now)
        return replace(self, absent_again=self.absent_again or now - self.absent_since >= GONE_GRACE_MS)


@dataclass(frozen=True, slots=True)
class Judged:
    """`outcome` None: it goes on, to be looked at again at `due` (ms; None: when something happens). `ended`: the
    container has ended or will never run, so that its output is complete. `look`: ask the API for it by name then."""

    outcome: Outcome | None = None
    due: int | None = None
    ended: bool = False
    look: bool = False


def judge(seen: History, now: int) -> Judged:
    """The one end of an attempt, as soon as there is positive evidence of it."""
    if seen.absent_again:
        return Judged(_vanished(seen), ended=True)
    if seen.absent_since:
        return Judged(due=seen.absent_since + GONE_GRACE_MS, look=True)
    pod = seen.pod
    if pod is None:
        return Judged()
    phase = str((pod.get("status") or {}).get("phase") or "")
    terminated = state_of(seen.container, pod).get("terminated")
    if phase in _OVER or (terminated and now >= seen.terminated_since + SETTLE_MS):
        return Judged(_ended(seen, pod, phase, terminated or {}), ended=True)
    if terminated:
        return Judged(due=seen.terminated_since + SETTLE_MS)
    if _deleting(pod):
        return _dying(seen, pod, now)
    if phase == "Pending" and not seen.running:
        return _pending(seen, pod, now)
    return Judged()


def state_of(container: str, pod: Json) -> dict[str, Any]:
    """`waiting`, `running` or `terminated` of the container, with what belongs to it."""
    for one in (pod.get("status") or {}).get("containerStatuses") or ():
        if one.get("name") == container:
            return dict(one.get("state") or {})
    return {}


def refused(answer: int, message: str) -> tuple[str, str]:
    """(reason, words) for a pod the API would not create; `answer` is the HTTP status."""
    if answer == 403 and "exceeded quota" in message:
        return QUOTA, f"the namespace's quota is used up: {message}"
    if answer in (401, 403):
        return FORBIDDEN, f"not allowed to create pods: {message}"
    return REFUSED, f"the cluster refuses the pod: {message}"


def reported(outcome: Outcome, code: int | None) -> Outcome:
    """With what the end mark in the output says (`code`), where the container's own report is missing."""
    if outcome.reason != NO_REPORT or code is None:
        return outcome
    return _own(Ended(code, code - 128 if code > 128 else None))


# ended


def _ended(seen: History, pod: Json, phase: str, terminated: Json) -> Outcome:
    status = pod["status"]
    reason, message = str(status.get("reason") or ""), str(status.get("message") or "")
    report = parse_termination(str(terminated.get("message")))
    if reason == "DeadlineExceeded":
        return Outcome(OutcomeKind.FAILED, DEADLINE, "it ran into the pod's active deadline", **_codes(report))
    own = report if report is not None and not report.lost else None
    if own is None or not _finished_before(pod, terminated):
        if disrupted := _disruption(pod):
            return disrupted
        if _deleting(pod) and not seen.stopping:
            return Outcome(OutcomeKind.UNEXECUTABLE, DELETED, "somebody deleted its pod")
    if terminated.get("reason") == "OOMKilled":
        return Outcome(OutcomeKind.FAILED, OOM, "killed: it went over its memory limit", **_codes(report))
    if own is not None:
        return _own(own)
    if seen.stopping:
        return _stopped()
    if by_node := _by_node(reason, message):
        return by_node
    return _unreported(phase, terminated, report, message)


def _own(report: Ended) -> Outcome:
    """The program's own end."""
    if report.launch:
        return Outcome(OutcomeKind.FAILED, Reason.LAUNCH, report.launch, exit_code=report.code)
    if report.signal:
        hint = ", perhaps for its memory limit" if report.signal == signal.SIGKILL else ""
        detail = f"ended by {_name(report.signal)}{hint}"
        return Outcome(OutcomeKind.FAILED, Reason.SIGNAL, detail, signal=report.signal)
    if report.code:
        return Outcome(OutcomeKind.FAILED, Reason.EXIT, f"exit code {report.code}", exit_code=report.code)
    return Outcome(OutcomeKind.SUCCEEDED, exit_code=0)


def _by_node(reason: str, message: str) -> Outcome | None:
    said = f": {message}" if message else ""
    if reason == "Evicted":
        return Outcome(OutcomeKind.UNEXECUTABLE, EVICTED, f"its node evicted it{said}")
    if reason == "Preempting":
        return Outcome(OutcomeKind.RESCHEDULED, PREEMPTED, f"its node needed the place{said}")
    if reason in _NODE_SAYS:
        return Outcome(OutcomeKind.UNEXECUTABLE, NODE_LOST, f"its node went down{said}")
    if reason.startswith("OutOf") or reason in ("UnexpectedAdmissionError", "NodeAffinity", "NodePorts"):
        return Outcome(OutcomeKind.UNEXECUTABLE, NODE_REFUSED, f"its node would not take it: {reason}{said}")
    return None


def _unreported(phase: str, terminated: Json, report: Ended | None, message: str) -> Outcome:
    """The container has ended and nobody who was in it says how the program did."""
    code = terminated.get("exitCode")
    why = str(terminated.get("reason") or "")
    if why in _CANNOT_RUN:
        said = str(terminated.get("message") or message)
        return Outcome(OutcomeKind.UNEXECUTABLE, CONTAINER, f"the container could not be started: {why}: {said[:300]}")
    if report is not None:
        return Outcome(OutcomeKind.UNEXECUTABLE, NO_REPORT, report.lost)
    if why == _LOST_SIGHT:
        return Outcome(OutcomeKind.UNEXECUTABLE, NO_REPORT, "its node does not know what became of its container")
    if code in (137, 143):
        return Outcome(OutcomeKind.UNEXECUTABLE, KILLED, f"its container was killed from outside ({why or code})")
    ended = "succeeded" if phase == "Succeeded" else "failed"
    told = f"exit code {code}" if code is not None else message or why or "and no word of its container"
    return Outcome(OutcomeKind.UNEXECUTABLE, NO_REPORT, f"its pod {ended} without a report ({told})")


def _stopped() -> Outcome:
    return Outcome(OutcomeKind.FAILED, Reason.SIGNAL, "ended on request", signal=int(signal.SIGTERM))


def _codes(report: Ended | None) -> dict[str, Any]:
    if report is None or report.lost:
        return {}
    return {"signal": report.signal} if report.signal else {"exit_code": report.code}


# gone, or going


def _vanished(seen: History) -> Outcome:
    pod = seen.pod or {}
    if terminated := state_of(seen.container, pod).get("terminated"):
        return _ended(seen, pod, str(pod["status"].get("phase")), terminated)
    if seen.stopping:
        return _stopped()
    if disrupted := _disruption(pod):
        return disrupted
    return Outcome(OutcomeKind.UNEXECUTABLE, DELETED, "its pod is gone; somebody deleted it")


def _dying(seen: History, pod: Json, now: int) -> Judged:
    """Deleted, and its container still runs as far as anybody knows."""
    lost = _disruption(pod)
    if lost is not None and lost.reason == NODE_LOST:
        return Judged(lost)  # the object goes when the node is back, which may be never
    grace = int(pod["metadata"].get("deletionGracePeriodSeconds") or 0) * 1000
    due = seen.deleting_since + grace + OVERDUE_MS
    if now < due:
        return Judged(due=due)
    words = "its pod was deleted, and its node does not say that it has ended"
    return Judged(Outcome(OutcomeKind.UNEXECUTABLE, NODE_LOST, words))


def _disruption(pod: Json) -> Outcome | None:
    for one in (pod.get("status") or {}).get("conditions") or ():
        if one.get("type") == "DisruptionTarget" and one.get("status") == "True":
            known = _DISRUPTIONS.get(str(one.get("reason")))
            kind, reason, words = known or (OutcomeKind.UNEXECUTABLE, EVICTED, str(one.get("reason")))
            said = str(one.get("message") or "")
            return Outcome(kind, reason, f"{words}: {said[:300]}" if said else words)
    return None


def _deleting(pod: Json) -> bool:
    return bool((pod.get("metadata") or {}).get("deletionTimestamp"))


def _finished_before(pod: Json, terminated: Json) -> bool:
    """Had it ended by itself when its deletion was asked for? Times of the cluster, whole seconds."""
    metadata = pod.get("metadata") or {}
    until = seconds_of(str(metadata.get("deletionTimestamp")))  # when it is to be over
    asked = until - float(metadata.get("deletionGracePeriodSeconds") or 0)
    return 0 < seconds_of(str(terminated.get("finishedAt"))) < asked


def seconds_of(stamp: str) -> float:
    """Of an API timestamp, since the epoch; 0 for what is none."""
    from datetime import datetime

    try:
        return datetime.fromisoformat(stamp.replace("Z", "+00:00")).timestamp()
    except ValueError:
        return 0.0


# not running yet


def _pending(seen: History, pod: Json, now: int) -> Judged:
    latest = seen.since + seen.start_timeout_ms
    found = _trouble(seen.container, pod)
    if found is not None:
        reason, words, patience = found
        due = latest if patience is None else min(seen.trouble_since + patience, latest)
        if now >= due:
            return Judged(Outcome(OutcomeKind.UNEXECUTABLE, reason, words))
        return Judged(due=due)
    if now >= latest:
        words = f"it did not start within {seen.start_timeout_ms / 1000:g} s"
        return Judged(Outcome(OutcomeKind.UNEXECUTABLE, START_TIMEOUT, words))
    return Judged(due=latest)


def _trouble(container: str, pod: Json) -> tuple[str, str, int | None] | None:
    """(reason, words, how long it may last in ms; None: as long as a start may take)"""
    waiting = state_of(container, pod).get("waiting") or {}
    why, said = str(waiting.get("reason")), str(waiting.get("message") or "")[:300]
    words = f"{why}: {said}" if said else why
    if why in _FIXED:
        return IMAGE, words, FIXED_GRACE_MS
    if why in _IMAGE:
        return IMAGE, words, IMAGE_GRACE_MS
    if why in _CONFIG:
        return CONTAINER, words, CONFIG_GRACE_MS
    for one in (pod.get("status") or {}).get("conditions") or ():
        if one.get("type") == "PodScheduled" and one.get("status") == "False":
            said = str(one.get("message") or one.get("reason"))[:300]
            return UNSCHEDULABLE, f"no node takes it: {said}", None
    return None


def _name(signum: int) -> str:
    try:
        return signal.Signals(signum).name
    except ValueError:
        return f"signal {signum}"
