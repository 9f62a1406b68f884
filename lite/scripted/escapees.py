"""Processes that try to outlive their session, in every style known from real programs."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable

STYLES = ("plain", "setsid", "double-fork", "nohup", "daemon", "stopped")


def spawn_escapee(style: str, seconds: float, ignored: Iterable[str] = ()) -> int:
    """Start one `sleep SECONDS` in that style; its pid, once it runs. `ignored` are signal names without SIG."""
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(read_end)
            _escape(style, write_end, seconds, ignored)
        finally:
            os._exit(70)
    os.close(write_end)
    with os.fdopen(read_end, "rb") as pipe:
        told = pipe.read()  # until the exec closes it
    if style in ("double-fork", "daemon"):
        os.waitpid(child, 0)
    if not told:
        raise OSError(f"the {style} escapee could not be started")
    return int(told)


def ignore_signals(names: Iterable[str]) -> None:
    for name in names:
        signal.signal(signal_number(name), signal.SIG_IGN)


def signal_number(name: str) -> int:
    """Raises ValueError."""
    try:
        return signal.Signals[f"SIG{name.upper().removeprefix('SIG')}"]
    except KeyError:
        raise ValueError(f"no signal {name!r}") from None


def _escape(style: str, tell: int, seconds: float, ignored: Iterable[str]) -> None:
    if style in ("setsid", "daemon"):
        os.setsid()
    if style in ("double-fork", "daemon") and os.fork():
        os._exit(0)
    if style == "daemon":
        os.chdir("/")
        os.umask(0)
    if style in ("nohup", "daemon"):
        null = os.open(os.devnull, os.O_RDWR)
        for fd in (0, 1, 2):
            os.dup2(null, fd)
    if style == "nohup":
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    ignore_signals(ignored)
    os.write(tell, str(os.getpid()).encode())
    if style == "stopped":
        os.execvp("sh", ["sh", "-c", f"kill -STOP $$; exec sleep {seconds:g}"])
    os.execvp("sleep", ["sleep", f"{seconds:g}"])
