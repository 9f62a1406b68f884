"""A worker cut off from Redis for longer than its leases, or paused: its programs end with the lease, others take over,
what it says too late is refused and counted, and it goes on. Nothing runs twice."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.support.fleet import until
from tests.support.history import check_all_ended, check_history, check_holders, check_programs
from tests.support.members import Member, Members
from tests.support.network import Namespace, Wire, namespaces_refused
from tests.support.proxy import Proxy
from tests.support.redis_fixtures import NewRedis
from tests.support.redis_server import RedisServer

CONFIG = """
lease: {{ttl: {lease}, heartbeat: {beat}}}
retry: {{base: 100ms, cap: 500ms}}
limits: {{slots: 8}}
stop_grace: 3s
"""
BEGIN = (
    "cd {folder}; exec 9>>{name}.lock; flock -n 9 || echo $QD_TASK >> overlaps; "
    'echo $$ > {name}.$QD_ATTEMPT.pid; echo "begin $QD_TASK $QD_ATTEMPT" >> ran.log; '
)
LATER = "until [ -e finish ]; do sleep 0.02; done"
END = 'echo "end $QD_TASK $QD_ATTEMPT" >> ran.log'

# What the first attempt does; a later one ends at once, but that of `ends` where it is to be seen at work.
FIRST = {
    "sits": "sleep 600",
    "hides": "setsid sh -c 'echo $$ > {name}.child.pid; exec sleep 600' & trap '' INT TERM HUP; sleep 600 & wait; wait",
    "ends": "until [ -e go ]; do sleep 0.02; done",
}


def alive(pid: int) -> bool:
    """And not a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


class Scene:
    """An orchestrator `o`, a worker `far` in the distance with three tasks at work, and `near`, which joins later."""

    def __init__(self, members: Members, server: RedisServer, prefix: str, folder: Path) -> None:
        self.members = members
        self.folder = folder
        self._server = server
        self._prefix = prefix
        folder.mkdir()
        self.boss = members.join("o", "orchestrator")

    def start(self, **how: Any) -> None:
        self.far = self.members.join("far", "worker", "--labels", "place=far", **how)
        self.members.ready()
        (self.folder / "finish").touch()
        self.submit({name: self.task(name, what) for name, what in FIRST.items()})
        for name in FIRST:
            self.pid(name, 1)
        self.pid("hides", "child")
        self.near = self.members.join("near", "worker", "--labels", "place=near")
        self.members.ready()

    def task(self, name: str, first: str, **fields: Any) -> dict[str, Any]:
        later = LATER if name == "ends" else "true"
        script = BEGIN + f"if [ $QD_ATTEMPT -gt 1 ]; then {later}; else {first}; fi; " + END
        return {"command": script.format(folder=self.folder, name=name), **fields}

    def submit(self, tasks: Mapping[str, Any]) -> None:
        self.boss.submit_plan(json.dumps({"name": "p", "tasks": tasks}))

    def pid(self, name: str, attempt: int | str) -> int:
        """Of the program, once it has begun."""
        path = self.folder / f"{name}.{attempt}.pid"
        until(lambda: path.exists() and path.read_text().endswith("\n"), 30, self.members.errors)
        return int(path.read_text())

    def ended_but_one(self, seconds: float = 60) -> None:
        """All are taken over, and the second attempt of one is at work."""
        until(
            lambda: (self.folder / "ends.2.pid").exists() and self.done(("sits", "hides")) == 2,
            seconds,
            self.members.errors,
        )

    def ended(self, seconds: float = 60) -> dict[str, dict[str, Any]]:
        """Every task, by name, once all have succeeded."""
        return {task["name"]: task for task in self.boss.wait(seconds)}

    def gone(self, seconds: float) -> None:
        """Nothing of the first attempts is left on the worker in the distance."""
        pids = [self.pid(name, 1) for name in FIRST] + [self.pid("hides", "child")]
        until(lambda: not any(alive(pid) for pid in pids), seconds, self.members.errors)

    def refused(self, member: Member) -> int:
        """Late writes, as Redis has counted them."""
        return int(self._server.ask("HGET", f"{self._prefix}:fenced", member.worker) or 0)

    def goes_on(self, name: str = "later") -> None:
        """The worker in the distance takes new work."""
        self.submit({name: self.task(name, "true", selector={"place": "far"})})
        self.ended()
        claims = [event for event in self.boss.events() if event["kind"] == "task.claimed"]
        assert claims[-1]["worker"] == self.far.worker

    def done(self, names: Collection[str]) -> int:
        return sum(task["state"] == "succeeded" and task["name"] in names for task in self.boss.tasks())

    def until_done(self, names: Collection[str], count: int) -> int:
        until(lambda: self.done(names) >= count, 30, self.boss.describe)
        return self.done(names)

    def check(self, states: Collection[str] = ("succeeded",)) -> None:
        tasks, events = self.boss.tasks(), self.boss.events()
        assert {task["state"] for task in tasks} <= set(states), self.boss.describe()
        check_history(events)
        check_all_ended(events)
        check_holders(events)
        attempts = {task["id"]: task["attempt"] for task in tasks if task["state"] == "succeeded"}
        check_programs((self.folder / "ran.log").read_text().splitlines(), attempts)
        assert not (self.folder / "overlaps").exists()

    def check_taken_over(self) -> None:
        """All three ended on the other worker, by a second attempt, while the first one could say nothing."""
        near = self.near.worker
        winners = {event["worker"] for event in self.boss.events() if event["kind"] == "task.succeeded"}
        assert winners == {near}
        assert {(task["attempt"], task["faults"]) for task in self.boss.tasks()} == {(2, 1)}


