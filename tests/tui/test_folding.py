"""The fold against the rows themselves: events laid over any older or newer row give the last one."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from lite.api.messages import EventJson, TaskJson
from lite.api.server.render import event_json, task_json
from lite.backends import changes
from lite.model.event import Event
from lite.model.session import Activity as Doing
from lite.model.session import Status as SessionStatus
from lite.model.task import Assignment, Lease, Outcome, OutcomeKind, Progress, State, Task, Waiting
from lite.rules.dag import Consequence
from providers.base import Usage
from tests.rules.making import NOW, spec
from tests.support.dashboards import told
from tui.folding import Activities, Events, Forget, Linked, Runs, fold, rows
from tui.state import EMPTY, Link, RunView, SupervisorView
from tui.views import task_view

ACTIONS = (
    "claim",
    "start",
    "ask",
    "answer",
    "succeed",
    "fail",
    "infrastructure",
    "park",
    "reschedule",
    "cancel",
    "skip",
    "reopen",
    "rescue",
    "route",
)


def _wired(message: Any) -> Any:
    """As it comes over the wire."""
    return json.loads(json.dumps(message))


class History:
    """One task's life by the real transitions: after each step its row, and all events so far."""

    def __init__(self, actions: list[str]) -> None:
        self.now = NOW
        self.task, event = changes.submitted(replace(spec(retries=1), lane="a", needs=("n",)), 1, self.now)
        self.rows: list[TaskJson] = []
        self.events: list[EventJson] = []
        self.marks: list[int] = []  # how many events there were at each row
        self._log(event)
        for action in actions:
            self.now += 1000
            self._step(action)

    def _log(self, *events: Event) -> None:
        for event in events:
            self.events.append(_wired(event_json(replace(event, cursor=len(self.events) + 1))))
        self.rows.append(_wired(task_json(self.task, None)))
        self.marks.append(len(self.events))

    def _step(self, action: str) -> None:
        task, now = self.task, self.now
        queued, running = task.state is State.QUEUED, task.state is State.RUNNING
        if queued:
            self._queued(action, task, now)
        elif running:
            self._running(action, task, now)
        elif action == "reopen" and task.state is not State.SUCCEEDED:
            self._take(changes.reopened(task, now))

    def _queued(self, action: str, task: Task, now: int) -> None:
        if action == "claim":
            lease = Lease(task.id, task.attempt + 1, now, f"w{task.attempt}", now + 1)
            self._take(changes.claimed(task, lease, now))
        elif action == "park":
            self._take(changes.assigned(task, Assignment(park=True, why="nobody"), now))
        elif action == "route":
            self._take(changes.assigned(task, Assignment(agent="dev", provider="claude", why="by hand"), now))
        elif action == "skip":
            self._take(changes.condemned(task, Consequence.SKIP, "n", now))
        elif action == "cancel":
            self._cancel(task, now)

    def _running(self, action: str, task: Task, now: int) -> None:
        ends = {
            "succeed": Outcome(OutcomeKind.SUCCEEDED, exit_code=0, usage=Usage(tokens_in=3)),
            "fail": Outcome(OutcomeKind.FAILED, "exit", "it broke", exit_code=2),
            "infrastructure": Outcome(OutcomeKind.UNEXECUTABLE, detail="gone"),
            "reschedule": Outcome(OutcomeKind.RESCHEDULED, until=now + 5000),
        }
        if action in ends:
            self._take(changes.finished(task, ends[action], now, 700))
        elif action == "cancel":
            self._cancel(task, now)
        elif action == "rescue":
            assert task.lease is not None
            self._take(changes.rescued(task, replace(task.lease, token=now, worker="other"), now))
        else:
            progress = {
                "start": Progress(started=True),
                "ask": Progress(waiting=Waiting("q", "question", f"really, at {now}?", "h")),
                "answer": Progress(answered=True),
            }.get(action)
            if progress is not None:
                self.task, events = changes.recorded(task, progress, now)
                self._log(*events)

    def _cancel(self, task: Task, now: int) -> None:
        self.task, event = changes.cancelled(task, "user", now)
        if event is not None:
            self._log(event)

    def _take(self, change: tuple[Task, Event]) -> None:
        self.task = change[0]
        self._log(change[1])


