"""The API in front of the real thing: SQLite, holders, real programs."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from websockets.asyncio.client import unix_connect

from lite.api.client import Client
from lite.errors import Ambiguous, IllegalState, InvalidTask, NotFound, PlanInvalid, SessionRefused
from lite.terminal import packets
from tests.api.test_document import requests
from tests.support.fleet import Fleet

PLAN = """
name: pair
tasks:
  first: {command: echo one}
  second: {command: [cat], needs: [first], mode: interactive}
"""


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    with Fleet(tmp_path_factory.mktemp("api")) as made:
        assert made.up() == "ready", made.errors()
        yield made


def started(client: Client, ref: str) -> str:
    """The session, once its program runs."""
    task = client.task(ref)
    if task["started_at"] is None:
        for event in client.events(follow=True, task=task["id"]):
            if event["kind"] == "task.started":
                break
    return client.task(task["id"])["session"]


def test_a_plan_by_names_from_the_first_event_to_the_last(fleet: Fleet) -> None:
    client = fleet.client
    preview = client.submit_plan(PLAN, source="p.yaml", cwd=str(fleet.project), dry_run=True)
    assert (preview["run"], [task["name"] for task in preview["tasks"]]) == (None, ["first", "second"])
    made = client.submit_plan(PLAN, source="p.yaml", cwd=str(fleet.project), key="once")
    again = client.submit_plan(PLAN, source="p.yaml", cwd=str(fleet.project), key="once")
    assert made["run"] is not None
    assert again["run"] is not None
    assert (again["created"], again["run"]["id"]) == (False, made["run"]["id"])
    session = started(client, "pair/second")
    with pytest.raises(IllegalState):
        client.retry("pair/second")
    assert client.explain("pair/second")["state"] == "running"
    assert client.send("pair/second", "two\n") == {"result": "delivered", "reason": ""}
    assert client.send("pair/second", "\x04") == {"result": "delivered", "reason": ""}
    assert made["run"] is not None
    for event in client.events(0, True, made["run"]["id"], deadline=time.monotonic() + 60):
        if event["kind"] == "run.finished":
            break
    first, second = client.task("pair/first"), client.task("pair/second")
    assert (first["state"], second["state"], second["exit_code"]) == ("succeeded", "succeeded", 0)
    assert client.run("pair")["counts"] == {"succeeded": 2}
    said = b"".join(data for _, stream, data in client.recording(session) if stream == packets.OUT)
    assert said == b"two\r\ntwo\r\n"
    kinds = [event["kind"] for event in client.events(run=made["run"]["id"])]
    assert (kinds[0], kinds[-1]) == ("run.submitted", "run.finished")
    assert client.send("pair/second", "x")["result"] == "refused"
    with pytest.raises(SessionRefused):
        client.attach("pair/second")


def test_refusals_of_the_engine_arrive_whole(fleet: Fleet) -> None:
    client = fleet.client
    with pytest.raises(InvalidTask) as unknown:
        client.submit({"agent": "nobody", "prompt": "x"})
    assert unknown.value.place == "agent"
    with pytest.raises(PlanInvalid) as broken:
        client.submit_plan("tasks:\n  a: {comand: x}\n", source="p.yaml", cwd=str(fleet.project))
    assert broken.value.place.startswith("p.yaml:2:")
    with pytest.raises(NotFound):
        client.task("zzzz")
    client.submit({"command": ["true"], "delay_ms": 3_600_000, "cwd": str(fleet.project)})
    client.submit({"command": ["true"], "delay_ms": 3_600_000, "cwd": str(fleet.project)})
    with pytest.raises(Ambiguous):
        client.task("0")


def test_a_followed_recording_and_a_wait_outlive_a_killed_supervisor(fleet: Fleet) -> None:
    client = fleet.client
    command = "i=0; while [ $i -lt 300 ]; do echo line $i; i=$((i+1)); sleep 0.01; done"
    task = client.submit({"command": command, "cwd": str(fleet.project)})["task"]["id"]
    session = started(client, task)
    said, states = bytearray(), []
    midway = threading.Event()

    def follow() -> None:
        with Client(str(fleet.home.socket)) as other:
            for _, _, data in other.recording(session, follow=True):
                said.extend(data)
                if b"line 20\r" in said:
                    midway.set()

    def wait() -> None:
        with Client(str(fleet.home.socket)) as other:
            for event in other.events(0, True, task=task, deadline=time.monotonic() + 90):
                if event["kind"] == "task.succeeded":
                    break
            states.append(other.task(task)["state"])

    threads = [threading.Thread(target=work) for work in (follow, wait)]
    for thread in threads:
        thread.start()
    assert midway.wait(60)
    fleet.kill()
    assert fleet.up() == "ready", fleet.errors()
    for thread in threads:
        thread.join(90)
    assert states == ["succeeded"]
    assert bytes(said) == b"".join(b"line %d\r\n" % number for number in range(300))


async def test_the_socket_of_a_session(fleet: Fleet) -> None:
    client = fleet.client
    task = client.submit({"command": ["cat"], "mode": "interactive", "cwd": str(fleet.project)})["task"]["id"]
    session = await asyncio.to_thread(started, client, task)
    offer = client.attach(task, local=False)
    assert offer["address"] == ""
    assert Path(client.attach(task, local=True)["address"]).is_socket()
    where = f"ws://qd/v1/sessions/{session}/stream?ticket={offer['ticket']}"
    seen = b""
    async with asyncio.timeout(60), unix_connect(str(fleet.home.socket), where, compression=None) as connection:
        await connection.send(packets.hello(packets.CONTROL, cols=90, rows=30))
        welcome: Any = await connection.recv()
        assert welcome[0] == packets.WELCOME
        await connection.send(packets.encode(packets.INPUT, b"hi\n"))
        while b"hi\r\nhi\r\n" not in seen:
            seen += output(await connection.recv())
        assert client.explain(task)["state"] == "running"
        await connection.send(packets.encode(packets.INPUT, b"\x04"))
        messages: list[Any] = [message async for message in connection]  # until a normal close
    last = messages[-1]
    assert last[0] == packets.EXIT
    assert json.loads(last[5:])["exit_code"] == 0


def output(message: Any) -> bytes:
    ((kind, payload),) = packets.Decoder().feed(message)
    if kind != packets.OUTPUT:
        return b""
    _, stream, data = packets.parse_output(payload)
    return data if stream == packets.OUT else b""


DANGEROUS = ("/v1/shutdown", "/cordon", "/v1/agents")


def test_no_request_breaks_it(fleet: Fleet) -> None:
    """The worker is cordoned, so that nothing made up here ever runs."""
    client = fleet.client
    worker = client.workers()[0]["id"]
    client.cordon(worker)
    transport = httpx.HTTPTransport(uds=str(fleet.home.socket))
    with httpx.Client(transport=transport, base_url="http://qd", timeout=60) as http:

        @settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
        @given(requests())
        def check(request: tuple[str, str, list[tuple[str, str]], str]) -> None:
            method, path, query, body = request
            if any(part in path for part in DANGEROUS):
                return
            answered = http.request(method, path, params=query, content=body if method == "POST" else None)
            assert answered.status_code < 500 or answered.json()["error"]["code"] == "not-supported", answered.text

        check()
    assert client.health()["ready"]
    assert "Traceback" not in fleet.errors()
    client.cordon(worker, False)
