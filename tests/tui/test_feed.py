"""The feed on real supervisors: nothing is missed, whatever happens to them, and nothing is asked for twice."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lite.api.client import Client
from tests.support.fleet import Fleet as Supervisor
from tests.support.fleet import until
from tui.feed import Feed
from tui.state import NO_ACTIVITY, Fleet, Link, TaskView
from tui.views import task_view

WORK = "i=1; while [ $i -le 40 ]; do echo line $i; i=$((i+1)); sleep 0.05; done"
PLAN = f"""
name: sweep
tasks:
  a: {{command: "{WORK}"}}
  b: {{command: "{WORK}", needs: [a]}}
  c: {{command: "{WORK}", lane: one}}
  d: {{command: "exit 3", lane: one}}
  e: {{command: "true", needs: [d]}}
"""
ASKING = r"printf '\033]7501;state=blocked:kind=permission:msg=U3VyZT8=\033\\'; sleep 600"


class Counting(Client):
    """Counts what it asks for."""

    def __init__(self, path: str, asked: list[str]) -> None:
        super().__init__(path)
        self._asked = asked

    def call(self, method: str, path: str, body: object = None, **others: Any) -> Any:
        self._asked.append(path)
        return super().call(method, path, body, **others)


class Following:
    """A feed, all it delivered, and a way to wait for what it will."""

    def __init__(self, path: str) -> None:
        self.asked: list[str] = []
        self.feed = Feed(lambda: Counting(path, self.asked), self._deliver)
        self.fleets: list[Fleet] = []
        self._came = asyncio.Event()

    def _deliver(self, fleet: Fleet) -> None:
        self.fleets.append(fleet)
        self._came.set()

    @property
    def fleet(self) -> Fleet:
        return self.fleets[-1]

    @property
    def links(self) -> list[Link]:
        """As they changed."""
        found: list[Link] = []
        for fleet in self.fleets:
            if not found or found[-1] is not fleet.link:
                found.append(fleet.link)
        return found

    async def until(self, condition: Callable[[Fleet], object], seconds: float = 60.0) -> Fleet:
        try:
            async with asyncio.timeout(seconds):
                while not self.fleets or not condition(self.fleet):
                    self._came.clear()
                    await self._came.wait()
        except TimeoutError:
            last = self.fleets[-1] if self.fleets else None
            raise AssertionError(f"not within {seconds} s: {self.feed}, {last and last.link_text}") from None
        return self.fleet


@asynccontextmanager
async def following(path: str | Path) -> AsyncIterator[Following]:
    made = Following(str(path))
    made.feed.start()
    try:
        yield made
    finally:
        async with asyncio.timeout(20):
            await made.feed.aclose()


@pytest.fixture
async def supervisor(tmp_path: Path) -> AsyncIterator[Supervisor]:
    with Supervisor(tmp_path / "project", "limits: {slots: 4}\n") as made:
        assert await asyncio.to_thread(made.up) == "ready"
        yield made


def quiet(task: TaskView) -> TaskView:
    """Without what is not in the log."""
    return replace(task, activity=NO_ACTIVITY)


def same_as_told(fleet: Fleet, supervisor: Supervisor) -> None:
    """The view is what `GET /v1/tasks` says."""
    told = [task_view(row) for row in supervisor.client.tasks()]
    assert list(map(quiet, fleet.tasks.values())) == list(map(quiet, told))
    assert fleet.complete
    runs = supervisor.client.runs()
    assert {run["id"]: (run["name"], run["state"], run["ended_at"]) for run in runs} == {
        run.id: (run.name, run.state, run.ended_at) for run in fleet.runs.values()
    }
    assert fleet.cursor == supervisor.client.status()["cursor"]


def all_over(count: int) -> Callable[[Fleet], bool]:
    return lambda fleet: (
        fleet.link is Link.LIVE
        and len(fleet.tasks) == count
        and not any(task.open for task in fleet.tasks.values())
        and all(run.ended_at for run in fleet.runs.values())
    )


@pytest.mark.slow
async def test_a_killed_supervisor_costs_no_event(supervisor: Supervisor) -> None:
    async with following(supervisor.home.socket) as seen:
        await seen.until(lambda fleet: fleet.link is Link.LIVE)
        await asyncio.to_thread(supervisor.submit_plan, PLAN)
        await seen.until(lambda fleet: any(task.started_at for task in fleet.tasks.values()))
        await asyncio.to_thread(supervisor.kill)
        lost = await seen.until(lambda fleet: fleet.link is Link.LOST)
        assert len(lost.tasks) == 5
        assert lost.link_text
        assert await asyncio.to_thread(supervisor.up) == "ready"
        await seen.until(lambda fleet: fleet.link is Link.LIVE)
        last = await seen.until(all_over(5))
        await asyncio.to_thread(same_as_told, last, supervisor)
        states = {task.name: task.state for task in last.tasks.values()}
        assert states == {"a": "succeeded", "b": "succeeded", "c": "succeeded", "d": "failed", "e": "skipped"}
        assert seen.links == [Link.CONNECTING, Link.LIVE, Link.LOST, Link.LIVE] or seen.links == [
            Link.LIVE,
            Link.LOST,
            Link.LIVE,
        ]


@pytest.mark.slow
async def test_activities_are_read_again_after_a_break(supervisor: Supervisor) -> None:
    """They are not in the log."""
    body: Any = {"command": ASKING, "name": "asking", "mode": "interactive"}
    async with following(supervisor.home.socket) as seen:
        await seen.until(lambda fleet: fleet.link is Link.LIVE)
        asking = (await asyncio.to_thread(supervisor.client.submit, body))["task"]["id"]
        fleet = await seen.until(lambda fleet: asking in fleet.tasks and fleet.tasks[asking].activity.word == "waiting")
        fleet = await seen.until(lambda fleet: fleet.tasks[asking].waiting)
        assert fleet.tasks[asking].activity.text == "Sure?"
        await asyncio.to_thread(supervisor.kill)
        await seen.until(lambda fleet: fleet.link is Link.LOST)
        await asyncio.to_thread(supervisor.up)
        told: list[tuple[object, object]] = []

        def adopted() -> bool:
            row = supervisor.client.task(asking)
            told[:] = [(row["activity"], row["activity_since"])]
            return row["activity"] not in ("", "starting")

        await asyncio.to_thread(until, adopted)
        fleet = await seen.until(
            lambda fleet: (fleet.tasks[asking].activity.word, fleet.tasks[asking].activity.since) == told[0]
        )
        assert fleet.tasks[asking].asks


async def test_no_task_goes_back_while_rows_overtake_events(supervisor: Supervisor) -> None:
    """A row read after its events is newer than they are: what it shows is never taken back."""
    order = ["queued", "running", "succeeded"]
    async with following(supervisor.home.socket) as seen:
        await seen.until(lambda fleet: fleet.link is Link.LIVE)
        plan = "name: quick\ntasks:\n" + "".join(f"  t{at}: {{command: 'true'}}\n" for at in range(40))
        await asyncio.to_thread(supervisor.submit_plan, plan)
        await seen.until(all_over(40))
        for task in seen.fleet.tasks:
            states = [fleet.tasks[task].state for fleet in seen.fleets if task in fleet.tasks]
            assert states == sorted(states, key=order.index)
        await asyncio.to_thread(same_as_told, seen.fleet, supervisor)


@pytest.mark.slow
async def test_two_thousand_tasks_in_a_burst(supervisor: Supervisor) -> None:
    body: Any = {"command": "true", "delay_ms": 3_600_000}

    def submit(count: int) -> None:
        with Client(str(supervisor.home.socket)) as client:
            for _ in range(count):
                client.submit(body)

    async with following(supervisor.home.socket) as seen:
        await seen.until(lambda fleet: fleet.link is Link.LIVE)
        loop = asyncio.get_running_loop()
        begun = loop.time()
        await asyncio.gather(*(asyncio.to_thread(submit, 500) for _ in range(4)))
        last = await seen.until(
            lambda fleet: len(fleet.tasks) == 2000 and all(t.provider for t in fleet.tasks.values())
        )
        took = loop.time() - begun
        assert len(seen.fleets) <= took * 20 + 5
        assert seen.asked.count("/v1/tasks") < 1000
        await asyncio.to_thread(same_as_told, last, supervisor)
    ids = list(last.tasks)
    async with following(supervisor.home.socket) as again:
        await again.until(lambda fleet: fleet.complete)
        await asyncio.to_thread(same_as_told, again.fleet, supervisor)
        for fleet in again.fleets:  # the newest first, never a hole
            assert list(fleet.tasks) == ids[len(ids) - len(fleet.tasks) :]


async def test_a_plan_is_fetched_by_one_call(supervisor: Supervisor) -> None:
    plan = "name: wide\ntasks:\n" + "".join(
        f"  t{at}: {{command: 'true', needs: [t0]}}\n" if at else "  t0: {command: sleep 600}\n" for at in range(300)
    )
    async with following(supervisor.home.socket) as seen:
        await seen.until(lambda fleet: fleet.link is Link.LIVE)
        before = seen.asked.count("/v1/tasks")
        await asyncio.to_thread(supervisor.submit_plan, plan)
        await seen.until(lambda fleet: len(fleet.tasks) == 300 and all(t.provider for t in fleet.tasks.values()))
        fleet = await seen.until(lambda fleet: any(task.started_at for task in fleet.tasks.values()))
        assert seen.asked.count("/v1/tasks") - before <= 2  # one more for the activities, when they were late
        assert [run.source for run in fleet.runs.values()] != [""]


@pytest.mark.slow
async def test_an_emptied_home_is_begun_anew(supervisor: Supervisor) -> None:
    async with following(supervisor.home.socket) as seen:
        for _ in range(3):
            await asyncio.to_thread(supervisor.client.submit, {"command": "true"})
        await seen.until(all_over(3))
        await asyncio.to_thread(supervisor.kill)
        await seen.until(lambda fleet: fleet.link is Link.LOST)
        for path in supervisor.home.root.glob("quarterdeck.db*"):
            path.unlink()
        await asyncio.to_thread(supervisor.up)
        await seen.until(lambda fleet: fleet.link is Link.LIVE and not fleet.tasks)
        await asyncio.to_thread(supervisor.client.submit, {"command": "true", "name": "fresh"})
        last = await seen.until(all_over(1))
        await asyncio.to_thread(same_as_told, last, supervisor)


async def test_it_closes_while_it_waits_for_the_log(supervisor: Supervisor) -> None:
    async with following(supervisor.home.socket) as seen:
        await seen.until(lambda fleet: fleet.link is Link.LIVE)
        delivered = len(seen.fleets)
        async with asyncio.timeout(5):
            await seen.feed.aclose()
        await asyncio.to_thread(supervisor.client.submit, {"command": "true"})
        assert not [thread for thread in threading.enumerate() if thread.name.startswith("feed")]
        assert len(seen.fleets) == delivered


async def test_without_a_supervisor_it_says_so_once_and_closes(tmp_path: Path) -> None:
    async with following(tmp_path / "nobody.sock") as seen:
        lost = await seen.until(lambda fleet: fleet.link is Link.LOST)
        assert "nobody.sock" in lost.link_text
        await asyncio.to_thread(until, lambda: len(seen.asked) > 3)  # it goes on trying
        async with asyncio.timeout(5):
            await seen.feed.aclose()
        assert len(seen.fleets) == 1


async def test_it_closes_while_a_silent_supervisor_is_asked(tmp_path: Path) -> None:
    path = tmp_path / "silent.sock"
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(path))
        silent.listen()
        async with following(path) as seen:
            asked, _ = await asyncio.to_thread(silent.accept)
            with asked:
                async with asyncio.timeout(5):
                    await seen.feed.aclose()
        assert seen.fleets == []


async def test_what_cannot_be_understood_is_a_lost_link(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "odd.sock"

    serving: list[asyncio.Task[Any] | None] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.append(asyncio.current_task())
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):  # the client may leave at any moment
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"a": 1}\n')
            await writer.drain()
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    server = await asyncio.start_unix_server(serve, str(path))
    async with following(path) as seen:
        lost = await seen.until(lambda fleet: fleet.link is Link.LOST)
        assert "not understood" in lost.link_text
    server.close()
    await asyncio.gather(*(each for each in serving if each is not None))
    assert "the feed stumbled" in caplog.text
