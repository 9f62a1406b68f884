"""Programs that print without end: memory stays flat, the control API answers, nothing else suffers."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.test_session_ends import alive, parent
from tests.support.fleet import Fleet, until

MIB = 1 << 20
FLOODS = {
    "lines": "yes",
    "no newline": "cat /dev/zero | tr '\\0' x",
    "binary": "cat /dev/urandom",
    "split UTF-8 and escapes": "while :; do printf '\\342\\202\\033[3'; printf '1m\\033]0;t'; done",
}


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    with Fleet(tmp_path / "project", "limits: {slots: 60}\nrecording: {cap: 8MiB}\n") as made:
        assert made.up() == "ready", made.errors()
        yield made


def private(pid: int) -> int:
    """Bytes of memory this process shares with no other."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in rollup if line.startswith("Private_")) * 1024


def flood(fleet: Fleet, command: str, number: int) -> str:
    body = {"command": ["sh", "-c", f"echo $$ > pid{number}; {command}"], "cwd": str(fleet.project)}
    return str(fleet.client.call("POST", "/v1/tasks", body)["task"]["id"])


def holder(fleet: Fleet, number: int) -> int:
    path = fleet.project / f"pid{number}"
    until(lambda: path.exists() and path.read_text().strip(), 60, fleet.describe)
    return parent(int(path.read_text()))


def written(fleet: Fleet, task: str) -> int:
    """Bytes recorded so far, dropped ones included."""
    from lite.recordings.reader import Recording

    return Recording(fleet.home.session(f"{task}-1")).end()


@pytest.mark.slow
@pytest.mark.parametrize("kind", FLOODS)
def test_memory_is_flat_under_a_flood(fleet: Fleet, kind: str) -> None:
    assert fleet.process is not None
    task = flood(fleet, FLOODS[kind], 0)
    held = holder(fleet, 0)
    amount = {"split UTF-8 and escapes": 2 * MIB, "no newline": 256 * MIB}.get(kind, 24 * MIB)
    until(lambda: written(fleet, task) > amount, 60, fleet.describe)
    before = private(held), private(fleet.process.pid)
    until(lambda: written(fleet, task) > 4 * amount, 90, fleet.describe)
    grown = private(held) - before[0], private(fleet.process.pid) - before[1]
    assert grown[0] < MIB, f"holder grew by {grown[0]} bytes"
    assert grown[1] < 8 * MIB, f"supervisor grew by {grown[1]} bytes"
    directory = fleet.home.session(f"{task}-1")
    kept = sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())
    assert kept < 16 * MIB, f"the recording holds {kept} bytes"
    fleet.client.cancel(task)
    fleet.wait(60)
    assert not alive(held)


@pytest.mark.slow
def test_health_answers_while_fifty_sessions_write(fleet: Fleet) -> None:
    """Each writes 100 kB a second or so: far more than people read, within what two cores can carry."""
    tasks = [flood(fleet, "while :; do head -c 20000 /dev/zero | tr '\\0' x; sleep 0.2; done", at) for at in range(50)]
    for at in range(50):
        holder(fleet, at)
    start = sum(written(fleet, task) for task in tasks)
    times = []
    for _ in range(200):
        begun = time.perf_counter()
        assert fleet.client.health()
        times.append(time.perf_counter() - begun)
        time.sleep(0.01)  # spread over some seconds of writing
    assert sum(written(fleet, task) for task in tasks) - start > 5 * MIB, "they did write meanwhile"
    p99 = sorted(times)[int(len(times) * 0.99)]
    limit = 0.05 if not os.environ.get("CI") else 0.25
    assert p99 < limit, f"/health p99 {p99 * 1000:.1f} ms"
    for task in tasks:
        fleet.client.cancel(task)
    fleet.wait(90)
