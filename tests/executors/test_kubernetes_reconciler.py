"""The reconciler's rows: who is asked for by name, what is decided and when, which finished pods go."""

from __future__ import annotations

from typing import Any

import pytest

from lite.executors.kubernetes import outcomes
from lite.executors.kubernetes.reconciler import RECORDED, Reconciler
from lite.model.task import OutcomeKind, Reason
from tests.executors.test_kubernetes_outcomes import MINUTE, deleted, pod, terminated, waiting

Json = dict[str, Any]

NOW = 1_795_255_200_000  # 2026-11-21T10:00:00Z
DAY = 24 * 60 * MINUTE
RUNNING = pod(state={"running": {}})
DONE = terminated(0, "Completed", {"code": 0})
OTHER = {**RUNNING, "metadata": {"name": "other", "uid": "o"}}


class World:
    def __init__(self) -> None:
        self.now, self.woken = NOW, 0
        self.reconciler = Reconciler(lambda: self.now, self._wake)
        self.reconciler.ttl_ms = MINUTE

    def _wake(self) -> None:
        self.woken += 1

    def woken_by(self, call: Any, *arguments: Any) -> bool:
        before = self.woken
        call(*arguments)
        return self.woken > before


@pytest.fixture
def world() -> World:
    return World()


def finished(*, at: str = "2026-11-21T09:59:30Z", recorded: bool = True, **metadata: Any) -> Json:
    annotations = {RECORDED: "true"} if recorded else {}
    return pod("Succeeded", state=terminated(0, "Completed", {"code": 0}, at), annotations=annotations, **metadata)


# whom it looks for


async def test_one_that_was_created_before_is_asked_for_once_at_the_beginning(world: World) -> None:
    assert world.woken_by(lambda: world.reconciler.follow("p", "agent", MINUTE, asked=True))
    assert world.reconciler.wanted() == ["p"]
    assert world.reconciler.wanted() == []
    world.reconciler.absent("p")  # it was there, so that its absence says something
    assert world.reconciler.due() == NOW + outcomes.GONE_GRACE_MS


async def test_one_that_is_yet_to_be_created_is_not_looked_for(world: World) -> None:
    assert not world.woken_by(lambda: world.reconciler.follow("p", "agent", MINUTE, asked=False))
    world.reconciler.listed([])
    world.reconciler.look_again("p")
    assert world.reconciler.wanted() == []
    world.reconciler.absent("p")
    assert world.reconciler.due() is None
    world.reconciler.saw(pod("Pending"))
    world.reconciler.listed([])
    assert world.reconciler.wanted() == ["p"]


async def test_a_list_without_it_is_no_evidence_but_a_reason_to_ask(world: World) -> None:
    follow = world.reconciler.follow("p", "agent", MINUTE, asked=False)
    world.reconciler.saw(RUNNING)
    assert world.woken_by(world.reconciler.listed, [OTHER])
    assert world.reconciler.wanted() == ["p"]
    world.now += DAY
    assert world.reconciler.wanted() == []
    assert not follow.decided.done()
    world.reconciler.listed([RUNNING, OTHER])
    assert world.reconciler.wanted() == []


async def test_what_a_list_shows_counts_as_an_event(world: World) -> None:
    follow = world.reconciler.follow("p", "agent", MINUTE, asked=True)
    world.reconciler.listed([OTHER, pod("Succeeded", state=DONE)])
    outcome = follow.decided.result().outcome
    assert outcome is not None
    assert outcome.kind is OutcomeKind.SUCCEEDED
    world.reconciler.look_again("p")
    world.reconciler.listed([])
    assert world.reconciler.wanted() == []  # there is nothing left to ask


async def test_an_event_of_its_deletion_is_confirmed_by_name(world: World) -> None:
    follow = world.reconciler.follow("p", "agent", MINUTE, asked=False)
    world.reconciler.saw(RUNNING)
    assert world.woken_by(world.reconciler.deleted, RUNNING)
    assert not follow.decided.done()
    assert world.reconciler.wanted() == ["p"]
    assert world.woken_by(world.reconciler.absent, "p")
    assert not follow.decided.done()
    assert world.reconciler.due() == NOW + outcomes.GONE_GRACE_MS
    assert world.reconciler.wanted() == []
    world.now += outcomes.GONE_GRACE_MS
    assert world.reconciler.wanted() == ["p"]
    assert not follow.decided.done()  # time alone is no second answer
    world.reconciler.absent("p")
    judged = follow.decided.result()
    assert judged.outcome is not None
    assert (judged.outcome.kind, judged.outcome.reason) == (OutcomeKind.UNEXECUTABLE, outcomes.DELETED)
    assert judged.ended
    assert world.reconciler.due() is None


