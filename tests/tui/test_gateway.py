"""The gateway to a real supervisor, and what becomes of calls when something goes away meanwhile."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from lite.aio.tasks import spawn
from lite.errors import InvalidTask, NoSupervisor, NotFound
from lite.home import Home
from lite.recordings.reader import Recording
from tests.support.dashboards import FakeGateway
from tests.support.fleet import Fleet, until
from tui.calls import SocketGateway
from tui.gateway import Gateway

_CHECKED: tuple[type[Gateway], ...] = (SocketGateway, FakeGateway)  # by the type checker


@pytest.fixture(scope="module")
def supervisor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    with Fleet(tmp_path_factory.mktemp("gateway") / "project") as made:
        assert made.up() == "ready"
        yield made


@pytest.fixture
async def gateway(supervisor: Fleet) -> AsyncIterator[SocketGateway]:
    made = SocketGateway(supervisor.home)
    yield made
    made.close()


class Silent:
    """Listens and never answers; tells when somebody has asked."""

    def __init__(self, home: Home) -> None:
        home.create()
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(home.socket_path)
        self._listening.listen()

    def __enter__(self) -> Silent:
        return self

    def __exit__(self, *_: object) -> None:
        self._listening.close()

    async def asked(self) -> socket.socket:
        connection, _ = await asyncio.to_thread(self._listening.accept)
        await asyncio.to_thread(connection.recv, 65536)
        return connection


async def test_a_task_from_its_submission_to_its_recording(gateway: SocketGateway, supervisor: Fleet) -> None:
    task = (await gateway.submit({"command": "printf 'one two'; exit 3", "name": "talks"}))["task"]
    await asyncio.to_thread(until, lambda: supervisor.client.task(task["id"])["state"] == "failed")
    ended = await gateway.task(task["id"])
    assert (ended["exit_code"], ended["name"]) == (3, "talks")
    assert "3" in (await gateway.explain(task["id"]))["summary"]
    session = ended["session"]
    start, end = await gateway.recording_end(session)
    assert (start, end) == (0, 7)
    assert [data for _, _, data in await gateway.recording(session, 4, 100)] == [b"two"]
    assert [data for _, _, data in await gateway.recording(session, 0, 3)] == [b"one"]
    assert list(await gateway.recording(session, end, 100)) == []
    assert (await gateway.retry(task["id"]))["state"] in ("queued", "running")
    await gateway.cancel(task["id"])


async def test_a_recording_of_another_machine_comes_over_the_api(
    gateway: SocketGateway, supervisor: Fleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = (await gateway.submit({"command": "i=0; while [ $i -lt 400 ]; do echo line $i; i=$((i+1)); done"}))["task"]
    await asyncio.to_thread(until, lambda: supervisor.client.task(task["id"])["state"] == "succeeded")
    session = f"{task['id']}-1"
    here = Recording(supervisor.home.session(session)).read(0, 1 << 20)
    extent = await gateway.recording_end(session)
    monkeypatch.setattr(Home, "session", lambda self, session: tmp_path / "elsewhere")
    assert await gateway.recording_end(session) == extent
    found = await gateway.recording(session, 0, 1 << 20)
    assert b"".join(data for _, _, data in found) == b"".join(data for _, _, data in here)
    some = await gateway.recording(session, 10, 50)
    assert some[0][0] == 10
    assert sum(len(data) for _, _, data in some) == 50


async def test_a_plan_previewed_and_handed_in(gateway: SocketGateway) -> None:
    text = "name: two\ntasks:\n  a: {command: 'true'}\n  b: {command: 'true', needs: [a]}\n"
    preview = await gateway.plan(text, dry_run=True)
    assert (preview["run"], [task["name"] for task in preview["tasks"]]) == (None, ["a", "b"])
    done = await gateway.plan(text, source="two.yaml")
    assert done["run"] is not None
    events = await gateway.events(done["run"]["id"])
    assert events[0]["kind"] == "run.submitted"
    assert {event["run"] for event in events} == {done["run"]["id"]}
    later = await gateway.events(done["run"]["id"], events[0]["cursor"])
    assert later[0]["cursor"] > events[0]["cursor"]
    assert {agent["name"] for agent in await gateway.agents()} >= {"shell"}


async def test_errors_are_those_of_the_supervisor_and_leave_it_usable(gateway: SocketGateway) -> None:
    with pytest.raises(NotFound):
        await gateway.task("zzz")
    with pytest.raises(InvalidTask):
        await gateway.submit({})
    answers = await asyncio.gather(*(gateway.agents() for _ in range(12)))
    assert all(answer == answers[0] for answer in answers)


async def test_a_cancelled_caller_leaves_no_half_read_connection_behind(
    gateway: SocketGateway, supervisor: Fleet
) -> None:
    """The next call must not get the answer to the one before."""
    for _ in range(20):
        asking = [spawn(gateway.agents(), "asking") for _ in range(4)]
        await asyncio.sleep(0)
        for job in asking:
            job.cancel()
        await asyncio.gather(*asking, return_exceptions=True)
        with pytest.raises(NotFound):
            await gateway.task("zzz")


async def test_without_a_supervisor(tmp_path: Path) -> None:
    gateway = SocketGateway(Home(tmp_path))
    with pytest.raises(NoSupervisor):
        await gateway.agents()
    gateway.close()


async def test_closing_ends_what_is_under_way_and_refuses_what_would_begin(tmp_path: Path) -> None:
    home = Home(tmp_path / "h")
    with Silent(home) as silent:
        gateway = SocketGateway(home)
        asking = spawn(gateway.agents(), "asking")
        connection = await silent.asked()
        gateway.close()
        with connection, pytest.raises(NoSupervisor):
            async with asyncio.timeout(10):
                await asking
        with pytest.raises(NoSupervisor):
            async with asyncio.timeout(10):
                await gateway.agents()
    assert not any(thread.name.startswith("feed") for thread in threading.enumerate())
