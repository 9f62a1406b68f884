"""The raw pump between the user's terminal and one session: one wait, no JSON, nothing re-encoded.

Keys go to the program byte for byte; its output comes back through `lite.terminal.passthrough`. The terminal is put
back as it was on every way out: detach, end of the session, error, SIGTERM, SIGHUP.
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
from collections.abc import Iterator
from typing import Any, NamedTuple

from lite.terminal import packets
from lite.terminal.keys import DetachKey
from lite.terminal.passthrough import Passthrough

_CHUNK = 64 * 1024
_MAX_PENDING = 16 << 20  # bytes typed or pasted that the session has not taken yet
_SHOWN = (packets.OUT, packets.ERR, packets.PREAMBLE)
_CANCEL = b"\x18"  # ends whatever sequence an interrupted write left open


class Ending(NamedTuple):
    """How an attachment ended: `detached`, `ended` (text: exit.json), `lost`, `refused` (text: why), `signal`."""

    how: str
    text: str = ""
    signum: int = 0


class _Signalled(BaseException):
    def __init__(self, signum: int) -> None:
        self.signum = signum


class Pump:
    """One attachment. `stdin` None: nothing is read from the user, who then leaves by a signal."""

    def __init__(self, sock: socket.socket, *, stdin: int | None, stdout: int, key: DetachKey, control: bool) -> None:
        self._sock = sock
        self._stdin = stdin
        self._stdout = stdout
        self._key = key
        self._control = control
        self._filter = Passthrough()
        self._decoder = packets.Decoder()
        self._pending = bytearray()
        self._writing = False

    def run(self) -> Ending:
        """Pump until something ends it; the terminal is as before when this returns or raises."""
        with _signals() as wake:
            try:
                return self._guarded(wake)
            except _Signalled as signalled:
                return Ending("signal", signum=signalled.signum)

    def _guarded(self, wake: int) -> Ending:
        saved = None if self._stdin is None else termios.tcgetattr(self._stdin)
        try:
            self._raw()
            return self._pump(wake)
        finally:
            try:
                self._restore(saved)
            except _Signalled:  # it comes only once
                self._restore(saved)
                raise

    def _pump(self, wake: int) -> Ending:
        sock = self._sock
        sock.setblocking(False)
        cols, rows = self._size()
        role = packets.CONTROL if self._control else packets.WATCH
        self._pending += packets.hello(role, 0, packets.SAFE_MARK, cols, rows)
        stdin, session = -1 if self._stdin is None else self._stdin, sock.fileno()
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
            for descriptor, _ in poll.poll():
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
                    self._woken(os.read(wake, 64))
                if ending is not None:
                    return ending

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
            view = view[os.write(self._stdout, view) :]
        self._writing = False

    def _woken(self, signums: bytes) -> None:
        if signal.SIGCONT in signums:
            self._raw()
        if self._control:
            self._pending += packets.resize(*self._size())

    def _raw(self) -> None:
        if self._stdin is not None:
            tty.setraw(self._stdin, termios.TCSANOW)

    def _size(self) -> tuple[int, int]:
        if not self._control:
            return 0, 0
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
        with contextlib.suppress(OSError):
            if select.select([], [self._stdout], [], 1.0)[1]:
                os.write(self._stdout, (_CANCEL if self._writing else b"") + self._filter.reset())


@contextlib.contextmanager
def _signals() -> Iterator[int]:
    """SIGWINCH and SIGCONT arrive as bytes on the yielded descriptor; SIGTERM, SIGHUP, SIGINT raise, once."""

    def stop(signum: int, _frame: object) -> None:
        for each in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            signal.signal(each, signal.SIG_IGN)  # the clean-up must not be interrupted
        raise _Signalled(signum)

    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    os.set_blocking(writer, False)
    handlers: dict[signal.Signals, Any] = {}
    before = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    try:
        for each in (signal.SIGWINCH, signal.SIGCONT):
            handlers[each] = signal.signal(each, lambda _signum, _frame: None)
        for each in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            handlers[each] = signal.signal(each, stop)
        yield reader
    finally:
        for each, handler in handlers.items():
            signal.signal(each, handler)
        signal.set_wakeup_fd(before)
        os.close(reader)
        os.close(writer)
