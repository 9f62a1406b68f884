"""The bridge's own side: the terminal (or pipes) its holder gave it."""

from __future__ import annotations

import fcntl
import os
import struct
import termios

from lite.executors.kubernetes.bridge_splice import Normal, normal
from lite.executors.kubernetes.pod_file import OWN, read_file, write_file
from lite.recordings.layout import ERR, OUT
from lite.recordings.reader import Recording

_READ = 64 << 10
_SAID = 300  # characters of a line for a person


class Face:
    """Descriptors 0, 1 and 2. The first is a terminal, with pipes too; the holder made it raw."""

    def __init__(self, directory: str, *, terminal: bool) -> None:
        self._directory, self._terminal = directory, terminal
        self._own = int(read_file(directory, OWN) or b"0")
        self._said = ""

    def size(self) -> tuple[int, int]:
        """(columns, rows)"""
        rows, cols, _, _ = struct.unpack("HHHH", fcntl.ioctl(0, termios.TIOCGWINSZ, bytes(8)))
        return cols, rows

    def read(self) -> bytes:
        """What was typed; b"": the holder is gone."""
        try:
            return os.read(0, _READ)
        except OSError:
            return b""

    def write(self, descriptor: int, data: bytes) -> None:
        """All of it; the holder always reads. Raises OSError when it is gone."""
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]

    def say(self, text: str) -> None:
        """A line for a person, before the program's first byte only; once as long as it stays the same."""
        text = "".join(char if char.isprintable() else " " for char in text)[:_SAID]
        if not text or text == self._said:
            return
        self._said = text
        line = f"\x1b[2m{text}\x1b[0m\r\n".encode() if self._terminal else f"{text}\n".encode()
        self._own += len(normal(line))
        write_file(self._directory, OWN, b"%d" % self._own)  # first: what is counted and not there does no harm
        self.write(1 if self._terminal else 2, line)

    def passed(self) -> tuple[int, int]:
        """How much of the program's output (in normal form) is recorded already, and how many "\\r" follow it."""
        if not os.path.isdir(os.path.join(self._directory, "recording")):
            return 0, 0
        count, text = 0, Normal()
        for entry in Recording(self._directory).entries():
            if entry.stream in (OUT, ERR):
                count += len(text.feed(entry.data))
        return (count - self._own, text.held) if count >= self._own else (0, 0)
