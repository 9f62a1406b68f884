"""What keeps a queued task from being claimed, in the order in which a claim would find out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from lite.model.session import Status
from lite.model.settings import Settings
from lite.model.task import Reason, State, Task
from lite.model.worker import Worker, WorkerState
from lite.rules.accounts import Hold
from lite.rules.fleet import Fleet
from lite.rules.lanes import blocker
from lite.rules.place import place
from lite.rules.touches import overlap
from providers.durations import span


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the caller looked up about a task at `now` (ms). `needs` in any order; `lane` the tasks of its lane in its
    run; `running` every running task; `teams` and `booked` as in `Fleet`; `cause` the task that made this one skip or
    fail; `status` the live session's."""

    now: int
    settings: Settings
    needs: Sequence[Task] = ()
    lane: Sequence[Task] = ()
    running: Sequence[Task] = ()
    workers: Sequence[Worker] = ()
    teams: Mapping[tuple[str, str], int] = field(default_factory=dict)
    booked: Mapping[str, int] = field(default_factory=dict)
    cause: Task | None = None
    status: Status | None = None
    hold: Hold | None = None  # on its agent's account
    parkings: int = 0  # attempts in a row, up to the last one, that ended in being parked

    @property
    def fleet(self) -> Fleet:
        return Fleet(self.now, self.workers, self.teams, self.booked)


@dataclass(frozen=True, slots=True)
class Hindrance:
    """`code` is a stable word, `text` a clause that goes with "it" as its subject, `hint` what to do about it."""

    code: str
    text: str
    hint: str = ""


def hindrances(task: Task, evidence: Evidence) -> Iterator[Hindrance]:
    """All of them; none: it is about to be claimed."""
    yield from _unrouted(task, evidence)
    yield from _needs(task, evidence)
    yield from _lane(task, evidence)
    yield from _held(evidence)
    yield from _delay(task, evidence)
    yield from _touches(task, evidence)
    yield from _workers(task, evidence)
    yield from _caps(task, evidence)


def _unrouted(task: Task, evidence: Evidence) -> Iterator[Hindrance]:
    if task.reason == Reason.UNROUTABLE:
        why = f": {task.detail}" if task.detail else ""
        yield Hindrance(
            "unroutable", f"is parked, no agent takes it{why}", "repair the configuration; it is routed again"
        )
    elif task.spec.agent not in evidence.settings.agents:
        yield Hindrance("unroutable", f"waits for agent {task.spec.agent}, which is not configured any more")


def _needs(task: Task, evidence: Evidence) -> Iterator[Hindrance]:
    open_needs = [need for need in evidence.needs if not need.state.terminal]
    if open_needs:
        listed = ", ".join(f"{need.spec.name} ({need.state.value})" for need in open_needs)
        yield Hindrance("needs", f"needs {listed}", f"qd explain {open_needs[0].id}")


def _lane(task: Task, evidence: Evidence) -> Iterator[Hindrance]:
    before = blocker(task, evidence.lane)
    if before is not None:
        text = f"waits in lane {task.spec.lane} behind {before.spec.name} ({before.state.value})"
        yield Hindrance("lane", text, f"qd explain {before.id}")


def _held(evidence: Evidence) -> Iterator[Hindrance]:
    hold = evidence.hold
    if hold is None:
        return
    said = f' ("{hold.message}")' if hold.message else ""
    how_long = f"for {span(evidence.now - hold.since)} by now"
    if hold.until is not None:
        how_long = f"for {span(hold.until - evidence.now)} more"
    where = f" on {hold.node}" if hold.local else ""
    text = f"is held: account {hold.account}: {hold.reason.replace('-', ' ')}{where}{said} {how_long}"
    yield Hindrance("held", text, f"qd agents release {hold.account}")


def _delay(task: Task, evidence: Evidence) -> Iterator[Hindrance]:
    left = task.run_at - evidence.now
    if left <= 0:
        return
    if task.reason == Reason.RETRY:
        yield Hindrance(
            "back-off", f"tries again in {span(left)}, after failure {task.failures} of {task.spec.retries + 1}"
        )
    elif task.reason == Reason.INFRASTRUCTURE:
        why = f": {task.detail}" if task.detail else ""
        yield Hindrance("back-off", f"tries again in {span(left)}, after a fault of the infrastructure{why}")
    elif task.reason == Reason.PARKED:
        yield Hindrance("parked", f"is parked for {span(left)}{f': {task.detail}' if task.detail else ''}")
    else:
        yield Hindrance("delayed", f"is not to start before {span(left)} from now")


def _touches(task: Task, evidence: Evidence) -> Iterator[Hindrance]:
    for other in evidence.running:
        if other.id != task.id and overlap(task.spec.touches, other.spec.touches):
            shared = ", ".join(path for path in task.spec.touches if overlap((path,), other.spec.touches))
            yield Hindrance(
                "touches", f"touches {shared}, as {other.spec.name} does, which is running", f"qd show {other.id}"
            )


def _workers(task: Task, evidence: Evidence) -> Iterator[Hindrance]:
    spec, now = task.spec, evidence.now
    workers = list(evidence.workers)
    if task.assigned:
        workers = [worker for worker in workers if worker.id == task.assigned]
        if not workers:
            yield Hindrance("no-worker", f"was placed on worker {task.assigned}, which is gone")
            return
    elif spec.placed:
        placement = place(spec, evidence.fleet)
        if placement.worker is None:
            yield Hindrance("placement", f"has to be placed, but {placement.why}")
            return
    serving = [worker for worker in workers if spec.agent in worker.agents]
    healthy = [worker for worker in serving if worker.state(now) is not WorkerState.UNHEALTHY]
    willing = [worker for worker in healthy if not worker.cordoned]
    if not serving:
        which = f"worker {task.assigned} does not serve" if task.assigned else "no worker serves"
        yield Hindrance("no-worker", f"waits, since {which} agent {spec.agent}", "qd workers")
    elif not healthy:
        yield Hindrance("no-worker", f"waits, since {_names(serving)} gives no sign of life", "qd workers")
    elif not willing:
        yield Hindrance("cordoned", f"waits, since {_names(healthy)} is cordoned", "qd workers")
    elif all(len(worker.running) >= worker.slots for worker in willing):
        taken, slots = sum(len(worker.running) for worker in willing), sum(worker.slots for worker in willing)
        yield Hindrance(
            "slots", f"waits for a free slot ({taken} of {slots} taken)", "limits.slots in quarterdeck.yaml"
        )


def _caps(task: Task, evidence: Evidence) -> Iterator[Hindrance]:
    agent = evidence.settings.agents.get(task.spec.agent)
    if agent is None or agent.slots is None:
        return
    busy = sum(1 for other in evidence.running if other.spec.agent == agent.name and other.state is State.RUNNING)
    if busy >= agent.slots:
        text = f"waits for agent {agent.name}, which runs {busy} of at most {agent.slots}"
        yield Hindrance("agent-slots", text, f"agents.{agent.name}.slots in quarterdeck.yaml")


def _names(workers: Sequence[Worker]) -> str:
    return f"worker {workers[0].id}" if len(workers) == 1 else f"each of {len(workers)} workers"
