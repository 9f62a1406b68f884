"""Orchestrators and workers as processes of their own on one Redis: who does what, and how a worker is taken out."""

from __future__ import annotations

import json
import os
import signal
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.fleet import Fleet, until
from tests.support.redis_server import RedisServer

Join = Callable[..., Fleet]


@pytest.fixture
def join(tmp_path: Path, redis_server: RedisServer, redis_prefix: str) -> Iterator[Join]:
    """Start a member of one fleet with a home of its own."""
    members: list[Fleet] = []

    def start(name: str, *options: str, more: str = "") -> Fleet:
        config = f"backend: {{url: '{redis_server.url}', prefix: {redis_prefix}}}\n{more}"
        member = Fleet(tmp_path / name, config)
        members.append(member)
        member.qd("up", "-d", *options)
        return member

    yield start
    for member in reversed(members):
        member.qd("down", "-y", check=False)
        member.close()


def worker_of(member: Fleet) -> str:
    return member.client.status()["worker"]


def test_roles_need_a_backend_that_can_be_shared(tmp_path: Path) -> None:
    with Fleet(tmp_path / "project") as fleet:
        for role in ("worker", "orchestrator"):
            for detached in ([], ["-d"]):
                done = fleet.qd("up", "--role", role, *detached, check=False)
                assert done.returncode == 2
                assert f"--role {role} needs a backend that several can share" in done.stderr
                assert "QD_BACKEND" in done.stderr
        for option in (["--slots", "none"], ["--listen", "nowhere"], ["--labels", "gpu"], ["--name", "A B"]):
            done = fleet.qd("up", "-d", *option, check=False)
            assert (done.returncode, option[0] in done.stderr) == (2, True)
        assert fleet.qd("workers", check=False).returncode == 5


def test_one_routes_and_another_runs(join: Join) -> None:
    boss = join("boss", "--role", "orchestrator")
    big = join(
        "big", "--role=worker", "--labels", "gpu=1,zone=a", "--slots", "3", "--name", "big", "--listen=127.0.0.1:0"
    )
    small = join("small", "--role", "worker", "--labels", "zone=b")
    assert worker_of(big).startswith("big-")
    assert {boss.client.status()["role"], big.client.status()["role"]} == {"orchestrator", "worker"}
    rows = {row["id"]: row for row in boss.client.workers()}
    assert set(rows) == {worker_of(big), worker_of(small)}  # who runs nothing is no worker
    row = rows[worker_of(big)]
    assert (row["slots"], row["labels"]["gpu"], row["labels"]["zone"]) == (3, "1", "a")
    assert row["address"].startswith("http://127.0.0.1:")
    assert rows[worker_of(small)]["address"] == ""
    plan = boss.project / "plan.yaml"
    plan.write_text(
        "name: p\ntasks:\n"
        "  a: {command: 'true', selector: {gpu: '1'}}\n"
        "  b: {command: 'true', selector: {zone: b}, needs: [a]}\n"
    )
    assert boss.qd("run", "--wait", str(plan)).returncode == 0
    ran = {event["task"]: event["worker"] for event in boss.events() if event["kind"] == "task.claimed"}
    names = {task["name"]: ran[task["id"]] for task in boss.tasks()}
    assert names == {"a": worker_of(big), "b": worker_of(small)}
    assert "orchestrator: routes and places" in boss.qd("up", "-d").stdout
    assert "REACHABLE" in boss.qd("workers").stdout
    assert '"--slots"' not in big.qd("config", "show").stdout
    shown = {line.split()[0]: line for line in big.qd("config", "show").stdout.splitlines()}
    assert shown["limits.slots"].endswith("--slots")
    assert "--listen" in shown["listen"]


def test_the_door_for_other_machines_wants_the_token(join: Join) -> None:
    member = join("one", "--listen", "127.0.0.1:0")
    (row,) = member.client.workers()
    token = member.home.api_token.read_text().strip()
    assert token not in json.dumps(row)

    def ask(**headers: str) -> int:
        request = urllib.request.Request(f"{row['address']}/v1/workers", headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as refused:
            return refused.code

    assert ask() == 401
    assert ask(Authorization="Bearer wrong") == 401
    assert ask(Authorization=f"Bearer {token}") == 200
    member.qd("down", "-y")
    member.qd("up", "-d")
    member._hang_up()
    assert [one["address"] for one in member.client.workers()] == [""]  # said for that start only


def test_a_restarted_worker_is_the_same_and_takes_its_sessions_over(join: Join) -> None:
    boss = join("boss", "--role", "orchestrator")
    hand = join("hand", "--role", "worker")
    name = worker_of(hand)
    release = hand.project / "go"
    task = boss.qd("submit", "--", "sh", "-c", f"until [ -e {release} ]; do sleep 0.05; done").stdout.strip()
    until(lambda: boss.client.task(task)["started_at"], 30, boss.describe)
    os.kill(hand.client.status()["pid"], signal.SIGKILL)
    until(lambda: hand.qd("ls", check=False).returncode == 5)
    hand._hang_up()
    hand.qd("up", "-d", "--role", "worker")
    assert worker_of(hand) == name
    release.touch()
    assert boss.qd("wait", task).returncode == 0
    ended = boss.client.task(task)
    assert (ended["attempt"], ended["faults"]) == (1, 0)


def test_drain_waits_for_the_last_task(join: Join) -> None:
    boss = join("boss", "--role", "orchestrator")
    hand = join("hand", "--role", "worker")
    release = hand.project / "go"
    task = boss.qd("submit", "--", "sh", "-c", f"until [ -e {release} ]; do sleep 0.05; done").stdout.strip()
    until(lambda: boss.client.task(task)["started_at"], 30, boss.describe)
    done = boss.qd("workers", "drain", worker_of(hand)[:8], "--timeout", "0.2", check=False)
    assert done.returncode == 8
    assert "still runs 1 task(s)" in done.stderr
    later = boss.qd("submit", "--", "true").stdout.strip()
    release.touch()
    done = boss.qd("workers", "drain", worker_of(hand))
    assert "is drained" in done.stderr
    assert boss.client.task(later)["state"] == "queued"
    boss.qd("workers", "uncordon", worker_of(hand))
    assert boss.qd("wait", later).returncode == 0


def test_only_a_dead_worker_is_deregistered(join: Join) -> None:
    fast = "lease: {ttl: 1s, heartbeat: 200ms}\n"
    boss = join("boss", "--role", "orchestrator")
    hand = join("hand", "--role", "worker", more=fast)
    name = worker_of(hand)
    refused = boss.qd("workers", "deregister", name, check=False)
    assert (refused.returncode, "is alive" in refused.stderr) == (2, True)
    assert "qd down" in refused.stderr
    os.kill(hand.client.status()["pid"], signal.SIGKILL)
    until(lambda: boss.client.workers()[0]["state"] == "unhealthy")
    boss.qd("workers", "deregister", name)
    assert boss.client.workers() == []
    assert boss.qd("workers", "deregister", name, check=False).returncode == 4
