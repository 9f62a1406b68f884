"""One program's output out of two sources, none of which has all of it: no byte twice, none missing. Pure.

The **attach** stream is live, byte for byte, but gives nothing of the past. The **log** has the past, but in lines:
an unfinished line is not in it yet, and carriage returns before a newline are lost in it. So both are counted in a
normal form in which any carriage returns before a newline are gone, and a newline that comes from the log gets one
back for a terminal.

After a cut the log is read up to the position reached, and what is new in it is passed on. Meanwhile the new attach
stream is held, until its beginning is found in a log that was read after it came, at exactly one place that is not
older than the last log read before it: from there on it is live. What repeats itself may fit in several places; then
the log goes on being read.
"""

from __future__ import annotations

_MOST_HELD = 4 << 20  # bytes of an attach stream that waits for its place


class Normal:
    """Streaming normal form: any run of "\\r" right before a newline is left out. `held` counts the "\\r" seen last,
    which belong to nothing yet."""

    __slots__ = ("held",)

    def __init__(self, held: int = 0) -> None:
        self.held = held

    def feed(self, data: bytes) -> bytes:
        body = data.rstrip(b"\r")
        trailing = len(data) - len(body)
        if not body:
            self.held += trailing
            return b""
        start = body.lstrip(b"\r")
        leading = self.held + len(body) - len(start)
        self.held = trailing
        if b"\r\n" in start:
            *lines, last = start.split(b"\n")
            start = b"\n".join([*(line.rstrip(b"\r") for line in lines), last])
        return start if start[:1] == b"\n" else b"\r" * leading + start


def normal(data: bytes) -> bytes:
    """Without the "\\r" at the very end, which may yet turn out to stand before a newline."""
    return Normal().feed(data)


def cut_normal(raw: bytes, count: int) -> int:
    """How many bytes of `raw` make up its first `count` normal ones."""
    at, line_end = 0, 0
    while count > 0:
        line_end = raw.find(b"\n", at)
        line = raw[at:] if line_end < 0 else raw[at:line_end].rstrip(b"\r")
        if count <= len(line) or line_end < 0:
            return at + min(count, len(line))
        count -= len(line) + 1
        at = line_end + 1
    return at


class Splice:
    """`passed` counts normal bytes passed on (a held "\\r" is not among them). `live`: the attach stream has its place
    and the log is not needed any more. `terminal`: newlines of the log get their "\\r" back."""

    def __init__(self, *, terminal: bool, passed: int = 0, held: int = 0) -> None:
        self.passed = passed
        self.live = False
        self.overflown = False  # more was held than may be: attach anew
        self._terminal = terminal
        self._out = Normal(held)
        self._log = Normal()
        self._at = 0  # in the log that is being read
        self._known = 0  # what the logs read so far have reached
        self._from: int | None = None  # what has to be kept of the log, from where
        self._window = bytearray()
        self._raw = bytearray()  # the attach stream while it is held
        self._attached = False
        self._skip = 0  # normal bytes of the attach stream which the log has brought already
        self._skipping = Normal()

    def __repr__(self) -> str:
        return f"<Splice {self.passed} passed, {'live' if self.live else f'{len(self._raw)} held'}>"

    @property
    def held(self) -> int:
        """Bytes of the attach stream that wait for their place."""
        return len(self._raw)

    @property
    def lines_held(self) -> bool:
        """Is there a whole line among them, so that reading the log again may help?"""
        return b"\n" in self._raw

    # the attach stream

    def attach(self) -> None:
        """A new attach stream is about to be asked for; the log read before is complete up to this moment."""
        self.live, self.overflown, self._attached = False, False, True
        self._raw.clear()
        self._window.clear()
        self._from = self._known
        self._skip, self._skipping = 0, Normal()

    def begin(self) -> None:
        """The attach stream has the program's very first byte next, and nothing was passed on before."""
        self.attach()
        self.live = True

    def attached(self, data: bytes) -> bytes:
        """What of it is to be passed on now."""
        if not self._attached:
            return b""
        if self.live:
            return self._pass(self._without_skipped(data) if self._skip else data)
        self._raw += data
        if len(self._raw) > _MOST_HELD:
            self.overflown, self._attached = True, False
            self._raw.clear()
        return b""

    def assume(self) -> bytes:
        """Nothing was printed while nobody was attached: pass on what is held. For a person at a terminal who waits in
        the middle of a line, which the log will have only when it is finished."""
        if not self._attached or self.live:
            return b""
        return self._go_live(0)

    def cut(self) -> None:
        """The attach stream is gone. What was held of it comes again, out of the log."""
        self.live, self._attached, self._from = False, False, None
        self._raw.clear()
        self._window.clear()

    # the log

    def begin_log(self) -> None:
        """The log is read from the program's first byte on."""
        self._at, self._log = 0, Normal()

    def log(self, data: bytes) -> bytes:
        """What of it is to be passed on now."""
        text = self._log.feed(data)
        at, self._at = self._at, self._at + len(text)
        if self._from is not None:
            kept = self._from + len(self._window)
            if self._at > kept:
                self._window += text[max(kept - at, 0) :]
        self._known = max(self._known, self._at)
        if self.live or self._at <= self.passed:
            return b""
        return self._pass(self._restored(text[max(self.passed - at, 0) :]))

    def end_log(self, held: int) -> bytes:
        """The log was read to its end; when that was begun, `held` bytes were held of the attach stream."""
        if not self._attached or self.live or self._from is None:
            return b""
        early = normal(bytes(self._raw[:held]))
        early = early[: early.rfind(b"\n") + 1]
        if not early:
            return b""
        place = self._place(early)
        if place is None:
            return b""
        return self._go_live(max(self.passed - self._from - place, 0))

    def _place(self, early: bytes) -> int | None:
        """Where in the window the attach stream begins, if there is exactly one such place."""
        window, whole = bytes(self._window), normal(bytes(self._raw))
        found: int | None = None
        at = window.find(early)
        while at >= 0:
            overlap = min(len(whole), len(window) - at)
            if window[at : at + overlap] == whole[:overlap]:
                if found is not None:
                    return None
                found = at
            at = window.find(early, at + 1)
        return found

    def _go_live(self, skip: int) -> bytes:
        raw = bytes(self._raw)
        self._raw.clear()
        self._window.clear()
        self._from = None
        self.live = True
        self._skip, self._skipping = skip, Normal()
        return self._pass(self._without_skipped(raw) if skip else raw)

    def _without_skipped(self, data: bytes) -> bytes:
        held = self._skipping.held
        raw = b"\r" * held + data
        text = normal(raw)
        if len(text) <= self._skip:
            self._skip -= len(text)
            self._skipping.held = len(raw) - len(raw.rstrip(b"\r"))
            if not self._skip:
                rest, self._skipping.held = b"\r" * self._skipping.held, 0
                return rest
            return b""
        count, self._skip = self._skip, 0
        self._skipping.held = 0
        return raw[cut_normal(raw, count) :]

    # passing on

    def _restored(self, text: bytes) -> bytes:
        """Text of the log as a terminal wants it; the "\\r" that were passed on before its beginning are not
        repeated."""
        before = self._out.held
        if before:
            if text[:1] == b"\n":
                head, text = b"\n", text[1:]
                return head + (text.replace(b"\n", b"\r\n") if self._terminal else text)
            gone = min(before, len(text) - len(text.lstrip(b"\r")))
            text = text[gone:]
        return text.replace(b"\n", b"\r\n") if self._terminal else text

    def _pass(self, data: bytes) -> bytes:
        self.passed += len(self._out.feed(data))
        return data
