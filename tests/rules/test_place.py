"""Placement: filters are never broken, scores decide among the rest, and the answer does not depend on the order."""

from __future__ import annotations

import random
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from lite.model.task import TaskSpec
from lite.model.worker import Worker, WorkerState
from lite.rules.place import Placement, place
from tests.rules.making import NOW, spec, worker

NODES = ["n1", "n2", "n3"]
_labels = st.dictionaries(st.sampled_from(["gpu", "zone"]), st.sampled_from(["a", "b"]), max_size=2)
_workers = st.lists(
    st.builds(
        Worker,
        id=st.sampled_from(["w1", "w2", "w3", "w4"]),
        node=st.sampled_from(NODES),
        slots=st.integers(0, 3),
        agents=st.sampled_from([("dev",), (), ("dev", "ops")]),
        labels=_labels,
        heartbeat_at=st.sampled_from([NOW, NOW - 100_000]),
        cordoned=st.booleans(),
        running=st.lists(st.just("t"), max_size=3).map(tuple),
    ),
    max_size=4,
    unique_by=lambda one: one.id,
)
_index = st.dictionaries(
    st.tuples(st.sampled_from(NODES), st.sampled_from(["web", "ops"])), st.integers(0, 3), max_size=6
)
_specs = st.builds(
    TaskSpec,
    id=st.just("t"),
    name=st.just("t"),
    agent=st.sampled_from(["dev", "ops"]),
    provider=st.just("claude"),
    team=st.sampled_from(["", "web", "ops"]),
    selector=_labels,
    affinity=st.sampled_from(["none", "prefer-colocate", "require-colocate", "prefer-spread", "require-spread"]),
)


def _fits(task: TaskSpec, one: Worker, index: dict[tuple[str, str], int]) -> bool:
    mates = index.get((one.node, task.team), 0) if task.team else 0
    anywhere = any(index.get((node, task.team), 0) for node in NODES) if task.team else False
    return (
        one.state(NOW) is not WorkerState.UNHEALTHY
        and not one.cordoned
        and task.agent in one.agents
        and task.selector.items() <= dict(one.labels).items()
        and len(one.running) < one.slots
        and not (task.affinity == "require-colocate" and anywhere and not mates)
        and not (task.affinity == "require-spread" and mates)
    )


@given(task=_specs, workers=_workers, index=_index, seed=st.integers(0, 99))
def test_the_chosen_worker_passes_every_filter_and_one_is_chosen_whenever_one_does(
    task: TaskSpec, workers: list[Worker], index: dict[tuple[str, str], int], seed: int
) -> None:
    found = place(task, workers, index, NOW)
    fitting = {one.id for one in workers if _fits(task, one, index)}
    assert {one.worker for one in found.considered if not one.objections} == fitting
    assert [one.worker for one in found.considered] == sorted(one.id for one in workers)
    assert (found.worker in fitting) if fitting else (found.worker is None)
    assert found.why
    shuffled = random.Random(seed).sample(workers, len(workers))
    assert place(task, shuffled, index, NOW) == found


@given(task=_specs, workers=_workers, index=_index)
def test_a_preference_is_kept_among_those_that_fit(
    task: TaskSpec, workers: list[Worker], index: dict[tuple[str, str], int]
) -> None:
    found = place(task, workers, index, NOW)
    if found.worker is None or not task.team:
        return
    fitting = [one for one in workers if _fits(task, one, index)]
    chosen = next(one for one in fitting if one.id == found.worker)
    counts = Counter({one.id: index.get((one.node, task.team), 0) for one in fitting})
    if task.affinity == "prefer-colocate":
        assert counts[chosen.id] == max(counts.values())
    if task.affinity == "prefer-spread":
        assert counts[chosen.id] == min(counts.values())


def test_the_emptier_worker_wins_then_the_smaller_id() -> None:
    busy = worker("w1", running=("t1", "t2"))
    assert _place(busy, worker("w2", running=("t3",)), worker("w3", running=("t4",))).worker == "w2"


def test_the_share_of_free_slots_counts_not_their_number() -> None:
    assert _place(worker("w1", slots=8, running=("t",) * 6), worker("w2", slots=1)).worker == "w2"


def test_the_first_of_a_team_may_go_anywhere_even_when_it_must_colocate() -> None:
    found = place(spec(team="web", affinity="require-colocate"), [worker("w1")], {("n9", "ops"): 3}, NOW)
    assert found.worker == "w1"


def test_every_objection_is_kept_for_the_person_who_asks() -> None:
    found = place(
        spec(selector={"gpu": "a100", "zone": "x"}, team="web", affinity="require-spread"),
        [
            worker("w1", cordoned=True, labels={"gpu": "t4"}, agents=(), slots=0, heartbeat_at=NOW - 60_000),
            worker("w2", node="n2", labels={"gpu": "a100", "zone": "x"}),
        ],
        {("n2", "web"): 1},
        NOW,
    )
    assert found.worker is None
    assert found.considered[0].objections == (
        "silent for 60 s",
        "cordoned",
        "does not serve dev",
        "has gpu=t4, wanted gpu=a100",
        "lacks zone, wanted zone=x",
        "all 0 slots taken",
    )
    assert found.considered[1].objections == ("team web runs on n2 already",)
    assert found.why.startswith("no worker fits: w1: silent for 60 s, cordoned")
    assert "w2: team web runs on n2 already" in found.why


def test_a_choice_says_why() -> None:
    found = place(
        spec(selector={"gpu": "a100"}, team="web", affinity="prefer-colocate"),
        [worker("w1", node="n1", labels={"gpu": "a100"}, running=("t",))],
        {("n1", "web"): 2},
        NOW,
    )
    assert found.why == "3 of 4 slots free, gpu=a100, prefer-colocate: 2 of team web on n1"
    assert _place().why == "no worker is registered"


def _place(*workers: Worker) -> Placement:
    return place(spec(), workers, {}, NOW)
