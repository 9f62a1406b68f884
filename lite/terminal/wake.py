"""How another thread, or a signal, reaches a running pump: a pipe of one-byte commands."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from typing import Any

REDRAW = 0x80  # beyond every signal number; smaller bytes are signal numbers, as `signal.set_wakeup_fd` writes them
STOPS = frozenset((signal.SIGTERM, signal.SIGHUP, signal.SIGINT))


class Stopped(BaseException):
    """Ends a pump from within, wherever it is: what a handler of the main thread raises."""

    def __init__(self, signum: int) -> None:
        self.signum = signum


class Wake:
    """A context manager. Its verbs may be called by any thread and in signal handlers, also after the end (without
    effect); none waits."""

    def __init__(self) -> None:
        self.reader, self.writer = os.pipe()
        os.set_blocking(self.reader, False)
        os.set_blocking(self.writer, False)
        self._lock = threading.RLock()  # reentrant: a handler may interrupt a verb
        self._open = True

    def __enter__(self) -> Wake:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        with self._lock:
            if self._open:
                self._open = False
                os.close(self.reader)
                os.close(self.writer)

    def resized(self) -> None:
        """The terminal may have a new size."""
        self._say(signal.SIGWINCH)

    def continued(self) -> None:
        """The process was stopped and goes on: its terminal was in other hands."""
        self._say(signal.SIGCONT)

    def stop(self, signum: int = signal.SIGTERM) -> None:
        """End the pump as that signal does; `signum` is one of `STOPS`."""
        if signum not in STOPS:
            raise ValueError(f"signal {signum} does not stop a pump")
        self._say(signum)

    def redraw(self) -> None:
        """The text of the bar or of the title may have changed."""
        self._say(REDRAW)

    def _say(self, command: int) -> None:
        with self._lock, contextlib.suppress(BlockingIOError):  # full: it wakes anyway
            if self._open:
                os.write(self.writer, bytes([command]))

    def heard(self) -> bytes:
        """What was said since the last call; does not wait."""
        try:
            return os.read(self.reader, 4096)
        except BlockingIOError:
            return b""


@contextlib.contextmanager
def relayed(wake: Wake) -> Iterator[None]:
    """For a main thread whose pump runs in another one: the terminal's signals and those that end the process go to
    the pump, until the handlers are put back as they were."""
    handlers: dict[signal.Signals, Any] = {}
    try:
        handlers[signal.SIGWINCH] = signal.signal(signal.SIGWINCH, lambda *_: wake.resized())
        handlers[signal.SIGCONT] = signal.signal(signal.SIGCONT, lambda *_: wake.continued())
        for each in STOPS:
            handlers[each] = signal.signal(each, lambda signum, _: wake.stop(signum))
        yield
    finally:
        for each, handler in handlers.items():
            signal.signal(each, handler)
