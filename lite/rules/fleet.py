"""What a placement looks at: the workers, and what has been given to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from lite.model.task import Task
from lite.model.worker import Worker


@dataclass(frozen=True, slots=True)
class Mates:
    """Where a team is: tasks per node, and the workers with some of them that are not registered any more, so that
    nobody knows their node."""

    nodes: Mapping[str, int] = field(default_factory=dict)
    astray: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Fleet:
    """As of `now` (ms). `teams` is what `TaskQueue.team_index` tells: (worker, team) -> tasks; `booked` has for each
    worker the number of queued tasks assigned to it."""

    now: int
    workers: Sequence[Worker] = ()
    teams: Mapping[tuple[str, str], int] = field(default_factory=dict)
    booked: Mapping[str, int] = field(default_factory=dict)

    def free(self, worker: Worker) -> int:
        """Slots neither taken nor booked; below zero when more was booked than there is."""
        return worker.slots - len(worker.running) - self.booked.get(worker.id, 0)

    def seen(self, team: str) -> dict[str, int]:
        """worker -> tasks of the team, those with any."""
        return {worker: count for (worker, name), count in self.teams.items() if name == team and count > 0}

    def mates(self, team: str) -> Mates:
        """Of "": nobody."""
        known = {worker.id: worker.node for worker in self.workers}
        nodes: dict[str, int] = {}
        astray: list[str] = []
        for worker, count in self.seen(team).items() if team else ():
            if worker in known:
                nodes[known[worker]] = nodes.get(known[worker], 0) + count
            else:
                astray.append(worker)
        return Mates(nodes, tuple(sorted(astray)))

    def without(self, task: Task) -> Fleet:
        """As it would be, were this queued task not assigned."""
        worker, team = task.assigned, task.spec.team
        booked = {**self.booked, worker: self.booked.get(worker, 0) - 1}
        teams = {**self.teams, (worker, team): self.teams.get((worker, team), 0) - 1} if team else self.teams
        return replace(self, teams=teams, booked=booked)
