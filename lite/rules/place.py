"""Which worker gets a task that has to be placed: hard filters, then scores, ties by the worker's id."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from lite.model.task import TaskSpec
from lite.model.worker import Worker, WorkerState

Index = Mapping[tuple[str, str], int]  # (node, team) -> running tasks

_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Candidate:
    """One worker looked at. `objections` are the filters it failed, in words; empty: it fits. Higher `score` wins."""

    worker: str
    node: str
    objections: tuple[str, ...]
    score: tuple[float, float] = (0.0, 0.0)  # affinity, share of free slots


@dataclass(frozen=True, slots=True)
class Placement:
    """The chosen worker (None: nobody fits), why in one line, and everybody considered, by id."""

    worker: str | None
    why: str
    considered: tuple[Candidate, ...] = ()


def place(spec: TaskSpec, workers: Iterable[Worker], running: Index, now: int) -> Placement:
    """Filters: healthy, not cordoned, serves the agent, has the labels, a free slot, `require-*` kept. Scores:
    `prefer-*`, then the share of free slots."""
    known = sorted(workers, key=lambda worker: worker.id)
    team_nodes = {node for (node, team), count in running.items() if spec.team and team == spec.team and count > 0}
    considered = tuple(_consider(spec, worker, running, team_nodes, now) for worker in known)
    fitting = [one for one in considered if not one.objections]
    if not fitting:
        return Placement(None, _nobody(considered), considered)
    best = min(fitting, key=lambda one: (-one.score[0], -one.score[1], one.worker))
    chosen = next(worker for worker in known if worker.id == best.worker)
    return Placement(best.worker, _why(spec, chosen, running), considered)


def _consider(spec: TaskSpec, worker: Worker, running: Index, team_nodes: set[str], now: int) -> Candidate:
    mates = running.get((worker.node, spec.team), 0) if spec.team else 0
    objections = []
    if worker.state(now) is WorkerState.UNHEALTHY:
        objections.append(f"silent for {(now - worker.heartbeat_at) // 1000} s")
    if worker.cordoned:
        objections.append("cordoned")
    if spec.agent not in worker.agents:
        objections.append(f"does not serve {spec.agent}")
    for label, value in spec.selector.items():
        if worker.labels.get(label) != value:
            has = f"has {label}={worker.labels[label]}" if label in worker.labels else f"lacks {label}"
            objections.append(f"{has}, wanted {label}={value}")
    if _free(worker) <= 0:
        objections.append(f"all {worker.slots} slots taken")
    if spec.affinity == "require-colocate" and team_nodes and worker.node not in team_nodes:
        objections.append(f"team {spec.team} runs on {', '.join(sorted(team_nodes))}, not on {worker.node}")
    if spec.affinity == "require-spread" and mates:
        objections.append(f"team {spec.team} runs on {worker.node} already")
    affinity = {"prefer-colocate": float(mates), "prefer-spread": -float(mates)}.get(spec.affinity, 0.0)
    return Candidate(worker.id, worker.node, tuple(objections), (affinity, _free(worker) / max(worker.slots, 1)))


def _free(worker: Worker) -> int:
    return worker.slots - len(worker.running)


def _why(spec: TaskSpec, worker: Worker, running: Index) -> str:
    parts = [f"{_free(worker)} of {worker.slots} slots free"]
    parts += [f"{label}={value}" for label, value in spec.selector.items()]
    if spec.affinity != "none":
        mates = running.get((worker.node, spec.team), 0)
        parts.append(f"{spec.affinity}: {mates} of team {spec.team} on {worker.node}")
    return ", ".join(parts)


def _nobody(considered: tuple[Candidate, ...]) -> str:
    if not considered:
        return "no worker is registered"
    shown = "; ".join(f"{one.worker}: {', '.join(one.objections)}" for one in considered[:_SHOWN])
    more = f"; and {len(considered) - _SHOWN} more" if len(considered) > _SHOWN else ""
    return f"no worker fits: {shown}{more}"
