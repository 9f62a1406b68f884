"""The same plan on SQLite and on Redis has the same history, up to times, ids, cursors and the names of workers."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.support.fleet import Fleet, until
from tests.support.members import Members
from tests.support.redis_server import RedisServer

CONFIG = """
limits: {slots: 6}
stop_grace: 600ms
retry: {base: 50ms, jitter: 0}
labels: {zone: a}
agents:
  noop: {provider: noop, roles: [nothing]}
"""

PLAN = """
name: everything
tasks:
  first: {command: 'echo made > $QD_OUTPUT'}
  reads: {command: 'echo $QD_NEEDS_FIRST', needs: [first]}
  routed: {type: nothing, prompt: 'of {{ needs.first.output }}', needs: [first]}
  flaky: {command: '[ $QD_ATTEMPT -gt 2 ]', retries: 2}
  broken: {command: 'exit 3', retries: 1}
  skipped: {command: 'true', needs: [broken]}
  skipped_too: {command: 'true', needs: [skipped, first]}
  strict: {command: 'exit 4', on_failure: fail}
  failed_too: {command: 'true', needs: [strict], on_failure: continue}
  lenient: {command: 'exit 5', on_failure: continue}
  goes_on: {command: 'true', needs: [lenient, failed_too]}
  killed: {command: 'kill -9 $$'}
  nowhere: {command: [there-is-no-such-program]}
  too_long: {command: 'exec sleep 600', timeout: 600ms}
  delayed: {command: 'true', delay: 400ms}
  lane_1: {command: 'sleep 0.1', lane: one}
  lane_2: {command: 'exit 6', lane: one}
  lane_3: {command: 'true', lane: one, needs: [delayed]}
  touch_1: {command: 'sleep 0.1', touches: [src]}
  touch_2: {command: 'true', touches: [src/deep]}
  placed: {command: 'true', selector: {zone: a}}
  placed_too: {command: 'true', team: red, affinity: prefer-colocate, needs: [placed]}
  cancelled: {command: 'touch THERE; exec sleep 600'}
  cancelled_early: {command: 'true', delay: 1h}
  after_cancel: {command: 'true', needs: [cancelled, cancelled_early]}
"""

TIMES_AND_USAGE = {"run_at", "cost_usd", "cost_source", "tokens_in", "tokens_out", "turns"}
MEASURED = re.compile(r"(load|,) [\d.]+(?= of|,|$)")  # of a placement: how busy the worker was
COMPARED = ("state", "reason", "detail", "attempt", "failures", "faults", "exit_code", "signal", "output", "cause")
Histories = dict[str, list[tuple[str, int, Any]]]


def play(fleet: Fleet) -> tuple[Histories, dict[str, Any]]:
    """Run the plan, cancel two, retry one by hand; the histories and the rows at the end, by name."""
    there = fleet.project / "there"  # a shell that is still starting may let the first interrupt pass
    ids = {task["name"]: task["id"] for task in fleet.submit_plan(PLAN.replace("THERE", str(there)))}
    client = fleet.client
    until(there.exists, 30, fleet.describe)
    until(lambda: client.task(ids["cancelled"])["started_at"], 30, fleet.describe)
    client.cancel(ids["cancelled_early"], "not today")  # first: the other one takes its time to end
    client.cancel(ids["cancelled"])
    fleet.wait()
    client.retry(ids["broken"])
    fleet.wait()
    (run,) = client.runs()
    until(lambda: client.run(run["id"])["state"] != "running", 30, fleet.describe)
    tasks, events = fleet.tasks(), fleet.events()
    names = {task["id"]: task["name"] for task in tasks} | {run["id"]: "the run"}
    names |= {event["worker"]: "somebody" for event in events if event["worker"]}
    names |= {str(fleet.project): "the project"}
    histories: Histories = defaultdict(list)
    for event in events:
        if event["task"] or event["run"]:
            data = {key: value for key, value in event["data"].items() if key not in TIMES_AND_USAGE}
            told = (event["kind"], event["attempt"], _named(data, names))
            histories[names[event["task"] or event["run"]]].append(told)
    rows = {task["name"]: _named({key: task[key] for key in COMPARED}, names) for task in tasks}
    return dict(histories), rows


def _named(value: Any, names: Mapping[str, str]) -> Any:
    if isinstance(value, Mapping):
        return {key: _named(inner, names) for key, inner in value.items()}
    if isinstance(value, list):
        return [_named(inner, names) for inner in value]
    if isinstance(value, str):
        for known, name in names.items():
            value = value.replace(known, name)
        return MEASURED.sub(r"\1 N", value)
    return value


@pytest.fixture(scope="module")
def lite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Histories, dict[str, Any]]]:
    with Fleet(tmp_path_factory.mktemp("lite") / "project", CONFIG) as fleet:
        assert fleet.up() == "ready"
        yield play(fleet)


@pytest.mark.slow
@pytest.mark.parametrize("roles", [("all",), ("orchestrator", "worker")], ids="+".join)
def test_lite_and_redis_tell_the_same(
    lite: tuple[Histories, dict[str, Any]],
    tmp_path: Path,
    redis_server: RedisServer,
    redis_prefix: str,
    roles: tuple[str, ...],
) -> None:
    with Members(tmp_path, redis_server.url, redis_prefix, CONFIG) as members:
        for number, role in enumerate(roles):
            members.join(f"m{number}", role)
        members.ready()
        histories, rows = play(members.all[0])
    assert rows == lite[1]
    assert histories.keys() == lite[0].keys()
    for name, history in histories.items():
        assert history == lite[0][name], name


@pytest.mark.slow
def test_the_plan_has_everything_in_it(lite: tuple[Histories, dict[str, Any]]) -> None:
    """Else two histories could agree on little."""
    histories, rows = lite
    kinds = {kind for history in histories.values() for kind, _, _ in history}
    assert kinds >= {
        "run.submitted",
        "run.finished",
        "run.reopened",
        "task.submitted",
        "task.routed",
        "task.claimed",
        "task.started",
        "task.retrying",
        "task.cancelling",
        "task.reopened",
        "task.succeeded",
        "task.failed",
        "task.cancelled",
        "task.skipped",
    }
    assert {row["state"] for row in rows.values()} == {"succeeded", "failed", "cancelled", "skipped"}
    assert {row["reason"] for row in rows.values()} >= {"exit", "timeout", "need", "user", "not today", "launch"}
    assert (rows["flaky"]["attempt"], rows["broken"]["attempt"]) == (3, 4)