Play = Callable[..., Scene]


@pytest.fixture
def server(new_redis: NewRedis) -> RedisServer:
    return new_redis()


@pytest.fixture
def play(tmp_path: Path, server: RedisServer, redis_prefix: str) -> Iterator[Play]:
    opened: list[Members] = []

    def new(lease: str = "1s", beat: str = "200ms") -> Scene:
        members = Members(tmp_path, server.url, redis_prefix, CONFIG.format(lease=lease, beat=beat))
        opened.append(members)
        return Scene(members, server, redis_prefix, tmp_path / "ran")

    yield new
    for members in opened:
        members.__exit__(None, None, None)


@pytest.fixture
def wire(server: RedisServer) -> Iterator[Wire]:
    with Wire("127.0.0.1", server.port) as made:
        yield made


def cut_off_and_back(scene: Scene, cut: Callable[[], None], heal: Callable[[], None], lease: float) -> None:
    cut()
    (scene.folder / "finish").unlink()
    (scene.folder / "go").touch()  # this one ends while nobody can be told
    scene.gone(lease + 2)
    scene.ended_but_one(lease * 4 + 30)
    heal()
    refused_and_on(scene)


def refused_and_on(scene: Scene) -> None:
    """What the worker in the distance says too late of an attempt means nothing to the next one, which is at work."""
    until(lambda: scene.far.metric("quarterdeck_fenced_writes_total") >= 1, 30, scene.members.errors)
    assert scene.refused(scene.far) >= 1
    assert scene.done(("ends",)) == 0
    (scene.folder / "finish").touch()
    scene.ended()
    scene.check_taken_over()
    scene.goes_on()
    scene.check()


@pytest.mark.slow
def test_cut_off_for_longer_than_two_leases(play: Play, wire: Wire) -> None:
    scene = play()
    scene.start(url=wire.url)
    cut_off_and_back(scene, lambda: wire.do(Proxy.partition), lambda: wire.do(Proxy.heal), 1.0)


@pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces want root")
@pytest.mark.slow
def test_the_cable_is_pulled_between_two_namespaces(tmp_path: Path, new_redis: NewRedis, redis_prefix: str) -> None:
    if refused := namespaces_refused():
        pytest.skip(refused)
    with Namespace() as there:
        server = new_redis(directives={"bind": f"127.0.0.1 {there.our_address}", "protected-mode": "no"})
        with Members(tmp_path, server.url, redis_prefix, CONFIG.format(lease="1s", beat="200ms")) as members:
            scene = Scene(members, server, redis_prefix, tmp_path / "ran")
            scene.start(url=f"redis://{there.our_address}:{server.port}/0", within=there.within)
            cut_off_and_back(scene, there.unplug, there.plug, 1.0)


@pytest.mark.soak
@pytest.mark.timeout(300)
def test_cut_off_for_half_a_minute(play: Play, wire: Wire) -> None:
    """As above, by the clock on the wall."""
    scene = play("10s", "2500ms")
    scene.start(url=wire.url)

    begun = time.monotonic()

    def heal() -> None:
        until(lambda: time.monotonic() - begun >= 30, 60)
        wire.do(Proxy.heal)

    cut_off_and_back(scene, lambda: wire.do(Proxy.partition), heal, 10.0)