@given(st.lists(st.sampled_from(ACTIONS), max_size=25), st.data())
def test_events_over_any_row_give_the_last_row(actions: list[str], data: st.DataObject) -> None:
    history = History(actions)
    at = data.draw(st.integers(0, len(history.rows) - 1), "row read after step")
    first = data.draw(st.integers(0, history.marks[at]), "events replayed from")
    cut = data.draw(st.integers(first, len(history.events)), "page ends")
    pages = [Events(history.events[first:cut]), Events(history.events[cut:])]
    known = data.draw(st.integers(0, history.marks[at]), "cursor known before the row was read")
    fleet = fold(fold(EMPTY, [rows([history.rows[at]], known)]), pages)
    assert told(fleet.tasks[history.task.id]) == told(task_view(history.rows[-1]))


@given(st.lists(st.sampled_from(ACTIONS), max_size=25))
def test_events_alone_tell_what_they_can(actions: list[str]) -> None:
    history = History(actions)
    fleet = fold(EMPTY, [Events([event]) for event in history.events])
    assert told(fleet.tasks[history.task.id]) == told(task_view(history.rows[-1]))
    assert fleet.cursor == len(history.events)


def test_saying_everything_again_changes_nothing() -> None:
    history = History(["claim", "start", "ask", "answer", "fail", "claim", "succeed"])
    once = fold(EMPTY, [rows([history.rows[-1]]), Events(history.events)])
    assert fold(once, [Events(history.events)]) == once


def test_what_is_unknown_is_passed_over() -> None:
    strange: EventJson = {
        "cursor": 9,
        "at": NOW,
        "kind": "task.sang",
        "run": "",
        "task": "nobody",
        "attempt": 0,
        "worker": "",
        "data": {},
    }
    fleet = fold(EMPTY, [Events([strange, strange | {"kind": "moon.rose"}, strange | {"kind": "task.started"}])])
    assert (fleet.cursor, dict(fleet.tasks)) == (9, {})


def test_tasks_stay_in_order_of_submission_whichever_page_comes_first() -> None:
    found = [task_json(changes.submitted(spec(f"t{at}"), at, NOW)[0], None) for at in range(1, 7)]
    fleet = fold(EMPTY, [rows(found[4:]), rows(found[:4], complete=True)])
    assert [task.seq for task in fleet.tasks.values()] == [1, 2, 3, 4, 5, 6]
    assert fleet.complete


def test_a_fleet_handed_out_is_never_changed() -> None:
    history = History(["claim", "start"])
    before = fold(EMPTY, [rows([history.rows[0]])])
    kept = dict(before.tasks)
    fold(before, [Events(history.events), Forget()])
    assert dict(before.tasks) == kept


def test_activity_is_of_running_tasks_and_the_newest_wins() -> None:
    history = History(["claim", "start"])
    working = SessionStatus(Doing.WORKING, "terminal", "title", NOW + 9000)
    row = _wired(task_json(history.task, working))
    older = {"task": row["id"], "activity": "idle", "source": "s", "rule": "r", "since": NOW, "text": ""}
    newer = older | {"since": NOW + 10_000, "text": "x" * 5000}
    fleet = fold(EMPTY, [rows([row]), Activities([older])])  # type: ignore[list-item]
    assert fleet.tasks[row["id"]].activity.word == "working"
    fleet = fold(fleet, [Activities([newer])])  # type: ignore[list-item]
    assert fleet.tasks[row["id"]].activity.word == "idle"
    assert len(fleet.tasks[row["id"]].activity.text) <= 300
    ended = History(["claim", "start", "succeed"])
    fleet = fold(fleet, [Events(ended.events), Activities([newer | {"since": NOW + 99_000}])])  # type: ignore[list-item]
    assert fleet.tasks[row["id"]].activity.word == ""


