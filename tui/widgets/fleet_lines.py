"""What the lines of the fleet list say, in which columns. Pure: no widgets, no clock."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from rich.cells import cell_len

from tui import spans, tally
from tui.badges import BADGES, badge_of
from tui.cells import MUTED, STRONG, Piece, clip, fit, line
from tui.state import Fleet, RunView, TaskView

_AGE = 6  # cells: `59m59s`
_NAME_LEAST, _NAME_MOST, _COLUMN_MOST = 6, 32, 12
_SHOW_AGE, _SHOW_AGENT, _SHOW_LANE, _SHOW_WORKER = 36, 54, 74, 92  # cells of a line from which on there is room
_BAR = 8  # cells of a run's progress
# shape of one cell of progress, for those who see no colours
_PROGRESS = {
    "succeeded": "━",
    "failed": "×",
    "cancelled": "╌",
    "skipped": "╌",
    "waiting": "╍",
    "throttled": "╍",
    "running": "╍",
    "queued": "─",
    "unknown": "─",
}


@dataclass(frozen=True, slots=True)
class Columns:
    """Cells of each column, 0 when there is no room for it. The reason takes what is left."""

    width: int
    indent: int = 0
    name: int = 0
    why: int = 0
    agent: int = 0
    lane: int = 0
    worker: int = 0
    age: int = 0


class Extent(NamedTuple):
    """The longest of what is listed, in characters; of workers, of those which a task may run on."""

    name: int = 0
    agent: int = 0
    lane: int = 0
    worker: int = 0


class Why(NamedTuple):
    """Why a task stands as it does. `since`: of an age to put behind the text, 0 for none. `until`: of a time left."""

    text: str
    role: str = MUTED
    since: int = 0
    until: int = 0


class Line(NamedTuple):
    """`expires`: ms since the epoch, when an age in it reads differently; None when there is none."""

    pieces: list[Piece]
    expires: int | None


def extent(tasks: Iterable[TaskView], *, workers: Iterable[str]) -> Extent:
    """`workers`: those worth a column, none when all is done by our own."""
    tasks = list(tasks)
    if not tasks:
        return Extent()
    return Extent(
        max(len(task.name) for task in tasks),
        max(map(len, {task.agent for task in tasks})),
        max(map(len, {task.lane for task in tasks})),
        max(map(len, workers), default=0),
    )


def columns(width: int, longest: Extent) -> Columns:
    """For lines of `width` cells. Mark and badge are always there, then name, reason, age, agent, lane, worker."""

    def column(least: int, cells: int) -> int:
        return min(cells, _COLUMN_MOST) if width >= least and cells else 0

    indent = 1 if width >= _SHOW_AGE else 0
    age = _AGE if width >= _SHOW_AGE else 0
    agent = column(_SHOW_AGENT, longest.agent)
    lane = column(_SHOW_LANE, longest.lane)
    worker = column(_SHOW_WORKER, longest.worker)
    fixed = 4 + indent + sum(cells + 1 for cells in (age, agent, lane, worker) if cells)
    rest = max(0, width - fixed)
    name = min(max(longest.name, _NAME_LEAST), _NAME_MOST, max(_NAME_LEAST, rest * 9 // 20))
    why = rest - name - 1
    if why < 4:
        name, why = rest, 0
    return Columns(width, indent, name, why, agent, lane, worker, age)


def task_line(task: TaskView, why: Why, cols: Columns, now: int, *, gutter: str = " ") -> Line:
    """One task in `cols.width` cells. `gutter`: one cell, the cursor or the mark."""
    badge = badge_of(task)
    pieces = [Piece(gutter + " " * cols.indent), Piece(badge.shape + badge.letter, badge.role), Piece(" ")]
    role = MUTED if task.state in ("succeeded", "cancelled", "skipped") else ""
    pieces.append(Piece(fit(line(task.name) or task.id[-8:], cols.name), role))
    if cols.why:
        pieces += [Piece(" "), *_why_pieces(why, cols.why, now)]
    for cells, text in ((cols.agent, task.agent), (cols.lane, task.lane), (cols.worker, task.worker)):
        if cells:
            pieces.append(Piece(" " + fit(line(text), cells), MUTED))
    due = _why_due(why, now)
    if cols.age:
        text, age_due = _elapsed(task.started_at, task.ended_at, now, running=task.state == "running")
        pieces.append(Piece(" " + text.rjust(cols.age), MUTED))
        due = spans.soonest(due, age_due)
    return Line(pieces, due)


def _why_pieces(why: Why, cells: int, now: int) -> list[Piece]:
    text = line(why.text)
    behind = f" {spans.age(now - why.since)}" if why.since else ""
    behind = f" in {spans.ahead(why.until - now)}" if why.until > now else behind
    if behind and cells - cell_len(behind) < min(cell_len(text), 12):
        behind = ""
    text = clip(text, cells - len(behind))
    gap = " " * (cells - cell_len(text) - len(behind))
    return [Piece(text, why.role), Piece(behind + gap, MUTED)]


def _why_due(why: Why, now: int) -> int | None:
    if why.until > now:
        wait = spans.ahead_changes_in(why.until - now)
        return None if wait is None else now + wait
    return spans.due(why.since, now) if why.since else None


def _elapsed(started: int | None, ended: int | None, now: int, *, running: bool) -> tuple[str, int | None]:
    """Of what is over how long it took, of what goes on for how long it has; nothing of what has not begun."""
    if started is None:
        return "", None
    if ended is not None:
        return spans.duration(ended - started), None
    return (spans.age(now - started), spans.due(started, now)) if running else ("", None)


def why_of(task: TaskView, fleet: Fleet, heads: Mapping[tuple[str, str], TaskView]) -> Why:
    """`heads`: (run, lane) -> its first task that is still open."""
    if task.state == "running":
        return _doing(task)
    role = "state-failed" if task.state == "failed" else MUTED
    cause = fleet.tasks.get(task.cause)
    if cause is not None:
        return Why(f"{task.reason or 'need'}: {cause.name} {cause.state}", role)
    reason = f"{task.reason}: {task.detail}" if task.reason and task.detail else task.reason or task.detail
    if task.state == "queued":
        held = _held(task, fleet, heads)
        text = "; ".join(part for part in (reason, held) if part)
        return Why(text or "queued", until=task.run_at or 0)
    return Why(reason or task.state, role)


def _doing(task: TaskView) -> Why:
    doing = task.activity
    if task.cancel:
        return Why("being cancelled", "state-cancelled")
    if task.asks:
        asked = task.waiting
        text = asked.text if asked is not None else doing.text
        since = asked.since if asked is not None else doing.since
        return Why(f"asks: {text}" if text else "waits for you", "state-waiting", since)
    if doing.word in ("", "unknown"):
        return Why("running", since=0)
    role = badge_of(task).role if doing.word in ("working", "throttled") else MUTED
    return Why(f"{doing.word}: {doing.text}" if doing.text else doing.word, role, doing.since)


def _held(task: TaskView, fleet: Fleet, heads: Mapping[tuple[str, str], TaskView]) -> str:
    """What a queued task waits for, as far as the fleet tells; `explain` knows the rest."""
    needs = [need.name for need in map(fleet.tasks.get, task.needs) if need is not None and need.open]
    if needs:
        return f"needs {', '.join(needs[:3])}" + (f" +{len(needs) - 3}" if len(needs) > 3 else "")
    head = heads.get((task.run, task.lane)) if task.lane else None
    return f"behind {head.name}" if head is not None and head.seq < task.seq else ""


def lane_heads(tasks: Iterable[TaskView]) -> dict[tuple[str, str], TaskView]:
    """(run, lane) -> its first open task, of tasks in order of submission."""
    heads: dict[tuple[str, str], TaskView] = {}
    for task in tasks:
        if task.lane and task.open:
            heads.setdefault((task.run, task.lane), task)
    return heads


def run_line(run: RunView, counts: Mapping[str, int], width: int, now: int, *, folded: bool, gutter: str = " ") -> Line:
    """A run's heading: name, done of all, progress, who failed and who waits, how long it has taken."""
    total, done = tally.total(counts), tally.over(counts)
    head = Piece(gutter + ("▸ " if folded else "▾ "))
    count = Piece(f" {done}/{total}", MUTED)
    trouble = [
        Piece(f" {BADGES[word].shape}{counts[word]}", BADGES[word].role)
        for word in ("waiting", "failed")
        if counts.get(word)
    ]
    ended = run.ended_at
    text, due = _elapsed(run.created_at or None, ended, now, running=done < total)
    age = [Piece(" " + text.rjust(_AGE), MUTED)] if width >= _SHOW_AGE else []
    bar = [Piece(" "), *progress(counts, _BAR)] if width >= _SHOW_AGE else []
    name = line(run.name) or run.id[-8:] or "single tasks"
    tail: list[Piece] = []
    room = 0
    for tail in ([count, *bar, *trouble], [*trouble, count], trouble, []):  # the name gives way last
        room = width - _cells([head, *tail, *age])
        if room >= min(8, cell_len(name)):
            break
    name = clip(name, max(0, room))
    gap = Piece(" " * max(0, room - cell_len(name)))
    return Line([head, Piece(name, STRONG), *tail, gap, *age], due if age else None)


def _cells(pieces: Sequence[Piece]) -> int:
    return sum(cell_len(piece.text) for piece in pieces)


def progress(counts: Mapping[str, int], cells: int) -> list[Piece]:
    """A bar of `cells` by state. What there is at all of failed, waiting and running gets a cell before shares do."""
    total = tally.total(counts)
    if not total:
        return [Piece("─" * cells, MUTED)]
    present = [word for word in _PROGRESS if counts.get(word)][:cells]
    share = {word: max(1, counts[word] * cells // total) for word in present}
    by_need = sorted(present, key=lambda word: share[word] * total - counts[word] * cells)
    while sum(share.values()) < cells:  # the one furthest below its share
        word = min(by_need, key=lambda word: share[word] * total - counts[word] * cells)
        share[word] += 1
    while sum(share.values()) > cells:
        word = max(
            (word for word in by_need if share[word] > 1), key=lambda word: share[word] * total - counts[word] * cells
        )
        share[word] -= 1
    return [Piece(_PROGRESS[word] * share[word], tally.badge(word).role) for word in present]
