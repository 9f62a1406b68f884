"""A canary through the front door: the programs get it, and it is found nowhere else."""

from __future__ import annotations

import base64
import json
import socket
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import quote

import pytest

from tests.support import acp_agent
from tests.support.fleet import Fleet, until
from tests.support.redis_fixtures import NewRedis
from tests.support.redis_server import RedisServer

CANARY = "sk-canary-7Qx+/92 é&b"
OF_FILE, OF_COMMAND = "file-canary-e83b1f22", "command-canary-61d0c9aa"
SECRETS = {"OF_ENV": CANARY, "OF_FILE": OF_FILE, "OF_COMMAND": OF_COMMAND, "NAMED": OF_FILE}

# Prints all of it in every way there is, waits to be looked at, and prints it again.
PROGRAM = r"""
import base64, json, os, sys, time, urllib.parse
def put(stream, data):
    os.write(stream, data + b"\n")
def all_ways(value):
    raw = value.encode()
    for stream in (1, 2):
        put(stream, b"whole " + raw)
        put(stream, base64.b64encode(raw))
        put(stream, base64.b64encode(b"x:" + raw + b":y"))
        put(stream, urllib.parse.quote(value, safe="").encode())
        put(stream, json.dumps({"key": value}).encode())
        for at in range(len(raw)):
            os.write(stream, raw[at : at + 1])
        put(stream, b"")
    os.write(1, b"\x1b]0;" + raw + b"\x07\x1b]2;" + raw + b"\x1b\\")
    said = base64.b64encode(b"may I use " + raw).decode()
    os.write(1, f"\x1b]7501;state=blocked:msg={said}\x1b\\".encode())
values = [os.environ[name] for name in sys.argv[2:]]
assert [len(value) for value in values] == json.loads(os.environ["LENGTHS"]), "not what was configured"
def everything():
    os.system("env; env >&2")
    for value in values:
        all_ways(value)
    with open(os.environ["QD_OUTPUT"], "w") as file:
        file.write("the outcome " + " ".join(values))
everything()
open(sys.argv[1] + ".ready", "w").close()
while not os.path.exists(sys.argv[1] + ".go"):
    time.sleep(0.02)
everything()
print("all was said")
"""


