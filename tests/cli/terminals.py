"""A terminal and a session to test the pump between: a PTY whose master the test holds, a holder's socket it serves."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import select
import signal
import socket
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lite.terminal import packets

DEADLINE = 30.0


class Holder:
    """The session's side of one attachment."""

    def __init__(self, path: Path) -> None:
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(path))
        self._listening.listen()
        self._listening.settimeout(DEADLINE)
        self._decoder = packets.Decoder()
        self._queue: list[packets.Packet] = []
        self.peer: socket.socket | None = None

    def accept(self) -> tuple[int, int, int, int, int, int]:
        """Welcome the client; its hello."""
        self.peer, _ = self._listening.accept()
        self.peer.settimeout(DEADLINE)
        kind, payload = self.packet()
        assert kind == packets.HELLO
        self.say(packets.welcome(1, 80, 24, 0, 0, packets.RUNNING))
        return packets.parse_hello(payload)

    def packet(self) -> packets.Packet:
        assert self.peer is not None
        while not self._queue:
            data = self.peer.recv(65536)
            assert data, "the client hung up"
            self._queue += self._decoder.feed(data)
        return self._queue.pop(0)

    def typed(self, count: int) -> bytes:
        """The next `count` bytes of input."""
        data = b""
        while len(data) < count:
            kind, payload = self.packet()
            if kind == packets.INPUT:
                data += payload
                self.say(packets.ack(True))
        return data

    def say(self, packet: bytes) -> None:
        assert self.peer is not None
        self.peer.sendall(packet)

    def close(self) -> None:
        if self.peer is not None:
            self.peer.close()
        self._listening.close()


class Terminal:
    """The user's side: a program in a terminal of 90x30."""

    def __init__(self, argv: list[str]) -> None:
        self.master, slave = pty.openpty()
        self.resize(90, 30)
        self.cooked = termios.tcgetattr(self.master)
        self.process = subprocess.Popen(
            argv,
            stdin=slave,
            stdout=slave,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={**os.environ, "TERM": "xterm-256color"},
        )
        os.close(slave)
        self.shown = b""

    def resize(self, cols: int, rows: int) -> None:
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))

    def type(self, data: bytes) -> None:
        os.write(self.master, data)

    def kill(self, signum: signal.Signals) -> None:
        os.kill(self.process.pid, signum)

    def until(self, wanted: bytes) -> bytes:
        """Everything shown so far, once `wanted` is in it."""
        deadline = time.monotonic() + DEADLINE
        while wanted not in self.shown:
            assert self._read(deadline), self.shown
        return self.shown

    def report(self) -> dict[str, Any]:
        """How the attachment ended, from the program's last line."""
        deadline = time.monotonic() + DEADLINE
        while self._read(deadline):
            pass
        self.process.wait(DEADLINE)
        found: dict[str, Any] = json.loads(self.shown[self.shown.rindex(b'{"how"') :])
        return found

    def _read(self, deadline: float) -> bool:
        if not select.select([self.master], [], [], max(0.0, deadline - time.monotonic()))[0]:
            raise AssertionError(f"nothing more is shown after {self.shown[-200:]!r}")
        try:
            data = os.read(self.master, 65536)
        except OSError:
            return False
        self.shown += data
        return bool(data)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(DEADLINE)
        os.close(self.master)


@contextlib.contextmanager
def attachment(directory: Path, how: str = "") -> Iterator[tuple[Holder, Terminal]]:
    """A pump running between the two."""
    path = directory / "s.sock"
    holder = Holder(path)
    terminal = Terminal([sys.executable, "-m", "tests.cli.attach_program", str(path), *([how] if how else [])])
    try:
        yield holder, terminal
    finally:
        terminal.close()
        holder.close()
