"""Placement: filters are never broken, the strategy narrows, scores decide, and the order of asking does not matter."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lite.model.task import State, TaskSpec
from lite.model.worker import Worker, WorkerState
from lite.rules.fleet import Fleet
from lite.rules.place import Placement, place
from lite.rules.scores import LOADED
from tests.rules.making import NOW, spec, task, worker

NODES = ["n1", "n2", "n3"]
WORKERS = ["w1", "w2", "w3", "w4"]
_labels = st.dictionaries(st.sampled_from(["gpu", "zone"]), st.sampled_from(["a", "b"]), max_size=2)
_workers = st.lists(
    st.builds(
        Worker,
        id=st.sampled_from(WORKERS),
        node=st.sampled_from(NODES),
        slots=st.integers(0, 3),
        agents=st.sampled_from([("dev",), ("dev",), (), ("dev", "ops")]),
        labels=_labels,
        heartbeat_at=st.sampled_from([NOW, NOW, NOW - 100_000]),
        cordoned=st.sampled_from([False, False, True]),
        running=st.lists(st.just("t"), max_size=3).map(tuple),
        executors=st.sampled_from([("local",), ("kubernetes",), ("local", "kubernetes"), ()]),
        load=st.sampled_from([0.0, 0.3, 0.89, 0.9, 5.0, math.nan, -math.inf]),
    ),
    max_size=4,
    unique_by=lambda one: one.id,
)
_fleets = st.builds(
    Fleet,
    now=st.just(NOW),
    workers=_workers,
    teams=st.dictionaries(
        st.tuples(st.sampled_from([*WORKERS, "gone"]), st.sampled_from(["web", "ops"])), st.integers(0, 3), max_size=4
    ),
    booked=st.dictionaries(st.sampled_from(WORKERS), st.integers(0, 2), max_size=2),
)
_affinities = st.sampled_from(["none", "prefer-colocate", "require-colocate", "prefer-spread", "require-spread"])
_specs = st.builds(
    TaskSpec,
    id=st.just("t"),
    name=st.just("t"),
    agent=st.sampled_from(["dev", "dev", "ops"]),
    provider=st.just("claude"),
    team=st.sampled_from(["web", "ops"]),
    selector=st.just({}) | _labels,
    affinity=_affinities,
    strategy=st.sampled_from(["", "local", "kubernetes", "auto"]),
) | st.builds(
    TaskSpec, id=st.just("t"), name=st.just("t"), agent=st.just("dev"), provider=st.just("claude"), selector=_labels
)


def _team_nodes(one: TaskSpec, fleet: Fleet) -> set[str]:
    """Where the team is, "" for a place nobody knows."""
    nodes = {worker.id: worker.node for worker in fleet.workers}
    return {nodes.get(who, "") for (who, team), count in fleet.teams.items() if one.team and team == one.team and count}


def _fits(one: TaskSpec, worker: Worker, fleet: Fleet) -> bool:
    where = _team_nodes(one, fleet)
    return (
        worker.state(NOW) is not WorkerState.UNHEALTHY
        and not worker.cordoned
        and one.agent in worker.agents
        and one.selector.items() <= dict(worker.labels).items()
        and len(worker.running) + fleet.booked.get(worker.id, 0) < worker.slots
        and not (one.affinity == "require-colocate" and where and ("" in where or worker.node not in where))
        and not (one.affinity == "require-spread" and ("" in where or worker.node in where))
        and not (one.strategy == "local" and "local" not in worker.executors)
        and not (one.strategy in ("kubernetes", "auto") and not worker.executors)
    )


@given(one=_specs, fleet=_fleets)
def test_the_chosen_worker_passes_every_filter_and_one_is_chosen_whenever_one_does(one: TaskSpec, fleet: Fleet) -> None:
    found = place(one, fleet)
    fitting = {worker.id for worker in fleet.workers if _fits(one, worker, fleet)}
    assert {each.worker for each in found.considered if not each.objections} == fitting
    assert [each.worker for each in found.considered] == sorted(worker.id for worker in fleet.workers)
    assert (found.worker in fitting) if fitting else (found.worker is None)
    assert found.why


@given(one=_specs, fleet=_fleets, seed=st.integers(0, 99))
def test_the_answer_does_not_depend_on_the_order_in_which_workers_are_listed(
    one: TaskSpec, fleet: Fleet, seed: int
) -> None:
    shuffled = random.Random(seed).sample(list(fleet.workers), len(fleet.workers))
    assert repr(place(one, Fleet(NOW, shuffled, fleet.teams, fleet.booked))) == repr(place(one, fleet))


@given(one=_specs, fleet=_fleets, preference=st.sampled_from(["prefer-colocate", "prefer-spread"]))
def test_a_preference_never_keeps_a_task_from_its_place(one: TaskSpec, fleet: Fleet, preference: str) -> None:
    def fitting(affinity: str) -> set[str]:
        fields = {name: getattr(one, name) for name in ("id", "name", "agent", "provider", "team", "strategy")}
        asked = TaskSpec(**fields, selector=one.selector, affinity=affinity)  # type: ignore[arg-type]
        return {each.worker for each in place(asked, fleet).considered if not each.objections}

    assert fitting(preference) == fitting("none")


@given(one=_specs, fleet=_fleets)
def test_a_preference_is_kept_among_those_the_strategy_leaves(one: TaskSpec, fleet: Fleet) -> None:
    found = place(one, fleet)
    if found.worker is None or not one.affinity.startswith("prefer-") or one.strategy == "auto":
        return
    nodes = {worker.id: worker.node for worker in fleet.workers}
    pool = [worker for worker in fleet.workers if _fits(one, worker, fleet)]
    pool = [worker for worker in pool if not found.executor or found.executor in worker.executors]

    def mates(worker: Worker) -> int:
        return sum(
            count
            for (who, team), count in fleet.teams.items()
            if team == one.team and nodes.get(who, "") == worker.node
        )

    best = max if one.affinity == "prefer-colocate" else min
    chosen = next(worker for worker in pool if worker.id == found.worker)
    assert mates(chosen) == best(map(mates, pool))


@given(fleet=_fleets, tasks=st.lists(_affinities, min_size=1, max_size=8))
def test_one_after_the_other_a_team_is_kept_together_or_apart_and_no_worker_gets_more_than_it_has_slots(
    fleet: Fleet, tasks: list[str]
) -> None:
    teams, booked = dict(fleet.teams), dict(fleet.booked)
    nodes = {worker.id: worker.node for worker in fleet.workers}
    for affinity in tasks:
        before = _team_nodes(spec(team="web"), Fleet(NOW, fleet.workers, teams, booked))
        found = place(spec(team="web", affinity=affinity), Fleet(NOW, fleet.workers, teams, booked))
        if found.worker is None:
            continue
        if affinity == "require-colocate":
            assert not before or nodes[found.worker] in before
        if affinity == "require-spread":
            assert nodes[found.worker] not in before
        teams[found.worker, "web"] = teams.get((found.worker, "web"), 0) + 1
        booked[found.worker] = booked.get(found.worker, 0) + 1
        mine = next(worker for worker in fleet.workers if worker.id == found.worker)
        assert len(mine.running) + booked[mine.id] <= mine.slots


@given(fleet=_fleets)
def test_auto_is_local_below_the_limit_else_kubernetes_else_local_again(fleet: Fleet) -> None:
    one = spec(strategy="auto")
    fitting = [worker for worker in fleet.workers if _fits(one, worker, fleet)]
    found = place(one, fleet)
    chosen = next((worker for worker in fitting if worker.id == found.worker), None)
    if any("local" in worker.executors and _calm(worker) for worker in fitting):
        assert found.executor == "local"
        assert chosen is not None
        assert _calm(chosen)
    elif any("kubernetes" in worker.executors for worker in fitting):
        assert found.executor == "kubernetes"
    else:
        assert (found.executor, bool(chosen)) == (("local", True) if fitting else ("", False))


def _calm(worker: Worker) -> bool:
    return math.isfinite(worker.load) and worker.load < LOADED


LOCAL = worker("w1", load=0.2)
PODS = worker("k1", executors=("kubernetes",), load=7.0)


@pytest.mark.parametrize(
    ("strategy", "workers", "chosen", "executor", "why"),
    [
        ("local", (LOCAL, PODS), "w1", "local", "local, load 0.20, 4 of 4 slots free"),
        ("local", (PODS,), None, "", "no worker fits: k1: starts nothing locally"),
        ("kubernetes", (LOCAL, PODS), "k1", "kubernetes", "kubernetes, load 7.00, 4 of 4 slots free"),
        (
            "kubernetes",
            (LOCAL,),
            "w1",
            "local",
            "no kubernetes worker fits (none is registered): falls back to local, load 0.20, 4 of 4 slots free",
        ),
        (
            "kubernetes",
            (LOCAL, worker("k1", executors=("kubernetes",), cordoned=True, slots=0)),
            "w1",
            "local",
            "no kubernetes worker fits (k1: cordoned, all 0 slots taken): falls back to local, load 0.20, "
            "4 of 4 slots free",
        ),
        (
            "auto",
            (LOCAL, PODS),
            "w1",
            "local",
            "auto: local, where the load is below 0.9, load 0.20, 4 of 4 slots free",
        ),
        (
            "auto",
            (worker("w1", load=0.9), PODS),
            "k1",
            "kubernetes",
            "auto: kubernetes, with no load below 0.9 among local workers, load 7.00, 4 of 4 slots free",
        ),
        (
            "auto",
            (worker("w1", running=("t",) * 4), PODS),
            "k1",
            "kubernetes",
            "auto: kubernetes, with no place at local workers, load 7.00, 4 of 4 slots free",
        ),
        (
            "auto",
            (worker("w1", load=9.0), worker("w2", load=2.0, running=("t",) * 3), worker("w3", load=3.0)),
            "w2",
            "local",
            "auto: local, the least loaded, since no kubernetes worker fits (none is registered), load 2.00, "
            "1 of 4 slots free",
        ),
        (
            "auto",
            (worker("w1", executors=("box",)),),
            None,
            "",
            "no worker fits: w1: starts nothing locally or in kubernetes",
        ),
    ],
)
def test_a_strategy_says_what_it_came_to(
    strategy: str, workers: tuple[Worker, ...], chosen: str | None, executor: str, why: str
) -> None:
    found = place(spec(strategy=strategy), Fleet(NOW, workers))
    assert (found.worker, found.executor, found.why) == (chosen, executor, why)


def test_a_fallback_keeps_what_is_required() -> None:
    """The team is where pods run; there is no place there, and falling back would tear it apart."""
    workers = (worker("w1", node="n1"), worker("k1", node="n2", executors=("kubernetes",), running=("t",) * 4))
    one = spec(strategy="kubernetes", team="web", affinity="require-colocate")
    found = place(one, Fleet(NOW, workers, {("k1", "web"): 4}))
    assert found.worker is None
    assert found.why == "no worker fits: k1: all 4 slots taken; w1: team web is on n2, not on n1"


def test_the_emptier_worker_wins_then_the_smaller_id() -> None:
    busy = worker("w1", running=("t1", "t2"))
    assert _place(busy, worker("w2", running=("t3",)), worker("w3", running=("t4",))).worker == "w2"


def test_the_share_of_free_slots_counts_not_their_number() -> None:
    assert _place(worker("w1", slots=8, running=("t",) * 6), worker("w2", slots=1)).worker == "w2"


def test_a_clearly_lower_load_counts_more_than_free_slots_a_slightly_lower_one_does_not() -> None:
    assert _place(worker("w1", load=1.6), worker("w2", load=0.1, running=("t",))).worker == "w2"
    assert _place(worker("w1", load=0.2), worker("w2", load=0.1, running=("t",))).worker == "w1"


@pytest.mark.parametrize("load", [math.nan, math.inf, -math.inf])
def test_a_load_that_is_no_number_is_the_worst(load: float) -> None:
    assert _place(worker("w1", load=load), worker("w2", load=30.0)).worker == "w2"


def test_what_is_assigned_and_not_yet_claimed_takes_a_slot() -> None:
    workers = (worker("w1", slots=2, running=("t",)), worker("w2", slots=1, running=("t",)))
    assert place(spec(), Fleet(NOW, workers)).worker == "w1"
    found = place(spec(), Fleet(NOW, workers, booked={"w1": 1}))
    assert found.worker is None
    assert found.considered[0].objections == ("all 2 slots taken (1 by tasks assigned to it)",)


def test_without_itself_a_task_is_neither_booked_nor_its_own_mate() -> None:
    fleet = Fleet(NOW, (worker("w1", slots=1),), {("w1", "web"): 1}, {"w1": 1})
    one = task(state=State.QUEUED, assigned="w1", team="web", affinity="require-spread")
    assert place(one.spec, fleet).worker is None
    assert place(one.spec, fleet.without(one)).worker == "w1"


def test_the_first_of_a_team_may_go_anywhere_even_when_it_must_colocate() -> None:
    one = spec(team="web", affinity="require-colocate")
    assert place(one, Fleet(NOW, [worker("w1")], {("w9", "ops"): 3})).worker == "w1"


def test_workers_of_one_node_are_one_place() -> None:
    workers = (worker("w1", node="n1", slots=1, running=("t",)), worker("w2", node="n1"), worker("w3", node="n2"))
    fleet = Fleet(NOW, workers, {("w1", "web"): 1})
    assert place(spec(team="web", affinity="require-colocate"), fleet).worker == "w2"
    assert place(spec(team="web", affinity="require-spread"), fleet).worker == "w3"


@pytest.mark.parametrize("affinity", ["require-colocate", "require-spread"])
def test_a_team_whose_worker_has_left_may_be_anywhere(affinity: str) -> None:
    found = place(spec(team="web", affinity=affinity), Fleet(NOW, [worker("w1")], {("w9", "web"): 1}))
    assert found.worker is None
    assert "team web is on w9, which has left" in found.why


def test_every_objection_is_kept_for_the_person_who_asks() -> None:
    workers = (
        worker("w1", cordoned=True, labels={"gpu": "t4"}, agents=(), slots=0, heartbeat_at=NOW - 60_000),
        worker("w2", node="n2", labels={"gpu": "a100", "zone": "x"}),
    )
    one = spec(selector={"gpu": "a100", "zone": "x"}, team="web", affinity="require-spread")
    found = place(one, Fleet(NOW, workers, {("w2", "web"): 1}))
    assert found.worker is None
    assert found.considered[0].objections == (
        "silent for 60 s",
        "cordoned",
        "does not serve dev",
        "has gpu=t4, wanted gpu=a100",
        "lacks zone, wanted zone=x",
        "all 0 slots taken",
    )
    assert found.considered[1].objections == ("team web is on n2 already",)
    assert found.why.startswith("no worker fits: w1: silent for 60 s, cordoned")
    assert "w2: team web is on n2 already" in found.why


def test_a_choice_says_why_and_what_each_is_worth() -> None:
    workers = [worker("w1", node="n1", labels={"gpu": "a100"}, running=("t",), load=0.5)]
    one = spec(selector={"gpu": "a100"}, team="web", affinity="prefer-colocate")
    found = place(one, Fleet(NOW, workers, {("w1", "web"): 2}))
    parts = "prefer-colocate: 2 of team web on n1, load 0.50, 3 of 4 slots free"
    assert found.why == f"{parts}, gpu=a100"
    assert found.considered[0].told() == f"fits (local): {parts}"
    assert _place().why == "no worker is registered"


def _place(*workers: Worker) -> Placement:
    return place(spec(), Fleet(NOW, workers))