async def test_what_the_event_of_its_deletion_tells_is_used(world: World) -> None:
    follow = world.reconciler.follow("p", "agent", MINUTE, asked=False)
    world.reconciler.deleted(pod("Failed", state=terminated(3, report={"code": 3})))
    outcome = follow.decided.result().outcome
    assert outcome is not None
    assert (outcome.reason, outcome.exit_code) == (Reason.EXIT, 3)
    assert world.reconciler.wanted() == []
    assert not world.woken_by(world.reconciler.deleted, OTHER)  # of nobody we follow


async def test_one_that_could_not_be_asked_for_is_asked_for_again(world: World) -> None:
    world.reconciler.follow("p", "agent", MINUTE, asked=True)
    assert world.reconciler.wanted() == ["p"]
    assert world.woken_by(world.reconciler.look_again, "p")
    assert world.reconciler.wanted() == ["p"]
    assert not world.woken_by(world.reconciler.look_again, "other")
    world.reconciler.forget("p")
    world.reconciler.forget("p")
    world.reconciler.look_again("p")
    assert world.reconciler.wanted() == []


# what is decided


async def test_a_first_end_stands_whatever_is_seen_later(world: World) -> None:
    follow = world.reconciler.follow("p", "agent", MINUTE, asked=False)
    world.reconciler.saw(pod("Succeeded", state=DONE))
    first = follow.decided.result()
    world.reconciler.saw(pod("Failed", reason="Evicted"))
    world.reconciler.stopping("p")
    world.reconciler.deleted(pod("Failed", reason="Evicted"))
    assert world.reconciler.wanted() == []
    world.now += DAY
    assert world.reconciler.wanted() == []
    assert follow.decided.result() is first


async def test_time_alone_decides_where_a_patience_ends(world: World) -> None:
    follow = world.reconciler.follow("p", "agent", 10 * MINUTE, asked=False)
    world.reconciler.look_again("p")
    assert world.reconciler.wanted() == []
    stuck = pod("Pending", state=waiting("ErrImageNeverPull"))
    assert world.woken_by(world.reconciler.saw, stuck)
    assert world.reconciler.wanted() == ["p"]  # as was wished
    assert not world.woken_by(world.reconciler.saw, stuck)
    assert world.reconciler.due() == NOW + outcomes.FIXED_GRACE_MS
    world.now += outcomes.FIXED_GRACE_MS - 1
    assert world.reconciler.wanted() == []
    assert not follow.decided.done()
    world.now += 1
    assert world.reconciler.wanted() == []  # nobody has to be asked
    outcome = follow.decided.result().outcome
    assert outcome is not None
    assert outcome.reason == outcomes.IMAGE
    assert world.reconciler.due() is None


async def test_an_end_we_asked_for_is_told_as_such(world: World) -> None:
    follow = world.reconciler.follow("p", "agent", MINUTE, asked=False)
    world.reconciler.saw(RUNNING)
    world.reconciler.stopping("p")
    world.reconciler.stopping("other")
    world.reconciler.saw(pod("Failed", state=terminated(143), **deleted()))
    outcome = follow.decided.result().outcome
    assert outcome is not None
    assert (outcome.kind, outcome.reason) == (OutcomeKind.FAILED, Reason.SIGNAL)


async def test_each_pod_has_its_own_time_and_the_next_one_is_told(world: World) -> None:
    world.reconciler.follow("p", "agent", 3 * MINUTE, asked=False)
    other = world.reconciler.follow("other", "agent", 2 * MINUTE, asked=False)
    world.reconciler.saw(pod("Pending"))
    world.reconciler.saw({**OTHER, "status": {"phase": "Pending"}})
    assert world.reconciler.due() == NOW + 2 * MINUTE
    world.now += 2 * MINUTE
    assert world.reconciler.wanted() == []
    assert other.decided.done()
    assert world.reconciler.due() == NOW + 3 * MINUTE
    world.reconciler.saw(finished(name="third"))
    assert world.reconciler.due() == NOW + MINUTE // 2


# finished pods


async def test_where_nothing_is_said_of_it_a_finished_pod_goes_at_once() -> None:
    reconciler = Reconciler(lambda: NOW)
    reconciler.saw(finished(at="2026-11-21T10:00:00Z"))
    assert reconciler.collectable() == [("p", "u")]


async def test_a_finished_pod_goes_a_time_after_its_end_and_not_after_it_was_seen(world: World) -> None:
    assert world.woken_by(world.reconciler.saw, finished())
    assert world.reconciler.due() == NOW + MINUTE // 2
    world.now += MINUTE // 2 - 1
    assert world.reconciler.collectable() == []
    world.now += 1
    assert world.reconciler.collectable() == [("p", "u")]
    assert world.reconciler.collectable() == []  # until it is seen again
    assert world.reconciler.due() is None
    world.reconciler.saw(finished())
    assert world.reconciler.collectable() == [("p", "u")]