def test_of_a_task_elsewhere_nothing_is_claimed_that_nobody_tells() -> None:
    """A supervisor tells the activities of its own sessions only."""
    history = History(["claim", "start"])
    seen = {}
    for own in ("w0", "another", ""):
        known = replace(EMPTY, supervisor=SupervisorView(worker=own))
        by_events = fold(known, [Events(history.events)]).tasks[history.task.id]
        by_row = fold(known, [rows([history.rows[-1]])]).tasks[history.task.id]
        assert by_events.elsewhere is by_row.elsewhere
        seen[own] = (by_events.elsewhere, by_events.activity.word)
    assert seen == {"w0": (False, "starting"), "another": (True, ""), "": (False, "starting")}
    ended = History(["claim", "start", "succeed"])
    known = replace(EMPTY, supervisor=SupervisorView(worker="another"))
    assert not fold(known, [Events(ended.events)]).tasks[ended.task.id].elsewhere
    assert not fold(known, [rows([ended.rows[-1]])]).tasks[ended.task.id].elsewhere


def test_a_lost_link_keeps_what_is_shown() -> None:
    history = History(["claim"])
    fleet = fold(EMPTY, [rows(history.rows[-1:]), Linked(Link.LOST, NOW, "it has gone")])
    assert (fleet.link, fleet.link_text, len(fleet.tasks)) == (Link.LOST, "it has gone", 1)
    assert len(fold(fleet, [Forget()]).tasks) == 0
    assert fold(fleet, [Forget()]).link is Link.LOST


def event(cursor: int, kind: str, **data: object) -> EventJson:
    worker = "w9" if kind.startswith("worker.") else ""
    return {
        "cursor": cursor,
        "at": NOW + cursor,
        "kind": kind,
        "run": "r" if kind.startswith("run.") else "",
        "task": "",
        "attempt": 0,
        "worker": worker,
        "data": data,
    }


def test_a_link_is_lost_since_it_was_first() -> None:
    fleet = fold(EMPTY, [Linked(Link.LIVE, NOW), Linked(Link.LOST, NOW + 5, "gone"), Linked(Link.LOST, NOW + 9, "no")])
    assert (fleet.link_since, fleet.link_text) == (NOW + 5, "no")
    assert fold(fleet, [Linked(Link.LIVE, NOW + 20)]).link_since == NOW + 20


def test_an_old_event_of_a_run_is_passed_over() -> None:
    run = RunView("r", "p", state="failed", ended_at=NOW, cursor=5)
    fleet = fold(EMPTY, [Runs([run]), Events([event(4, "run.reopened", name="p")])])
    assert fleet.runs["r"].state == "failed"


def test_what_is_worth_a_line_is_noticed() -> None:
    rejected = event(1, "config.rejected", message="no key colour", place="q.yaml:3:1")
    fleet = fold(EMPTY, [Events([rejected])])
    assert "q.yaml:3:1: no key colour" in fleet.notice
    assert "no key colour" in fleet.supervisor.config_error
    fleet = fold(fleet, [Events([event(2, "config.reloaded", path="q.yaml")])])
    assert (fleet.notice, fleet.supervisor.config_error) == ("", "")
    assert "w9" in fold(fleet, [Events([event(3, "worker.left", reason="lost")])]).notice


def test_a_question_keeps_the_time_it_was_asked() -> None:
    history = History(["claim", "start", "ask"])
    fleet = fold(EMPTY, [Events(history.events)])
    asked = fleet.tasks[history.task.id].waiting
    assert asked is not None
    again = fold(fleet, [rows(history.rows[-1:], len(history.events))]).tasks[history.task.id]
    assert again.waiting == asked
    assert again.asks


def test_runs_follow_their_events() -> None:
    fleet = fold(EMPTY, [Runs([]), Events([event(1, "run.submitted", name="p")])])
    assert (fleet.runs["r"].name, fleet.runs["r"].state, fleet.runs["r"].ended_at) == ("p", "running", None)
    fleet = fold(fleet, [Events([event(2, "run.finished", name="p", state="failed")])])
    assert (fleet.runs["r"].state, fleet.runs["r"].ended_at) == ("failed", NOW + 2)
    fleet = fold(fleet, [Events([event(3, "run.reopened", name="p")])])
    assert (fleet.runs["r"].state, fleet.runs["r"].ended_at) == ("running", None)
