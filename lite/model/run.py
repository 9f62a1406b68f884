"""Runs: one submission of a plan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from lite.model.task import State, Task, TaskSpec


class RunState(StrEnum):
    """`running` until every task is terminal; then `failed` if any failed, `cancelled` if any was cancelled and none
    failed, else `succeeded`."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class RunSpec:
    """A run as submitted."""

    id: str
    name: str
    key: str = ""
    source: str = ""  # the plan's path


@dataclass(frozen=True, slots=True)
class Run:
    """The durable row; `counts` holds the number of tasks in each state that has any."""

    spec: RunSpec
    seq: int
    state: RunState = RunState.RUNNING
    counts: Mapping[State, int] = field(default_factory=dict)
    created_at: int = 0
    ended_at: int | None = None

    @property
    def id(self) -> str:
        return self.spec.id


@dataclass(frozen=True, slots=True)
class RunQuery:
    """Which runs; in order of submission."""

    ids: tuple[str, ...] = ()
    prefix: str = ""
    name: str = ""
    states: tuple[RunState, ...] = ()
    newest: bool = False
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class Submission:
    """All or nothing. `run` is None for ad-hoc tasks. Tasks may need one another or older tasks."""

    tasks: tuple[TaskSpec, ...]
    run: RunSpec | None = None


@dataclass(frozen=True, slots=True)
class Submitted:
    """What now stands for the submission: one task per spec, in order; `created` is False where a key already had
    its task (or the run's key its run)."""

    tasks: tuple[Task, ...]
    created: tuple[bool, ...]
    run: Run | None = None
