"""Which executor starts an attempt: what was asked for and chosen, and local instead only where that was agreed on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lite.model.task import State
from lite.rules.explain import Evidence, explain
from lite.rules.fleet import Fleet
from lite.rules.pick import NO_PLACE, chosen_in, pick
from lite.rules.place import place
from lite.rules.scores import LOADED
from tests.rules.making import DEV, NOW, settings, spec, task, worker

CALM, BUSY = LOADED - 0.1, LOADED + 0.1


def picked(strategy: str, configured: str = "local", placed: str = "", **more: Any) -> str:
    return chosen(strategy, configured, placed, **more)[0]


def chosen(strategy: str, configured: str = "local", placed: str = "", **more: Any) -> tuple[str, str]:
    known = {"pods": True, "problem": "", "load": CALM, "before": "", **more}
    found = pick(strategy, configured, placed, **known)
    assert found.why
    return found.executor, found.why


@pytest.mark.parametrize(
    ("strategy", "configured", "more", "executor"),
    [
        ("", "local", {}, "local"),
        ("", "kubernetes", {}, "kubernetes"),
        ("", "kubernetes", {"problem": "the API server does not answer"}, "kubernetes"),  # it is waited for
        ("", "kubernetes", {"pods": False, "problem": "not configured here"}, "kubernetes"),  # and nothing else
        ("", "auto", {"load": BUSY}, "kubernetes"),
        ("", "auto", {"load": LOADED}, "kubernetes"),
        ("", "auto", {}, "local"),
        ("", "fake", {}, "fake"),
        ("local", "kubernetes", {"load": BUSY}, "local"),
        ("kubernetes", "local", {}, "kubernetes"),
        ("kubernetes", "local", {"problem": "away"}, "kubernetes"),
        ("kubernetes", "local", {"pods": False, "problem": "not configured here"}, "local"),
        ("kubernetes", "local", {"before": "unschedulable"}, "kubernetes"),
        ("kubernetes", "local", {"placed": "kubernetes: falls back to local, no worker offers pods"}, "local"),
        ("auto", "local", {"load": BUSY, "pods": False}, "local"),
        ("auto", "fake", {"placed": "auto: local, where the load is below 0.8"}, "fake"),  # this worker's own
        ("auto", "fake", {"placed": "auto: kubernetes, load 2.00"}, "kubernetes"),
        ("auto", "local", {"load": BUSY}, "kubernetes"),
        ("auto", "local", {"load": BUSY, "problem": "away"}, "local"),
        ("auto", "local", {"load": BUSY, "before": "unschedulable"}, "local"),
        ("auto", "local", {"load": BUSY, "before": "exit"}, "kubernetes"),
        ("auto", "local", {"load": BUSY, "before": "node-lost"}, "kubernetes"),
    ],
)
def test_who_starts_it(strategy: str, configured: str, more: dict[str, Any], executor: str) -> None:
    assert picked(strategy, configured, **more) == executor


@pytest.mark.parametrize(
    ("asked", "more", "words"),
    [
        (("local", "kubernetes"), {}, "strategy local"),
        (("", "local"), {}, "configured"),
        (("", "kubernetes"), {}, "configured"),
        (("kubernetes", "local"), {}, "strategy kubernetes"),
        (("kubernetes", "local"), {"pods": False, "problem": "gone"}, "falls back to local: no pods here (gone)"),
        (
            ("auto", "local"),
            {"before": "quota"},
            "auto: falls back to local, since there was no place for a pod (quota)",
        ),
        (("auto", "local"), {"problem": "away"}, "auto: local, since there are no pods here (away)"),
        (("auto", "local"), {"placed": "auto: kubernetes, load 2.00"}, "auto: kubernetes, load 2.00"),
        (("auto", "local"), {}, f"auto: local, where the load is below {LOADED}"),
        (("auto", "local"), {"load": 2.5}, "auto: kubernetes, with a load of 2.5"),
    ],
)
def test_each_choice_says_why(asked: tuple[str, str], more: dict[str, Any], words: str) -> None:
    assert chosen(*asked, **more)[1] == words


def test_what_is_no_want_of_a_place() -> None:
    assert {
        "unschedulable",
        "start-timeout",
        "quota",
        "image-pull",
        "forbidden",
        "pod-refused",
        "container-config",
    } == (NO_PLACE)


@pytest.mark.parametrize("reason", sorted(NO_PLACE))
def test_want_of_a_place_leads_auto_home_and_an_own_failure_does_not(reason: str) -> None:
    assert picked("auto", load=BUSY, before=reason) == "local"
    for own in ("exit", "signal", "oom-killed", "deadline", "pod-deleted"):
        assert picked("auto", load=BUSY, before=own) == "kubernetes"


@given(
    st.sampled_from(["local", "kubernetes", "auto"]),
    st.lists(st.sampled_from([("local",), ("kubernetes",), ("local", "kubernetes")]), min_size=1, max_size=3),
    st.lists(st.sampled_from([0.0, CALM, BUSY]), min_size=3, max_size=3),
)
def test_what_placement_chose_is_read_back_from_its_words(
    strategy: Any, offers: list[tuple[str, ...]], loads: list[float]
) -> None:
    workers = [worker(f"w{at}", executors=each, load=loads[at]) for at, each in enumerate(offers)]
    found = place(spec(strategy=strategy), Fleet(NOW, workers, {}, {}))
    if found.worker is not None:
        assert chosen_in(found.why) == found.executor
        executors = next(one.executors for one in workers if one.id == found.worker)
        here = picked(strategy, "local", found.why, pods="kubernetes" in executors, load=BUSY)
        assert here == found.executor


def test_which_executor_runs_it_is_told() -> None:
    one = task(state=State.RUNNING, handle="kubernetes:{}", assigned="w1", assigned_why="auto: kubernetes, load 2.00")
    known = Evidence(now=NOW, settings=settings(DEV), workers=(worker(),))
    assert "runs in executor kubernetes" in explain(one, known).facts
    one = task(state=State.RUNNING, handle="local:{}", assigned="w1", assigned_why="auto: kubernetes, load 2.00")
    assert "runs in executor local instead of kubernetes, which had no place for it" in explain(one, known).facts
    for ended in (State.SUCCEEDED, State.FAILED, State.CANCELLED):
        facts = explain(replace(one, state=ended), known).facts
        assert "ran in executor local instead of kubernetes, which had no place for it" in facts
    assert not any("in executor" in fact for fact in explain(replace(one, state=State.QUEUED), known).facts)
