"""One switch from SQLite to Redis and back, through the front door: what is said, refused, and kept secret."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.fleet import Fleet, until
from tests.support.redis_fixtures import NewRedis
from tests.support.redis_server import RedisServer

SECRET = "hunter2-of-the-test"


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    with Fleet(tmp_path / "project") as made:
        yield made
        if made.qd("down", "--yes", check=False).returncode not in (0, 5):
            made.sweep()


def on(fleet: Fleet, backend: str) -> None:
    (fleet.project / "quarterdeck.yaml").write_text(f"limits: {{slots: 1}}\nbackend: {backend}\n")


def kill_supervisor(fleet: Fleet) -> None:
    pid = fleet.client.status()["pid"]
    os.kill(pid, signal.SIGKILL)
    until(lambda: fleet.qd("workers", check=False).returncode == 5)
    fleet._hang_up()


def test_the_same_plan_runs_on_both_and_what_waits_is_told_of(
    fleet: Fleet, redis_server: RedisServer, redis_prefix: str
) -> None:
    fleet.qd("up", "-d")
    running = fleet.qd("submit", "--", "sleep", "600").stdout.strip()
    waiting = fleet.qd("submit", "--", "true").stdout.strip()
    until(lambda: fleet.client.task(running)["started_at"], 30, fleet.describe)
    fleet.qd("down", "-y")
    on(fleet, f"{{url: '{redis_server.url}', prefix: {redis_prefix}}}")
    done = fleet.qd("up", "-d")
    assert "WARNING: left behind on the last backend (sqlite): " in done.stderr
    assert "queued task(s)" in done.stderr
    assert f"Redis {redis_server.url}, keys {redis_prefix}:*" in done.stdout
    (worker,) = fleet.client.workers()
    assert fleet.qd("submit", "--wait", "--", "true").returncode == 0
    assert {task["id"] for task in fleet.tasks()}.isdisjoint({running, waiting})
    fleet.qd("down", "-y")
    done = fleet.qd("up", "-d")
    assert "left behind" not in done.stderr
    assert [one["id"] for one in fleet.client.workers()] == [worker["id"]]
    fleet.qd("down", "-y")
    on(fleet, "sqlite")
    fleet.qd("up", "-d")
    assert {task["id"] for task in fleet.tasks()} == {running, waiting}
    fleet.qd("cancel", running)
    assert fleet.qd("wait", waiting).returncode == 0


def test_running_work_on_sqlite_holds_its_home_there(
    fleet: Fleet, redis_server: RedisServer, redis_prefix: str
) -> None:
    task = fleet.qd("submit", "--", "sleep", "600").stdout.strip()
    until(lambda: fleet.client.task(task)["started_at"], 30, fleet.describe)
    fleet.qd("down", "--keep-sessions")
    on(fleet, f"{{url: '{redis_server.url}', prefix: {redis_prefix}}}")
    for argv in (["up", "-d"], ["up"], ["submit", "--", "true"]):
        done = fleet.qd(*argv, check=False)
        assert done.returncode == 3
        assert "this home last ran on sqlite, where 1 of its tasks still run" in done.stderr
        assert "qd up --switch" in done.stderr
    done = fleet.qd("up", "-d", "--switch")
    assert "left behind on the last backend (sqlite): 1 running task(s)" in done.stderr
    fleet.qd("down", "-y")
    on(fleet, "sqlite")
    fleet.qd("up", "-d")
    taken = fleet.client.task(task)
    assert (taken["state"], taken["attempt"]) == ("running", 1)  # its program never noticed
    fleet.qd("cancel", task)
    fleet.qd("wait", task, check=False)


def test_live_leases_on_redis_hold_it_too_and_so_does_silence(fleet: Fleet, new_redis: NewRedis) -> None:
    server = new_redis()
    on(fleet, server.url)
    task = fleet.qd("submit", "--", "sleep", "600").stdout.strip()
    until(lambda: fleet.client.task(task)["started_at"], 30, fleet.describe)
    kill_supervisor(fleet)
    on(fleet, "sqlite")
    done = fleet.qd("up", "-d", check=False)
    assert (done.returncode, "1 of its tasks still run" in done.stderr) == (3, True), done.stderr
    server.kill()
    done = fleet.qd("up", "-d", check=False)
    assert (done.returncode, "cannot be asked whether work still runs" in done.stderr) == (3, True), done.stderr
    assert fleet.qd("up", "-d", "--json", check=False).returncode == 3
    done = fleet.qd("up", "-d", "--switch")
    assert "was left unasked" in done.stderr
    assert fleet.qd("submit", "--wait", "--", "true").returncode == 0


def test_a_password_reaches_the_server_and_nothing_else(tmp_path: Path, new_redis: NewRedis) -> None:
    server = new_redis(users={"fleet": f"on >{SECRET} ~* &* +@all"}, requirepass="another")
    url = server.url.replace("redis://", f"redis://fleet:{SECRET}@")
    with Fleet(tmp_path / "project", env={"QD_BACKEND": url}) as fleet:
        fleet.qd("up", "-d")
        assert fleet.qd("submit", "--wait", "--", "env").returncode == 0
        shown = [
            fleet.qd(*argv, check=False)
            for argv in (["config", "show"], ["config", "show", "--json"], ["doctor"], ["backend"], ["logs", "env"])
        ]
        texts = [one.stdout + one.stderr for one in shown]
        texts += [json.dumps(fleet.client.call("GET", path)) for path in ("/v1/status", "/v1/config", "/v1/workers")]
        fleet.qd("down", "-y")
        texts += [path.read_text(errors="replace") for path in fleet.home.root.rglob("*") if path.is_file()]
        assert "url QD_BACKEND" in texts[0]
        assert [text for text in texts if SECRET in text] == []


@pytest.mark.parametrize("how", ["file", "env", "variable"])
def test_a_password_by_reference(tmp_path: Path, new_redis: NewRedis, how: str) -> None:
    server = new_redis(requirepass=SECRET)
    reference = {"file": "password: {file: secret}", "env": "password: {env: PW}", "variable": "prefix: p"}[how]
    environ = {"env": {"PW": SECRET}, "variable": {"QD_REDIS_PASSWORD": SECRET}}.get(how, {})
    with Fleet(tmp_path / "project", f"backend: {{url: '{server.url}', {reference}}}", environ) as fleet:
        if how == "file":
            (fleet.project / "secret").write_text("mistaken\n")
            done = fleet.qd("up", "-d", check=False)
            assert done.returncode != 0
            assert "mistaken" not in done.stdout + done.stderr + fleet.home.log.read_text()
            (fleet.project / "secret").write_text(SECRET + "\n")
        fleet.qd("up", "-d")
        assert fleet.qd("submit", "--wait", "--", "true").returncode == 0
        fleet.qd("down", "-y")


def test_tls_checks_the_server_or_says_that_it_does_not(tmp_path: Path, new_redis: NewRedis) -> None:
    server = new_redis(tls=True)
    assert server.certificates is not None
    with Fleet(tmp_path / "project") as fleet:
        on(fleet, f"{{url: '{server.tls_url}'}}")
        assert fleet.qd("up", "-d", check=False).returncode != 0
        on(fleet, f"{{url: '{server.tls_url}', tls: {{ca: '{server.certificates.ca}'}}}}")
        done = fleet.qd("up", "-d")
        assert "not checked" not in done.stderr
        fleet.qd("down", "-y")
        on(fleet, f"{{url: '{server.tls_url}', tls: {{verify: false}}}}")
        done = fleet.qd("up", "-d")
        assert "WARNING: the certificate of the Redis server is not checked" in done.stderr
        fleet.qd("down", "-y")
