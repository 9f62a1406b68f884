"""What is read from a supervisor, in which order, and how often: against one that is a few lists."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from lite.errors import NoSupervisor, NotFound
from tests.support.dashboards import event_json, task, task_json
from tui.folding import Forget, Rows, Runs, Status, Update, Workers, fold
from tui.log_reader import LogReader
from tui.state import EMPTY, Fleet

STATUS = {
    "pid": 1,
    "home": "/h",
    "version": "1",
    "backend": "memory",
    "worker": "w1",
    "slots": 4,
    "config_error": "",
    "stopping": False,
}


class Supervisor:
    """Answers as a client would be answered. `meanwhile` is called before every page of tasks."""

    def __init__(self, count: int = 0) -> None:
        self.rows: list[dict[str, Any]] = []
        self.events_: list[dict[str, Any]] = []
        self.asked: list[str] = []
        self.together = 10_000  # events in a page of the stream
        self.meanwhile: Callable[[], None] = lambda: None
        for _ in range(count):
            self.submit()

    def submit(self, **fields: Any) -> str:
        name = f"t{len(self.rows) + 1}"
        self.rows.append(task_json(task(name)) | {"seq": len(self.rows) + 1} | fields)
        self.happen("task.submitted", name, data={"name": name, "agent": "dev"})
        return name

    def happen(self, kind: str, name: str = "", **fields: Any) -> None:
        self.events_.append(event_json(len(self.events_) + 1, kind, name, **fields))

    def claim(self, name: str) -> None:
        row = next(row for row in self.rows if row["id"] == name)
        row |= {"state": "running", "attempt": 1, "session": f"{name}-1", "worker": "w"}
        self.happen("task.claimed", name, attempt=1, worker="w")

    # as Client

    def status(self) -> dict[str, Any]:
        return STATUS | {"cursor": len(self.events_)}

    def workers(self) -> list[Any]:
        self.asked.append("workers")
        return []

    def runs(self, *, limit: int, newest: bool) -> list[Any]:
        self.asked.append("runs")
        return []

    def task(self, ref: str) -> dict[str, Any]:
        self.asked.append(f"task {ref}")
        for row in self.rows:
            if row["id"] == ref:
                return dict(row)
        raise NotFound(ref)

    def tasks(self, *, after: int = 0, limit: int | None = None, newest: bool = False, **others: Any) -> list[Any]:
        self.asked.append(f"tasks {after} {limit} {newest}")
        found = [dict(row) for row in self.rows if row["seq"] > after]
        page = found[-limit:] if newest and limit else found[:limit]
        self.meanwhile()
        return page

    def events(self, after: int) -> Iterator[Any]:
        yield from self.events_[after:]

    def event_pages(self, after: int) -> Iterator[list[Any]]:
        yield []
        while True:
            page = self.events_[after : after + self.together]
            if not page:
                raise NoSupervisor("gone")
            after = page[-1]["cursor"]
            yield page


class Reading:
    def __init__(self, supervisor: Supervisor) -> None:
        self.supervisor = supervisor
        self.brought: list[Update] = []
        self.reader = LogReader(supervisor, self.brought.append)  # type: ignore[arg-type]

    def load(self) -> None:
        self.supervisor.asked.clear()
        self.brought.clear()
        self.reader.load()

    def follow(self) -> None:
        with pytest.raises(NoSupervisor):
            self.reader.follow()

    def fleet(self, fleet: Fleet = EMPTY) -> Fleet:
        return fold(fleet, self.brought)

    def pages(self) -> list[str]:
        return [asked for asked in self.supervisor.asked if asked.startswith("tasks")]


def test_the_newest_page_first_then_older_ones_with_what_happens_meanwhile() -> None:
    supervisor = Supervisor(1203)
    reading = Reading(supervisor)
    reading.load()
    fleet = reading.fleet()
    assert list(fleet.tasks) == [f"t{at}" for at in range(704, 1204)]
    assert (fleet.complete, fleet.cursor) == (False, 1203)
    victims = iter(["t1", "t300", "t1203", "t650"])
    supervisor.meanwhile = lambda: supervisor.claim(name) if (name := next(victims, "")) else None
    reading.follow()
    fleet = reading.fleet()
    assert list(fleet.tasks) == [f"t{at}" for at in range(1, 1204)]
    assert fleet.complete
    assert {name for name, view in fleet.tasks.items() if view.state == "running"} == {
        row["id"] for row in supervisor.rows if row["state"] == "running"
    }
    assert reading.pages() == ["tasks 0 500 True", "tasks 203 500 False", "tasks 0 500 False"]


@pytest.mark.parametrize("count", [0, 1, 499, 500, 501, 1000])
def test_every_count_is_complete_at_last(count: int) -> None:
    reading = Reading(Supervisor(count))
    reading.load()
    reading.follow()
    fleet = reading.fleet()
    assert (len(fleet.tasks), fleet.complete) == (count, True)


def test_a_burst_is_fetched_by_one_call_whatever_overtakes_it() -> None:
    supervisor = Supervisor(3)
    reading = Reading(supervisor)
    reading.load()
    for _ in range(200):
        supervisor.submit()
    late = iter(range(50))

    def more() -> None:
        for _ in late:
            supervisor.submit()

    supervisor.meanwhile = more
    reading.follow()
    assert reading.pages() == ["tasks 0 500 True", "tasks 3 None False", "tasks 203 None False"]
    fleet = reading.fleet()
    assert len(fleet.tasks) == 253
    assert all(view.provider for view in fleet.tasks.values())


def test_rows_that_overtake_their_events_are_not_taken_back() -> None:
    supervisor = Supervisor(1)
    reading = Reading(supervisor)
    reading.load()
    supervisor.together = 1
    name = supervisor.submit()
    supervisor.claim(name)
    supervisor.rows[-1] |= {"state": "succeeded", "worker": ""}
    supervisor.happen("task.succeeded", name, attempt=1, data={"reason": "", "detail": "", "exit_code": 0})
    reading.follow()
    fleet, states = EMPTY, []
    for update in reading.brought:  # each delivered alone
        fleet = fold(fleet, [update])
        if name in fleet.tasks:
            states.append(fleet.tasks[name].state)
    assert states[0] == "queued"
    assert set(states[1:]) == {"succeeded"}


def test_after_a_break_it_goes_on_at_its_cursor() -> None:
    supervisor = Supervisor(5)
    reading = Reading(supervisor)
    reading.load()
    reading.follow()
    known = reading.fleet()
    supervisor.claim("t2")
    supervisor.submit()
    reading.load()
    reading.follow()
    assert not any(isinstance(update, Forget) for update in reading.brought)
    fleet = reading.fleet(known)
    assert fleet.tasks["t2"].state == "running"
    assert reading.pages() == ["tasks 5 None False"]
    assert len(fleet.tasks) == 6


def test_far_behind_it_reads_rows_and_forgets_nothing() -> None:
    supervisor = Supervisor(5)
    reading = Reading(supervisor)
    reading.load()
    reading.follow()
    known = reading.fleet()
    for _ in range(12_000):
        supervisor.happen("session.answered", "t1")
    supervisor.claim("t1")
    reading.load()
    fleet = reading.fleet(known)
    assert (fleet.cursor, fleet.tasks["t1"].state) == (12_006, "running")
    assert not any(isinstance(update, Forget) for update in reading.brought)


@pytest.mark.parametrize("count", [0, 2, 5, 9])
def test_another_log_is_told_from_the_one_before(count: int) -> None:
    """By its cursor, or, when it has grown past it, by its newest task."""
    reading = Reading(Supervisor(5))
    reading.load()
    reading.follow()
    known = reading.fleet()
    other = Supervisor(count)
    for row in other.rows:
        row["id"] = row["name"] = f"other-{row['id']}"
    for event in other.events_:
        event["task"] = f"other-{event['task']}"
    reading.supervisor = other
    reading.reader._client = other  # type: ignore[assignment]
    reading.load()
    fleet = reading.fleet(known)
    assert list(fleet.tasks) == [f"other-t{at}" for at in range(1, count + 1)]
    assert fleet.cursor == count


def test_what_events_only_name_is_read() -> None:
    supervisor = Supervisor(2)
    reading = Reading(supervisor)
    reading.load()
    reading.brought.clear()
    supervisor.rows[0] |= {"agent": "other", "provider": "claude"}
    supervisor.happen("task.routed", "t1", data={"agent": "other", "why": "by hand"})
    supervisor.happen("task.routed", "t2", data={"worker": "w1", "why": "near"})
    supervisor.happen("run.submitted", run="r", data={"name": "r"})
    supervisor.happen("worker.left", worker="w1", data={"reason": "lost"})
    supervisor.happen("config.rejected", data={"message": "no such key", "place": "q.yaml:1:1"})
    supervisor.asked.clear()
    reading.follow()
    assert supervisor.asked == ["task t1", "runs", "workers"]
    kinds = [type(update) for update in reading.brought]
    assert {Rows, Runs, Workers, Status} <= set(kinds)
    fleet = reading.fleet()
    assert "w1" in fleet.notice or "no such key" in fleet.notice


def test_many_that_were_routed_are_read_together() -> None:
    supervisor = Supervisor(100)
    reading = Reading(supervisor)
    reading.load()
    for row in supervisor.rows:
        supervisor.happen("task.routed", row["id"], data={"agent": "dev", "why": "default"})
    supervisor.asked.clear()
    reading.follow()
    assert supervisor.asked == ["tasks 0 None False"]
