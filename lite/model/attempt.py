"""The ledger: one line for each attempt that has ended and used a model, or may have."""

from __future__ import annotations

from dataclasses import dataclass

from providers.base import Usage


@dataclass(frozen=True, slots=True)
class Attempt:
    """How attempt `number` of a task ended. `line` counts the ledger's lines from 1; `ended` is the kind of event that
    told of it (`task.succeeded`, `task.retrying`, ...). Times are ms; `started_at` None: its program never ran."""

    line: int
    task: str
    number: int
    run: str
    agent: str
    worker: str
    ended: str
    reason: str
    started_at: int | None
    ended_at: int
    usage: Usage
