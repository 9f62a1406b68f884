"""The program's terminal and pipes, from outside: drained always, fed as fast as the program reads."""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
import struct
import termios
import time
from collections.abc import Callable

from lite.executors.local.poller import READ, WRITE, Poller
from lite.executors.local.program import Program
from lite.terminal import packets

_TERMINAL = 1 << 12  # bytes a terminal gives at a time, at most
_TICK = 1 << 16  # bytes read from one descriptor before the others get their turn
_HUNG_UP_SECONDS = 0.25  # a terminal that all have closed may be opened again
_LAST_BYTES_SECONDS = 1.0
_MAX_REPLIES = 1 << 16


class Channels:
    """`take(stream, data)` gets every byte. `waiting` counts bytes the program has not read yet; `due` (monotonic
    seconds) is when `look_again` wants to be called."""

    def __init__(self, poller: Poller, program: Program, take: Callable[[int, bytes], None]) -> None:
        self.terminal = program.terminal
        self.due: float | None = None
        self._poller, self._take = poller, take
        self._streams = {program.out: packets.OUT, program.err: packets.ERR, program.terminal: packets.OUT}
        self._streams.pop(-1, None)
        self._buffer = memoryview(mmap.mmap(-1, _TICK))  # costs memory only as far as it is used
        self._pending = bytearray()
        self._events = 0  # what we wait for on the terminal; 0: it is hung up
        for descriptor in self._streams:
            if descriptor != self.terminal:
                poller.register(descriptor, READ, self._pipe_ready)
        self.look_again()

    @property
    def waiting(self) -> int:
        return len(self._pending)

    def look_again(self) -> None:
        self.due = None
        self._events = self._wanted()
        self._poller.register(self.terminal, self._events, self._terminal_ready)

    def write(self, data: bytes) -> None:
        """Input for the program; the rest waits until it reads."""
        self._pending += data
        self._feed()

    def reply(self, data: bytes) -> None:
        """The same, dropped where the program does not read: it floods us with queries."""
        if data and len(self._pending) < _MAX_REPLIES:
            self.write(data)

    def look(self) -> None:
        """Take what the terminal has to say at this very moment, without waiting to be told."""
        if self._events:
            try:
                data = os.read(self.terminal, _TERMINAL)
            except OSError:
                return  # nothing yet, or the end: the poller tells
            if data:
                self._take(packets.OUT, data)

    def resize(self, cols: int, rows: int) -> None:
        """Raises OSError."""
        fcntl.ioctl(self.terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))

    def masked(self, data: bytes) -> bytes:
        """What is typed where the terminal shows nothing (a password) as stars."""
        try:
            flags = termios.tcgetattr(self.terminal)[3]
        except termios.error:
            return data
        return b"*" * len(data) if flags & termios.ICANON and not flags & termios.ECHO else data

    def finish(self, *, patient: bool) -> None:
        """All processes are gone: take their last bytes. Not `patient`: some are not, do not wait for the end."""
        self.due = None
        for descriptor, stream in self._streams.items():
            deadline = time.monotonic() + _LAST_BYTES_SECONDS
            while time.monotonic() < deadline:
                data, over = self._drain(descriptor)
                if data:
                    self._take(stream, data)
                elif over or not patient:
                    break
                else:
                    time.sleep(0.002)  # written already, but still on its way through the terminal
            try:
                self._poller.unregister(descriptor)
            except KeyError:
                pass  # hung up before
        self._events = 0

    def _terminal_ready(self, descriptor: int, mask: int) -> None:
        if mask & READ:
            data, over = self._drain(descriptor)
            if data:
                self._take(packets.OUT, data)
            if over:
                self._poller.unregister(descriptor)
                self._events = 0
                self.due = time.monotonic() + _HUNG_UP_SECONDS
                return
        if mask & WRITE:
            self._feed()

    def _pipe_ready(self, descriptor: int, _mask: int) -> None:
        data, over = self._drain(descriptor)
        if data:
            self._take(self._streams[descriptor], data)
        if over:
            self._poller.unregister(descriptor)

    def _drain(self, descriptor: int) -> tuple[bytes, bool]:
        """At most `_TICK` bytes, and whether this was the end. One buffer for all: a terminal gives 4 KiB at a time."""
        view = self._buffer
        taken = 0
        over = False
        while taken < _TICK:
            try:
                count = os.readv(descriptor, [view[taken:]])
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno != errno.EIO:  # EIO: nobody has the terminal open any more
                    raise
                count = 0
            if not count:
                over = True
                break
            taken += count
        return bytes(view[:taken]), over

    def _feed(self) -> None:
        """Give the program what it takes now; the poller tells when it takes more."""
        try:
            while self._pending:
                del self._pending[: os.write(self.terminal, self._pending[:_TICK])]
        except BlockingIOError:
            pass
        except OSError:
            self._pending.clear()
        if self._events not in (0, self._wanted()):
            self._events = self._wanted()
            self._poller.modify(self.terminal, self._events)

    def _wanted(self) -> int:
        return READ | WRITE if self._pending else READ
