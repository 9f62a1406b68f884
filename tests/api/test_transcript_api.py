"""What structured sessions said, over the API: whole lines, followed across growth and restarts of the supervisor."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import httpx
import pytest

from lite.aio.tasks import spawn
from lite.api.client import Client
from lite.errors import NotFound
from lite.model.event import EventKind
from lite.model.order import Order
from lite.model.task import State
from lite.terminal import packets
from lite.transcripts.layout import transcript_path
from tests.api.conftest import served
from tests.api.stub_operations import StubOperations

ONE, TWO, THREE = (b'{"kind": "message", "text": "%d"}\n' % number for number in (1, 2, 3))


@pytest.fixture
async def session(operations: StubOperations, tmp_path: Path) -> str:
    task, _ = await operations.submit(Order())
    await operations.become(task.id, EventKind.TASK_STARTED, state=State.RUNNING, attempt=1)
    (tmp_path / f"{task.id}-1").mkdir()
    return f"{task.id}-1"


async def end(operations: StubOperations, session: str) -> None:
    await operations.become(session.partition("-")[0], EventKind.TASK_SUCCEEDED, state=State.SUCCEEDED)


def say(directory: Path, session: str, data: bytes) -> None:
    with transcript_path(directory / session).open("ab") as file:
        file.write(data)


async def test_lines_from_an_offset_and_never_half_of_one(
    http: httpx.AsyncClient, tmp_path: Path, session: str
) -> None:
    say(tmp_path, session, ONE + TWO + THREE[:9])
    path = f"/v1/sessions/{session}/transcript"
    whole = await http.get(path)
    assert (whole.content, whole.headers["content-type"]) == (ONE + TWO, "application/x-ndjson")
    assert [json.loads(line)["text"] for line in whole.content.splitlines()] == ["1", "2"]
    assert (await http.get(f"{path}?offset={len(ONE)}")).content == TWO
    framed = (await http.get(f"{path}?offset={len(ONE)}&format=packets")).content
    assert framed == packets.output(len(ONE), packets.OUT, TWO)


async def test_a_session_without_one(http: httpx.AsyncClient, session: str) -> None:
    for name in (session, "none-1", "..", "a%2F.."):
        answered = await http.get(f"/v1/sessions/{name}/transcript")
        assert (answered.status_code, answered.json()["error"]["code"]) == (404, "not-found")


async def test_a_follower_sees_each_line_once_across_a_restart(
    socket_path: str, operations: StubOperations, tmp_path: Path, session: str
) -> None:
    say(tmp_path, session, ONE)
    got: list[tuple[int, bytes]] = []

    def follow() -> None:
        with Client(socket_path) as client:
            got.extend(client.transcript(session, follow=True))

    async with served(socket_path, operations):
        following = spawn(asyncio.to_thread(follow), "follow")
        await asyncio.wait_for(operations.transcript_asked.wait(), 30)
        say(tmp_path, session, TWO + THREE[:5])
        await operations.transcript_grew()
        while len(operations.transcript_waits) < 2:
            await asyncio.wait_for(operations.transcript_asked.wait(), 30)
            operations.transcript_asked.clear()
    transcript_path(tmp_path / session).write_bytes(ONE + TWO)  # killed in a line, adopted by the next one
    say(tmp_path, session, THREE)
    await end(operations, session)
    async with served(socket_path, operations):
        await asyncio.wait_for(following, 30)
    assert b"".join(data for _, data in got) == ONE + TWO + THREE
    assert [at for at, _ in got] == [0, len(ONE), len(ONE + TWO)]


async def test_the_client_says_when_there_is_none(socket_path: str, operations: StubOperations, session: str) -> None:
    def ask() -> None:
        with Client(socket_path) as client:
            list(client.transcript(session, follow=True))

    async with served(socket_path, operations):
        with pytest.raises(NotFound):
            await asyncio.to_thread(ask)