def forms() -> list[bytes]:
    """What must not be found. The first eight characters of a secret are not the secret."""
    found = []
    for value in SECRETS.values():
        raw = value.encode()
        found += [raw, quote(value, safe="").encode(), json.dumps(value)[1:-1].encode()]
        found += [base64.b64encode(b"\0" * shift + raw)[4:-4] for shift in range(3)]
        found.append(raw[len(raw) // 2 :])
    return found


def leaks(data: bytes) -> list[bytes]:
    return [one for one in forms() if one in data]


def config(keys: Path, more: str = "") -> str:
    (keys / "key").write_text(OF_FILE + "\n")
    (keys / "key").chmod(0o600)
    (keys / "say").write_text(f"#!/bin/sh\necho {OF_COMMAND}\n")
    (keys / "say").chmod(0o700)
    lengths = json.dumps([len(value) for value in SECRETS.values()])
    return f"""
secrets:
  named: {{file: {keys}/key}}
  said: {{command: [{keys}/say]}}
agents:
  holder:
    provider: shell
    env: {{LENGTHS: "{lengths}"}}
    secrets: {{OF_ENV: {{env: MY_KEY}}, OF_FILE: named, OF_COMMAND: said}}
  driven:
    provider: acp
    env: {{TELL: "{",".join(SECRETS)}"}}
    secrets: {{OF_ENV: {{env: MY_KEY}}, OF_FILE: named, OF_COMMAND: said}}
    options: {{permissions: ask, command: {json.dumps([sys.executable, acp_agent.__file__, "tells"])}}}
{more}"""


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    (tmp_path / "keys").mkdir(mode=0o700)
    return tmp_path / "keys"


@pytest.fixture
def on_redis(tmp_path: Path, keys: Path, new_redis: NewRedis) -> Iterator[tuple[Fleet, RedisServer]]:
    server = new_redis(appendonly=True, directives={"rdbcompression": "no"})  # what is packed cannot be looked through
    with Fleet(tmp_path / "project", config(keys, f"backend: {server.url}\n"), {"MY_KEY": CANARY}) as fleet:
        yield fleet, server
    server.kill()


@pytest.fixture
def on_sqlite(tmp_path: Path, keys: Path) -> Iterator[Fleet]:
    with Fleet(tmp_path / "project", config(keys), {"MY_KEY": CANARY}) as fleet:
        yield fleet


def begin(fleet: Fleet) -> list[str]:
    """Both kinds of session, each telling everything it knows, and a task that is given what they made."""
    assert fleet.up() == "ready"
    (fleet.project / "tell.py").write_text(PROGRAM)
    told = "agent: holder, secrets: {NAMED: named}, command: [python3, tell.py"
    names = ", ".join(SECRETS)
    answer = fleet.submit_plan(
        f"""
tasks:
  screen: {{{told}, screen, {names}]}}
  pipes: {{{told}, pipes, {names}], mode: headless}}
  driver: {{agent: driven, secrets: {{NAMED: named}}, prompt: tell me}}
  after:
    needs: [screen, pipes, driver]
    command: 'cat $QD_NEEDS_SCREEN $QD_NEEDS_PIPES $QD_NEEDS_DRIVER; cp $QD_NEEDS_PIPES $QD_OUTPUT'
"""
    )
    for name in ("screen", "pipes"):
        until((fleet.project / f"{name}.ready").exists, 60, fleet.describe)
    until(lambda: bool(questions(fleet)), 60, fleet.describe)
    return [task["id"] for task in answer]


def questions(fleet: Fleet) -> list[str]:
    """Of the driver; what the screen says of itself nobody can answer."""
    driver = next(task["id"] for task in fleet.tasks() if task["name"] == "driver")
    return [one["id"] for one in json.loads(fleet.qd("waiting", "--json").stdout) if one["task"] == driver]


def go_on(fleet: Fleet) -> None:
    for name in ("screen", "pipes"):
        (fleet.project / f"{name}.go").touch()
    for question in questions(fleet):
        fleet.qd("approve", question)
    until(lambda: all(task["state"] == "succeeded" for task in fleet.tasks()), 60, fleet.describe)


def check_files(*folders: Path, but: str = "") -> None:
    looked_at = 0
    for path in (path for folder in folders for path in folder.rglob("*") if path.is_file() and path.name != but):
        assert not leaks(path.read_bytes()), path
        looked_at += 1
    assert looked_at > 5


def check_command_lines() -> None:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                assert not leaks((entry / "cmdline").read_bytes()), entry
            except OSError:
                continue


def check_api(fleet: Fleet, tasks: list[str]) -> None:
    """Everything that can be asked for with GET, of every task."""
    paths = json.loads(get(fleet, "/openapi.json").partition(b"\r\n\r\n")[2])["paths"]
    wanted = {path for path, verbs in paths.items() if "get" in verbs}
    assert len(wanted) > 12
    assert "/metrics" in wanted
    worker = fleet.client.workers()[0]["id"]
    runs = {str(one["run"]) for one in fleet.tasks()}
    for path in sorted(wanted):
        for task in tasks:
            for ref in (task, *runs):
                filled = path.replace("{ref}", ref).replace("{session}", f"{task}-1").replace("{worker}", worker)
                assert "{" not in filled, f"a kind of path this test does not know: {path}"
                answer = get(fleet, filled)
                assert answer.startswith(b"HTTP/1.1"), filled
                assert not leaks(answer), filled


def get(fleet: Fleet, path: str) -> bytes:
    """The whole answer; of one that never ends, what comes within a moment."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(0.5 if "stream" in path or path.endswith(("attach", "events")) else 20)
        sock.connect(str(fleet.home.socket))
        sock.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        answer = b""
        try:
            while more := sock.recv(1 << 16):
                answer += more
        except TimeoutError:
            assert sock.gettimeout() == 0.5, path
        return answer


OF_A_TASK = (
    ["show", "--json"],
    ["show"],
    ["explain"],
    ["logs"],
    ["logs", "--all"],
    ["logs", "--json"],
    ["logs", "--raw"],
    ["logs", "--stream", "out"],
    ["logs", "--stream", "err"],
    ["export", "--cast", "-"],
    ["export", "--v2", "--cast", "-"],
)


def check_commands(fleet: Fleet, tasks: list[str]) -> None:
    commands = [
        ["ls", "--json"],
        ["events", "--json"],
        ["agents", "--json"],
        ["config", "--json"],
        ["config", "validate"],
        ["doctor", "--json"],
        ["doctor"],
        ["workers", "--json"],
        ["waiting"],
        ["costs", "--json"],
        ["backend", "--json"],
        ["homes", "--json"],
        *([*words, task] for task in tasks for words in OF_A_TASK),
    ]
    for words in commands:
        done = fleet.qd(*words, check=False)
        assert done.returncode in (0, 1, *([2, 4] if "--stream" in words else ())), f"{words}: {done.stderr}"
        assert not leaks((done.stdout + done.stderr).encode()), words


def check_told(fleet: Fleet) -> None:
    """The programs had it, and said much: the test looked at something."""
    tasks = {task["name"]: task for task in fleet.tasks()}
    for name in ("screen", "pipes", "after"):
        assert tasks[name]["output"].startswith("the outcome ***"), tasks[name]
        shown = fleet.qd("logs", tasks[name]["id"]).stdout
        assert "*" * len(OF_FILE) in shown
        assert name == "after" or ("all was said" in shown and "OF_ENV=***" in shown)
    ended = tasks["driver"]
    assert ended["output"].endswith(" ".join("*" * len(value.encode()) for value in SECRETS.values())), ended
    shown = fleet.qd("logs", "--all", ended["id"]).stdout
    assert shown.count("*" * len(OF_FILE)) > 20
    assert "thinking in between" in shown


def test_a_canary_on_sqlite(on_sqlite: Fleet) -> None:
    fleet = on_sqlite
    tasks = begin(fleet)
    check_files(fleet.project, but="output")  # rows, WAL, recordings, logs, launches; $QD_OUTPUT is still the program's
    check_command_lines()
    check_api(fleet, tasks)
    go_on(fleet)
    check_told(fleet)
    check_files(fleet.project)
    check_api(fleet, tasks)
    check_commands(fleet, tasks)


def test_a_canary_on_redis(on_redis: tuple[Fleet, Path]) -> None:
    fleet, server = on_redis
    tasks = begin(fleet)
    check_store(server)
    check_command_lines()
    go_on(fleet)
    check_told(fleet)
    check_api(fleet, tasks)
    check_commands(fleet, tasks)
    check_store(server)
    check_files(fleet.project, server.folder)


def check_store(server: RedisServer) -> None:
    """What the server would write to a disk or hand to a replica: its snapshot, its log of commands (as they came, then
    rewritten), each key."""
    came = appended(server)
    server.ask("SAVE")
    server.ask("BGREWRITEAOF")
    until(lambda: server.info("persistence")["aof_rewrite_in_progress"] == "0", 30, server.log)
    snapshot = (server.folder / "dump.rdb").read_bytes()
    for data in (came, snapshot, appended(server)):
        assert b"cat $QD_NEEDS_SCREEN" in data, "it can be looked through"
        assert not leaks(data)
    keys = server.ask("KEYS", "*")
    assert len(keys) > 10
    for key in keys:
        assert not leaks(key), key
        assert not leaks(server.ask("DUMP", key) or b""), key


def appended(server: RedisServer) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(server.folder.glob("appendonlydir/*")))


def test_a_supervisor_that_dies_takes_nothing_along(on_sqlite: Fleet) -> None:
    """The next one knows no value of what it takes over, and what comes back is hidden all the same."""
    fleet = on_sqlite
    begin(fleet)
    fleet.kill()
    assert fleet.up() == "ready"
    go_on(fleet)
    check_told(fleet)
    check_files(fleet.project)


def test_a_header_holds_it_and_the_answer_does_not(tmp_path: Path, keys: Path) -> None:
    heard: list[str] = []

    class Echo(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            heard.append(str(self.headers["Authorization"]))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(f"you said {heard[-1]}".encode())

        def log_message(self, format: str, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Echo) as server, Fleet(tmp_path / "project", config(keys)) as fleet:
        Thread(target=server.serve_forever, daemon=True).start()
        here = f"http://127.0.0.1:{server.server_port}"
        told = config(keys).replace(f"named: {{file: {keys}/key}}", f"named: {{file: {keys}/key, hosts: ['{here}']}}")
        (fleet.project / "quarterdeck.yaml").write_text(told.partition("agents:")[0])
        assert fleet.up() == "ready"
        header = "{Authorization: {secret: named, prefix: 'Bearer '}}"
        (fleet.project / "elsewhere.yaml").write_text(
            f"tasks: {{a: {{http: {{url: 'http://[::1]/', headers: {header}}}}}}}"
        )
        assert "may not be sent to this URL's host" in fleet.qd("run", "elsewhere.yaml", check=False).stderr
        (task,) = fleet.submit_plan(
            f"tasks: {{a: {{http: {{url: '{here}/', allow_private: true, headers: {header}}}}}}}"
        )
        until(lambda: fleet.client.task(task["id"])["state"] == "succeeded", 30, fleet.describe)
        server.shutdown()
        assert heard == [f"Bearer {OF_FILE}"]
        assert fleet.client.task(task["id"])["output"] == "you said Bearer " + "*" * len(OF_FILE)
        check_files(fleet.project)
        check_api(fleet, [task["id"]])


def test_what_cannot_be_had_is_named_before_anything_runs(tmp_path: Path, keys: Path) -> None:
    with Fleet(tmp_path / "project", config(keys)) as fleet:
        assert fleet.up() == "ready"
        (task,) = fleet.submit_plan("tasks: {a: {agent: holder, command: 'touch ran'}}")
        until(lambda: fleet.client.task(task["id"])["state"] == "failed", 30, fleet.describe)
        ended = fleet.client.task(task["id"])
        assert ended["reason"] == "launch"
        assert ended["detail"].startswith("agents.holder.secrets.OF_ENV: the secret (env MY_KEY) cannot be had")
        assert not (fleet.project / "ran").exists()
        found = {one["check"]: one for one in json.loads(fleet.qd("doctor", "--json", check=False).stdout)}
        assert "MY_KEY" in found["secret OF_ENV of agent holder"]["message"]
        assert found["secret named"]["level"] == "ok"
        assert "MY_KEY" in found["agent holder"]["message"]
        said = fleet.qd("config", "validate").stderr
        assert "secret OF_ENV of agent holder: not from this shell" in said
        (keys / "key").write_text("short")
        doctor = fleet.qd("doctor", check=False).stdout
        assert "secret named: shorter than 8 characters" in doctor
        (keys / "key").chmod(0o644)
        assert f"chmod 600 {keys}/key" in fleet.qd("doctor", check=False).stdout
