"""When a run's staging volume may go, and why. Pure."""

from __future__ import annotations

from lite.model.run import Run, RunState
from lite.model.staging import Volume


def end_of(volume: Volume, run: Run | None, keep_ms: int) -> tuple[int, str] | None:
    """From when (ms) on it is to be freed, with the reason; None while its run goes on. `run` None: nobody knows it,
    which may be a mistake, so that it is kept as long as after a failure."""
    if run is None:
        return volume.created_at + keep_ms, "orphan"
    if run.state is RunState.RUNNING or run.ended_at is None:
        return None
    if run.state is RunState.SUCCEEDED:
        return run.ended_at, "succeeded"
    return run.ended_at + keep_ms, f"{run.state} and kept"
