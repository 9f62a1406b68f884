"""A pod's PID 1 on this machine: the bootstrap under a real shell, on a real terminal or on pipes.

It has a session of its own, by which what it starts is found, and orphans fall to it; nothing outlives the `with`.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import pty
import select
import shutil
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from lite.executors.kubernetes import bootstrap

SECONDS = 30.0
MARK = "0123456789abcdef" * 2
_SET_CHILD_SUBREAPER = 36
_TOOLS = ["sh", "stty", "head", "mkdir", "mkfifo", "base64", "cat", "env", "ls", "rm", "test", "pwd", "true", "tty"]


def shells() -> dict[str, str]:
    """Those of this machine, by name."""
    found = {name: shutil.which(name) for name in ("dash", "bash", "busybox")}
    return {name: path for name, path in found.items() if path}


def tools(name: str, folder: Path) -> str:
    """A PATH on which `sh` is this shell; with busybox, everything else is busybox too. Returns that directory."""
    program = shells()[name]
    bin_folder = folder / "bin"
    bin_folder.mkdir()
    for tool in _TOOLS if name == "busybox" else ("sh",):
        (bin_folder / tool).symlink_to(program)
    return str(bin_folder)


class Member(NamedTuple):
    zombie: bool
    parent: int
    argv: list[bytes]


class PidOne:
    """One container. `out` is what came from its terminal or stdout, `err` from its stderr."""

    def __init__(
        self,
        shell: str,
        folder: Path,
        *argv: str,
        tty: bool = True,
        env: Mapping[str, str] | None = None,
        path: str = "",
    ) -> None:
        self.shell = shell
        folder.mkdir(exist_ok=True)
        where = tools(shell, folder)
        self.folder = folder
        self.scratch = folder / "tmp"
        self.scratch.mkdir()
        self.log = folder / "termination-log"
        self.log.touch()
        self.out, self.err = bytearray(), bytearray()
        self.path = path or (where if shell == "busybox" else f"{where}:/usr/local/bin:/usr/bin:/bin")
        script = bootstrap.SCRIPT.replace("/bin/sh", f"{where}/sh")
        given = {"PATH": self.path, "TMPDIR": str(self.scratch), bootstrap.TERMINATION_VARIABLE: str(self.log)}
        command = [f"{where}/sh", "-c", script, "qd", *argv]
        self._streams: dict[int, bytearray] = {}
        if tty:
            master, slave = pty.openpty()
            fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 10, 20, 0, 0))
            self.stdin = master
            self._streams[master] = self.out

            streams = (slave, slave, slave)
        else:
            theirs, self.stdin = os.pipe()
            read_out, write_out = os.pipe()
            read_err, write_err = os.pipe()
            self._streams |= {read_out: self.out, read_err: self.err}
            streams = (theirs, write_out, write_err)
        prctl = ctypes.CDLL(None).prctl

        def become() -> None:
            prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
            for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):  # of tests in the background they are ignored
                signal.signal(number, signal.SIG_DFL)
            if tty:
                fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        self._process = subprocess.Popen(
            command,
            stdin=streams[0],
            stdout=streams[1],
            stderr=streams[2],
            env={**given, **(env or {})},
            cwd=folder,
            start_new_session=True,
            preexec_fn=become,  # noqa: PLW1509 - a terminal is taken by its session's leader
        )
        for fd in set(streams):
            os.close(fd)
        os.set_blocking(self.stdin, False)
        self.pid = self._process.pid
        self._end = os.pidfd_open(self.pid)

    def __enter__(self) -> Self:
        return self

    def _clear(self) -> None:
        for pid in self.members():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._clear()
        self._process.kill()
        self._process.wait()
        for fd in {self.stdin, self._end, *self._streams}:
            os.close(fd)

    def members(self) -> dict[int, Member]:
        """The processes of its session."""
        found = {}
        for entry in Path("/proc").iterdir():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split() if entry.name.isdigit() else []
                if fields and int(fields[3]) == self.pid:
                    argv = (entry / "cmdline").read_bytes().split(b"\0")[:-1]
                    found[int(entry.name)] = Member(fields[0] == "Z", int(fields[1]), argv)
            except OSError:
                continue
        return found

    def reader(self) -> int:
        """The shell that waits for the program's end on behalf of the first."""
        found: list[int] = []

        def there() -> bool:
            members = self.members()
            first = members[self.pid].argv
            found[:] = [pid for pid, one in members.items() if one.parent == self.pid and one.argv == first]
            return bool(found) and _is_reading(found[0])

        self.until(there)
        return found[0]

    def find(self, *argv: str) -> int:
        """The pid of the member with these arguments."""
        wanted = [word.encode() for word in argv]
        (pid,) = [pid for pid, one in self.members().items() if one.argv == wanted]
        return pid

    def send(self, data: bytes) -> None:
        """As much at a time as it takes, reading what it prints."""
        view = memoryview(data)
        while view:
            self._turn(writing=True)
            try:
                view = view[os.write(self.stdin, view[:65_536]) :]
            except BlockingIOError:
                continue

    def until(self, found: Callable[[], bool], again: bytes = b"") -> None:
        """`again`: as of `end`."""
        deadline = time.monotonic() + SECONDS
        while not found():
            before = len(self.out)
            assert time.monotonic() < deadline, (bytes(self.out[-2000:]), bytes(self.err[-2000:]), self.members())
            assert self._turn() or found(), (bytes(self.out[-2000:]), bytes(self.err[-2000:]))
            if again and len(self.out) == before:
                with suppress(BrokenPipeError):
                    self.send(again)

    def hang_up(self) -> None:
        """The end of its stdin, where that is a pipe."""
        os.close(self.stdin)
        self.stdin = os.open(os.devnull, os.O_RDONLY)

    def ready(self, times: int = 1) -> Self:
        self.until(lambda: self.out.count(bootstrap.READY) >= times)
        return self

    def go(self, message: bytes) -> Self:
        """Let it go; returns when the program runs, or nearly."""
        self.ready().send(message)
        self.until(lambda: self._begun() >= 0)
        return self

    def _begun(self) -> int:
        mark = bootstrap.begin(MARK).rstrip(b"\n")
        at = self.out.find(mark)
        end = self.out.find(b"\n", at + len(mark))
        return end + 1 if at >= 0 <= end else -1

    def printed(self) -> bytes:
        """What the program itself printed so far."""
        return bytes(self.out[self._begun() :]).partition(bootstrap.end_opening(MARK))[0]

    def shows(self, text: bytes, again: bytes = b"") -> Self:
        self.until(lambda: text in self.printed(), again)
        return self

    def end(self, again: bytes = b"") -> int:
        """Its exit code. `again` is typed every second: a shell may overlook a signal just before it begins to read.
        What it left running is killed, as it is with a container; then everything printed is read."""
        deadline = time.monotonic() + SECONDS
        while self._process.poll() is None:
            assert time.monotonic() < deadline, (bytes(self.out[-2000:]), bytes(self.err[-2000:]), self.members())
            before = len(self.out)
            self._turn(self._end)
            if again and len(self.out) == before and self._process.poll() is None:
                with suppress(BrokenPipeError):
                    self.send(again)
        self._clear()
        while self._turn():
            assert time.monotonic() < deadline, (bytes(self.out[-2000:]), bytes(self.err[-2000:]), self.members())
        return self._process.returncode

    def told(self) -> bootstrap.Ended | None:
        return bootstrap.parse_termination(self.log.read_text())

    def output(self) -> bootstrap.End | None:
        return bootstrap.parse_end(bytes(self.out), MARK)

    def term(self) -> None:
        os.kill(self.pid, signal.SIGTERM)

    def _turn(self, *more: int, writing: bool = False) -> bool:
        """Waits a second at most, for what it prints or for `more`, and reads. False when nothing more will come."""
        if not (self._streams or more or writing):
            return False
        ready, _, _ = select.select([*self._streams, *more], [self.stdin] if writing else [], [], 1.0)
        for fd in set(ready) - set(more):
            try:
                data = os.read(fd, 65_536)
            except OSError:  # the terminal was closed by all who had it
                data = b""
            if data:
                self._streams[fd] += data
            else:
                del self._streams[fd]
                if fd != self.stdin:
                    os.close(fd)
        return bool(self._streams)


def _is_reading(pid: int) -> bool:
    """Has it got as far as having opened what it waits for, and nothing else of that?"""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/fd/7").readlink().name == "alive" and not Path(f"/proc/{pid}/fd/8").exists()
    return False
