"""Signals for a pump that runs in the main thread."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from typing import Any

from lite.terminal.wake import STOPS, Stopped, Wake


@contextlib.contextmanager
def signals(wake: Wake) -> Iterator[None]:
    """SIGWINCH and SIGCONT wake the pump; SIGTERM, SIGHUP, SIGINT raise `Stopped`, once: a write to a terminal that
    takes nothing must be interruptible."""

    def stop(signum: int, _frame: object) -> None:
        for each in STOPS:
            signal.signal(each, signal.SIG_IGN)  # the clean-up must not be interrupted
        raise Stopped(signum)

    handlers: dict[signal.Signals, Any] = {}
    before = signal.set_wakeup_fd(wake.writer, warn_on_full_buffer=False)
    try:
        for each in (signal.SIGWINCH, signal.SIGCONT):
            handlers[each] = signal.signal(each, lambda _signum, _frame: None)
        for each in STOPS:
            handlers[each] = signal.signal(each, stop)
        yield
    finally:
        for each, handler in handlers.items():
            signal.signal(each, handler)
        signal.set_wakeup_fd(before)
