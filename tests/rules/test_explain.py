"""Explanations: never empty, and the first line names what matters."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lite.model.session import Activity, Status
from lite.model.settings import Agent
from lite.model.task import Reason, State, Task, Waiting
from lite.rules.explain import Evidence, explain
from tests.rules.making import DEV, NOW, running, settings, task, worker

FREE = Evidence(now=NOW, settings=settings(DEV), workers=(worker(),))


def evidence(**more: Any) -> Evidence:
    return replace(FREE, **more)


CASES: list[tuple[Task, Evidence, str, str]] = [
    (task(), FREE, "ready", "one is ready and about to be claimed"),
    (
        task(),
        evidence(needs=(task("api", state=State.SUCCEEDED), running("db"), task("ui"))),
        "needs",
        "one needs db (running), ui (queued)",
    ),
    (
        task(seq=5, run="r", lane="web"),
        evidence(lane=(task("first", 2, run="r", lane="web"), task("done", 1, State.FAILED, run="r", lane="web"))),
        "lane",
        "one waits in lane web behind first (queued)",
    ),
    (
        task(touches=("/p/src", "/p/docs")),
        evidence(running=(running("other", touches=("/p/src/a",)),)),
        "touches",
        "one touches /p/src, as other does, which is running",
    ),
    (task(run_at=NOW + 90_000), FREE, "delayed", "one is not to start before 1m30s from now"),
    (
        task(run_at=NOW + 4_000, reason=Reason.RETRY, failures=1, retries=2),
        FREE,
        "back-off",
        "one tries again in 4.0s, after failure 1 of 3",
    ),
    (
        task(run_at=NOW + 4_000, reason=Reason.INFRASTRUCTURE, detail="no pty left"),
        FREE,
        "back-off",
        "one tries again in 4.0s, after a fault of the infrastructure: no pty left",
    ),
    (
        task(run_at=NOW + 7_200_000, reason=Reason.PARKED, detail="quota"),
        FREE,
        "parked",
        "one is parked for 2h00m: quota",
    ),
    (
        task(),
        evidence(settings=settings(Agent("dev", "claude", slots=1)), running=(running("other"),)),
        "agent-slots",
        "one waits for agent dev, which runs 1 of at most 1",
    ),
    (
        task(),
        evidence(workers=(worker(slots=2, running=("a", "b")),)),
        "slots",
        "one waits for a free slot (2 of 2 taken)",
    ),
    (task(), evidence(workers=(worker(cordoned=True),)), "cordoned", "one waits, since worker w1 is cordoned"),
    (
        task(),
        evidence(workers=(worker(heartbeat_at=NOW - 100_000),)),
        "no-worker",
        "one waits, since worker w1 gives no sign of life",
    ),
    (task(), evidence(workers=()), "no-worker", "one waits, since no worker serves agent dev"),
    (
        task(agent="gone"),
        evidence(workers=(worker(agents=("gone",)),)),
        "unroutable",
        "one waits for agent gone, which is not configured any more",
    ),
    (
        task(reason=Reason.UNROUTABLE, detail="no agent has the role 'x'"),
        FREE,
        "unroutable",
        "one is parked, no agent takes it: no agent has the role 'x'",
    ),
    (
        task(selector={"gpu": "a100"}),
        FREE,
        "placement",
        "one has to be placed, but no worker fits: w1: lacks gpu, wanted gpu=a100",
    ),
    (
        task(selector={"gpu": "a100"}, assigned="w9"),
        FREE,
        "no-worker",
        "one was placed on worker w9, which is gone",
    ),
    (running("one"), FREE, "running", "one is running on worker w1, for 1m00s"),
    (
        running("one"),
        evidence(status=Status(Activity.WORKING, "events", "tool_use", NOW - 5_000)),
        "running",
        "one is working on worker w1, for 1m00s",
    ),
    (running("one", started_at=None), FREE, "starting", "one was claimed and is being started on worker w1"),
    (running("one", cancel="user"), FREE, "cancelling", "one was asked to stop (user); its program has not ended yet"),
    (
        running("one", waiting=Waiting("q1", "question", "Which\n port?")),
        FREE,
        "waiting",
        "one waits for a person (question): Which port?",
    ),
    (
        running("one"),
        evidence(status=Status(Activity.WAITING, "holder", "osc7501", NOW, "Proceed?")),
        "waiting",
        "one waits for a person: Proceed?",
    ),
    (
        running("one"),
        evidence(now=NOW + 20_000),
        "lease-expired",
        "one has a lease that ran out 10s ago on worker w1; it is recovered next",
    ),
    (
        task(state=State.SUCCEEDED, started_at=NOW - 12_000, ended_at=NOW, exit_code=0),
        FREE,
        "succeeded",
        "one succeeded after 12s",
    ),
    (
        task(state=State.FAILED, reason=Reason.EXIT, exit_code=2, started_at=NOW - 500, ended_at=NOW),
        FREE,
        "exit",
        "one failed: it exited with 2 after 500ms",
    ),
    (task(state=State.FAILED, reason=Reason.SIGNAL, signal=9), FREE, "signal", "one failed: it was ended by signal 9"),
    (task(state=State.FAILED, reason=Reason.TIMEOUT), FREE, "timeout", "one failed: it ran into its timeout"),
    (
        task(state=State.FAILED, reason=Reason.POISON, detail="no pty"),
        FREE,
        "poison",
        "one failed: it met 10 faults of the infrastructure: no pty",
    ),
    (task(state=State.FAILED, reason="rate-limit"), FREE, "rate-limit", "one failed: it failed (rate-limit)"),
    (
        task(state=State.SKIPPED, reason=Reason.NEED, cause="id-api"),
        evidence(cause=task("api", state=State.FAILED, reason=Reason.EXIT)),
        "need",
        "one was skipped, because api failed",
    ),
    (
        task(state=State.FAILED, reason=Reason.NEED, cause="id-api"),
        FREE,
        "need",
        "one failed without a start, because id-api did not succeed",
    ),
    (task(state=State.CANCELLED, reason=Reason.USER), FREE, "cancelled", "one was cancelled by hand"),
    (task(state=State.CANCELLED, reason="shutdown"), FREE, "cancelled", "one was cancelled (shutdown)"),
]


@pytest.mark.parametrize(("one", "known", "code", "summary"), CASES)
def test_the_first_line_names_what_matters(one: Task, known: Evidence, code: str, summary: str) -> None:
    found = explain(one, known)
    assert (found.code, found.summary) == (code, summary)
    assert (found.task, found.state) == (one.id, one.state.value)


def test_everything_that_blocks_is_among_the_facts() -> None:
    one = task(seq=3, lane="web", run_at=NOW + 60_000)
    known = evidence(needs=(running("db"),), lane=(task("before", 1, lane="web"),), workers=(worker(cordoned=True),))
    found = explain(one, known)
    assert found.summary == "one needs db (running) (and 3 more)"
    assert found.hint == "qd explain id-db"
    assert found.facts[:4] == (
        "it needs db (running)",
        "it waits in lane web behind before (queued)",
        "it is not to start before 1m00s from now",
        "it waits, since worker w1 is cordoned",
    )


def test_the_routing_rule_and_each_candidate_are_told() -> None:
    found = explain(task(selector={"gpu": "a"}, rule="type implement: role of dev"), FREE)
    assert "agent dev (claude, headless), by the rule: type implement: role of dev" in found.facts
    assert "worker w1: lacks gpu, wanted gpu=a" in found.facts


def test_the_filters_and_scores_of_every_worker_are_told() -> None:
    workers = (
        worker("w1", node="n1", load=0.5, running=("t",)),
        worker("w2", node="n2", cordoned=True),
        worker("w3", node="n2", executors=("kubernetes",), slots=1),
    )
    one = task(strategy="kubernetes", team="web", affinity="prefer-spread")
    found = explain(one, evidence(workers=workers, teams={("w1", "web"): 2}, booked={"w3": 1}))
    assert (found.code, found.summary) == ("ready", "one is ready and about to be claimed")
    assert found.facts[:4] == (
        "it fits best on worker w1: no kubernetes worker fits (w3: all 1 slots taken (1 by tasks assigned to it)): "
        "falls back to local, prefer-spread: 2 of team web on n1, load 0.50, 3 of 4 slots free",
        "worker w1: fits (local): prefer-spread: 2 of team web on n1, load 0.50, 3 of 4 slots free",
        "worker w2: cordoned",
        "worker w3: all 1 slots taken (1 by tasks assigned to it)",
    )


def test_a_large_fleet_is_told_in_part_and_never_those_that_fit_last() -> None:
    fleet = (*(worker(f"w{at:03}", cordoned=True) for at in range(80)), worker("w999"))
    found = explain(task(strategy="local"), evidence(workers=fleet))
    told = [fact for fact in found.facts if fact.startswith("worker ")]
    assert (told[0].split(":")[0], len(told)) == ("worker w999", 50)
    assert "and 31 more workers" in found.facts


@pytest.mark.parametrize("state", [State.QUEUED, State.RUNNING, State.SUCCEEDED])
def test_why_it_was_placed_is_told_from_then_on(state: State) -> None:
    one = running("one") if state is State.RUNNING else task(state=state)
    one = replace(one, assigned="w1", assigned_why="local, load 0.20, 4 of 4 slots free")
    assert "placed on worker w1: local, load 0.20, 4 of 4 slots free" in explain(one, FREE).facts


def test_the_activity_comes_with_its_evidence() -> None:
    found = explain(running("one"), evidence(status=Status(Activity.IDLE, "terminal", "prompt", NOW - 65_000)))
    assert "activity idle for 1m05s (source terminal, rule prompt)" in found.facts


_texts = st.sampled_from(["", "why", "a\nb", *Reason])
_tasks = st.builds(
    task,
    state=st.sampled_from(list(State)),
    reason=_texts,
    detail=_texts,
    cause=st.sampled_from(["", "id-api"]),
    attempt=st.integers(0, 3),
    failures=st.integers(0, 3),
    run_at=st.sampled_from([0, NOW + 1]),
    assigned=st.sampled_from(["", "w1", "w9"]),
    cancel=_texts,
    exit_code=st.sampled_from([None, 0, 3]),
    signal=st.sampled_from([None, 9]),
    started_at=st.sampled_from([None, NOW - 1]),
    ended_at=st.sampled_from([None, NOW]),
    agent=st.sampled_from(["dev", "gone"]),
    lane=st.sampled_from(["", "web"]),
    selector=st.sampled_from([{}, {"a": "b"}]),
    rule=_texts,
)


def test_an_endless_row_of_parkings_is_told() -> None:
    parked = task(run_at=NOW + 7_200_000, reason=Reason.PARKED, detail="quota", attempt=41)
    assert "parked 40 times in a row" in "\n".join(explain(parked, evidence(parkings=40)).facts)
    assert "in a row" not in "\n".join(explain(parked, evidence(parkings=1)).facts)


@given(
    one=_tasks,
    needs=st.lists(_tasks, max_size=2),
    workers=st.lists(st.builds(worker, cordoned=st.booleans()), max_size=1),
    cause=st.none() | _tasks,
)
def test_any_row_gets_one_line_and_some_facts(
    one: Task, needs: list[Task], workers: list[Any], cause: Task | None
) -> None:
    found = explain(one, evidence(needs=needs, lane=needs, running=needs, workers=workers, cause=cause))
    assert found.summary.startswith("one ")
    assert len(found.summary) > len("one is")
    assert found.code
    assert found.facts
    assert "\n" not in "".join((found.summary, *found.facts))
