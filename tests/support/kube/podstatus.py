"""The status of a pod, as scheduler and kubelet write it. Edits of a copy, for `Store.change`."""

from __future__ import annotations

import os
from typing import Any

from tests.support.kube import times

Json = dict[str, Any]


def condition(pod: Json, kind: str, status: str, reason: str = "", message: str = "") -> None:
    there = pod["status"].setdefault("conditions", [])
    made: Json = {"type": kind, "status": status, "lastProbeTime": None, "lastTransitionTime": times.seconds()}
    if reason:
        made["reason"] = reason
    if message:
        made["message"] = message
    for place, old in enumerate(there):
        if old["type"] == kind:
            if (old["status"], old.get("reason", ""), old.get("message", "")) != (status, reason, message):
                if old["status"] == status:
                    made["lastTransitionTime"] = old["lastTransitionTime"]
                there[place] = made
            return
    there.append(made)


def container_status(pod: Json, name: str) -> Json | None:
    found = [each for each in pod["status"].get("containerStatuses") or [] if each["name"] == name]
    return found[0] if found else None


def set_state(pod: Json, container: Json, state: Json, **fields: Any) -> None:
    """`state`: {waiting|running|terminated: ...}."""
    running = "running" in state
    made: Json = {
        "name": container["name"],
        "image": container["image"],
        "imageID": "",
        "lastState": {},
        "restartCount": 0,
        "ready": running,
        "started": running,
        "state": state,
    }
    old = container_status(pod, container["name"])
    statuses = pod["status"].setdefault("containerStatuses", [])
    if old is None:
        statuses.append(made | fields)
    else:
        if "containerID" in old:
            made["containerID"] = old["containerID"]
        statuses[statuses.index(old)] = made | fields


def waiting(pod: Json, reason: str, message: str = "") -> None:
    """All containers wait for that reason."""
    state = {"reason": reason} | ({"message": message} if message else {})
    for container in pod["spec"]["containers"]:
        set_state(pod, container, {"waiting": state})
    unready(pod, "ContainersNotReady", f"containers with unready status: [{_names(pod)}]")


def unready(pod: Json, reason: str, message: str = "") -> None:
    condition(pod, "Ready", "False", reason, message)
    condition(pod, "ContainersReady", "False", reason, message)


def ready(pod: Json) -> None:
    condition(pod, "Initialized", "True")
    condition(pod, "Ready", "True")
    condition(pod, "ContainersReady", "True")


def terminated(wait_status: int, started: str, reason: str, message: str, container_id: str) -> Json:
    """The state of a container that ran. `reason` empty: by its exit code."""
    code = 128 + os.WTERMSIG(wait_status) if os.WIFSIGNALED(wait_status) else os.waitstatus_to_exitcode(wait_status)
    made = {
        "exitCode": code,
        "reason": reason or ("Completed" if code == 0 else "Error"),
        "startedAt": started,
        "finishedAt": times.seconds(),
        "containerID": container_id,
    }
    return {"terminated": made | ({"message": message} if message else {})}


def phase_by_containers(pod: Json) -> str:
    """Of a pod whose containers have all ended and are not started again."""
    states = [each["state"].get("terminated") for each in pod["status"]["containerStatuses"]]
    return "Succeeded" if all(state and state["exitCode"] == 0 for state in states) else "Failed"


def _names(pod: Json) -> str:
    return " ".join(container["name"] for container in pod["spec"]["containers"])
