"""Why a task is in its state: one line for a person, then the evidence."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from lite.model.session import Activity
from lite.model.task import MAX_FAULTS, Reason, State, Task
from lite.rules.hindrances import Evidence, Hindrance, hindrances
from lite.rules.pick import PODS, chosen_in
from lite.rules.place import place
from providers.durations import span

__all__ = ["Evidence", "Explanation", "explain"]

_WORKERS_TOLD = 50
_ENDS = {
    Reason.TIMEOUT: "ran into its timeout",
    Reason.IDLE_TIMEOUT: "was silent for longer than its idle timeout",
    Reason.LIMIT: "reached one of its limits",
    Reason.LAUNCH: "could not be started",
    Reason.OUTPUT: "gave an output that is too large",
    Reason.POISON: f"met {MAX_FAULTS} faults of the infrastructure",
    Reason.AGENT: "was called a failure by its agent",
    Reason.HTTP: "got a bad HTTP answer",
    Reason.LOST: "was lost with its session",
}


@dataclass(frozen=True, slots=True)
class Explanation:
    """`code` is a stable word for the cause; `summary` one line; `facts` one line each; `hint` what to do."""

    task: str
    state: str
    code: str
    summary: str
    facts: tuple[str, ...] = ()
    hint: str = ""


def explain(task: Task, evidence: Evidence) -> Explanation:
    """Never without a summary; it names what blocks, what runs, or how it ended."""
    if task.state is State.QUEUED:
        code, text, hint, facts = _queued(task, evidence)
    elif task.state is State.RUNNING:
        code, text, hint, facts = _running(task, evidence)
    else:
        code, text, hint, facts = _ended(task, evidence)
    facts = [*facts, *_always(task, evidence)]
    return Explanation(
        task.id,
        task.state.value,
        code,
        _line(f"{task.spec.name} {text}"),
        tuple(dict.fromkeys(map(_line, facts))),
        hint,
    )


def _queued(task: Task, evidence: Evidence) -> tuple[str, str, str, list[str]]:
    found: list[Hindrance] = list(hindrances(task, evidence))
    facts = [f"it {one.text}" for one in found]
    if task.spec.placed and not task.assigned:
        facts += _placement(task, evidence)
    if not found:
        return "ready", "is ready and about to be claimed", "", facts
    first = found[0]
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    return first.code, first.text + more, first.hint, facts


def _placement(task: Task, evidence: Evidence) -> Iterator[str]:
    """Those that fit first; then what each of the others fails."""
    placement = place(task.spec, evidence.fleet)
    if placement.worker is not None:
        yield f"it fits best on worker {placement.worker}: {placement.why}"
    told = sorted(placement.considered, key=lambda one: bool(one.objections))
    for one in told[:_WORKERS_TOLD]:
        yield f"worker {one.worker}: {one.told()}"
    if len(told) > _WORKERS_TOLD:
        yield f"and {len(told) - _WORKERS_TOLD} more workers"


def _running(task: Task, evidence: Evidence) -> tuple[str, str, str, list[str]]:
    status = evidence.status
    facts = []
    if status is not None:
        since = span(evidence.now - status.since)
        facts.append(f"activity {status.activity.value} for {since} (source {status.source}, rule {status.rule})")
        if status.text:
            facts.append(f"it says: {status.text}")
    else:
        facts.append("activity unknown: no session of it runs under this supervisor")
    lease = task.lease
    worker = f" on worker {lease.worker}" if lease else ""
    if task.cancel:
        return "cancelling", f"was asked to stop ({task.cancel}); its program has not ended yet", "", facts
    if lease is not None and lease.expires_at < evidence.now:
        silent = span(evidence.now - lease.expires_at)
        return (
            "lease-expired",
            f"has a lease that ran out {silent} ago{worker}; it is recovered next",
            "qd workers",
            facts,
        )
    if task.waiting is not None:
        asked = f"waits for a person ({task.waiting.kind}): {task.waiting.text}"
        return "waiting", asked, f"qd attach {task.id} or qd send {task.id} TEXT", facts
    if status is not None and status.activity is Activity.WAITING:
        asked = f": {status.text}" if status.text else ""
        return "waiting", f"waits for a person{asked}", f"qd attach {task.id} or qd send {task.id} TEXT", facts
    doing = status.activity.value if status is not None else "running"
    if task.started_at is None:
        return "starting", f"was claimed and is being started{worker}", "", facts
    return "running", f"is {doing}{worker}, for {span(evidence.now - task.started_at)}", "", facts


def _ended(task: Task, evidence: Evidence) -> tuple[str, str, str, list[str]]:
    took = ""
    if task.started_at is not None and task.ended_at is not None:
        took = f" after {span(task.ended_at - task.started_at)}"
    facts = [f"detail: {task.detail}"] if task.detail else []
    if task.exit_code is not None:
        facts.append(f"exit code {task.exit_code}")
    if task.signal is not None:
        facts.append(f"ended by signal {task.signal}")
    if task.state is State.SUCCEEDED:
        return "succeeded", f"succeeded{took}", "", facts
    again = f"qd retry {task.id}"
    if task.cause:
        return _because(task, evidence, facts)
    if task.state is State.CANCELLED:
        who = "by hand" if task.reason in (Reason.USER, "") else f"({task.reason})"
        return "cancelled", f"was cancelled {who}{took}", again, facts
    if task.state is State.SKIPPED:
        return "skipped", "was skipped", again, facts
    why = _ENDS.get(Reason(task.reason) if task.reason in set(Reason) else Reason.NONE, "")
    if not why:
        why = f"exited with {task.exit_code}" if task.exit_code is not None else f"failed ({task.reason or 'unknown'})"
        if task.signal is not None:
            why = f"was ended by signal {task.signal}"
    detail = f": {task.detail}" if task.detail else ""
    hint = again if task.attempt == 0 else f"qd logs {task.id}; {again}"
    return task.reason or "failed", f"failed: it {why}{took}{detail}", hint, facts


def _because(task: Task, evidence: Evidence, facts: list[str]) -> tuple[str, str, str, list[str]]:
    cause = evidence.cause
    name = f"{cause.spec.name} {_verb(cause.state)}" if cause is not None else f"{task.cause} did not succeed"
    if cause is not None:
        facts.append(f"{cause.spec.name} ({cause.id}): {cause.state.value} {cause.reason}".rstrip())
    verb = "was skipped" if task.state is State.SKIPPED else "failed without a start"
    return "need", f"{verb}, because {name}", f"qd retry {task.cause}", facts


def _verb(state: State) -> str:
    if state is State.QUEUED:
        return "had not succeeded (it is queued again)"
    if state is State.RUNNING:
        return "had not succeeded (it is running again)"
    return state.value if state in (State.FAILED, State.SUCCEEDED) else f"was {state.value}"


def _always(task: Task, evidence: Evidence) -> Iterator[str]:
    spec = task.spec
    yield f"agent {spec.agent} ({spec.provider}, {spec.mode}), by the rule: {spec.rule or 'unknown'}"
    if task.attempt:
        counted = f"{task.failures} of {spec.retries + 1} failures, {task.faults} of {MAX_FAULTS} faults"
        yield f"attempt {task.attempt}; {counted}"
    if evidence.parkings > 1:
        yield f"parked {evidence.parkings} times in a row, which costs it neither retries nor faults"
    for need in evidence.needs:
        yield f"needs {need.spec.name} ({need.id}): {need.state.value}"
    if spec.lane:
        yield f"lane {spec.lane}" + (f" of run {spec.run}" if spec.run else " of the ad-hoc tasks")
    if spec.touches:
        yield f"touches {', '.join(spec.touches)}"
    if task.assigned:
        yield f"placed on worker {task.assigned}" + (f": {task.assigned_why}" if task.assigned_why else "")
    if executor := _executor(task):
        chosen = chosen_in(task.assigned_why)
        instead = chosen == PODS and executor != PODS
        verb = "runs" if task.state is State.RUNNING else "ran"
        yield f"{verb} in executor {executor}" + (f" instead of {PODS}, which had no place for it" if instead else "")


def _executor(task: Task) -> str:
    """Which one has its session, or had the last one; "" when none, or not one of ours."""
    return task.handle.partition(":")[0] if task.state is not State.QUEUED and task.handle[:1].isalpha() else ""


def _line(text: str) -> str:
    return " ".join(text.split())
