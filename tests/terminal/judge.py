"""tmux as a judge of screens: what bytes make of a real terminal, read back once all of them were taken in."""

from __future__ import annotations

import os
import shutil
import socket
import struct
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

DEADLINE = 30.0
COLS, ROWS = 100, 30


class Screen(NamedTuple):
    lines: list[str]  # with colours
    cursor: tuple[int, int]  # column, row, from 0

    @property
    def last(self) -> str:
        return self.lines[-1]


class Judge:
    """A tmux server of its own, with as many windows as wanted. A context manager."""

    def __init__(self, directory: Path) -> None:
        found = shutil.which("tmux")
        assert found, "tmux is needed"
        self._directory = directory
        self._command = [found, "-S", str(directory / "tmux.sock"), "-f", os.devnull]
        self._env = {**os.environ, "LC_ALL": "C.UTF-8", "PYTHONPATH": str(Path(__file__).parents[2])}
        self._env.pop("TMUX", None)

    def __enter__(self) -> Judge:
        self.tmux("start-server", ";", "set", "-g", "status", "off", ";", "set", "-g", "exit-empty", "off")
        return self

    def __exit__(self, *_: object) -> None:
        subprocess.run([*self._command, "kill-server"], check=False, capture_output=True, timeout=DEADLINE)

    def tmux(self, *arguments: str) -> str:
        done = subprocess.run(
            [*self._command, *arguments],
            check=True,
            capture_output=True,
            text=True,
            env=self._env,
            timeout=DEADLINE,
        )
        return done.stdout

    def start(self, name: str, cols: int, rows: int, *argv: str) -> None:
        self.tmux("new-session", "-d", "-s", name, "-x", str(cols), "-y", str(rows), sys.executable, *argv)

    def screen(self, name: str) -> Screen:
        told = self.tmux(
            "capture-pane", "-p", "-e", "-t", name, ";", "display", "-p", "-t", name, "#{cursor_x} #{cursor_y}"
        )
        *lines, cursor = told.splitlines()
        x, y = cursor.split()
        return Screen(lines, (int(x), int(y)))


class Window:
    """A window that shows just what it is told."""

    def __init__(self, judge: Judge, name: str, cols: int, rows: int) -> None:
        self._judge, self._name = judge, name
        path = judge._directory / f"{name}.sock"
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(str(path))
            listening.listen()
            listening.settimeout(DEADLINE)
            judge.start(name, cols, rows, __file__, str(path))
            self._peer = listening.accept()[0]
        self._peer.settimeout(DEADLINE)

    def play(self, data: bytes) -> None:
        """Returns when the terminal has taken it all in."""
        self._peer.sendall(struct.pack(">I", len(data)) + data)
        assert self._peer.recv(1) == b"k"

    def screen(self) -> Screen:
        return self._judge.screen(self._name)

    def close(self) -> None:
        self._peer.close()


def _serve(path: str) -> None:
    import tty

    tty.setraw(0)
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(path)
        stream = sock.makefile("rb")
        while head := stream.read(4):
            view = memoryview(stream.read(*struct.unpack(">I", head)) + b"\x1b[5n")
            while view:
                view = view[os.write(1, view) :]
            seen = b""
            while b"\x1b[0n" not in seen:
                seen += os.read(0, 4096)
            sock.sendall(b"k")


if __name__ == "__main__":
    _serve(sys.argv[1])
