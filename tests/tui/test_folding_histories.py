"""The fold against the reference backend: whatever happens to a fleet, rows read at any moment and the events told over
them, some of them twice, give the fleet as it is."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from lite.api.messages import EventJson, RunJson, TaskJson
from lite.api.server.render import event_json, run_json, task_json
from lite.backends.memory import MemoryBackend
from lite.errors import QuarterdeckError
from lite.model.run import RunQuery
from lite.model.task import Assignment, Claim, Outcome, OutcomeKind, Progress, TaskQuery, TaskSpec, Waiting
from providers.base import Usage
from tests.support.backends import Desk
from tests.support.dashboards import told
from tui.folding import Events, Runs, fold, rows
from tui.state import EMPTY, Fleet
from tui.views import run_view, task_view

ENDS = [
    Outcome(OutcomeKind.SUCCEEDED, exit_code=0, usage=Usage(3, 4, 0.5)),
    Outcome(OutcomeKind.FAILED, "exit", "exit code 2", exit_code=2),
    Outcome(OutcomeKind.UNEXECUTABLE, "infrastructure", "gone", signal=9),
    Outcome(OutcomeKind.CANCELLED, "user"),
    Outcome(OutcomeKind.RESCHEDULED, "shutdown"),
]
NOTES = [
    Progress(started=True),
    Progress(waiting=Waiting("1", "question", "really?", "hash")),
    Progress(waiting=Waiting("2", "approval", "sure?")),
    Progress(answered=True),
]
number = st.integers(0, 50)
steps = st.one_of(
    st.tuples(st.just("plan"), st.lists(st.tuples(number, st.sampled_from(["", "l"])), min_size=1, max_size=4)),
    st.tuples(st.just("single"), number),
    st.tuples(st.just("claim"), st.integers(1, 3)),
    st.tuples(st.just("claim"), st.integers(1, 3)),
    st.tuples(st.just("end"), number, st.sampled_from(ENDS)),
    st.tuples(st.just("end"), number, st.sampled_from(ENDS)),
    st.tuples(st.just("note"), number, st.sampled_from(NOTES)),
    st.tuples(st.just("cancel"), number),
    st.tuples(st.just("retry"), number),
    st.tuples(st.just("rescue"), number),
    st.tuples(st.just("park"), number),
)


class Picture:
    """What the supervisor would have told at one moment; `cursor`: of the newest event then."""

    def __init__(self, tasks: list[TaskJson], runs: list[RunJson], cursor: int) -> None:
        self.tasks, self.runs, self.cursor = tasks, runs, cursor


async def _lived(history: list[Any]) -> tuple[list[Picture], list[EventJson]]:
    desk = Desk(MemoryBackend())
    for worker in ("w1", "w2"):
        await desk.join(worker)
    claims: list[Claim] = []
    pictures = [await _picture(desk)]
    for step in history:
        desk.now += 7
        try:
            await _step(desk, claims, step)
        except QuarterdeckError:
            continue
        pictures.append(await _picture(desk))
    events = [_wired(event_json(event)) for event in await desk.events(limit=10_000)]
    return pictures, events


async def _step(desk: Desk, claims: list[Claim], step: Any) -> None:
    backend = desk.backend
    tasks = await desk.all_tasks()
    match step:
        case ("plan", specs):
            run = f"run{desk.now}"
            made: list[TaskSpec] = []
            for index, (need, lane) in enumerate(specs):
                needs = (made[need % len(made)].id,) if made and need % 2 else ()
                made.append(desk.spec(f"t{index}", run=run, lane=lane, needs=needs, retries=need % 2))
            await desk.plan(*made, run=run)
        case ("single", after):
            await desk.add(run_at=desk.now + after if after % 3 == 0 else None)
        case ("claim", limit):
            claims += await desk.claim(limit)
        case ("end", at, outcome) if claims:
            await backend.finish(claims[at % len(claims)].lease, outcome, now=desk.now, delay_ms=at % 3)
        case ("note", at, progress) if claims:
            await backend.record(claims[at % len(claims)].lease, progress, now=desk.now)
        case ("rescue", at) if claims:
            claims.append(await backend.rescue(claims[at % len(claims)].lease, "w2", now=desk.now, ttl_ms=9))
        case ("cancel", at) if tasks:
            await backend.cancel(tasks[at % len(tasks)].id, now=desk.now)
        case ("retry", at) if tasks:
            await backend.retry(tasks[at % len(tasks)].id, now=desk.now)
        case ("park", at) if tasks:
            await backend.assign(tasks[at % len(tasks)].id, Assignment(park=True, why="nobody"), now=desk.now)


async def _picture(desk: Desk) -> Picture:
    tasks = [_wired(task_json(task, None)) for task in await desk.backend.tasks(TaskQuery())]
    runs = [_wired(run_json(run)) for run in await desk.backend.runs(RunQuery())]
    return Picture(tasks, runs, await desk.cursor())


def _wired(message: Any) -> Any:
    return json.loads(json.dumps(message))


def _same(fleet: Fleet, last: Picture) -> None:
    assert {task.id: told(task) for task in fleet.tasks.values()} == {
        row["id"]: told(task_view(row)) for row in last.tasks
    }
    assert list(fleet.tasks) == [row["id"] for row in last.tasks]
    assert {run.id: (run.name, run.state, run.created_at, run.ended_at) for run in fleet.runs.values()} == {
        run["id"]: (run["name"], run["state"], run["created_at"], run["ended_at"]) for run in last.runs
    }
    assert fleet.cursor == last.cursor


@settings(deadline=None)
@given(st.lists(steps, max_size=40), st.data())
def test_any_picture_and_what_followed_give_the_last_picture(history: list[Any], data: st.DataObject) -> None:
    pictures, events = asyncio.run(_lived(history))
    draw = data.draw
    picture = draw(st.sampled_from(pictures), "read")
    known = draw(st.integers(0, picture.cursor), "the cursor known before it was read")
    first = draw(st.integers(0, known), "events replayed from")
    late = draw(st.sampled_from(pictures), "read by another thread")
    late_known = draw(st.integers(0, late.cursor), "the cursor known before that")
    at = draw(st.integers(first, len(events)), "and brought after this event")
    fleet = fold(EMPTY, [_runs(picture, known), rows(picture.tasks, known, complete=True)])
    cut = draw(st.integers(first, at), "a delivery in between")
    for page in (events[first:cut], events[cut:at]):
        fleet = fold(fleet, [Events(page)])
    fleet = fold(fleet, [rows(late.tasks, late_known), _runs(late, late_known), Events(events[max(0, at - 3) :])])
    _same(fleet, pictures[-1])


@settings(deadline=None)
@given(st.lists(steps, max_size=30))
def test_events_alone_and_the_rows_afterwards(history: list[Any]) -> None:
    """As when a burst is submitted: the events make rows, what they cannot tell is read later."""
    pictures, events = asyncio.run(_lived(history))
    fleet = fold(EMPTY, [Events(events)])
    _same(fleet, pictures[-1])
    for picture in pictures:  # however old
        again = fold(fleet, [rows(picture.tasks, picture.cursor), _runs(picture, picture.cursor)])
        _same(again, pictures[-1])


@settings(deadline=None)
@given(st.lists(steps, max_size=30), st.data())
def test_a_row_that_knows_its_cursor_never_goes_back(history: list[Any], data: st.DataObject) -> None:
    """Told the whole log again, one event at a time, it shows nothing old on the way."""
    pictures, events = asyncio.run(_lived(history))
    picture = data.draw(st.sampled_from(pictures))
    fleet = fold(EMPTY, [rows(picture.tasks, picture.cursor, complete=True), _runs(picture, picture.cursor)])
    for event in events[: picture.cursor]:
        after = fold(fleet, [Events([event])])
        assert (after.tasks, after.runs) == (fleet.tasks, fleet.runs)


def _runs(picture: Picture, cursor: int) -> Runs:
    return Runs([run_view(run, cursor) for run in picture.runs])
