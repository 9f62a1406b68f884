"""Which of the workers that fit is the best for a task."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from lite.model.task import TaskSpec
from lite.model.worker import Worker
from lite.rules.fleet import Fleet, Mates

# Load per processor from which on a machine is busy: at 1.0 all processors are, and what is started now adds to it.
LOADED = 0.9
# Loads closer than this count as equal: they are as old as a heartbeat, and free slots tell more.
_STEP = 0.25


@dataclass(frozen=True, slots=True)
class Score:
    """`affinity` is a preference: more is better. `load` is per processor."""

    affinity: int
    load: float
    free: int
    slots: int
    told: str = ""  # the preference, in words

    def key(self, executor: str) -> tuple[int, int, float]:
        """The smallest is the best: preference, load, share of free slots."""
        steps = 0 if executor == "kubernetes" else int(self.load / _STEP)  # a pod loads another machine
        return -self.affinity, steps, -self.free / max(self.slots, 1)

    def words(self) -> Iterator[str]:
        if self.told:
            yield self.told
        yield f"load {self.load:.2f}"
        yield f"{self.free} of {self.slots} slots free"


def score(spec: TaskSpec, worker: Worker, fleet: Fleet, mates: Mates) -> Score:
    here = mates.nodes.get(worker.node, 0)
    affinity = {"prefer-colocate": here, "prefer-spread": -here}.get(spec.affinity, 0)
    told = "" if spec.affinity == "none" else f"{spec.affinity}: {here} of team {spec.team} on {worker.node}"
    return Score(affinity, load_of(worker), fleet.free(worker), worker.slots, told)


def load_of(worker: Worker) -> float:
    """Between 0 and 1000: what another machine says may be no number at all."""
    return min(max(worker.load, 0.0), 1000.0) if math.isfinite(worker.load) else 1000.0
