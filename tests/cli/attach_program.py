"""Runs one `Pump` in the terminal it is started in and reports how it ended: `python -m ... SOCKET [watch|crash|bar]`.

With `bar` the pump is in a thread, as in the dashboard: SIGUSR1 changes the bar, SIGTERM stops it from outside.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import socket
import sys
import termios
import threading

from lite.cli.signals import signals
from lite.terminal.keys import DetachKey
from lite.terminal.passthrough import Passthrough
from lite.terminal.pump import Ending, Pump
from lite.terminal.wake import Wake, relayed


class Crashing(Passthrough):
    def feed(self, data: bytes) -> bytes:
        raise RuntimeError(data)


class Beside:
    """The rest of a program whose pump is in a thread."""

    def __init__(self, wake: Wake) -> None:
        self.text, self.thread = "one waits", threading.get_ident()
        signal.signal(signal.SIGUSR1, lambda *_: self.change(wake))

    def change(self, wake: Wake) -> None:
        self.text = "two wait\x1b[2J"
        wake.redraw()

    def bar(self, cols: int) -> str:
        assert threading.get_ident() != self.thread
        return f"{self.text} in {cols}"

    def caption(self) -> str:
        return self.text

    def run(self, pump: Pump) -> Ending:
        endings: list[Ending] = []
        thread = threading.Thread(target=lambda: endings.append(pump.run()))
        thread.start()
        thread.join()
        return endings[0]


def main(path: str, how: str = "") -> None:
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(path)
    wake = Wake()
    beside = Beside(wake) if how == "bar" else None
    pump = Pump(
        sock,
        stdin=0,
        stdout=1,
        key=DetachKey(),
        control=how != "watch",
        wake=wake,
        bar=beside.bar if beside else None,
        caption=beside.caption if beside else None,
    )
    if how == "crash":
        pump._filter = Crashing()
    before = termios.tcgetattr(0)
    try:
        with relayed(wake) if beside else signals(wake):
            ending = beside.run(pump) if beside else pump.run()
    except RuntimeError:
        ending = Ending("crashed")
    restored = termios.tcgetattr(0) == before
    os.write(1, json.dumps({**ending._asdict(), "restored": restored}).encode() + b"\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
