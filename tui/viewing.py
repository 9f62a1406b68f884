"""One session as a pane sees it: how it is reached, parsed in turn with the others, when it is drawn. No Textual."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

from tui.gateway import Gateway
from tui.pacing import FrameClock, Frames, Timer, Turns
from tui.picture import MakeEmulator, Picture
from tui.sessions import Ended, Fresh, Gap, Joined, Lost, Output, Preamble, Resized, SessionLink
from tui.state import TaskView
from tui.transcripts import TranscriptLink, Unstructured
from tui.wording import ending_of, short

HOLD = 0.150  # seconds a synchronized frame may take
CATCH_UP = 0.300  # seconds in which the replay before a session's present is not drawn
_SETTLE = 0.05  # seconds the pane's size rests before a transcript is made anew
_ANY_SIZE = (80, 24)  # until the pane has one
_CHUNK, _SMALL_CHUNK = 16 << 10, 1 << 10  # bytes between two looks at the clock; slow emulators get fewer


class Standing(Enum):
    """How the pane stands to its session."""

    NOTHING = "nothing"  # there is no session
    ASLEEP = "asleep"
    CONNECTING = "connecting"
    LIVE = "live"
    REPLAYING = "replaying"
    ENDED = "ended"
    LOST = "lost"


class Viewer:
    """`draw` is called when there is a frame to look at, `changed` when `standing`, `said` or `typing` differ."""

    def __init__(
        self,
        gateway: Gateway,
        *,
        clock: FrameClock,
        turns: Turns,
        make: MakeEmulator,
        draw: Callable[[], None],
        changed: Callable[[], None],
    ) -> None:
        self.task: TaskView | None = None
        self.picture = Picture(make)
        self.standing = Standing.NOTHING
        self.said = ""  # the reason of the standing
        self.refusal = ""  # why what was typed last was not taken
        self.typing = False
        self.awake = False
        self._gateway = gateway
        self._clock = clock
        self._turns = turns
        self._draw = draw
        self._changed = changed
        self.frames = Frames(clock, self._frame)
        self.raw = False  # of a structured session what it prints, not what it says
        self._size = (0, 0)  # of the pane
        self._resized: Timer | None = None
        self._structured: dict[str, bool] = {}  # the session, as far as it is known
        self._link: SessionLink | TranscriptLink | None = None
        self._held_since: float | None = None
        self._far = False  # the session is, or was, with another worker
        self._catching_up: tuple[int, float] | None = None  # to which offset, until when at most

    def __repr__(self) -> str:
        return f"<Viewer {self.standing.value}{' typing' if self.typing else ''} {self._link!r}>"

    @property
    def session(self) -> str:
        return self.task.session if self.task is not None else ""

    @property
    def link(self) -> SessionLink | TranscriptLink | None:
        return self._link

    @property
    def in_words(self) -> bool:
        """What is shown is a transcript."""
        return isinstance(self._link, TranscriptLink)

    @property
    def structured(self) -> bool:
        """There is a transcript, shown or not."""
        return self._structured.get(self.session, False)

    # what to show

    def show(self, task: TaskView | None) -> None:
        before, self.task = self.task, task
        session = task.session if task is not None else ""
        if session != (before.session if before is not None else ""):
            self.typing = False
            self._far = task is not None and task.elsewhere
            self._leave()
            self.picture.clear()
            self._set(Standing.NOTHING if not session else Standing.ASLEEP)
            if self.awake:
                self._enter()
            return
        self._far = self._far or (task is not None and task.elsewhere)
        if task is not None and before is not None and task.state != before.state and self.awake:
            if self.standing in (Standing.LOST, Standing.CONNECTING) and not self.picture.alive:
                self._enter()
            elif self.standing in (Standing.LOST, Standing.ENDED) and task.state != "running":
                unseen = self._far and self.standing is Standing.LOST and task.open  # nobody here knows how it ended
                self._set(Standing.ENDED, self.said if unseen else ending_of(task))

    def wake(self) -> None:
        if not self.awake:
            self.awake = True
            self._enter()

    def hibernate(self) -> None:
        """Nothing is parsed or drawn until `wake`; the last frame stays."""
        if self.awake:
            self.awake = False
            self.typing = False
            self._leave()
            self.picture.close()
            self._set(Standing.ASLEEP if self.session else Standing.NOTHING)

    async def aclose(self) -> None:
        """Never to be woken again."""
        link = self._link
        self.hibernate()
        self.awake = False
        self.picture.close()
        if link is not None:
            await link.close()

    def reconnect(self) -> None:
        """The supervisor answers again: go on where the connection was lost."""
        if self.awake and self.standing is Standing.LOST:
            if self._link is not None and self.picture.alive and self._runs:
                self._set(Standing.CONNECTING)
                self._link.open(control=False)
            else:
                self._enter()

    def show_raw(self, raw: bool) -> None:
        """Of a structured session: its bytes, or its words."""
        if raw != self.raw:
            self.raw = raw
            if self.awake and self.structured:
                self._no_longer_typing()
                self.picture.clear()
                self._enter()
                self._changed()

    def fit(self, cols: int, rows: int) -> None:
        """The pane has this size: a transcript is made for it."""
        before, self._size = self._size, (cols, rows)
        if self._size != before and self.in_words and cols and rows:
            if self._resized is not None:
                self._resized.cancel()
            self._resized = self._clock.at(self._clock.now() + _SETTLE, self._refit)

    def _refit(self) -> None:
        self._resized = None
        if self.awake and self._link is not None and self.in_words and self._link.size != self._size:
            self._enter()

    @property
    def _runs(self) -> bool:
        return self.task is not None and self.task.state == "running"

    def _enter(self) -> None:
        if not self.session:
            return
        self._leave()
        assert self.task is not None
        if self.task.mode == "headless" and not self.raw and self._structured.get(self.session, True):
            size = self._size if all(self._size) else _ANY_SIZE
            self._link = TranscriptLink(self._gateway, self.session, size, arrived=self._arrived)
        else:
            self._link = SessionLink(self._gateway, self.session, arrived=self._arrived, refused=self._refused)
        if self._runs:
            self._set(Standing.CONNECTING)
            self._link.open(fresh=True)
        else:
            self._set(Standing.REPLAYING)
            self._link.replay(ending_of(self.task))

    def _leave(self) -> None:
        if self._link is not None:
            self._link.drop()
            self._link = None
        self._turns.drop(self._parse)
        self.frames.stop()
        if self._resized is not None:
            self._resized.cancel()
            self._resized = None
        self._held_since = self._catching_up = None

    def _set(self, standing: Standing, said: str = "") -> None:
        if (standing, said) != (self.standing, self.said):
            self.standing, self.said = standing, said
            self._changed()

    # typing

    def begin_typing(self, cols: int, rows: int) -> str:
        """Become the session's driver: this size is now its own. Returns why not, or ""."""
        if not self._runs or self.standing is Standing.ENDED:
            return "nothing runs here that could read it"
        if self._link is None or self.standing not in (Standing.LIVE, Standing.CONNECTING):
            return self.said or "not connected"
        if self.in_words:
            return "a transcript takes no keys; the raw output does"
        self.typing = True
        self.refusal = ""
        self._link.open(control=True, size=(cols, rows))
        self._changed()
        return ""

    def end_typing(self) -> None:
        if not self.typing:
            return
        self._no_longer_typing()
        if self._link is not None and self.standing in (Standing.LIVE, Standing.CONNECTING):
            self._link.open(control=False)
        self._changed()

    def _no_longer_typing(self) -> None:
        self.typing = False
        self.refusal = ""

    def send(self, data: bytes) -> None:
        if data and self._link is not None and self.typing:
            self._refused("")
            self._link.send(data)

    def resize(self, cols: int, rows: int) -> None:
        if self._link is not None and self.typing:
            self._link.resize(cols, rows)

    def _refused(self, reason: str) -> None:
        if reason != self.refusal:
            self.refusal = reason
            self._changed()

    # parsing

    def _arrived(self) -> None:
        self._turns.want(self._parse)

    def _parse(self, deadline: float) -> bool:
        link, clock = self._link, self._clock
        if link is None:
            return False
        chunk = _CHUNK if self.picture.fast else _SMALL_CHUNK
        try:
            while link is self._link and (event := link.take()) is not None:
                if isinstance(event, Output):
                    data = event.data
                    if len(data) > chunk:
                        link.put_back(data[chunk:])
                        data = data[:chunk]
                    self._feed(data)
                else:
                    self._take(event)
                if clock.now() >= deadline:
                    return link is self._link and link.pending
            return False
        finally:
            if self.picture.alive:
                self.frames.want()

    def _feed(self, data: bytes) -> None:
        if self.task is not None and self.task.mode == "headless":
            data = data.replace(b"\n", b"\r\n")  # from pipes: no terminal has put the returns in
        if self._held_since is not None and self._catching_up is None:
            data = self.picture.feed_frame(data)
            if not self.picture.modes.synchronized:
                self._held_since = None
                self.frames.done()
                self._draw()
        if data:
            self.picture.feed(data)

    def _take(self, event: Fresh | Joined | Preamble | Resized | Gap | Ended | Lost | Unstructured) -> None:
        if isinstance(event, Unstructured):
            self._structured = {self.session: False}
            self._enter()
        elif isinstance(event, Fresh):
            if self.in_words:
                self._structured = {self.session: True}
            self.picture.begin(event.cols, event.rows)
            self._catching_up = (event.end, self._clock.now() + CATCH_UP)
            if self.standing is Standing.CONNECTING:
                self._set(Standing.LIVE)
        elif isinstance(event, Joined):
            self._set(Standing.LIVE)
        elif isinstance(event, Preamble):
            self.picture.feed(event.data)
        elif isinstance(event, Resized):
            self.picture.resize(event.cols, event.rows)
        elif isinstance(event, Gap):
            self.picture.feed(b"\x1b[0m\r\n[%d bytes are no longer kept]\r\n" % event.size)
        elif isinstance(event, Ended):
            self._no_longer_typing()
            self._catching_up = None
            known = ending_of(self.task) if self.in_words and self.task is not None and not self._runs else event.text
            self._set(Standing.ENDED, short(known))
        else:
            self._no_longer_typing()
            self._catching_up = None
            ended = self.task is not None and not self._runs
            self._set(Standing.ENDED if ended else Standing.LOST, short(event.reason))

    # drawing

    def _frame(self) -> bool:
        """False: what was fed is not to be seen yet."""
        now = self._clock.now()
        if self._catching_up is not None:
            end, until = self._catching_up
            if self._link is not None and self._link.offset < end and now < until:
                self.frames.no_sooner(until)
                return False
            self._catching_up = None
        if self.picture.modes.synchronized:
            if self._held_since is None:
                self._held_since = now
            if now < self._held_since + HOLD:
                self.frames.no_sooner(self._held_since + HOLD)
                return False
        self._held_since = None
        self._draw()
        return True
