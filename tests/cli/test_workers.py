"""`workers` and its verbs: what is shown, and that drain waits by events and tells how it ended."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lite.errors import IllegalState
from tests.cli.conftest import Qd
from tests.cli.fake import FakeSupervisor, event, task
from tests.cli.test_fleet import AGENT, WORKER

ONE, TWO = task(1)["id"], task(2)["id"]


def worker(*running: str, **changes: Any) -> dict[str, Any]:
    return WORKER | {"running": list(running), "cordoned": True, "state": "draining"} | changes


@pytest.fixture
def states(supervisor: FakeSupervisor) -> list[list[dict[str, Any]]]:
    """What `GET /v1/workers` answers, one after the other; the last stays."""
    answers: list[list[dict[str, Any]]] = [[]]

    def answer(query: Any, body: Any) -> Any:
        return answers.pop(0) if len(answers) > 1 else answers[0]

    supervisor.routes["GET", "/v1/workers"] = answer
    return answers


def drains(supervisor: FakeSupervisor, first: dict[str, Any], *events: dict[str, Any]) -> None:
    supervisor.routes["POST", "/v1/workers/w-1/cordon"] = first
    lines = [{**one, "cursor": at} for at, one in enumerate(events, 1)]
    whole = "".join(json.dumps(one) + "\n" for one in lines).encode()
    supervisor.routes["GET", "/v1/events/stream"] = lambda query, body: whole if query["after"] == ["0"] else b""


def test_the_list_shows_what_placement_goes_by_and_no_token(qd: Qd, supervisor: FakeSupervisor) -> None:
    far = {**WORKER, "id": "w-2", "labels": {"zone": "a", "gpu": "1", "node": "n"}, "address": "http://n:7433"}
    supervisor.routes["GET", "/v1/workers"] = [WORKER, far]
    head, near, away = (line.split() for line in qd("workers").out.splitlines())
    assert head[:8] == ["ID", "STATE", "SLOTS", "LOAD", "NODE", "LABELS", "RUNS", "REACHABLE"]
    assert near[:6] == ["w-1", "busy", "1/4", "0.25", "n", "local"]
    assert near[6] == "no"
    assert away[5:8] == ["gpu=1,zone=a", "local", "yes"]


def test_cordon_names_the_worker(qd: Qd, supervisor: FakeSupervisor) -> None:
    supervisor.routes["POST", "/v1/workers/w-1/cordon"] = {**WORKER, "cordoned": True}
    assert "w-1 is cordoned" in qd("workers", "cordon", "w-1").err
    assert supervisor.bodies("POST", "/v1/workers/w-1/cordon") == [{"on": True}]


def test_an_idle_worker_is_drained_at_once(qd: Qd, supervisor: FakeSupervisor) -> None:
    drains(supervisor, worker())
    result = qd("workers", "drain", "w-1")
    assert (result.code, result.err) == (0, "qd: w-1 is drained\n")
    assert ("GET", "/v1/events/stream") not in [(method, path) for method, path, _, _ in supervisor.asked]


def test_drain_waits_for_the_events_that_end_its_work(
    qd: Qd, supervisor: FakeSupervisor, states: list[list[dict[str, Any]]]
) -> None:
    drains(
        supervisor,
        worker(ONE, TWO),
        event("task.succeeded", task(3)),  # another's
        {**event("worker.cordoned", on=True), "worker": "w-1"},
        event("task.succeeded", task(1)),
        event("session.waiting", task(2)),
        event("task.retrying", task(2)),
    )
    states[:] = [[worker(ONE, TWO)], [worker(TWO)], [worker()]]
    result = qd("workers", "drain", "w-1")
    assert result.code == 0
    assert result.err.splitlines() == [
        "qd: w-1 still runs 2 task(s)",
        "qd: w-1 still runs 1 task(s)",
        "qd: w-1 is drained",
    ]
    asked = [path for method, path, _, _ in supervisor.asked]
    assert asked.count("/v1/workers") == 3  # once for each event that may have changed it, and no more


def test_drain_gives_up_in_time_and_says_what_is_left(
    qd: Qd, supervisor: FakeSupervisor, states: list[list[dict[str, Any]]]
) -> None:
    drains(supervisor, worker(ONE, TWO))
    result = qd("workers", "drain", "w-1", "--timeout", "100ms")
    assert result.code == 8
    assert "timed out: w-1 stays cordoned and still runs 2 task(s)" in result.err
    result = qd("workers", "drain", "w-1", "--timeout", "100ms", "--json")
    assert (result.code, result.json["running"]) == (8, [ONE, TWO])


def test_a_worker_that_leaves_is_drained(
    qd: Qd, supervisor: FakeSupervisor, states: list[list[dict[str, Any]]]
) -> None:
    drains(supervisor, worker(ONE), {**event("worker.left"), "worker": "w-1"})
    result = qd("workers", "drain", "w-1")
    assert result.code == 0
    assert "w-1 has left the fleet" in result.err


def test_a_worker_opened_again_is_an_error(
    qd: Qd, supervisor: FakeSupervisor, states: list[list[dict[str, Any]]]
) -> None:
    drains(supervisor, worker(ONE), {**event("worker.cordoned", on=False), "worker": "w-1"})
    states[:] = [[worker(ONE, cordoned=False)]]
    result = qd("workers", "drain", "w-1")
    assert result.code == 2
    assert "was opened again" in result.err


def test_deregister_forgets_and_passes_a_refusal_on(qd: Qd, supervisor: FakeSupervisor) -> None:
    supervisor.routes["POST", "/v1/workers/w-1/deregister"] = WORKER
    assert "w-1 is forgotten" in qd("workers", "deregister", "w-1").err
    refusal = IllegalState("worker w-1 is alive", hint="stop it first: qd down on n")
    supervisor.routes["POST", "/v1/workers/w-1/deregister"] = refusal
    result = qd("workers", "deregister", "w-1")
    assert result.code == 2
    assert result.err == "qd: worker w-1 is alive\n    stop it first: qd down on n\n"


def test_down_counts_only_what_runs_here(qd: Qd, supervisor: FakeSupervisor) -> None:
    supervisor.routes["POST", "/v1/shutdown"] = {"ok": True}
    assert qd("down", "-y").out == "stopped\n"
    assert [query for _, path, query, _ in supervisor.asked if path == "/v1/tasks"] == [
        {"state": ["running"], "worker": ["w-1"]}
    ]


def test_agents_shows_whose_account_is_held_and_releases_it(qd: Qd, supervisor: FakeSupervisor) -> None:
    agent = AGENT | {"problem": "", "account": "claude:/srv", "held": "not-logged-in: run /login"}
    supervisor.routes["GET", "/v1/agents"] = [agent]
    out = qd("agents").out
    assert "claude:/srv" in out
    assert "held: not-logged-in: run /login" in out
    released = {"account": "claude:/srv", "reason": "not-logged-in", "message": "", "since": 1}
    supervisor.routes["POST", "/v1/accounts/release"] = released
    assert "claude:/srv is not held any more" in qd("agents", "release", "claude:/srv").err
    assert supervisor.bodies("POST", "/v1/accounts/release") == [{"account": "claude:/srv"}]
    assert qd("agents", "release").code == 2
