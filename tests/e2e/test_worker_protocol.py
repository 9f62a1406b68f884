"""A worker that knows nothing but HTTP, as anybody may write one, in a process of its own beside a real supervisor."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.fleet import Fleet, until

LEASE = "lease: {ttl: 2s, heartbeat: 500ms}\nlimits: {slots: 2}\n"

WORKER = r"""
import http.client, json, os, socket, subprocess, sys, tempfile, threading, time

path, name, folder = sys.argv[1:]
token = ""

class Line(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(path)

def ask(verb, where, body=None):
    while True:  # the supervisor may be down for a while
        line = Line("qd")
        try:
            line.request(verb, "/v1/" + where, json.dumps(body or {}), {"X-Worker-Token": token})
            answer = line.getresponse()
            return answer.status, json.loads(answer.read())
        except (OSError, http.client.HTTPException):
            time.sleep(0.05)
        finally:
            line.close()

def keep(held, ended):
    while not ended.wait(0.4):
        ask("POST", "workers/" + name + "/heartbeat")
        ask("POST", "leases/renew", {"worker": name, "leases": [held]})

def run(lease):
    held = {"task": lease["task"], "token": lease["token"]}
    told = {"worker": name, **held}
    with open(os.path.join(folder, name + ".lease"), "w") as file:
        json.dump({"lease": told, "secret": token}, file)
    ask("POST", "leases/record", {**told, "started": True})
    ended = threading.Event()
    keeper = threading.Thread(target=keep, args=(held, ended))
    keeper.start()
    with tempfile.TemporaryDirectory() as work:
        output = os.path.join(work, "output")
        env = {**os.environ, **lease["env"], "QD_OUTPUT": output}
        code = subprocess.run(lease["command"], env=env, cwd=lease["cwd"]).returncode
        said = open(output).read() if os.path.exists(output) else None
    ended.set()
    keeper.join()
    kind = "succeeded" if code == 0 else "failed"
    ask("POST", "leases/finish", {**told, "kind": kind, "exit_code": code, "output": said})

status, answer = ask("POST", "workers", {"id": name, "agents": ["shell"], "labels": {"pool": "outside"}})
assert status == 201, answer
token = answer["token"]
while True:
    status, leases = ask("POST", "workers/" + name + "/leases", {"wait_ms": 1000})
    for lease in leases if status == 200 else ():
        run(lease)
"""

Hire = Callable[[Fleet, str], "subprocess.Popen[bytes]"]


@pytest.fixture
def hire(tmp_path: Path) -> Iterator[Hire]:
    """Start a worker by name; it writes its newest lease beside the project."""
    script = tmp_path / "worker.py"
    script.write_text(WORKER)
    hired: list[subprocess.Popen[bytes]] = []

    def start(fleet: Fleet, name: str) -> subprocess.Popen[bytes]:
        arguments = [sys.executable, str(script), str(fleet.home.socket), name, str(tmp_path)]
        with (tmp_path / f"{name}.err").open("wb") as errors:
            hired.append(subprocess.Popen(arguments, env=fleet.environ, stderr=errors, stdin=subprocess.DEVNULL))
        until(lambda: name in workers(fleet), explain=(tmp_path / f"{name}.err").read_text)
        return hired[-1]

    yield start
    for worker in hired:
        worker.kill()
        worker.wait(30)


@pytest.fixture(params=["sqlite", "redis"])
def fleet(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Fleet]:
    config = LEASE
    if request.param == "redis":
        server, prefix = request.getfixturevalue("redis_server"), request.getfixturevalue("redis_prefix")
        config += f"backend: {{url: '{server.url}', prefix: {prefix}}}\n"
    with Fleet(tmp_path / "project", config) as made:
        assert made.up() == "ready", made.errors()
        yield made


def workers(fleet: Fleet) -> dict[str, Any]:
    return {row["id"]: row for row in fleet.client.workers()}


def submit(fleet: Fleet, command: str) -> str:
    order: Any = {"command": command, "selector": {"pool": "outside"}, "cwd": str(fleet.project)}
    return fleet.client.submit(order)["task"]["id"]


def shown(fleet: Fleet, task: str) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(fleet.qd("show", task, "--json").stdout)
    return told


def claimed_by(fleet: Fleet, task: str) -> list[str]:
    return [event["worker"] for event in fleet.events() if event["kind"] == "task.claimed" and event["task"] == task]


class Line(http.client.HTTPConnection):
    def __init__(self, fleet: Fleet) -> None:
        super().__init__("qd", timeout=60)
        self._path = str(fleet.home.socket)

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(60)
        self.sock.connect(self._path)

    def say(self, method: str, path: str, body: Any, secret: str = "") -> tuple[int, Any]:
        try:
            self.request(method, f"/v1/{path}", json.dumps(body), {"X-Worker-Token": secret})
            answer = self.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            self.close()


def test_it_runs_what_only_it_may_and_others_go_on_with_its_output(fleet: Fleet, hire: Hire) -> None:
    hire(fleet, "outside")
    plan = (
        "name: p\ntasks:\n"
        "  far: {command: 'printf hello > $QD_OUTPUT', selector: {pool: outside}}\n"
        "  here: {command: 'cat $QD_NEEDS_FAR > $QD_OUTPUT', needs: [far], "
        f"selector: {{node: '{socket.gethostname()}'}}}}\n"
    )
    fleet.submit_plan(plan)
    far, here = fleet.wait()
    assert [(one["state"], one["output"]) for one in (far, here)] == [("succeeded", "hello")] * 2
    assert claimed_by(fleet, far["id"]) == ["outside"]
    assert claimed_by(fleet, here["id"]) == [fleet.client.status()["worker"]]
    told = fleet.qd("show", "p/far").stdout
    assert "succeeded" in told
    assert "hello" in told


def test_killed_in_the_middle_its_task_is_run_by_another_and_its_late_word_refused(
    fleet: Fleet, hire: Hire, tmp_path: Path
) -> None:
    begun, go = tmp_path / "begun", tmp_path / "go"
    first = hire(fleet, "first")
    task = submit(fleet, f"test -e {go} || {{ touch {begun}; sleep 300; }}; echo $QD_ATTEMPT > $QD_OUTPUT")
    until(begun.exists, explain=fleet.describe)
    first.send_signal(signal.SIGKILL)
    first.wait(30)
    go.touch()
    until(lambda: shown(fleet, task)["faults"] == 1, 60, fleet.describe)
    late = json.loads((tmp_path / "first.lease").read_text())
    status, answer = Line(fleet).say("POST", "leases/finish", {**late["lease"], "kind": "succeeded"}, late["secret"])
    assert (status, answer["error"]["code"]) == (409, "lease-lost")
    hire(fleet, "second")
    (ended,) = fleet.wait()
    assert (ended["state"], ended["output"], ended["attempt"]) == ("succeeded", "2\n", 2)
    assert claimed_by(fleet, task) == ["first", "second"]


def test_it_outlives_a_kill_of_the_supervisor(fleet: Fleet, hire: Hire, tmp_path: Path) -> None:
    begun, go = tmp_path / "begun", tmp_path / "go"
    os.mkfifo(go)
    hire(fleet, "outside")
    task = submit(fleet, f"touch {begun}; read line < {go}; echo $line > $QD_OUTPUT")
    until(begun.exists, explain=fleet.describe)
    fleet.kill()
    assert fleet.up() == "ready", fleet.errors()
    go.write_text("on\n")
    (ended,) = fleet.wait()
    assert (ended["state"], ended["output"], ended["attempt"], ended["faults"]) == ("succeeded", "on\n", 1, 0)
    assert claimed_by(fleet, task) == ["outside"]


def test_what_is_offered_to_who_has_hung_up_is_not_lost(fleet: Fleet) -> None:
    """Its leases would last for a minute."""
    body = {"id": "shy", "agents": ["shell"], "labels": {"pool": "outside"}, "ttl_ms": 60_000}
    status, answer = Line(fleet).say("POST", "workers", body)
    assert status == 201
    secret = answer["token"]
    waiting = Line(fleet)
    waiting.request("POST", "/v1/workers/shy/leases", json.dumps({"wait_ms": 30_000}), {"X-Worker-Token": secret})
    waiting.close()
    task = submit(fleet, "true")

    def taken() -> Any:
        return Line(fleet).say("POST", "workers/shy/leases", {"wait_ms": 1000}, secret)[1]

    leases: list[Any] = []
    until(lambda: leases or leases.extend(taken()) or leases, 30, fleet.describe)
    assert (leases[0]["task"], shown(fleet, task)["faults"]) == (task, 0)
