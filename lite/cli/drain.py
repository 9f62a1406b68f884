"""`workers drain`: cordon, then wait for the events that end what it runs."""

from __future__ import annotations

import time

from lite.cli.endings import OK, TIMED_OUT
from lite.errors import IllegalState

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lite.api.client import Client
    from lite.api.messages import EventJson, WorkerJson
    from lite.cli.context import Context


def drain(context: Context, client: Client, ref: str, seconds: float | None) -> int:
    """The exit code: 0 when nothing of it runs any more (or it has left), 8 when that took too long."""
    deadline = None if seconds is None else time.monotonic() + seconds
    cursor = client.status()["cursor"]  # before it is cordoned: what ends in between is seen twice, not missed
    worker = client.cordon(ref, True)
    try:
        worker, left = _follow(context, client, worker, cursor, deadline)
    except KeyboardInterrupt:
        context.note(f"no longer waiting; {worker['id']} stays cordoned (qd workers uncordon {worker['id']})")
        raise
    if context.json:
        context.emit(worker)
    elif left:
        context.note(f"{worker['id']} has left the fleet")
    elif worker["running"]:
        context.note(f"timed out: {worker['id']} stays cordoned and still runs {len(worker['running'])} task(s)")
    else:
        context.note(f"{worker['id']} is drained")
    return TIMED_OUT if worker["running"] and not left else OK


def _follow(
    context: Context, client: Client, worker: WorkerJson, cursor: int, deadline: float | None
) -> tuple[WorkerJson, bool]:
    """The worker as it is at the end, and whether it has left. It claims nothing more: `running` only shrinks."""
    if not worker["running"]:
        return worker, False
    _say(context, worker)
    for event in client.events(cursor, True, deadline=deadline):
        if not _concerns(event, worker):
            continue
        found = next((one for one in client.workers() if one["id"] == worker["id"]), None)
        if found is None:
            return {**worker, "running": []}, True
        if not found["cordoned"]:
            raise IllegalState(f"worker {worker['id']} was opened again while it drained")
        shrunk = len(found["running"]) < len(worker["running"])
        worker = found
        if not worker["running"]:
            break
        if shrunk:
            _say(context, worker)
    return worker, False


def _concerns(event: EventJson, worker: WorkerJson) -> bool:
    """May it have changed what the worker runs, or whether it drains?"""
    if event["kind"] in ("worker.left", "worker.cordoned", "worker.joined"):
        return event["worker"] == worker["id"]
    return event["task"] in worker["running"] and event["kind"].startswith(("task.", "lease."))


def _say(context: Context, worker: WorkerJson) -> None:
    if not context.json:
        silent = ", and is silent" if worker["state"] == "unhealthy" else ""
        context.note(f"{worker['id']} still runs {len(worker['running'])} task(s){silent}")
