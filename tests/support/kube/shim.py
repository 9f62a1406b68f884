"""What stands between the fake kubelet and one container: starts its PID 1 and ends everything that comes of it.

A program of its own with the standard library only, `python -I -S shim.py FD`. Over FD it is told what to run (one JSON
line) and what to do (`term`, `kill`, `child`), and it says what happened: `pid`, `error`, `exit` (the raw wait status).
When the other end of FD is closed, however that came about, it kills its container and ends.

As in a PID namespace, PID 1 sees no TERM it has no handler for, and everything else ends with it. Only descendants of
the shim (a subreaper, so it loses none) are ever signalled, each by its own pid.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import signal
import socket
import sys
import termios
from pathlib import Path
from typing import Any, NoReturn

_SET_PDEATHSIG, _SET_CHILD_SUBREAPER = 1, 36


class Shim:
    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._heard = bytearray()
        self._prctl = ctypes.CDLL(None).prctl
        self._prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        self._pid = 0

    def run(self) -> None:
        woken, wake = os.pipe()
        os.set_blocking(wake, False)
        os.set_blocking(woken, False)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        orders = self._orders()
        if orders is None:
            return
        if not self._start(orders[0]):
            return
        rest = orders[1:]
        while True:
            for order in rest:
                self._obey(order)
            if (status := self._reap()) is not None:
                self._kill_all()
                self._say(exit=status)
                return
            ready, _, _ = select.select([self._control.fileno(), woken], [], [])
            if woken in ready:
                with contextlib.suppress(BlockingIOError):
                    os.read(woken, 4096)
            rest = []
            if self._control.fileno() in ready:
                more = self._orders()
                if more is None:  # whoever ran us is gone
                    self._kill_all()
                    return
                rest = more

    def _orders(self) -> list[Any] | None:
        """At least one line; None at the end."""
        while b"\n" not in self._heard:
            try:
                data = self._control.recv(65_536)
            except ConnectionResetError:
                return None
            if not data:
                return None
            self._heard += data
        *lines, rest = bytes(self._heard).split(b"\n")
        self._heard[:] = rest
        return [json.loads(line) for line in lines]

    def _say(self, **words: Any) -> None:
        with contextlib.suppress(OSError):
            self._control.sendall(json.dumps(words).encode() + b"\n")

    def _start(self, launch: dict[str, Any]) -> bool:
        """PID 1 of the container. False when it could not be executed, which was said."""
        told, tell = os.pipe()
        pid = os.fork()
        if pid == 0:
            self._become(launch, tell)
        os.close(tell)
        for fd in set(launch["fds"]):
            os.close(fd)
        trouble = b""
        while data := os.read(told, 4096):
            trouble += data
        os.close(told)
        if trouble:
            os.waitpid(pid, 0)
            self._say(error=trouble.decode(errors="replace"))
            return False
        self._pid = pid
        self._say(pid=pid)
        return True

    def _become(self, launch: dict[str, Any], tell: int) -> NoReturn:
        try:
            signal.set_wakeup_fd(-1)
            for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
                signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_SETMASK, ())
            self._prctl(_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            os.setsid()
            fds = launch["fds"]
            if launch["tty"]:
                import fcntl

                fcntl.ioctl(fds[0], termios.TIOCSCTTY, 0)
            for target, fd in enumerate(fds):
                os.dup2(fd, target)
            os.closerange(3, tell)
            os.set_inheritable(tell, False)
            os.closerange(tell + 1, 1024)
            os.chdir(launch["cwd"])
            os.umask(0o022)
            os.execvpe(launch["argv"][0], launch["argv"], launch["env"])
        except BaseException as error:
            absent = isinstance(error, FileNotFoundError)
            name = "executable file not found in $PATH" if absent else str(error)
            os.write(tell, f'exec: "{launch["argv"][0]}": {name}: unknown'.encode())
        finally:
            os._exit(128)

    def _obey(self, order: dict[str, Any]) -> None:
        if "term" in order:
            if self._catches(signal.SIGTERM):
                self._signal(self._pid, signal.SIGTERM)
        elif "kill" in order:
            self._signal(self._pid, signal.SIGKILL)  # the rest follows it
        elif "child" in order:  # the youngest, as an out-of-memory killer that spares PID 1
            young = [pid for pid in _descendants(os.getpid()) if pid != self._pid]
            self._say(child=self._signal(max(young), signal.SIGKILL) if young else False)

    def _catches(self, number: int) -> bool:
        try:
            with Path(f"/proc/{self._pid}/status").open() as status:
                caught = next(line for line in status if line.startswith("SigCgt:")).split()[1]
        except (OSError, StopIteration):
            return True
        return bool(int(caught, 16) >> (number - 1) & 1)

    def _signal(self, pid: int, number: int) -> bool:
        """Only of a descendant: nobody else's pid can be reused while its parent, or we, have not reaped it."""
        if pid <= 1 or pid not in _descendants(os.getpid()):
            return False
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return False
        return True

    def _reap(self) -> int | None:
        """The wait status of PID 1 once it is gone."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return None
            if pid == 0:
                return None
            if pid == self._pid:
                return status

    def _kill_all(self) -> None:
        """Returns when no descendant is left: orphans fall to us, so having no children means there are none."""
        while True:
            for pid in _descendants(os.getpid()):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            try:
                os.waitpid(-1, 0)
            except ChildProcessError:
                return


def _descendants(root: int) -> set[int]:
    """Of the process `root`, which is not among them."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            parent = int((entry / "stat").read_bytes().rpartition(b")")[2].split()[1])
        except (OSError, IndexError, ValueError):
            continue
        children.setdefault(parent, []).append(int(entry.name))
    found: set[int] = set()
    left = list(children.get(root, ()))
    while left:
        pid = left.pop()
        if pid not in found:
            found.add(pid)
            left += children.get(pid, ())
    return found


if __name__ == "__main__":
    Shim(socket.socket(fileno=int(sys.argv[1]))).run()
