"""kill -9 of the supervisor, at every named step and at random moments: nothing is lost, nothing runs twice."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from lite.errors import NoSupervisor
from lite.recordings.reader import Recording
from lite.terminal.packets import OUT
from tests.support.fleet import Fleet, until
from tests.support.history import check_all_ended, check_history, check_lanes

LINES = 60

# Each task notes once that it ran, prints numbered lines over a while and hands its name on.
TASK = (
    f'echo "$QD_TASK $QD_ATTEMPT" >> ran.log; i=1; while [ $i -le {LINES} ]; do echo "line $i"; i=$((i+1)); '
    "[ $((i % 10)) -eq 0 ] && sleep 0.05; done; echo done > $QD_OUTPUT"
)

FAILPOINTS = [
    "dispatcher.claimed",
    "runner.claimed",
    "runner.prepared",
    "runner.handle",
    "runner.recorded",
    "runner.started",
    "runner.ended",
    "runner.finished",
]
AFTERWARDS = ["supervisor.joined", "rescuer.taken", "runner.adopted"]


def plan(width: int = 3, depth: int = 2) -> str:
    lines = ["name: sweep", "tasks:"]
    for lane in range(width):
        for at in range(depth):
            lines.append(f"  t{lane}-{at}: {{command: {TASK!r}, lane: lane{lane}}}")
    lines.append(f"  last: {{command: {TASK!r}, needs: [t0-{depth - 1}, t1-{depth - 1}]}}")
    return "\n".join(lines).replace("\\'", "''") + "\n"


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    with Fleet(tmp_path / "project") as made:
        yield made


def check(fleet: Fleet) -> None:
    """Every promise about what has run."""
    tasks = fleet.tasks()
    assert {task["state"] for task in tasks} == {"succeeded"}, fleet.describe()
    events = fleet.events()
    check_history(events)
    check_all_ended(events)
    lanes: dict[str, list[str]] = {}
    for task in tasks:
        if task["lane"]:
            lanes.setdefault(f"{task['run']}/{task['lane']}", []).append(task["id"])
    check_lanes(events, lanes)
    ran = Counter(line.split()[0] for line in (fleet.project / "ran.log").read_text().splitlines())
    assert ran == {task["id"]: 1 for task in tasks}, f"ran more than once, or never: {ran}"
    expected = b"".join(b"line %d\r\n" % at for at in range(1, LINES + 1))
    for task in tasks:
        recording = Recording(fleet.home.session(f"{task['id']}-{task['attempt']}"))
        chunks = recording.read(0, 1 << 20)
        output = b"".join(data for _, stream, data in chunks if stream == OUT)
        assert output == expected, f"{task['name']}: gap or duplicate"
        at = 0
        for offset, _, data in chunks:
            assert offset == at
            at += len(data)


@pytest.mark.slow
@pytest.mark.parametrize("failpoint", FAILPOINTS)
def test_killed_at_a_named_step(fleet: Fleet, failpoint: str) -> None:
    assert fleet.up(failpoint=f"{failpoint}:2") == "ready"
    fleet.submit_plan(plan())
    assert fleet.died() == -9
    assert fleet.up() == "ready"
    fleet.wait()
    check(fleet)


@pytest.mark.slow
@pytest.mark.parametrize("failpoint", AFTERWARDS)
def test_killed_again_while_recovering(fleet: Fleet, failpoint: str) -> None:
    assert fleet.up(failpoint="runner.started:3") == "ready"
    fleet.submit_plan(plan())
    assert fleet.died() == -9
    fleet.up(failpoint=failpoint)
    assert fleet.died() == -9
    assert fleet.up() == "ready"
    fleet.wait()
    check(fleet)


@pytest.mark.slow
@pytest.mark.parametrize("number", [1, 2, 3, 5, 8, 13, 21])
def test_killed_between_a_commit_and_its_answer(fleet: Fleet, number: int) -> None:
    """What was committed counts although nobody was told; a client without an answer repeats with the same key."""
    fleet.up(failpoint=f"sqlite.committed:{number}")
    try:
        fleet.submit_plan(plan(), key="once")
    except NoSupervisor:
        pass  # it died before it answered
    assert fleet.died() == -9
    assert fleet.up() == "ready"
    tasks = fleet.submit_plan(plan(), key="once")
    fleet.wait()
    check(fleet)
    assert len(fleet.tasks()) == len(tasks)


def kill_at_random_moments(fleet: Fleet, kills: int, seed: int) -> None:
    chance = random.Random(seed)
    assert fleet.up() == "ready"
    done = 0
    fleet.submit_plan(plan(3, 4))
    while done < kills:
        seen = len(fleet.events())
        goal = seen + chance.randint(0, 6)

        def reached(goal: int = goal) -> bool:
            tasks = fleet.tasks()
            if all(task["state"] == "succeeded" for task in tasks):
                fleet.submit_plan(plan(3, 4))
            return len(fleet.events()) >= goal

        until(reached, 60, fleet.describe)
        fleet.kill()
        done += 1
        assert fleet.up() == "ready"
    fleet.wait(180)
    check(fleet)


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_killed_at_random_moments(fleet: Fleet) -> None:
    kill_at_random_moments(fleet, 30, seed=20)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(8))
def test_killed_at_random_moments_for_long(fleet: Fleet, seed: int) -> None:
    kill_at_random_moments(fleet, 25, seed=1000 + seed)
