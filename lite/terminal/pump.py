"""The raw pump between the user's terminal and one session: one wait, no JSON, nothing re-encoded.

Keys go to the program byte for byte; its output comes back through `lite.terminal.passthrough`. The terminal is put
back as it was on every way out: detach, end of the session, error, SIGTERM, SIGHUP. It knows no signals: whoever runs
it, in the main thread or in another one, tells it what happens through a `Wake`.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import signal
import socket
import termios
import tty
from collections.abc import Callable
from typing import Any, NamedTuple

from lite.terminal import packets
from lite.terminal.bar import GIVE_TITLE_BACK, LEAST_ROWS, TAKE_TITLE, title
from lite.terminal.confined import Confined
from lite.terminal.keys import DetachKey
from lite.terminal.passthrough import Passthrough
from lite.terminal.wake import REDRAW, STOPS, Stopped, Wake

_CHUNK = 64 * 1024
_MAX_PENDING = 16 << 20  # bytes typed or pasted that the session has not taken yet
_SHOWN = (packets.OUT, packets.ERR, packets.PREAMBLE)
_CANCEL = b"\x18"  # ends whatever sequence an interrupted write left open


class Ending(NamedTuple):
    """How an attachment ended: `detached`, `ended` (text: exit.json), `lost`, `refused` (text: why), `signal`."""

    how: str
    text: str = ""
    signum: int = 0


class Pump:
    """One attachment. `stdin` None: nothing is read from the user, who then leaves by a signal.

    `bar` is given a number of columns and returns one line, text and SGR, for the last row of the terminal; the session
    has the others. Terminals of fewer than 8 rows show none. `caption` returns the title of the window, the program's
    own are dropped. Both are called in the thread that runs the pump: at the start, after `Wake.redraw` and
    `Wake.resized`.
    """

    def __init__(
        self,
        sock: socket.socket,
        *,
        stdin: int | None,
        stdout: int,
        key: DetachKey,
        control: bool,
        wake: Wake,
        bar: Callable[[int], str] | None = None,
        caption: Callable[[], str] | None = None,
    ) -> None:
        self._sock = sock
        self._stdin = stdin
        self._stdout = self._out = stdout
        self._key = key
        self._control = control
        self._wake = wake
        self._bar = bar
        self._caption = caption
        self._captioned = ""
        self._confined = None if bar is None else Confined(own_title=caption is not None)
        self._filter = self._confined or Passthrough(own_title=caption is not None)
        self._decoder = packets.Decoder()
        self._pending = bytearray()
        self._heard = b""  # told while the terminal took nothing
        self._writing = False

    def run(self) -> Ending:
        """Pump until something ends it; the terminal is as before when this returns or raises."""
        try:
            return self._guarded()
        except Stopped as stopped:
            return Ending("signal", signum=stopped.signum)

    def _guarded(self) -> Ending:
        saved = None if self._stdin is None else termios.tcgetattr(self._stdin)
        own = None
        try:
            # An open file of our own can be made non-blocking without doing so to everybody's.
            with contextlib.suppress(OSError):
                own = os.open(os.ttyname(self._stdout), os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK)
                self._out = own
            self._raw()
            return self._pump()
        finally:
            try:
                self._restore(saved)
            except Stopped:  # it comes only once
                self._restore(saved)
                raise
            finally:
                self._out = self._stdout
                if own is not None:
                    os.close(own)

    def _pump(self) -> Ending:
        sock = self._sock
        sock.setblocking(False)
        role = packets.CONTROL if self._control else packets.WATCH
        self._pending += packets.hello(role, 0, packets.SAFE_MARK, *self._size())
        self._dress()
        wake, session = self._wake.reader, sock.fileno()
        stdin = -1 if self._stdin is None else self._stdin
        poll = select.poll()
        poll.register(wake, select.POLLIN)
        if stdin >= 0:
            poll.register(stdin, select.POLLIN)
        self._send()
        waits = not self._pending
        while True:
            if waits != bool(self._pending):
                waits = not waits
                poll.register(session, select.POLLIN | (select.POLLOUT if waits else 0))
            for descriptor, _ in poll.poll(self._patience()):
                ending = None
                if descriptor == session:
                    if self._pending:
                        self._send()
                    ending = self._arrived()
                elif descriptor == stdin:
                    ending = self._typed()
                    if self._pending:
                        self._send()
                else:
                    ending = self._woken(self._wake.heard())
                if ending is not None:
                    return ending
            if self._heard:
                self._woken(b"")
            if self._confined is not None:
                self._write(self._confined.flush())

    def _typed(self) -> Ending | None:
        assert self._stdin is not None
        try:
            data = os.read(self._stdin, _CHUNK)
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            data = b""
        if not data:
            return Ending("signal", signum=signal.SIGHUP)  # the terminal is gone
        data, pressed = self._key.feed(data)
        if pressed or (not self._control and b"\x03" in data):
            return Ending("detached")
        if data and self._control and len(self._pending) < _MAX_PENDING:
            self._pending += packets.encode(packets.INPUT, data)
        return None

    def _send(self) -> None:
        try:
            sent = self._sock.send(self._pending)
        except BlockingIOError:
            return
        except (BrokenPipeError, ConnectionResetError):
            self._pending.clear()  # what the session said last is still to be read
            return
        del self._pending[:sent]

    def _arrived(self) -> Ending | None:
        try:
            data = self._sock.recv(_CHUNK)
        except BlockingIOError:
            return None
        except ConnectionResetError:
            data = b""
        if not data:
            return Ending("lost")
        screen = b""
        ending = None
        for kind, payload in self._decoder.feed(data):
            if kind == packets.OUTPUT:
                _, stream, output = packets.parse_output(payload)
                if stream in _SHOWN:
                    screen += self._filter.feed(output)
            elif kind == packets.GAP:
                begin, end = packets.parse_gap(payload)
                screen += b"\r\n[qd: %d bytes are no longer kept]\r\n" % (end - begin)
            elif kind == packets.EXIT:
                ending = Ending("ended", payload.decode("utf-8", "replace"))
            elif kind == packets.REFUSED:
                ending = Ending("refused", payload.decode("utf-8", "replace"))
            elif kind == packets.WELCOME:
                protocol = packets.parse_welcome(payload)[0]
                if not packets.OLDEST_PROTOCOL <= protocol <= packets.PROTOCOL:
                    ending = Ending(
                        "refused", f"the session speaks protocol {protocol}, this program {packets.PROTOCOL}"
                    )
        if screen:
            self._write(screen)
        return ending

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        self._writing = True
        while view:
            try:
                view = view[os.write(self._out, view) :]
            except BlockingIOError:
                self._blocked()
        self._writing = False

    def _blocked(self) -> None:
        """The terminal takes nothing now: wait for that, or to be stopped."""
        poll = select.poll()
        poll.register(self._out, select.POLLOUT)
        poll.register(self._wake.reader, select.POLLIN)
        poll.poll()
        told = self._wake.heard()
        stop = _stop_among(told)
        if stop:
            raise Stopped(stop)
        self._heard = bytes(set(self._heard + told))

    def _woken(self, told: bytes) -> Ending | None:
        told, self._heard = self._heard + told, b""
        stop = _stop_among(told)
        if stop:
            return Ending("signal", signum=stop)
        continued = signal.SIGCONT in told
        if continued:
            self._raw()
        if continued or signal.SIGWINCH in told:
            if self._control:
                self._pending += packets.resize(*self._size())
                self._send()
            if self._confined is not None:
                self._write(self._confined.resize(*self._terminal()))
        if continued or signal.SIGWINCH in told or REDRAW in told:
            self._say()
        return None

    def _dress(self) -> None:
        if self._confined is not None:
            self._write(self._confined.start(*self._terminal()))
        if self._caption is not None:
            self._write(TAKE_TITLE)
        self._say()

    def _say(self) -> None:
        """The bar and the title, as they are now."""
        if self._bar is not None and self._confined is not None:
            self._confined.show(self._bar(self._terminal()[0]))
            self._write(self._confined.flush())
        if self._caption is not None:
            caption = self._caption()
            if caption != self._captioned:
                self._captioned = caption
                self._write(title(caption))

    def _patience(self) -> int | None:
        """Milliseconds until a bar that had to wait is painted, None when there is none."""
        seconds = None if self._confined is None else self._confined.wait()
        return None if seconds is None else int(seconds * 1000) + 1

    def _raw(self) -> None:
        if self._stdin is not None:
            tty.setraw(self._stdin, termios.TCSANOW)

    def _size(self) -> tuple[int, int]:
        """(columns, rows) to ask the session for; zeros leave it alone."""
        if not self._control:
            return 0, 0
        cols, rows = self._terminal()
        return cols, rows - 1 if self._bar is not None and rows >= LEAST_ROWS else rows

    def _terminal(self) -> tuple[int, int]:
        try:
            return tuple(os.get_terminal_size(self._stdout))  # type: ignore[return-value]
        except OSError:
            return 0, 0

    def _restore(self, saved: list[Any] | None) -> None:
        """Settings first, they cannot block; then the screen's modes, unless the terminal takes no more output."""
        with contextlib.suppress(termios.error):
            if saved is not None and self._stdin is not None:
                termios.tcflush(self._stdin, termios.TCIFLUSH)  # replies and releases of keys meant for the session
                termios.tcsetattr(self._stdin, termios.TCSANOW, saved)
        if self._stdin is None and not os.isatty(self._stdout):
            return
        reset = (_CANCEL if self._writing else b"") + self._filter.reset()
        if self._caption is not None:
            reset += GIVE_TITLE_BACK
        poll = select.poll()
        poll.register(self._out, select.POLLOUT)
        with contextlib.suppress(OSError):
            while reset and poll.poll(1000):
                reset = reset[os.write(self._out, reset) :]


def _stop_among(told: bytes) -> int:
    """The first signal in `told` that ends a pump, or 0."""
    return next((each for each in told if each in STOPS), 0)