@pytest.mark.slow
def test_back_before_anybody_has_taken_over(play: Play, wire: Wire) -> None:
    """The leases have run out, the programs are gone, and the worker itself is the first to say so."""
    scene = play("4s", "1s")
    scene.start(url=wire.url)
    wire.do(Proxy.partition)
    scene.gone(6)
    wire.do(Proxy.heal)
    (scene.folder / "go").touch()
    scene.ended()
    scene.goes_on()
    scene.check()
    assert not [event for event in scene.boss.events() if event["kind"] == "lease.lost"]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_connections_break_in_the_middle_of_answers(play: Play, wire: Wire, seed: int) -> None:
    """What is short enough costs no attempt."""
    scene, chance = play("4s", "1s"), random.Random(seed)
    scene.start(url=wire.url)
    (scene.folder / "go").touch()
    names = [f"t{number}" for number in range(40)]
    here = {"selector": {"place": "far"}}
    first = {name: f"sleep {chance.uniform(0, 0.3):.2f}" for name in names}
    scene.submit({name: scene.task(name, first[name], **here) for name in names})
    done = cuts = 0
    while done < len(names):
        if chance.random() < 0.3:
            wire.do(Proxy.cut)
        else:
            wire.do(Proxy.cut_after, chance.choice((0, 1, 7, 50, 300, 2000)))
        cuts += 1
        done = scene.until_done(names, min(done + 2, len(names)))
    assert cuts >= 8
    for name in FIRST:
        scene.boss.client.cancel(name)
    scene.boss.wait()
    scene.check({"succeeded", "cancelled"})
    assert {task["attempt"] for task in scene.boss.tasks()} == {1}


@pytest.mark.slow
def test_a_slow_line_costs_no_attempt_and_one_slower_than_the_lease_is_a_cut(play: Play, wire: Wire) -> None:
    scene = play("3s", "750ms")
    scene.start(url=wire.url)
    wire.do(Proxy.delay, 0.2)
    here = {"selector": {"place": "far"}}
    scene.submit({name: scene.task(name, "sleep 4", **here) for name in ("s1", "s2")})
    scene.until_done(["s1", "s2"], 2)
    assert {task["attempt"] for task in scene.boss.tasks()} == {1}
    wire.do(Proxy.delay, 4.5)
    scene.gone(12)
    scene.ended()
    wire.do(Proxy.delay, 0.0)
    scene.goes_on()
    scene.check()


@pytest.mark.slow
def test_paused_past_its_lease_and_continued(play: Play) -> None:
    """Its programs are not paused, so somebody else ends them in time: their own holders."""
    scene = play()
    scene.start()
    scene.far.stop()
    scene.gone(4)
    scene.ended()
    scene.check_taken_over()
    scene.far.go_on()
    scene.goes_on()
    scene.check()


@pytest.mark.slow
def test_paused_while_it_writes(play: Play, wire: Wire) -> None:
    """What it had begun to say when it was paused is said when it goes on: refused, and counted on both sides."""
    scene = play()
    scene.start(url=wire.url)
    said = scene.far.client.activities()
    next(said)  # connected
    wire.do(Proxy.partition)
    (scene.folder / "finish").unlink()
    (scene.folder / "go").touch()
    assert any(one["activity"] == "stopped" for page in said for one in page)
    scene.far.client.health()
    scene.far.stop()
    said.close()
    scene.gone(4)
    scene.ended_but_one()
    wire.do(Proxy.heal)
    scene.far.go_on()
    refused_and_on(scene)


@pytest.mark.slow
def test_a_machine_that_slept_ends_its_programs_when_it_wakes(play: Play) -> None:
    """While all of it stands still nobody can end them; what they were is run elsewhere meanwhile."""
    scene = play()
    scene.start()
    asleep = scene.far.stop_machine()
    scene.ended()
    scene.check_taken_over()
    for pid in filter(alive, asleep):
        os.kill(pid, signal.SIGCONT)
    scene.gone(4)
    scene.goes_on()
    (scene.folder / "overlaps").unlink(missing_ok=True)  # of programs that stood still
    scene.check()
