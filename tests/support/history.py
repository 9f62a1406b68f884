"""An independent checker of event histories: knows the promises, not the engine."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

ENDS = {"task.succeeded", "task.failed", "task.cancelled", "task.retrying", "task.parked"}
TERMINAL = {"task.succeeded", "task.failed", "task.cancelled", "task.skipped"}


def check_history(events: Iterable[Mapping[str, Any]]) -> None:
    """Every attempt claimed once and ended at most once, by the numbers 1, 2, 3..; nothing follows a terminal event but
    a reopening; cursors grow."""
    last_cursor = 0
    attempts: dict[str, list[int]] = defaultdict(list)
    ended: dict[tuple[str, int], str] = {}
    terminal: set[str] = set()
    for event in events:
        kind, task, attempt = event["kind"], event["task"], event["attempt"]
        assert event["cursor"] > last_cursor, f"cursor went back: {event}"
        last_cursor = event["cursor"]
        if not task:
            continue
        if kind == "task.reopened":
            assert task in terminal, f"reopened without an end: {event}"
            terminal.discard(task)
            continue
        assert task not in terminal, f"something happened after the end: {event}"
        if kind == "task.claimed":
            open_attempts = [one for one in attempts[task] if (task, one) not in ended]
            assert not open_attempts, f"claimed while attempt {open_attempts} runs: {event}"
            assert attempt == len(attempts[task]) + 1, f"attempts out of order: {event}"
            attempts[task].append(attempt)
        elif kind in ENDS and attempt:
            assert (task, attempt) not in ended, f"a second outcome: {event}, first {ended[task, attempt]}"
            assert attempt in attempts[task], f"an outcome without a claim: {event}"
            ended[task, attempt] = kind
        if kind in TERMINAL:
            terminal.add(task)


def check_all_ended(events: Iterable[Mapping[str, Any]]) -> None:
    """Every submitted task has come to an end, every attempt to its outcome."""
    submitted: set[str] = set()
    open_attempts: set[tuple[str, int]] = set()
    terminal: set[str] = set()
    for event in events:
        kind, task, attempt = event["kind"], event["task"], event["attempt"]
        if kind == "task.submitted":
            submitted.add(task)
        elif kind == "task.claimed":
            open_attempts.add((task, attempt))
        elif kind in ENDS and attempt:
            open_attempts.discard((task, attempt))
        if kind in TERMINAL:
            terminal.add(task)
        elif kind == "task.reopened":
            terminal.discard(task)
    assert submitted <= terminal, f"never ended: {sorted(submitted - terminal)}"
    assert not open_attempts, f"attempts without an outcome: {sorted(open_attempts)}"


def check_lanes(events: Iterable[Mapping[str, Any]], lanes: Mapping[str, list[str]]) -> None:
    """Tasks of one lane (ids in lane order) never ran at the same time, nor out of order."""
    place = {task: (lane, at) for lane, tasks in lanes.items() for at, task in enumerate(tasks)}
    running: dict[str, str] = {}
    ended: dict[str, set[str]] = defaultdict(set)
    for event in events:
        task = event["task"]
        if task not in place:
            continue
        lane, at = place[task]
        if event["kind"] == "task.claimed":
            assert lane not in running, f"{task} claimed while {running[lane]} runs in lane {lane}"
            missing = set(lanes[lane][:at]) - ended[lane]
            assert not missing, f"{task} claimed before {sorted(missing)} of lane {lane} ended"
            running[lane] = task
        elif event["kind"] in ENDS and event["attempt"]:
            running.pop(lane, None)
        if event["kind"] in TERMINAL:
            ended[lane].add(task)


def check_needs(events: Iterable[Mapping[str, Any]], needs: Mapping[str, Iterable[str]]) -> None:
    """Nothing was claimed before all it needs had succeeded. For tasks of which none may go on after a failure."""
    succeeded: set[str] = set()
    for event in events:
        task, kind = event["task"], event["kind"]
        if kind == "task.succeeded":
            succeeded.add(task)
        elif kind == "task.claimed":
            missing = set(needs.get(task, ())) - succeeded
            assert not missing, f"{task} claimed before {sorted(missing)}: {event}"


def check_holders(events: Iterable[Mapping[str, Any]]) -> None:
    """What is said of an attempt is said by the worker that has its lease, and a lease is lost by who had it."""
    holder: dict[tuple[str, int], str] = {}
    for event in events:
        at = event["task"], event["attempt"]
        if event["kind"] == "task.claimed":
            holder[at] = event["worker"]
        elif event["kind"] == "lease.lost":
            assert holder.get(at) == event["data"]["from"], f"lost by {event}, held by {holder.get(at)}"
            holder[at] = event["data"]["to"]
        elif event["attempt"] and event["kind"] in {*ENDS, "task.started"}:
            assert holder.get(at) == event["worker"], f"{event}, but {holder.get(at)} has the lease"


def check_programs(lines: Iterable[str], succeeded: Mapping[str, int]) -> None:
    """From the side of the programs, which wrote `begin TASK ATTEMPT` and `end TASK ATTEMPT` in this order: no attempt
    began twice, none of a task goes on after a later one began, and the attempt that counts (`succeeded`) ran whole."""
    begun: dict[str, list[int]] = defaultdict(list)
    ended: set[tuple[str, int]] = set()
    for line in lines:
        what, task, number = line.split()
        attempt = int(number)
        if what == "begin":
            assert all(attempt > before for before in begun[task]), f"{line} after {begun[task]}"
            begun[task].append(attempt)
        else:
            assert begun[task][-1:] == [attempt], f"{line}, but {begun[task]} have begun"
            assert (task, attempt) not in ended, f"twice: {line}"
            ended.add((task, attempt))
    for task, attempt in succeeded.items():
        assert (task, attempt) in ended, f"{task} succeeded with attempt {attempt}, which did not run to its end"
        assert begun[task][-1] == attempt, f"{task} ran again after its success: {begun[task]}"
