"""A run's attempts on a time axis, from its event log. Pure. Times are ms since the epoch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

from tui.state import TaskView

if TYPE_CHECKING:
    from lite.api.messages import EventJson

_ENDS = {
    "task.succeeded": "succeeded",
    "task.failed": "failed",
    "task.cancelled": "cancelled",
    "task.retrying": "retrying",
    "task.parked": "parked",
}
_STEPS = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400, 43200, 86400)  # seconds of a tick


@dataclass(frozen=True)
class Attempt:
    """One try; `ended_at` is None while it runs. `asked`: (from, to) of each wait for a person, None while it waits."""

    task: str
    number: int
    claimed_at: int
    worker: str = ""
    started_at: int | None = None
    ended_at: int | None = None
    outcome: str = "running"
    asked: tuple[tuple[int, int | None], ...] = ()

    def until(self, now: int) -> int:
        return now if self.ended_at is None else self.ended_at


@dataclass
class History:
    """Folded from the log, in order; events told twice change nothing."""

    attempts: dict[tuple[str, int], Attempt] = field(default_factory=dict)
    cursor: int = 0
    _newest: dict[str, int] = field(default_factory=dict)

    def take(self, events: Iterable[EventJson]) -> None:
        for event in events:
            if event["cursor"] > self.cursor:
                self.cursor = event["cursor"]
                self._take(event)

    def _take(self, event: EventJson) -> None:
        kind, task, at = event["kind"], event["task"], event["at"]
        if kind == "task.claimed":
            self._newest[task] = event["attempt"]
            self.attempts[task, event["attempt"]] = Attempt(task, event["attempt"], at, event["worker"])
            return
        key = (task, self._newest.get(task, 0))
        known = self.attempts.get(key)
        if known is None or known.ended_at is not None:
            return
        if kind == "task.started":
            self.attempts[key] = replace(known, started_at=at)
        elif kind in _ENDS and (event["attempt"] or kind != "task.parked"):
            self.attempts[key] = replace(known, ended_at=at, outcome=_ENDS[kind], asked=_closed(known.asked, at))
        elif kind == "session.waiting":
            self.attempts[key] = replace(known, asked=(*_closed(known.asked, at), (at, None)))
        elif kind == "session.answered":
            self.attempts[key] = replace(known, asked=_closed(known.asked, at))


def _closed(asked: tuple[tuple[int, int | None], ...], at: int) -> tuple[tuple[int, int | None], ...]:
    return tuple((begun, at if ended is None else ended) for begun, ended in asked)


class Bar(NamedTuple):
    """What is drawn of one attempt: cells from `x` to `x + width`, `asked` the columns in which it waited."""

    attempt: Attempt
    x: int
    width: int
    asked: frozenset[int]


class Track(NamedTuple):
    """One line: a lane, or a task without one. `waits`: (x, width) in which a task was submitted but did not run."""

    label: str
    lane: str
    bars: tuple[Bar, ...]
    waits: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Scale:
    """ms to columns: column 0 is `start`, each is `per_cell` ms wide."""

    start: int
    per_cell: int

    def x(self, at: int) -> int:
        return (at - self.start) // self.per_cell

    def ticks(self, width: int, apart: int = 10) -> list[tuple[int, int]]:
        """(column, seconds since the start), at least `apart` cells from one to the next."""
        step = next((each for each in _STEPS if each * 1000 >= apart * self.per_cell), _STEPS[-1])
        while step * 1000 < apart * self.per_cell:
            step *= 2
        found = []
        at = 0
        while at * 1000 // self.per_cell < width:
            found.append((at * 1000 // self.per_cell, at))
            at += step
        return found


def fitting(tasks: Iterable[TaskView], now: int, width: int) -> Scale:
    """The whole run, from its first submission until now or its end, in `width` cells."""
    known = list(tasks)
    start = min((task.created_at for task in known), default=now)
    end = now if any(task.open for task in known) else max((task.ended_at or 0 for task in known), default=now)
    return Scale(start, max(1, -(-(max(end, start + 1) - start) // max(1, width - 1))))


def tracks(tasks: Sequence[TaskView], history: History, scale: Scale, now: int) -> list[Track]:
    """Lanes first, in order of their first task, then the tasks without one."""
    by_task: dict[str, list[Attempt]] = {}
    for attempt in history.attempts.values():
        by_task.setdefault(attempt.task, []).append(attempt)
    lanes: dict[str, list[TaskView]] = {}
    for task in tasks:
        lanes.setdefault(task.lane or f"\x00{task.id}", []).append(task)
    ordered = sorted(lanes.items(), key=lambda item: item[0].startswith("\x00"))
    return [_track(key, members, by_task, scale, now) for key, members in ordered]


def _track(
    key: str, members: Sequence[TaskView], by_task: Mapping[str, list[Attempt]], scale: Scale, now: int
) -> Track:
    alone = key.startswith("\x00")
    bars: list[Bar] = []
    waits: list[tuple[int, int]] = []
    for task in members:
        attempts = sorted(by_task.get(task.id, ()), key=lambda one: one.number)
        bars += [_bar(attempt, scale, now) for attempt in attempts]
        until = attempts[0].claimed_at if attempts else now if task.open else task.ended_at or now
        begin = scale.x(task.created_at)
        if alone and scale.x(until) > begin:
            waits.append((begin, scale.x(until) - begin))
    return Track(members[0].name if alone else key, "" if alone else key, tuple(bars), tuple(waits))


def _bar(attempt: Attempt, scale: Scale, now: int) -> Bar:
    begin = scale.x(attempt.claimed_at)
    width = max(1, scale.x(attempt.until(now)) - begin)
    asked = {
        x
        for start, end in attempt.asked
        for x in range(scale.x(start), max(scale.x(start) + 1, scale.x(now if end is None else end)))
        if begin <= x < begin + width
    }
    return Bar(attempt, begin, width, frozenset(asked))
