"""kill -9 of any member of a fleet, of whole machines, of Redis: everything ends, each attempt once, nothing twice."""

from __future__ import annotations

import json
import random
import threading
import time
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

CONFIG = """
lease: {ttl: 2s, heartbeat: 500ms}
retry: {base: 100ms, cap: 500ms}
limits: {slots: 12}
agents:
  noop: {provider: noop}
"""
PLAN_SIZE = 100

# A lock is held by a program and all it has started: who does not get it at once runs beside somebody.
PROGRAM = (
    "cd {folder}; exec 9>>{lock}.lock; flock -n 9 || echo {lock} $QD_TASK >> overlaps; "
    'echo "begin $QD_TASK $QD_ATTEMPT" >> ran.log; sleep {seconds}; echo "end $QD_TASK $QD_ATTEMPT" >> ran.log'
)


def plan(number: int, folder: Path, chance: random.Random) -> str:
    """Two fifths of the tasks in lanes, the rest in a web of needs; one in seven is a program."""
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
            task["command"] = PROGRAM.format(folder=folder, lock=lock, seconds=round(chance.uniform(0, 1.5), 2))
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
        self._dead: list[Member] = []
        self._submitter = Submitter(members, folder, plans, seed)
        for _ in range(min(4, plans)):
            self._submitter.wanted.release()

    def run(self, pace: int, trouble: dict[int, Callable[[], None]] | None = None) -> None:
        """Kill a random member whenever `pace` more tasks have ended, and do what `trouble` says (by number of kill)
        beside; until all have ended."""
        released = 4
        while len(self._tail.ended) < self._size:
            self._tail.until_ended(min(len(self._tail.ended) + pace, self._size), 90)
            while released < len(self._tail.ended) // PLAN_SIZE + 4:
                self._submitter.wanted.release()
                released += 1
            self._await_ready()
            self._kill_one()
            if trouble and len(self.kills) in trouble:
                trouble[len(self.kills)]()
        self._submitter.join()
        self._bring_back()
        self._await_ready()

    def _kill_one(self) -> None:
        alive = [member for member in self._members.all if member not in self._dead]
        victim = self._chance.choice(alive)
        if victim.role == "worker" and self._chance.random() < 0.2:
            victim.kill_machine()
        else:
            victim.kill()
        self.kills.append(victim.project.name)
        self._bring_back()
        if self._chance.random() < 0.5:
            self._dead.append(victim)  # until the next one is killed
        else:
            victim.begin()

    def _bring_back(self) -> None:
        while self._dead:
            self._dead.pop().begin()

    def _await_ready(self) -> None:
        for member in self._members.all:
            if member.starting:
                line = member.began()
                assert line == "ready", f"{member}: {line}\n{member.errors()}"

    def check(self) -> None:
        """Every promise."""
        self._tail.look()
        events, tasks = self._tail.events, self._members.tasks()
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


@pytest.fixture
def server(new_redis: NewRedis) -> RedisServer:
    return new_redis(appendonly=True, appendfsync="always")


@pytest.fixture
def trial(tmp_path: Path, server: RedisServer, redis_prefix: str) -> Iterator[Callable[..., Trial]]:
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


def report(trial: Trial, begun: float, record: Callable[[str, object], None]) -> None:
    record("seconds", round(time.monotonic() - begun, 1))
    record("kills", " ".join(trial.kills))


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_members_are_killed_all_the_time(
    trial: Callable[..., Trial], record_property: Callable[[str, object], None]
) -> None:
    """400 tasks; 2,000 of them under `soak`."""
    one, begun = trial(3, 4, plans=4, seed=7), time.monotonic()
    one.run(pace=20)
    report(one, begun, record_property)
    one.check()
    assert len(one.kills) >= 5
