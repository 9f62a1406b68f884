"""kill -9 and pauses of any member of a fleet, of machines, of Redis: all ends, each attempt once, nothing twice."""

from __future__ import annotations

import json
import logging
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lite.api.client import Client
from tests.support.history import (
    check_all_ended,
    check_history,
    check_holders,
    check_lanes,
    check_needs,
    check_programs,
)
from tests.support.members import Member, Members, Tail
from tests.support.redis_fixtures import NewRedis
from tests.support.redis_server import RedisServer

log = logging.getLogger(__name__)

CONFIG = """
lease: {ttl: 2s, heartbeat: 500ms}
retry: {base: 100ms, cap: 500ms}
limits: {slots: 12}
agents:
  noop: {provider: noop}
"""
PLAN_SIZE = 100
BACKLOG = 4  # plans
LEASE_SECONDS = 2.0

# A lock is held by a program and all it has started: who does not get it at once runs beside somebody.
PROGRAM = (
    "cd {folder}; exec 9>>{lock}.lock; flock -n 9 || echo {lock} $QD_TASK >> overlaps; "
    'echo "begin $QD_TASK $QD_ATTEMPT" >> ran.log; sleep {seconds}; echo "end $QD_TASK $QD_ATTEMPT" >> ran.log'
)


def plan(number: int, folder: Path, chance: random.Random) -> str:
    """Two fifths of the tasks in lanes, the rest in a web of needs; one in seven is a program, some of which
    go on for so long that they can be taken over."""
    tasks: dict[str, Any] = {}
    for at in range(PLAN_SIZE):
        task: dict[str, Any] = {"agent": "noop", "prompt": "nothing"}
        lock = f"p{number}-t{at}"
        if at < PLAN_SIZE * 2 // 5:
            task["lane"] = f"lane{at % 4}"
            lock = f"p{number}-{task['lane']}"
        else:
            near = range(max(at - 25, 0), at)
            task["needs"] = [f"t{other}" for other in chance.sample(near, chance.randint(0, 3))]
        if at % 7 == 0:
            del task["agent"], task["prompt"]
            seconds = chance.uniform(0, 1.5) if at % 3 or "lane" in task else 3.5 * LEASE_SECONDS
            task["command"] = PROGRAM.format(folder=folder, lock=lock, seconds=round(seconds, 2))
        tasks[f"t{at}"] = task
    return json.dumps({"name": f"p{number}", "tasks": tasks})


class Submitter:
    """Hands in plan after plan, each at the first member that answers, each under a key and again until answered."""

    def __init__(self, members: Members, folder: Path, plans: int, seed: int) -> None:
        self.wanted = threading.Semaphore(0)
        self.tasks: dict[str, dict[str, Any]] = {}
        self.failure: BaseException | None = None
        self._members = members
        self._texts = [plan(number, folder, random.Random(f"{seed}-{number}")) for number in range(plans)]
        self._thread = threading.Thread(target=self._run, name="submitter", daemon=True)
        self._thread.start()

    def submit(self, number: int) -> list[dict[str, Any]]:
        def ask(client: Client) -> list[dict[str, Any]]:
            answer = client.submit_plan(self._texts[number], source="plan.yaml", cwd="/", key=f"plan-{number}")
            return [dict(task) for task in answer["tasks"]]

        return self._members.ask(ask)

    def join(self) -> None:
        self._thread.join(120)
        assert not self._thread.is_alive()
        if self.failure is not None:
            raise self.failure

    def _run(self) -> None:
        try:
            for number in range(len(self._texts)):
                self.wanted.acquire()
                self.tasks |= {task["id"]: task for task in self.submit(number)}
        except BaseException as error:
            self.failure = error


class Trial:
    """One fleet that is being destroyed all the time."""

    def __init__(self, members: Members, folder: Path, plans: int, seed: int) -> None:
        self.kills: list[str] = []
        self._chance = random.Random(seed)
        self._members = members
        self._folder = folder
        self._size = plans * PLAN_SIZE
        self._tail = Tail(members)
        self._dead: dict[Member, int] = {}  # until how many have been killed
        self._submitter = Submitter(members, folder, plans, seed)

    def run(self, pace: int, trouble: dict[int, Callable[[], None]] | None = None) -> None:
        """Kill a random member whenever `pace` more tasks have ended, and do what `trouble` says (by number of kill)
        beside; until all have ended."""
        released = 0
        while len(self._tail.ended) < self._size:
            while released < len(self._tail.ended) // PLAN_SIZE + BACKLOG:
                self._submitter.wanted.release()
                released += 1
            self._tail.until_ended(min(len(self._tail.ended) + pace, self._size), 90)
            self._members.ready()
            self._kill_one()
            if trouble and len(self.kills) in trouble:
                trouble[len(self.kills)]()
        self._submitter.join()
        self._bring_back(1 << 30)
        self._members.ready()

    def _kill_one(self) -> None:
        """Some start again at once, others stay away for so long that their leases are taken over."""
        alive = [member for member in self._members.all if member not in self._dead]
        victim = self._chance.choice(alive)
        how, name = self._chance.random(), victim.project.name
        last = [member.role for member in alive].count(victim.role) == 1
        away = 0 if last or self._chance.random() < 0.5 else self._chance.randint(1, 6)
        if away and how < 0.4:
            victim.stop()  # not dead: it will speak again, too late
            name += "-paused"
        elif victim.role == "worker" and how < 0.6:
            victim.kill_machine()
            name += "-whole"
        else:
            victim.kill()
        self.kills.append(name)
        self._dead[victim] = len(self.kills) + away
        self._bring_back(len(self.kills))

    def _bring_back(self, kills: int) -> None:
        for member in [member for member, until in self._dead.items() if until <= kills]:
            del self._dead[member]
            if member.paused:
                member.go_on()
            else:
                member.begin()

    def log(self) -> list[dict[str, Any]]:
        """The whole event log."""
        self._tail.look()
        return self._tail.events

    def check(self) -> None:
        """Every promise."""
        events, tasks = self.log(), self._members.tasks()
        assert len(tasks) == self._size == len(self._submitter.tasks)
        assert {task["state"] for task in tasks} == {"succeeded"}, [
            (one["name"], one["state"], one["reason"], one["detail"]) for one in tasks if one["state"] != "succeeded"
        ]
        check_history(events)
        check_all_ended(events)
        check_holders(events)
        check_needs(events, {task["id"]: task["needs"] for task in tasks})
        lanes: dict[str, list[str]] = {}
        for task in sorted(tasks, key=lambda one: one["seq"]):
            if task["lane"]:
                lanes.setdefault(f"{task['run']}/{task['lane']}", []).append(task["id"])
        assert len(lanes) == 4 * self._size // PLAN_SIZE
        check_lanes(events, lanes)
        programs = {task["id"]: task["attempt"] for task in tasks if task["command"]}
        check_programs((self._folder / "ran.log").read_text().splitlines(), programs)
        assert not (self._folder / "overlaps").exists(), (self._folder / "overlaps").read_text()
        ends = [event for event in events if event["kind"] == "run.finished"]
        assert len(ends) == self._size // PLAN_SIZE
        again = self._submitter.submit(0)
        assert {task["id"] for task in again} <= {task["id"] for task in tasks}


