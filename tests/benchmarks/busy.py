"""What runs in the panes of the dashboard's benchmark. `busy.py redraw N` draws pane N at 30 Hz; `busy.py echo` answers
every key with a token of its own."""

from __future__ import annotations

import os
import sys
import termios
import time
import tty


def redraw(pane: int) -> None:
    """A status line with a counter, and two lines of work, as an agent's spinner does."""
    begun = time.monotonic()
    frame = 0
    out = sys.stdout.buffer
    out.write(b"\x1b[2J")
    for row in range(4, 12):
        out.write(b"\x1b[%d;1H\x1b[3%dmline %d of what stands still\x1b[0m" % (row, row % 7 + 1, row))
    while True:
        out.write(b"\x1b[1;1H\x1b[1mp%d-%06d\x1b[0m working" % (pane, frame))
        out.write(b"\x1b[2;1H\x1b[36m%s\x1b[0m\x1b[K" % (b"=" * (frame % 30)))
        out.write(b"\x1b[3;1Htokens %d\x1b[K" % (frame * 17))
        out.flush()
        frame += 1
        time.sleep(max(0.0, begun + frame / 30 - time.monotonic()))


def echo() -> None:
    tty.setraw(0, termios.TCSANOW)
    os.write(1, b"\x1b[2J\x1b[1;1Hready")
    count = 0
    while os.read(0, 1):
        os.write(1, b"\x1b[2;1H<K%05d>" % count)
        count += 1


if __name__ == "__main__":
    if sys.argv[1] == "redraw":
        redraw(int(sys.argv[2]))
    else:
        echo()
