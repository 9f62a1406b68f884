"""What keeps a worker from getting a task, in words. None of it may be outweighed by a score."""

from __future__ import annotations

from collections.abc import Iterator

from lite.model.task import TaskSpec
from lite.model.worker import Worker, WorkerState
from lite.rules.fleet import Fleet, Mates

EXECUTORS = {"local": ("local",), "kubernetes": ("kubernetes", "local"), "auto": ("local", "kubernetes")}  # by strategy
_SHOWN = 60  # characters of what another machine says of itself


def objections(spec: TaskSpec, worker: Worker, fleet: Fleet, mates: Mates) -> Iterator[str]:
    """Nothing: it fits."""
    yield from unfit(spec, worker, fleet.now)
    if fleet.free(worker) <= 0:
        yield _full(worker, fleet)
    yield from _apart(spec, worker, mates)


def unfit(spec: TaskSpec, worker: Worker, now: int) -> Iterator[str]:
    """What the worker itself lacks, whatever else it has to do: a task that waits for it waits in vain."""
    if worker.state(now) is WorkerState.UNHEALTHY:
        yield f"silent for {(now - worker.heartbeat_at) // 1000} s"
    if worker.cordoned:
        yield "cordoned"
    if spec.agent not in worker.agents:
        yield f"does not serve {spec.agent}"
    for label, value in spec.selector.items():
        has = worker.labels.get(label)
        if has != value:
            yield f"{'lacks ' + label if has is None else f'has {label}={has[:_SHOWN]}'}, wanted {label}={value}"
    wanted = EXECUTORS.get(spec.strategy, ())
    if wanted and not set(wanted) & set(worker.executors):
        yield f"starts nothing {' or '.join('locally' if one == 'local' else f'in {one}' for one in wanted)}"


def _full(worker: Worker, fleet: Fleet) -> str:
    booked = fleet.booked.get(worker.id, 0)
    return f"all {worker.slots} slots taken" + (f" ({booked} by tasks assigned to it)" if booked else "")


def _apart(spec: TaskSpec, worker: Worker, mates: Mates) -> Iterator[str]:
    if not spec.affinity.startswith("require-"):
        return
    if mates.astray:  # on this very node, for all one knows; their leases are taken over or end
        yield f"team {spec.team} is on {', '.join(mates.astray)}, which has left, so nobody knows on which node"
    if spec.affinity == "require-colocate" and mates.nodes and worker.node not in mates.nodes:
        yield f"team {spec.team} is on {', '.join(sorted(mates.nodes))}, not on {worker.node}"
    if spec.affinity == "require-spread" and worker.node in mates.nodes:
        yield f"team {spec.team} is on {worker.node} already"
