"""Runs `qd` with the terminal on stdin as its controlling terminal, so that ctrl-c is a signal."""

from __future__ import annotations

import fcntl
import sys
import termios

from lite.__main__ import main

if __name__ == "__main__":
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    sys.exit(main())
