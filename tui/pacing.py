"""When panes parse and when they draw: one loop is shared by all, and nothing wakes it but data. No Textual."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Protocol

SLICE = 0.004  # seconds of parsing before the loop is given back
FOCUSED, UNFOCUSED, SLOW_LINK = 1 / 30, 1 / 10, 1 / 5  # seconds between two frames of a pane


class Timer(Protocol):
    def cancel(self) -> None: ...


class FrameClock(Protocol):
    """Time in seconds, from anywhere. Tests turn it by hand."""

    def now(self) -> float: ...

    def at(self, when: float, call: Callable[[], None]) -> Timer: ...


class LoopClock:
    """That of the running event loop."""

    def now(self) -> float:
        return asyncio.get_running_loop().time()

    def at(self, when: float, call: Callable[[], None]) -> Timer:
        return asyncio.get_running_loop().call_at(when, call)


Parse = Callable[[float], bool]


class Turns:
    """Shares the loop's time among the panes that have something to parse: round robin, at most `SLICE` at a stretch,
    and half of the time at most, so that keys are read and frames are drawn under any flood."""

    def __init__(self, clock: FrameClock) -> None:
        self._clock = clock
        self._waiting: deque[Parse] = deque()
        self._timer: Timer | None = None
        self._free_at = 0.0

    def __repr__(self) -> str:
        return f"<Turns: {len(self._waiting)} waiting>"

    def want(self, parse: Parse) -> None:
        """`parse(deadline)` is called soon, at once when the loop is at leisure; True: there is more to parse."""
        if parse in self._waiting:
            return
        self._waiting.append(parse)
        if self._timer is not None:
            return
        if self._clock.now() >= self._free_at:
            self._run()
        else:
            self._timer = self._clock.at(self._free_at, self._run)

    def drop(self, parse: Parse) -> None:
        if parse in self._waiting:
            self._waiting.remove(parse)

    def _run(self) -> None:
        self._timer = None
        begun = self._clock.now()
        deadline = begun + SLICE
        share = SLICE / max(len(self._waiting), 1)
        while self._waiting and (now := self._clock.now()) < deadline:
            parse = self._waiting.popleft()
            if parse(min(now + share, deadline)) and parse not in self._waiting:
                self._waiting.append(parse)
        ended = self._clock.now()
        self._free_at = ended + (ended - begun)
        if self._waiting and self._timer is None:
            self._timer = self._clock.at(self._free_at, self._run)


class Frames:
    """Coalesces what arrives into frames: the first after a pause is drawn at once, the following ones on a common
    beat, so that many panes share one update of the screen. Idle: no timer is armed.

    `draw` returns whether it drew; what it holds back does not count as a frame."""

    def __init__(self, clock: FrameClock, draw: Callable[[], bool]) -> None:
        self.interval = UNFOCUSED
        self._clock = clock
        self._draw = draw
        self._timer: Timer | None = None
        self._due = 0.0  # when the armed timer fires
        self._last = -1.0

    @property
    def armed(self) -> bool:
        return self._timer is not None

    def want(self, *, at_once: bool = False) -> None:
        """There is something new to draw."""
        now = self._clock.now()
        if at_once or now - self._last >= self.interval:
            due = now
        else:
            due = (self._last // self.interval + 1) * self.interval
            if due - self._last < self.interval / 2:
                due += self.interval
        self.no_sooner(max(due, now))

    def no_sooner(self, due: float) -> None:
        """Draw at `due`, or when it was to be drawn already, whichever comes first."""
        if self._timer is not None:
            if self._due <= due:
                return
            self._timer.cancel()
        self._due = due
        self._timer = self._clock.at(due, self._fire)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def done(self) -> None:
        """A frame was drawn without being asked for."""
        self.stop()
        self._last = self._clock.now()

    def _fire(self) -> None:
        self._timer = None
        now = self._clock.now()
        if self._draw():
            self._last = now