Build = Callable[..., Trial]


@pytest.fixture
def server(new_redis: NewRedis) -> RedisServer:
    return new_redis(appendonly=True, appendfsync="always")


@pytest.fixture
def trial(tmp_path: Path, server: RedisServer, redis_prefix: str) -> Iterator[Build]:
    folder = tmp_path / "ran"
    folder.mkdir()
    with Members(tmp_path, server.url, redis_prefix, CONFIG) as members:

        def new(orchestrators: int, workers: int, plans: int, seed: int) -> Trial:
            for number in range(orchestrators):
                members.join(f"o{number}", "orchestrator")
            for number in range(workers):
                members.join(f"w{number}", "worker")
            members.ready()
            return Trial(members, folder, plans, seed)

        yield new


def report(trial: Trial, begun: float) -> Counter[str]:
    kinds = Counter(event["kind"] for event in trial.log())
    log.info("%.1f s, %d kills: %s", time.monotonic() - begun, len(trial.kills), " ".join(trial.kills))
    log.info("%s", dict(kinds))
    return kinds


def said(kind: str, task: str = "a", attempt: int = 1, worker: str = "w1") -> dict[str, Any]:
    return {"kind": f"task.{kind}", "task": task, "attempt": attempt, "worker": worker}


def moved(before: str, after: str) -> dict[str, Any]:
    return said("", worker=after) | {"kind": "lease.lost", "data": {"from": before, "to": after}}


@pytest.mark.parametrize(
    "check",
    [
        lambda: check_needs([said("claimed")], {"a": ["b"]}),
        lambda: check_needs([said("failed", "b"), said("claimed")], {"a": ["b"]}),
        lambda: check_holders([said("claimed"), said("succeeded", worker="w2")]),
        lambda: check_holders([said("claimed"), moved("w1", "w2"), said("succeeded")]),
        lambda: check_holders([said("claimed"), moved("w2", "w1")]),
        lambda: check_programs(["begin a 1", "begin a 1"], {}),
        lambda: check_programs(["begin a 1", "begin a 2", "end a 1"], {}),
        lambda: check_programs(["begin a 1", "end a 1", "end a 1"], {}),
        lambda: check_programs(["begin a 1"], {"a": 1}),
        lambda: check_programs(["begin a 1", "end a 1", "begin a 2"], {"a": 1}),
    ],
)
def test_the_checker_sees_it(check: Callable[[], None]) -> None:
    with pytest.raises(AssertionError):
        check()


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_members_are_killed_all_the_time(trial: Build) -> None:
    one, begun = trial(3, 4, plans=20, seed=7), time.monotonic()
    one.run(pace=60)
    kinds = report(one, begun)
    one.check()
    assert len(one.kills) >= 10
    assert kinds["lease.lost"] > 0, "no kill has hit a running task"


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_redis_is_killed_twice_beside(trial: Build, server: RedisServer) -> None:
    one, begun = trial(2, 3, plans=6, seed=8), time.monotonic()
    one.run(pace=25, trouble={1: server.restart, 3: server.restart})
    report(one, begun)
    one.check()
    assert len(one.kills) >= 3


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_redis_stands_still_for_longer_than_a_lease(trial: Build, server: RedisServer) -> None:
    def stand_still() -> None:
        server.pause()
        try:
            threading.Event().wait(LEASE_SECONDS * 2.5)  # nothing can tell of time but time
        finally:
            server.resume()

    one, begun = trial(2, 3, plans=6, seed=9), time.monotonic()
    one.run(pace=25, trouble={1: stand_still, 3: stand_still})
    report(one, begun)
    one.check()
    assert len(one.kills) >= 3


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(6))
def test_members_are_killed_for_long(trial: Build, server: RedisServer, seed: int) -> None:
    one, begun = trial(3, 4, plans=20, seed=100 + seed), time.monotonic()
    one.run(pace=35, trouble={10: server.restart, 20: server.restart})
    report(one, begun)
    one.check()
