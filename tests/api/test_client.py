"""The light client against a real server on a real socket."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from lite.aio.tasks import spawn
from lite.api.client import Client
from lite.api.exchange import Connection, quote, target
from lite.errors import Ambiguous, NoSupervisor, NotFound, PlanInvalid, QuarterdeckError, UsageError
from lite.model.event import EventKind
from tests.api.conftest import served
from tests.api.stub_operations import StubOperations

_T = TypeVar("_T")


async def call(work: Callable[[], _T]) -> _T:
    async with asyncio.timeout(40):
        return await asyncio.to_thread(work)


def test_importing_it_is_light() -> None:
    code = (
        "import sys, lite.api.client; heavy = ('asyncio', 'pydantic', 'fastapi', 'textual', 'redis', 'httpx', 'http', "
        "'argparse', 'dataclasses', 'typing_extensions', 'lite.engine', 'lite.model', 'lite.api.messages', "
        "'lite.api.server', 'providers'); print([m for m in heavy if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("make", ["nothing", "file", "stale"])
def test_no_supervisor(make: str, socket_path: str) -> None:
    where = Path(socket_path)
    if make != "nothing":
        where.parent.mkdir()
    if make == "file":
        where.write_text("")
    if make == "stale":
        with socket.socket(socket.AF_UNIX) as left:
            left.bind(socket_path)
    with pytest.raises(NoSupervisor) as caught:
        Client(socket_path).status()
    assert caught.value.hint == "qd up starts one"


async def test_every_verb(socket_path: str, operations: StubOperations) -> None:
    operations.streams["s-1"] = None  # type: ignore[assignment]
    client = Client(socket_path)

    def use() -> None:
        assert client.health()["ok"]
        task = client.submit({"command": ["true"], "name": "n"})["task"]
        assert client.task(task["id"][:20]) == client.tasks()[0] == task
        assert client.tasks(state=["failed", "running"]) == []
        plan = client.submit_plan("ok", source="p.yaml", cwd="/w")
        assert plan["run"] is not None
        assert client.run(plan["run"]["id"]) == client.runs()[0]
        assert client.task("plan/a")["run"] == plan["run"]["id"]
        assert [one["name"] for one in client.tasks(run="plan")] == ["a"]
        assert [one["name"] for one in client.tasks(run="")] == ["n"]
        assert client.explain(task["id"])["summary"]
        assert client.cancel(task["id"])["state"] == "cancelled"
        assert client.retry(task["id"])["state"] == "queued"
        assert client.send(task["id"], b"\xff")["result"] == "refused"
        assert client.attach("s-1")["address"] == "/h/s/x.sock"
        assert client.cordon(client.workers()[0]["id"])["cordoned"] is True
        assert client.agents()[0]["name"] == "dev"
        assert client.config()["settings"]["slots"] == 4
        assert client.reload()["settings"]["slots"] == 9
        assert client.status()["cursor"] == len(list(client.events())) == 4
        client.shutdown(keep_sessions=True)

    async with served(socket_path, operations):
        await call(use)
        assert operations.calls[-1] == ("shutdown", True)
        client.close()


async def test_errors_are_those_of_the_supervisor(socket_path: str, operations: StubOperations) -> None:
    async with served(socket_path, operations):
        with Client(socket_path) as client:
            with pytest.raises(NotFound) as missing:
                await call(lambda: client.task("zzz"))
            assert missing.value.hint == "qd ls"
            await call(lambda: [client.submit({"prompt": "x"}) for _ in range(2)])
            with pytest.raises(Ambiguous):
                await call(lambda: client.task("0"))
            with pytest.raises(PlanInvalid) as invalid:
                await call(lambda: client.submit_plan("bad", source="p.yaml"))
            assert invalid.value.place == "p.yaml:1:1"
            with pytest.raises(UsageError):
                await call(lambda: client.call("GET", "/v1/tasks", query={"stat": "x"}))
            # the connection is still good
            assert len(await call(client.tasks)) == 2


async def test_one_connection_serves_many_calls_and_is_renewed_after_a_restart(
    socket_path: str, operations: StubOperations, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lite.api import channel as module

    opened = []
    monkeypatch.setattr(module, "Connection", lambda *a: opened.append(1) or Connection(*a))  # type: ignore[func-returns-value]
    with Client(socket_path) as client:
        async with served(socket_path, operations):
            await call(lambda: [client.submit({"prompt": "x" * 100_000}) for _ in range(5)])
            assert len(opened) == 1
        async with served(socket_path, operations):
            assert len(await call(client.tasks)) == 5
            assert len(opened) == 2


async def test_a_silent_supervisor_is_not_waited_for_for_ever(socket_path: str) -> None:
    Path(socket_path).parent.mkdir()
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(socket_path)
        silent.listen()
        with pytest.raises(NoSupervisor, match=r"did not answer within 0\.1 s"):
            Client(socket_path, timeout=0.1).health()


async def test_events_go_on_at_the_cursor_after_a_restart(socket_path: str, operations: StubOperations) -> None:
    got: list[int] = []
    some, more = threading.Event(), threading.Event()

    def follow() -> None:
        for event in Client(socket_path).events(after=1, follow=True):
            got.append(event["cursor"])
            if event["cursor"] == 3:
                some.set()
            if event["cursor"] == 6:
                return

    for _ in range(2):
        await operations.happen(EventKind.TASK_SUBMITTED, "t")
    async with served(socket_path, operations):
        following = spawn(call(follow), "follower")
        await operations.happen(EventKind.TASK_CLAIMED, "t")
        assert await call(lambda: some.wait(30))
    await operations.happen(EventKind.TASK_STARTED, "t")
    await operations.happen(EventKind.TASK_SUCCEEDED, "t")
    async with served(socket_path, operations):
        await operations.happen(EventKind.TASK_SUBMITTED, "u")
        await following
    assert got == [2, 3, 4, 5, 6]
    assert not more.is_set()


async def test_the_log_in_pages_over_one_connection(socket_path: str, operations: StubOperations) -> None:
    for _ in range(3):
        await operations.happen(EventKind.TASK_SUBMITTED, "t")
    async with served(socket_path, operations):
        client = Client(socket_path)
        pages = client.event_pages(1)
        assert await call(lambda: next(pages)) == []  # it is connected
        page = await call(lambda: next(filter(None, pages)))
        assert [event["cursor"] for event in page] == [2, 3]
        await operations.happen(EventKind.TASK_CLAIMED, "t")
        assert [event["cursor"] for event in await call(lambda: next(filter(None, pages)))] == [4]
    with pytest.raises(NoSupervisor):
        await call(lambda: list(pages))
    with pytest.raises(NoSupervisor):
        await call(lambda: next(client.activities()))


@pytest.mark.parametrize("what", ["stream", "call"])
async def test_another_thread_ends_what_a_client_does(socket_path: str, what: str) -> None:
    """Blocked in a stream, or in a call that nobody answers; and it begins nothing afterwards."""
    Path(socket_path).parent.mkdir()
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(socket_path)
        silent.listen()
        client = Client(socket_path)
        ask: Callable[[], object] = (lambda: next(client.event_pages(0))) if what == "stream" else client.status
        asking = spawn(call(ask), "asking")
        asked, _ = await call(silent.accept)
        with asked:
            await call(lambda: asked.recv(65536))
            client.abort()
            with pytest.raises(NoSupervisor):
                await asyncio.wait_for(asking, 10)
            for late in (client.status, lambda: next(client.activities()), lambda: list(client.recording("s-1"))):
                with pytest.raises(NoSupervisor):
                    await asyncio.wait_for(call(late), 10)
        client.abort()
        client.close()


async def test_following_ends_with_an_error_when_the_supervisor_stays_away(
    socket_path: str, operations: StubOperations
) -> None:
    async with served(socket_path, operations):
        stream = Client(socket_path).events(follow=True, patience=0.2)
        await operations.happen(EventKind.TASK_SUBMITTED, "t")
        assert (await call(lambda: next(stream)))["cursor"] == 1
    with pytest.raises(NoSupervisor):
        await call(lambda: next(stream))


async def test_pages_of_events(socket_path: str, operations: StubOperations) -> None:
    for number in range(1205):
        await operations.happen(EventKind.TASK_SUBMITTED, f"t{number % 3}")
    async with served(socket_path, operations):
        client = Client(socket_path)
        assert [event["cursor"] for event in await call(lambda: list(client.events(after=5)))] == list(range(6, 1206))
        only = await call(lambda: list(client.events(task="t1")))
        assert {event["task"] for event in only} == {"t1"}
        assert len(only) == 402
        client.close()


@pytest.fixture
def client(socket_path: str) -> Iterator[Client]:
    with Client(socket_path) as made:
        yield made


def server_saying(path: str, *answers: bytes) -> threading.Thread:
    """A server that gives these bytes, a connection each, in small pieces."""
    Path(path).parent.mkdir(exist_ok=True)
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(path)
    listening.listen()

    def run() -> None:
        with listening:
            for answer in answers:
                connection, _ = listening.accept()
                with connection:
                    connection.recv(65536)
                    for at in range(0, len(answer), 3):
                        connection.sendall(answer[at : at + 3])

    thread = threading.Thread(target=run)
    thread.start()
    return thread


@pytest.mark.parametrize(
    "answer",
    [
        b'HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"a": 1}\n',
        b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4;x=y\r\n{"a"\r\n5\r\n: 1}\n\r\n0\r\nTrailer: x\r\n\r\n',
        b'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 200 OK\r\n\r\n{"a": 1}\n',
    ],
)
def test_bodies_by_length_chunked_and_until_the_end(socket_path: str, answer: bytes) -> None:
    thread = server_saying(socket_path, answer)
    with Client(socket_path) as client:
        assert client.call("GET", "/") == {"a": 1}
    thread.join()


def test_an_answer_cut_off_is_an_error(socket_path: str) -> None:
    cut = b"HTTP/1.1 200 OK\r\nContent-Length: 90\r\n\r\n{}"
    thread = server_saying(socket_path, cut)
    with pytest.raises(NoSupervisor, match="closed the connection"), Client(socket_path) as client:
        client.call("POST", "/")
    thread.join()


@pytest.mark.parametrize(
    "answer", [b"SSH-2.0-x\r\n\r\n", b"\n", b"HTTP/1.1 200\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n"]
)
def test_what_is_no_http_is_an_error(socket_path: str, answer: bytes) -> None:
    thread = server_saying(socket_path, answer)
    with pytest.raises(NoSupervisor, match="something else"), Client(socket_path) as client:
        client.call("POST", "/")
    thread.join()


def test_an_answer_that_is_not_ours_is_an_error(socket_path: str) -> None:
    thread = server_saying(socket_path, b"HTTP/1.1 502 Bad\r\nContent-Length: 5\r\n\r\n<p>no")
    with pytest.raises(QuarterdeckError, match="status 502"), Client(socket_path) as client:
        client.call("GET", "/")
    thread.join()


def pairs() -> Iterator[tuple[Any, str]]:
    yield {"a": None, "b": "", "c": 0}, "/p?c=0"
    yield {"a": ["x", "y"], "b": True, "c": False}, "/p?a=x&a=y&b=true&c=false"
    yield {"a": "a b/ü&"}, "/p?a=a%20b%2F%C3%BC%26"
    yield {}, "/p"


@pytest.mark.parametrize(("query", "expected"), list(pairs()))
def test_targets(query: dict[str, object], expected: str) -> None:
    assert target("/p", query) == expected
    assert quote("run/na me") == "run%2Fna%20me"


async def test_curl_gets_json(socket_path: str, operations: StubOperations) -> None:
    import shutil

    curl = shutil.which("curl")
    if curl is None:
        pytest.skip("no curl here")
    async with served(socket_path, operations):
        process = await asyncio.create_subprocess_exec(
            curl,
            "-sS",
            "--unix-socket",
            socket_path,
            "-d",
            '{"command": "true"}',
            "http://qd/v1/tasks",
            stdout=asyncio.subprocess.PIPE,
        )
        out, _ = await process.communicate()
    assert json.loads(out)["created"] is True
    assert out.endswith(b"}\n")
