"""Which worker gets a task that has to be placed: hard filters, then the strategy, then scores, ties by its id.

The strategy looks for a place only. An attempt that failed has had one: the next is placed by the same strategy again,
and nothing here knows of failures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lite.model.task import TaskSpec
from lite.rules.filters import objections
from lite.rules.fleet import Fleet
from lite.rules.scores import LOADED, Score, score

_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Candidate:
    """One worker looked at. `objections` are the filters it failed, in words; empty: it fits."""

    worker: str
    objections: tuple[str, ...]
    executors: tuple[str, ...]
    score: Score

    def told(self) -> str:
        """What it fails, or else what it is worth, in words."""
        if self.objections:
            return ", ".join(self.objections)
        return f"fits ({', '.join(self.executors)}): {', '.join(self.score.words())}"


@dataclass(frozen=True, slots=True)
class Placement:
    """The chosen worker (None: nobody fits), the executor the strategy chose there ("": whichever the worker uses),
    why in one line, and everybody considered, by id."""

    worker: str | None
    why: str
    considered: tuple[Candidate, ...] = ()
    executor: str = ""


def place(spec: TaskSpec, fleet: Fleet) -> Placement:
    """Filters: healthy, not cordoned, serves the agent, has the labels and an executor, a free slot, `require-*` kept.
    Then the strategy narrows to an executor. Scores: `prefer-*`, load, share of free slots."""
    mates = fleet.mates(spec.team)
    considered = tuple(
        Candidate(
            worker.id,
            tuple(objections(spec, worker, fleet, mates)),
            worker.executors,
            score(spec, worker, fleet, mates),
        )
        for worker in sorted(fleet.workers, key=lambda worker: worker.id)
    )
    fitting = [one for one in considered if not one.objections]
    if not fitting:
        return Placement(None, _nobody(considered), considered)
    pool, executor, lead = _narrowed(spec, fitting, considered)
    best = min(pool, key=lambda one: (one.score.key(executor), one.worker))
    parts = [lead, *best.score.words(), *(f"{label}={value}" for label, value in spec.selector.items())]
    return Placement(best.worker, ", ".join(part for part in parts if part), considered, executor)


def _narrowed(
    spec: TaskSpec, fitting: Sequence[Candidate], considered: Sequence[Candidate]
) -> tuple[Sequence[Candidate], str, str]:
    """Those the strategy leaves (at least one), its executor, and why it came to that."""
    local = [one for one in fitting if "local" in one.executors]
    pods = [one for one in fitting if "kubernetes" in one.executors]
    if spec.strategy == "kubernetes":
        if pods:
            return pods, "kubernetes", "kubernetes"
        return local, "local", f"{_no_pods(considered)}: falls back to local"
    if spec.strategy == "auto":
        calm = [one for one in local if one.score.load < LOADED]
        if calm:
            return calm, "local", f"auto: local, where the load is below {LOADED}"
        if pods:
            why = f"no load below {LOADED} among" if local else "no place at"
            return pods, "kubernetes", f"auto: kubernetes, with {why} local workers"
        return local, "local", f"auto: local, the least loaded, since {_no_pods(considered)}"
    if spec.strategy == "local":
        return local, "local", "local"
    return fitting, "", ""


def _no_pods(considered: Sequence[Candidate]) -> str:
    pods = [one for one in considered if "kubernetes" in one.executors]
    return f"no kubernetes worker fits ({_listed(pods) or 'none is registered'})"


def _nobody(considered: Sequence[Candidate]) -> str:
    return f"no worker fits: {_listed(considered)}" if considered else "no worker is registered"


def _listed(refused: Sequence[Candidate]) -> str:
    shown = "; ".join(f"{one.worker}: {', '.join(one.objections)}" for one in refused[:_SHOWN])
    return shown + (f"; and {len(refused) - _SHOWN} more" if len(refused) > _SHOWN else "")
