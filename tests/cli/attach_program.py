"""Runs one `Pump` in the terminal it is started in and reports how it ended: `python -m ... SOCKET [watch|crash]`."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import sys
import termios

from lite.cli.signals import signals
from lite.terminal.keys import DetachKey
from lite.terminal.passthrough import Passthrough
from lite.terminal.pump import Ending, Pump
from lite.terminal.wake import Wake


class Crashing(Passthrough):
    def feed(self, data: bytes) -> bytes:
        raise RuntimeError(data)


def main(path: str, how: str = "") -> None:
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(path)
    wake = Wake()
    pump = Pump(sock, stdin=0, stdout=1, key=DetachKey(), control=how != "watch", wake=wake)
    if how == "crash":
        pump._filter = Crashing()
    before = termios.tcgetattr(0)
    try:
        with signals(wake):
            ending = pump.run()
    except RuntimeError:
        ending = Ending("crashed")
    restored = termios.tcgetattr(0) == before
    os.write(1, json.dumps({**ending._asdict(), "restored": restored}).encode() + b"\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