@pytest.mark.parametrize(
    ("found", "at"),
    [
        (finished(at="2026-11-21T10:10:00Z"), NOW),  # the cluster's clock is ahead of ours
        (finished(at=""), NOW),
        (finished(at="gibberish"), NOW),
        ({**finished(), "status": {"phase": "Failed"}}, NOW),
        (finished(at="2026-11-21T09:00:00Z"), NOW - 60 * MINUTE),
    ],
)
async def test_an_end_of_which_nothing_is_known_is_now(world: World, found: Json, at: int) -> None:
    world.reconciler.saw(found)
    assert world.reconciler.due() == at + MINUTE


async def test_the_last_container_s_end_is_the_pod_s(world: World) -> None:
    found = finished(at="2026-11-21T09:50:00Z")
    later = {"name": "sidecar", "state": terminated(0, at="2026-11-21T09:59:50Z")}
    found["status"]["containerStatuses"] = [later, *found["status"]["containerStatuses"][1:]]
    world.reconciler.saw(found)
    assert world.reconciler.due() == NOW - 10_000 + MINUTE


@pytest.mark.parametrize(
    "found",
    [
        {**RUNNING, "metadata": finished()["metadata"]},
        finished(**deleted()),
        {**finished(), "status": {}},
        {"metadata": finished()["metadata"]},
    ],
    ids=["it runs", "it goes already", "nothing known", "no status"],
)
async def test_what_has_not_ended_or_goes_already_is_not_collected(world: World, found: Json) -> None:
    world.reconciler.saw(found)
    world.now += 100 * DAY
    assert world.reconciler.due() is None
    assert world.reconciler.collectable() == []


async def test_none_goes_before_its_outcome_is_in_the_store_while_somebody_may_come_for_it(world: World) -> None:
    world.reconciler.follow("p", "agent", MINUTE, asked=False)
    world.reconciler.saw(finished(recorded=False))
    assert world.reconciler.due() is None
    world.reconciler.forget("p")
    world.reconciler.saw(finished(recorded=False))
    assert world.reconciler.due() == NOW - MINUTE // 2 + DAY
    world.reconciler.saw({**finished(recorded=False), "metadata": {"name": "q", "uid": "v"}})
    world.now += DAY
    assert sorted(world.reconciler.collectable()) == [("p", "u"), ("q", "v")]


async def test_once_its_outcome_is_in_the_store_it_goes_though_it_is_followed(world: World) -> None:
    world.reconciler.follow("p", "agent", MINUTE, asked=False)
    world.reconciler.saw(finished(recorded=False))
    world.reconciler.saw(finished())
    assert world.reconciler.due() == NOW + MINUTE // 2


async def test_a_longer_time_to_live_than_a_day_is_kept_without_a_record_too(world: World) -> None:
    world.reconciler.ttl_ms = 3 * DAY
    world.reconciler.saw(finished(recorded=False))
    assert world.reconciler.due() == NOW - MINUTE // 2 + 3 * DAY


async def test_the_sooner_of_two_times_holds(world: World) -> None:
    world.reconciler.saw(finished(recorded=False))
    assert world.woken_by(world.reconciler.saw, finished())
    assert world.reconciler.due() == NOW + MINUTE // 2
    assert not world.woken_by(world.reconciler.saw, finished(recorded=False))
    assert not world.woken_by(world.reconciler.saw, finished())
    assert world.reconciler.due() == NOW + MINUTE // 2


async def test_what_somebody_else_removed_is_not_collected(world: World) -> None:
    world.reconciler.saw(finished())
    world.reconciler.deleted(finished(**deleted()))
    assert world.reconciler.due() is None
    world.reconciler.deleted(finished(**deleted()))
    world.reconciler.saw(finished())
    world.reconciler.saw(finished(name="q"))
    world.reconciler.listed([finished(name="q")])
    assert world.reconciler.due() is not None
    world.now += MINUTE
    assert world.reconciler.collectable() == [("q", "u")]


async def test_a_pod_without_any_field_harms_nobody(world: World) -> None:
    follow = world.reconciler.follow("p", "agent", MINUTE, asked=False)
    nameless: Json = {"status": {"phase": "Failed"}}
    for bare in ({}, {"metadata": None, "status": None}, {"metadata": {"name": "p", "annotations": None}}, nameless):
        world.reconciler.saw(bare)
    for bare in ({**nameless, "metadata": None}, {**nameless, "metadata": {"name": None}}):
        world.reconciler.saw(bare)
    ended: Json = {"metadata": {"name": "x"}, "status": {"phase": "Failed", "containerStatuses": None}}
    world.reconciler.saw(ended)
    world.reconciler.saw({**ended, "status": {"phase": "Failed", "containerStatuses": [{"name": "a", "state": None}]}})
    assert world.reconciler.due() == NOW + DAY
    assert not follow.decided.done()
    world.now += DAY
    assert world.reconciler.collectable() == [("x", "")]
