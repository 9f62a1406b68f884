"""The one list-and-watch: what the API server says goes to the reconciler, what it does not say changes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from lite.aio.tasks import Jobs
from lite.clock import VirtualClock
from lite.executors.kubernetes import outcomes
from lite.executors.kubernetes.failures import ApiRefused, ApiUnavailable, Conflicting, Expired, PodNotFound
from lite.executors.kubernetes.reconciler import RECORDED, Follow, Reconciler
from lite.executors.kubernetes.watching import Watching
from tests.executors.test_kubernetes_outcomes import pod, terminated

Json = dict[str, Any]

RUNNING = pod(state={"running": {}}, resourceVersion="7")
AWAY = ApiUnavailable("no answer")
GONE = PodNotFound("no such pod", answer=404)
EXPIRED = Expired("too old", answer=410)


class Server:
    """Answers as it is told; a watch lasts until it is told how it goes on."""

    def __init__(self) -> None:
        self.pods: dict[str, Json] = {}
        self.asked: list[str] = []
        self.deleted: list[tuple[str, Json]] = []
        self.failures: list[Exception] = []  # of what is asked next
        self.stream: asyncio.Queue[Any] = asyncio.Queue()

    def _answer(self, what: str) -> None:
        self.asked.append(what)
        if self.failures:
            raise self.failures.pop(0)

    async def get_pod(self, namespace: str, name: str) -> Json:
        self._answer(f"get {namespace}/{name}")
        if name not in self.pods:
            raise GONE
        return self.pods[name]

    async def list_pods(self, namespace: str, selector: str) -> tuple[list[Json], str]:
        self._answer(f"list {namespace} {selector}")
        return list(self.pods.values()), "40"

    async def watch_pods(self, namespace: str, selector: str, version: str) -> AsyncIterator[tuple[str, Json]]:
        self._answer(f"watch {namespace} {selector} {version}")
        while True:
            event = await self.stream.get()
            if event is None:
                return
            if isinstance(event, Exception):
                raise event
            yield event

    async def delete_pod(self, namespace: str, name: str, options: Json) -> Json:
        self._answer(f"delete {namespace}/{name}")
        self.deleted.append((name, options))
        return {}


class World:
    def __init__(self) -> None:
        self.clock, self.server = VirtualClock(1_795_255_200_000), Server()
        self.reconciler = Reconciler(self.clock.now, self._wake)
        self.watching = Watching(self.server, "ns", "a=b", self.reconciler, self.clock)
        self.jobs = Jobs("test")

    def _wake(self) -> None:
        self.watching.wake()

    def follows(self) -> Follow:
        return self.reconciler.follow("p", "agent", 600_000, asked=True)

    async def begin(self, *, watch: bool = False) -> None:
        self.jobs.spawn(self.watching.follow() if watch else self.watching.look(), "it")
        await self.clock.advance(0)

    def taken(self) -> list[str]:
        """What was asked since the last time."""
        asked, self.server.asked = self.server.asked, []
        return asked

    async def goes_on(self, event: Any) -> None:
        self.server.stream.put_nowait(event)
        await self.clock.advance(0)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    made = World()
    yield made
    await made.jobs.cancel()


# by name


async def test_who_is_missed_is_asked_for_and_asked_for_again_before_it_is_gone(world: World) -> None:
    follow = world.follows()
    await world.begin()
    assert world.taken() == ["get ns/p"]
    await world.clock.advance(outcomes.GONE_GRACE_MS / 1000 - 0.001)
    assert world.taken() == []
    assert not follow.decided.done()
    await world.clock.advance(0.001)
    assert world.taken() == ["get ns/p"]
    assert follow.decided.result().outcome is not None
    await world.clock.advance(3600)
    assert world.taken() == []


@pytest.mark.parametrize("error", [AWAY, ApiRefused("no", answer=403)])
async def test_an_error_of_the_api_is_no_absence(world: World, error: Exception) -> None:
    follow = world.follows()
    world.server.failures = [error] * 20
    await world.begin()
    for _ in range(19):
        assert world.taken() == ["get ns/p"]
        await world.clock.advance(1)
    assert not follow.decided.done()
    assert follow.history.absent_since == 0
    world.server.pods["p"] = RUNNING
    await world.clock.advance(1)
    await world.clock.advance(3600)
    assert follow.history.pod == RUNNING
    assert not follow.decided.done()


async def test_time_wakes_it_for_what_is_due(world: World) -> None:
    follow = world.follows()
    world.server.pods["p"] = pod("Pending")
    await world.begin()
    await world.clock.advance(599.999)
    assert not follow.decided.done()
    await world.clock.advance(0.001)
    outcome = follow.decided.result().outcome
    assert outcome is not None
    assert outcome.reason == outcomes.START_TIMEOUT


async def test_it_looks_when_it_is_woken_and_then_rests(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    looks, wanted = [0], world.reconciler.wanted

    def looked() -> list[str]:
        looks[0] += 1
        return wanted()

    monkeypatch.setattr(world.reconciler, "wanted", looked)
    await world.begin()
    for _ in range(3):
        world.watching.wake()
        await world.clock.advance(100)
    assert looks == [4]


# finished pods


def finished(**more: Any) -> Json:
    state = terminated(0, report={"code": 0}, at="2026-11-21T10:00:00Z")
    return pod("Succeeded", state=state, resourceVersion="9", annotations={RECORDED: "true"}, **more)


async def test_a_finished_pod_is_deleted_as_it_was_read(world: World) -> None:
    await world.begin()
    world.reconciler.ttl_ms = 60_000
    world.server.pods["p"] = {**finished(), "metadata": {**finished()["metadata"], "resourceVersion": "12"}}
    world.reconciler.saw(finished())
    await world.clock.advance(59.999)
    assert world.taken() == []
    await world.clock.advance(0.001)
    assert world.taken() == ["get ns/p", "delete ns/p"]
    ((name, options),) = world.server.deleted
    assert name == "p"
    assert options["preconditions"] == {"uid": "u", "resourceVersion": "12"}
    assert options["gracePeriodSeconds"] == 1


async def test_another_pod_of_the_same_name_is_left_alone(world: World) -> None:
    await world.begin()
    world.server.pods["p"] = {**finished(), "metadata": {"name": "p", "uid": "another"}}
    world.reconciler.saw(finished())
    await world.clock.advance(10)
    assert world.taken() == ["get ns/p"]
    assert not world.server.deleted


@pytest.mark.parametrize("error", [AWAY, GONE, Conflicting("changed", answer=409), ApiRefused("no", answer=403)])
@pytest.mark.parametrize("at", [0, 1])
async def test_one_that_cannot_be_deleted_stays_until_it_is_seen_again(world: World, error: Exception, at: int) -> None:
    await world.begin()
    world.server.pods["p"] = finished()
    world.server.failures = [error] if at == 0 else []
    world.reconciler.saw(finished())
    if at:
        original = world.server.delete_pod

        async def fails(namespace: str, name: str, options: Json) -> Json:
            world.server.delete_pod = original  # type: ignore[method-assign]
            raise error

        world.server.delete_pod = fails  # type: ignore[method-assign]
    await world.clock.advance(3600)
    assert not world.server.deleted
    world.reconciler.listed([finished()])
    await world.clock.advance(1)
    assert len(world.server.deleted) == 1


# the watch


async def test_events_are_seen_and_the_watch_goes_on_from_the_last_one(world: World) -> None:
    follow = world.reconciler.follow("p", "agent", 600_000, asked=False)
    await world.begin(watch=True)
    assert world.taken() == ["list ns a=b", "watch ns a=b 40"]
    await world.goes_on(("ADDED", RUNNING))
    assert follow.history.pod == RUNNING
    changed = pod("Pending", resourceVersion="41")
    await world.goes_on(("MODIFIED", changed))
    assert follow.history.pod == changed
    await world.goes_on(("BOOKMARK", {"metadata": {"resourceVersion": "55"}}))
    assert follow.history.pod == changed
    await world.goes_on(("SOMETHING", {"metadata": {"name": "p"}}))
    assert follow.history.pod == changed
    await world.goes_on(None)
    await world.clock.advance(0.3)
    assert world.taken() == ["watch ns a=b 55"]  # no list: nothing was missed
    assert world.reconciler.wanted() == ["p"]  # the first list lacked it
    assert world.reconciler.wanted() == []
    await world.goes_on(("DELETED", changed))
    assert world.reconciler.wanted() == ["p"]
    assert not follow.decided.done()


@pytest.mark.parametrize("broken", [EXPIRED, AWAY])
async def test_after_what_may_have_been_missed_everything_is_listed_anew(world: World, broken: Exception) -> None:
    follow = world.reconciler.follow("p", "agent", 600_000, asked=False)
    await world.begin(watch=True)
    world.taken()
    await world.goes_on(("ADDED", RUNNING))
    await world.goes_on(broken)
    world.server.pods["p"] = pod(state=terminated(3, report={"code": 3}), phase="Failed")
    await world.clock.advance(0.3)
    assert world.taken() == ["list ns a=b", "watch ns a=b 40"]
    assert follow.decided.done()
    assert world.watching.problem == ""


async def test_who_vanished_while_nothing_was_seen_is_missed(world: World) -> None:
    follow = world.reconciler.follow("p", "agent", 600_000, asked=False)
    await world.begin(watch=True)
    await world.goes_on(("ADDED", RUNNING))
    await world.goes_on(EXPIRED)
    await world.clock.advance(0.3)
    assert world.reconciler.wanted() == ["p"]
    assert not follow.decided.done()


async def test_a_server_that_is_away_is_a_problem_until_it_is_back(world: World) -> None:
    follow = world.follows()
    world.reconciler.saw(RUNNING)
    world.server.failures = [AWAY] * 3
    await world.begin(watch=True)
    for _ in range(2):
        assert world.watching.problem == "no answer"
        await world.clock.advance(0.3)
    assert set(world.taken()) == {"list ns a=b"}
    assert not follow.decided.done()
    world.server.pods["p"] = RUNNING
    await world.clock.advance(2)
    assert world.watching.problem == ""
    assert world.taken()[-2:] == ["list ns a=b", "watch ns a=b 40"]


@pytest.mark.parametrize("end", [None, EXPIRED, AWAY])
async def test_what_ends_at_once_is_asked_ever_more_rarely_and_what_lasted_anew_at_once(
    world: World, end: Exception | None
) -> None:
    await world.begin(watch=True)
    for _ in range(200):
        await world.goes_on(end)
    world.taken()
    await world.clock.advance(600)
    assert 600 / 12 - 2 <= len([one for one in world.taken() if one.startswith("watch")]) <= 600 / 8 + 2
    while not world.server.stream.empty():
        world.server.stream.get_nowait()
    await world.clock.advance(12)
    world.taken()
    await world.clock.advance(60)
    assert world.taken() == []
    await world.goes_on(end)
    assert [one.split()[0] for one in world.taken()][-1] == "watch"
    await world.goes_on(end)
    assert world.taken() == []
    await world.clock.advance(0.3)
    assert [one.split()[0] for one in world.taken()][-1] == "watch"
