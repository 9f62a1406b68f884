"""The lanes of a run over time: which attempt ran when, what waited, what was asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Spacing
from textual.strip import Strip

from tui import spans
from tui.badges import BADGES
from tui.cells import MUTED, STRONG, Piece, clip, fit, line, width_of
from tui.messages import TaskChosen, TaskOpened
from tui.state import TaskView
from tui.timeline import Bar, History, Scale, Track, fitting, tracks
from tui.widgets.canvas import CHOSEN, Canvas

_LABEL = 16  # cells of a lane's name
_FIXED = Spacing(top=1, bottom=2, left=_LABEL + 1)  # axis, what is said of an attempt, names
_ROLES = {
    "running": "state-running",
    "succeeded": "state-succeeded",
    "failed": "state-failed",
    "cancelled": "state-cancelled",
    "retrying": "state-failed",
    "parked": "state-skipped",
}


class Lanes(Canvas):
    """`show(tasks, history)`; the cursor goes from attempt to attempt. Axis, names and what is said of the attempt
    under the cursor stay where they are when the bars scroll."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("h,left", "step(-1)", "Attempt before", show=False, id="run.before"),
        Binding("l,right", "step(1)", "Next attempt", show=False, id="run.next"),
        Binding("k,up", "lane(-1)", "Lane above", show=False, id="run.lane_up"),
        Binding("j,down", "lane(1)", "Lane below", show=False, id="run.lane_down"),
        Binding("plus,equals_sign", "zoom(2)", "Closer", id="run.closer"),
        Binding("minus", "zoom(0.5)", "Farther", id="run.farther"),
        Binding("0", "zoom(0)", "All of it", show=False, id="run.whole"),
        Binding("enter", "open", "Open", show=False, id="run.open_attempt"),
    ]

    def __init__(self, now: Callable[[], int], *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._now = now
        self._tasks: Sequence[TaskView] = ()
        self._history = History()
        self._zoom = 1.0
        self._scale = Scale(0, 1)
        self._tracks: list[Track] = []
        self._names: dict[str, str] = {}
        self._going_on = False
        self._chosen: tuple[str, int] | None = None  # task, attempt

    @property
    def chosen(self) -> str:
        return self._chosen[0] if self._chosen else ""

    def show(self, tasks: Sequence[TaskView], history: History) -> None:
        self._tasks, self._history = tasks, history
        self._draw()

    def on_resize(self) -> None:
        self._draw()

    def _draw(self) -> None:
        now = self._now()
        room = max(10, self.size.width - _LABEL - 3)
        whole = fitting(self._tasks, now, room)
        self._scale = Scale(whole.start, max(1, round(whole.per_cell / self._zoom)))
        self._tracks = tracks(self._tasks, self._history, self._scale, now)
        if self._chosen is None or self._chosen not in self._history.attempts:
            bars = [bar for track in self._tracks for bar in track.bars]
            self._chosen = (bars[0].attempt.task, bars[0].attempt.number) if bars else None
        self._names = {task.id: task.name for task in self._tasks}
        self._going_on = any(task.open for task in self._tasks)
        self.draw(_LABEL + 1 + round(room * self._zoom), len(self._tracks) + 3, lambda y: ())

    def render_line(self, y: int) -> Strip:
        row, width = y - 1 + self.scroll_offset.y, self.width
        if y == min(self.scrollable_content_region.height, len(self._tracks) + 3) - 1:
            return self.strip(self._detail(), 0, width)
        track = self._tracks[row] if y and row < len(self._tracks) else None
        name = Piece(" " * _LABEL)
        if track:
            here = any((bar.attempt.task, bar.attempt.number) == self._chosen for bar in track.bars)
            name = Piece(fit(line(track.label), _LABEL), CHOSEN if here else STRONG if track.lane else "")
        bars = self._line(track) if track else self._axis() if y == 0 else []
        left = self.strip([name, Piece(" ")], 0, min(width, _LABEL + 1))
        return Strip.join([left, self.strip(bars, self.scroll_offset.x, max(0, width - _LABEL - 1))])

    def _axis(self) -> list[Piece]:
        pieces: list[Piece] = []
        at = 0
        for x, seconds in self._scale.ticks(round(self.size.width * self._zoom)):
            text = f"│{spans.duration(seconds * 1000) if seconds else '0'}"
            if x >= at:
                pieces += [Piece(" " * (x - at)), Piece(text, MUTED)]
                at = x + width_of([Piece(text)])
        return pieces

    def _line(self, track: Track) -> list[Piece]:
        pieces: list[Piece] = []
        columns: dict[int, Piece] = {}
        for x, width in track.waits:
            columns.update(dict.fromkeys(range(x, x + width), Piece("·", MUTED)))
        for bar in track.bars:
            columns.update(self._columns(bar))
        now = self._scale.x(self._now())
        if self._going_on:
            columns.setdefault(now, Piece("╎", MUTED))
        return pieces + _joined(columns)

    def _columns(self, bar: Bar) -> dict[int, Piece]:
        attempt = bar.attempt
        chosen = f"{CHOSEN} " if (attempt.task, attempt.number) == self._chosen else ""
        role = _ROLES.get(attempt.outcome, "")
        name = self._names.get(attempt.task, "")
        label = clip(line(name), bar.width - 2)
        found = {}
        for place in range(bar.width):
            x = bar.x + place
            if x in bar.asked:
                found[x] = Piece("?", f"{chosen}{BADGES['waiting'].role}")
            elif attempt.started_at is None or x < self._scale.x(attempt.started_at):
                found[x] = Piece("░", f"{chosen}{role}")
            else:
                found[x] = Piece("▇" if attempt.outcome != "retrying" else "▂", f"{chosen}{role}")
        if len(label) == width_of([Piece(label)]) and bar.width > len(label) + 2 and not bar.asked:
            found |= {bar.x + 1 + at: Piece(char, f"{CHOSEN} {role}") for at, char in enumerate(label)}
        return found

    def _detail(self) -> list[Piece]:
        attempt = self._history.attempts.get(self._chosen) if self._chosen else None
        if attempt is None:
            return [Piece("nothing has run yet", MUTED)]
        name = self._names.get(attempt.task) or attempt.task
        begun = spans.duration(attempt.claimed_at - self._scale.start)
        took = spans.duration(attempt.until(self._now()) - attempt.claimed_at)
        asked = sum((self._now() if end is None else end) - start for start, end in attempt.asked)
        parts = [f"attempt {attempt.number}", f"after {begun}", f"for {took}", attempt.outcome]
        parts += [f"waited {spans.duration(asked)} for you"] if asked else []
        parts += [f"on {attempt.worker}"] if attempt.worker else []
        return [Piece(f"{clip(line(name), 40)}  ", STRONG), Piece(line(", ".join(parts)))]

    # the cursor

    def _bars(self) -> list[list[Bar]]:
        return [sorted(track.bars, key=lambda bar: bar.x) for track in self._tracks if track.bars]

    def _where(self, lines: Sequence[Sequence[Bar]]) -> tuple[int, int]:
        for row, bars in enumerate(lines):
            for place, bar in enumerate(bars):
                if (bar.attempt.task, bar.attempt.number) == self._chosen:
                    return row, place
        return 0, 0

    def _choose(self, bar: Bar) -> None:
        self._chosen = (bar.attempt.task, bar.attempt.number)
        self.post_message(TaskChosen(bar.attempt.task))
        self._reveal(bar)
        self.refresh()

    def _reveal(self, bar: Bar) -> None:
        row = next(at for at, track in enumerate(self._tracks) if bar in track.bars)
        self.bring_into_sight(_LABEL + 1 + bar.x, row + 1, min(bar.width, 20), hidden=_FIXED)

    def action_step(self, by: int) -> None:
        lines = self._bars()
        if lines:
            row, place = self._where(lines)
            self._choose(lines[row][max(0, min(len(lines[row]) - 1, place + by))])

    def action_lane(self, by: int) -> None:
        lines = self._bars()
        if lines:
            row, place = self._where(lines)
            here = lines[row][place]
            there = lines[max(0, min(len(lines) - 1, row + by))]
            self._choose(min(there, key=lambda bar: abs(bar.x - here.x)))

    def action_zoom(self, factor: float) -> None:
        self._zoom = min(64.0, max(1.0, self._zoom * factor)) if factor else 1.0
        self._draw()
        chosen = [
            bar for bars in self._bars() for bar in bars if (bar.attempt.task, bar.attempt.number) == self._chosen
        ]
        if chosen:
            self.call_after_refresh(self._reveal, chosen[0])

    def action_open(self) -> None:
        if self._chosen:
            self.post_message(TaskOpened(self._chosen[0]))

    def on_click(self, event: events.Click) -> None:
        offset = event.get_content_offset(self)
        if offset is None or offset.x <= _LABEL or not 0 < offset.y < self.size.height - 1:
            return
        x, y = self.at(offset.x - _LABEL - 1, offset.y)
        if y <= len(self._tracks):
            for bar in self._tracks[y - 1].bars:
                if bar.x <= x < bar.x + bar.width:
                    self._choose(bar)
                    break


def _joined(columns: Mapping[int, Piece]) -> list[Piece]:
    """Cells by their column, as pieces: neighbours of one role together."""
    pieces: list[Piece] = []
    at = 0
    for x in sorted(x for x in columns if x >= 0):
        cell = columns[x]
        if x > at:
            pieces.append(Piece(" " * (x - at)))
        if pieces and x == at and pieces[-1].role == cell.role:
            pieces[-1] = Piece(pieces[-1].text + cell.text, cell.role)
        else:
            pieces.append(cell)
        at = x + 1
    return pieces
