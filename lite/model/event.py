"""The event log's entries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class EventKind(StrEnum):
    """What can happen. Activity is streamed beside the log, not kept in it."""

    RUN_SUBMITTED = "run.submitted"
    RUN_FINISHED = "run.finished"
    RUN_REOPENED = "run.reopened"
    TASK_SUBMITTED = "task.submitted"
    TASK_ROUTED = "task.routed"
    TASK_CLAIMED = "task.claimed"
    TASK_STARTED = "task.started"
    TASK_RETRYING = "task.retrying"
    TASK_PARKED = "task.parked"
    TASK_CANCELLING = "task.cancelling"
    TASK_REOPENED = "task.reopened"
    TASK_SUCCEEDED = "task.succeeded"
    TASK_FAILED = "task.failed"
    TASK_CANCELLED = "task.cancelled"
    TASK_SKIPPED = "task.skipped"
    LEASE_LOST = "lease.lost"
    WORKER_JOINED = "worker.joined"
    WORKER_LEFT = "worker.left"
    WORKER_CORDONED = "worker.cordoned"
    ACCOUNT_HELD = "account.held"
    ACCOUNT_RELEASED = "account.released"
    STAGING_CREATED = "staging.created"
    STAGING_DELETED = "staging.deleted"
    CONFIG_RELOADED = "config.reloaded"
    CONFIG_REJECTED = "config.rejected"
    SESSION_WAITING = "session.waiting"
    SESSION_ANSWERED = "session.answered"


@dataclass(frozen=True, slots=True)
class Event:
    """One entry. `cursor` grows by the order of commit; 0 while not yet appended. `attempt` is set on the events of a
    lease (claimed, started, and exactly one end), 0 on all others. `data` holds plain JSON values."""

    kind: EventKind
    at: int  # ms
    run: str = ""
    task: str = ""
    attempt: int = 0
    worker: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)
    cursor: int = 0
