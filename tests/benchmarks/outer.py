"""A program in a terminal of ours: what it writes is counted, what it costs is measured."""

from __future__ import annotations

import os
import re
import select
import time
from collections.abc import Callable, Mapping, Sequence

import psutil
import ptyprocess

COLS, ROWS = 200, 50


class Outer:
    """A child on a 200x50 terminal. `seen` grows only while one of the methods runs."""

    def __init__(self, argv: Sequence[str], env: Mapping[str, str], cwd: str) -> None:
        self.begun = time.perf_counter()
        self.child = ptyprocess.PtyProcess.spawn(list(argv), env=dict(env), cwd=cwd, dimensions=(ROWS, COLS))
        self.seen = bytearray()

    def __enter__(self) -> Outer:
        return self

    def __exit__(self, *_: object) -> None:
        self.child.terminate(force=True)

    def type(self, keys: bytes) -> None:
        os.write(self.child.fd, keys)

    def read(self, seconds: float) -> int:
        """Read for so long; the number of bytes."""
        deadline = time.perf_counter() + seconds
        count = 0
        while (left := deadline - time.perf_counter()) > 0:
            if select.select([self.child.fd], [], [], left)[0]:
                data = os.read(self.child.fd, 1 << 20)
                count += len(data)
                self.seen += data
        return count

    def until(self, found: Callable[[bytes], object], seconds: float = 30.0) -> float:
        """Read until `found(everything seen)`; when that was, as `perf_counter` tells."""
        deadline = time.perf_counter() + seconds
        while not found(bytes(self.seen)):
            left = deadline - time.perf_counter()
            assert left > 0, f"it never came; the end of what did: {bytes(self.seen[-2000:])!r}"
            if select.select([self.child.fd], [], [], left)[0]:
                self.seen += os.read(self.child.fd, 1 << 20)
        return time.perf_counter()

    def quiet(self, seconds: float = 0.5, most: float = 15.0) -> None:
        """Read until nothing comes for so long."""
        deadline = time.perf_counter() + most
        while time.perf_counter() < deadline and select.select([self.child.fd], [], [], seconds)[0]:
            self.seen += os.read(self.child.fd, 1 << 20)

    def forget(self) -> None:
        self.seen.clear()

    def processes(self) -> list[psutil.Process]:
        return [psutil.Process(self.child.pid)]


def cpu(processes: Sequence[psutil.Process]) -> float:
    """Seconds of CPU they have used."""
    return sum(sum(process.cpu_times()[:2]) for process in processes)


def text_of(data: bytes) -> str:
    """Without escape sequences."""
    plain = re.sub(rb"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[\]P_^][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[ -/]*[0-~]", b"", data)
    return plain.decode("utf-8", "replace")
