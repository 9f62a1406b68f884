"""The fleet bar: one line that says how the fleet stands, in as many cells as there are.

`bar_text` is the same line outside Textual, for the bar above an attached session.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from rich.text import Text
from textual.app import RenderResult
from textual.widget import Widget

from tui import spans, tally
from tui.badges import BADGES
from tui.cells import MUTED, Piece, clip, coloured, line, width_of
from tui.state import EMPTY, Fleet, Link, TaskView

_ALARM, _ASKS, _QUIET, _TITLE, _WELL = "error", "state-waiting", MUTED, "primary", "success"
_ATTENTION = ("waiting", "failed", "running")
_GAP = "  "


@dataclass(frozen=True, slots=True)
class Part:
    """One thing the bar says, from its longest form to its shortest. Low ranks give way first; `()` is gone."""

    rank: int
    forms: Sequence[tuple[Piece, ...]]


@dataclass(frozen=True, slots=True)
class Summary:
    """What of ten thousand tasks the bar needs. `asking`: the one that waits for a person longest."""

    counts: Mapping[str, int]
    asking: TaskView | None


def summary(fleet: Fleet) -> Summary:
    running = [task for task in fleet.tasks.values() if task.state == "running"]
    asking = min((task for task in running if task.asks), key=_since, default=None)
    return Summary(tally.count(fleet.tasks.values()), asking)


def bar_text(fleet: Fleet, cols: int, now: int, colours: Mapping[str, str] | None = None) -> Text:
    """The bar in at most `cols` cells, harmless. `now`: ms. `colours`: theme variable -> colour, none without."""
    return coloured(bar_pieces(fleet, summary(fleet), cols, now), colours or {})


def bar_pieces(fleet: Fleet, known: Summary, cols: int, now: int) -> list[Piece]:
    """The longest forms that fit, the least important shortened first."""
    parts = _parts(fleet, known, now)
    steps = [0] * len(parts)
    by_rank = sorted(range(len(parts)), key=lambda index: parts[index].rank)
    pieces = _joined(parts, steps)
    for index in by_rank:
        while width_of(pieces) > cols and steps[index] < len(parts[index].forms) - 1:
            steps[index] += 1
            pieces = _joined(parts, steps)
    return _cut(pieces, cols)


def due(fleet: Fleet, known: Summary, now: int) -> int | None:
    """When (ms since the epoch) the text of an age in the bar changes; None when none will."""
    lost = spans.due(fleet.link_since, now) if fleet.link is Link.LOST else None
    return spans.soonest(lost, spans.due(_since(known.asking), now) if known.asking is not None else None)


def _joined(parts: Sequence[Part], steps: Sequence[int]) -> list[Piece]:
    pieces: list[Piece] = []
    for part, step in zip(parts, steps, strict=True):
        form = part.forms[step]
        if form:
            pieces += ([Piece(_GAP)] if pieces else []) + list(form)
    return pieces


def _cut(pieces: Sequence[Piece], cols: int) -> list[Piece]:
    left = cols
    kept = []
    for piece in pieces:
        text = clip(piece.text, left)
        if text:
            kept.append(Piece(text, piece.role))
        left -= width_of([piece])
        if left <= 0:
            break
    return kept


def _parts(fleet: Fleet, known: Summary, now: int) -> list[Part]:
    counts = known.counts
    parts = [
        Part(3, ((Piece("Quarterdeck", _TITLE),), (Piece("qd", _TITLE),), ())),
        _link(fleet, now),
        _asking(known, now),
        _counts(counts),
        _slots(fleet, counts),
        _config_error(fleet),
        _home(fleet),
        Part(1, (_piece(line(fleet.supervisor.backend), _QUIET), ())),
    ]
    return [part for part in parts if any(part.forms)]


def _piece(text: str, role: str = "") -> tuple[Piece, ...]:
    return (Piece(text, role),) if text else ()


def _link(fleet: Fleet, now: int) -> Part:
    if fleet.link is Link.CONNECTING:
        return Part(9, (_piece("connecting…", _QUIET), _piece("…", _QUIET)))
    if fleet.link is Link.LOST:
        since = spans.age(now - fleet.link_since)
        why = line(fleet.link_text)
        forms = [f"supervisor lost {since}: {clip(why, width)}" for width in (60, 30) if why]
        return Part(9, [_piece(text, _ALARM) for text in (*forms, f"supervisor lost {since}", f"lost {since}")])
    if fleet.supervisor.stopping:
        return Part(8, (_piece("stopping", _ALARM),))
    return Part(0, (_piece("live", _WELL), ()))


def _asking(known: Summary, now: int) -> Part:
    first, counts = known.asking, known.counts
    if first is None:
        return Part(8, ((),))
    since = spans.age(now - _since(first))
    name = line(first.name) or first.id[:8]
    more = f" +{counts['waiting'] - 1}" if counts.get("waiting", 0) > 1 else ""
    texts = [f"{clip(name, width)} asks {since}{more}" for width in (24, 12)]
    texts += [f"{clip(name, 12)} {since}{more}", f"{clip(name, 8)} {since}", since]
    return Part(8, [_piece(f"? {text}", _ASKS) for text in texts])


def _counts(counts: Mapping[str, int]) -> Part:
    def form(words: Sequence[str]) -> tuple[Piece, ...]:
        pieces: list[Piece] = []
        for word in words:
            if word in counts:
                badge = BADGES[word]
                gap = " " if pieces else ""
                pieces.append(Piece(f"{gap}{badge.shape} {counts[word]}", badge.role))
        return tuple(pieces)

    return Part(
        6, (form(tally.URGENCY), form((*_ATTENTION, "throttled", "queued")), form(_ATTENTION), form(["failed"]))
    )


def _slots(fleet: Fleet, counts: Mapping[str, int]) -> Part:
    total = max(fleet.supervisor.slots, sum(worker.slots for worker in fleet.workers.values() if not worker.cordoned))
    if not total:
        return Part(4, ((),))
    used = sum(counts.get(word, 0) for word in ("running", "waiting", "throttled"))
    return Part(4, (_piece(f"{used}/{total} slots", _QUIET), _piece(f"{used}/{total}", _QUIET), ()))


def _config_error(fleet: Fleet) -> Part:
    error = line(fleet.supervisor.config_error)
    if not error:
        return Part(7, ((),))
    texts = [f"config: {clip(error, width)}" for width in (60, 30)]
    return Part(7, [_piece(text, _ALARM) for text in (*texts, "config !", "!")])


def _home(fleet: Fleet) -> Part:
    home = line(fleet.supervisor.home).removesuffix("/.quarterdeck")
    user = os.environ.get("HOME", "").rstrip("/")
    if user and (home == user or home.startswith(user + "/")):
        home = "~" + home[len(user) :]
    if not home:
        return Part(2, ((),))
    last = home.rsplit("/", 1)[-1]
    return Part(2, (_piece(clip(home, 40), _QUIET), _piece(clip(last, 20), _QUIET), ()))


def _since(task: TaskView) -> int:
    return task.waiting.since if task.waiting is not None else task.activity.since


class FleetBar(Widget):
    """`show(fleet)` for each new state; `tick()` when `next_change()` ms have passed."""

    DEFAULT_CSS = """
    FleetBar { height: 1; padding: 0 1; background: $panel; color: $foreground; }
    """

    def __init__(self, now: Callable[[], int], *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._now = now
        self._fleet = EMPTY
        self._known = summary(EMPTY)
        self._drawn: list[Piece] = []
        self._due: int | None = None

    def show(self, fleet: Fleet) -> None:
        before, self._fleet = self._fleet, fleet
        if fleet.tasks is not before.tasks:
            self._known = summary(fleet)
        self.tick()

    def tick(self) -> None:
        """Draws only when the line reads differently now."""
        if self._pieces() != self._drawn:
            self.refresh()

    def next_change(self) -> int | None:
        """ms until an age shown reads differently, at least 1; None when none will."""
        return None if self._due is None else max(1, self._due - self._now())

    def render(self) -> RenderResult:
        self._drawn = self._pieces()
        return coloured(self._drawn, self.app.theme_variables)

    def _pieces(self) -> list[Piece]:
        now = self._now()
        self._due = due(self._fleet, self._known, now)
        return bar_pieces(self._fleet, self._known, self.size.width, now)
