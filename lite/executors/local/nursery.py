"""The process that forks holders: small, single-threaded, everything imported, so that a fork is cheap.

It outlives the supervisor and ends by itself once it has neither holders nor connections. It is a subreaper: orphans of
a dead holder become its children, and a child of the nursery that is no holder is a stray to be killed. If the nursery
dies, holders live on; `flock` keeps two from running at once.
"""

from __future__ import annotations

import fcntl
import gc
import os
import selectors
import signal
import socket
import sys
import time
from typing import NoReturn

from lite.executors.local import exitfile, holder, processes, subreaper
from lite.executors.local.cleanup import STEP_SECONDS, Cleanup
from lite.executors.local.peers import listen, same_user
from lite.executors.local.processes import Seen
from lite.terminal import packets

# requests: fields joined by NUL
FORK = 0x41  # session, directory, path of the holder's socket; answered by FORKED
SWEEP = 0x42  # session, directory: its holder seems dead; answered by SWEPT once nothing of it is left
# answers
READY = 0xC0  # protocol; the first packet of a connection
FORKED = 0xC1  # session, holder's pid, its start time, error
SWEPT = 0xC2  # session, "gone" or "alive"

ALREADY_RUNNING = 75
_FIRST_CONNECTION_SECONDS = 10.0
_DEATH_SECONDS = 1.0  # how long a holder that closed its connections may take to die


def main(argv: list[str]) -> int:
    """`qd _nursery HOME SOCKET READY_FD`; writes a line to the descriptor when it listens, closes it when it cannot."""
    home, path, ready = argv[0], argv[1], int(argv[2])
    if os.fork() != 0:
        os._exit(0)  # whoever started us waits for this one only
    os.setsid()
    lock = os.open(f"{home}/nursery.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return ALREADY_RUNNING
    os.chdir("/")
    subreaper.load()
    nursery = Nursery(home, path, lock)
    os.write(ready, b"ready\n")
    os.close(ready)
    nursery.run()
    return 0


def pack(kind: int, *fields: str | int) -> bytes:
    return packets.encode(kind, "\0".join(map(str, fields)).encode("utf-8", "surrogateescape"))


def unpack(payload: bytes) -> list[str]:
    return payload.decode("utf-8", "surrogateescape").split("\0")


class Nursery:
    """Holders by pid, connections of supervisors, clean-ups under way."""

    def __init__(self, home: str, path: str, lock: int) -> None:
        self._home, self._path, self._lock = home, path, lock
        self._holders: dict[int, tuple[str, str]] = {}  # pid -> session, directory
        self._connections: dict[socket.socket, packets.Decoder] = {}
        self._cleanups: dict[str, Cleanup] = {}
        self._waiters: dict[str, list[tuple[socket.socket, float]]] = {}  # of SWEEP, with the time to stop waiting
        self._selector = selectors.DefaultSelector()
        self._listener = listen(path)
        subreaper.become("qd-nursery")
        self._until = time.monotonic() + _FIRST_CONNECTION_SECONDS
        self._wake = self._signals()

    def run(self) -> None:
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._selector.register(self._wake, selectors.EVENT_READ)
        gc.collect()
        gc.freeze()  # a collection in a holder would touch, and so copy, every page it shares with us
        gc.disable()
        while self._holders or self._cleanups or self._connections or time.monotonic() < self._until:
            for key, _ in self._selector.select(self._patience()):
                if key.fileobj is self._listener:
                    self._accept()
                elif key.fileobj == self._wake:
                    os.read(self._wake, 512)
                else:
                    self._read(key.fileobj)  # type: ignore[arg-type]
            self._reap()
            self._clean()
        self._listener.close()
        os.unlink(self._path)

    def _patience(self) -> float | None:
        if self._cleanups or self._waiters:
            return STEP_SECONDS
        if self._holders or self._connections:
            return None
        return max(self._until - time.monotonic(), 0)

    def _accept(self) -> None:
        try:
            sock, _ = self._listener.accept()
        except OSError:
            return
        if not same_user(sock):
            sock.close()
            return
        self._connections[sock] = packets.Decoder()
        self._selector.register(sock, selectors.EVENT_READ)
        self._until = 0.0
        self._reply(sock, pack(READY, packets.PROTOCOL))

    def _read(self, sock: socket.socket) -> None:
        try:
            data = sock.recv(1 << 16)
            found = self._connections[sock].feed(data)
        except (OSError, ValueError):
            data, found = b"", []
        for kind, payload in found:
            if kind == FORK:
                session, directory, path = unpack(payload)
                self._reply(sock, self._fork(session, directory, path))
            elif kind == SWEEP:
                session, directory = unpack(payload)
                self._sweep(sock, session, directory)
        if not data:
            self._disconnect(sock)

    def _reply(self, sock: socket.socket, packet: bytes) -> None:
        try:
            sock.sendall(packet)
        except OSError:
            self._disconnect(sock)

    def _disconnect(self, sock: socket.socket) -> None:
        if self._connections.pop(sock, None) is not None:
            self._selector.unregister(sock)
            sock.close()

    def _fork(self, session: str, directory: str, path: str) -> bytes:
        try:
            listener = listen(path)
        except OSError as error:
            return pack(FORKED, session, 0, 0, f"{path}: {error.strerror or error}")
        try:
            pid = os.fork()
        except OSError as error:
            listener.close()
            return pack(FORKED, session, 0, 0, f"fork: {error.strerror}")
        if pid == 0:
            self._be_holder(directory, path, listener)
        listener.close()
        self._holders[pid] = (session, directory)
        seen = processes.look(pid)
        return pack(FORKED, session, pid, seen.start if seen else 0, "")

    def _be_holder(self, directory: str, path: str, listener: socket.socket) -> NoReturn:
        try:
            os.setsid()
            signal.set_wakeup_fd(-1)
            for sock in (*self._connections, self._listener):
                sock.close()
            self._selector.close()
            os.close(self._lock)  # or the lock would outlive the nursery
            os.close(self._wake)
            os.close(self._wake_writer)
        except BaseException:
            os._exit(1)
        holder.run(directory, path, listener)

    def _sweep(self, sock: socket.socket, session: str, directory: str) -> None:
        self._waiters.setdefault(session, []).append((sock, time.monotonic() + _DEATH_SECONDS))
        if not any(held == session for held, _ in self._holders.values()) and session not in self._cleanups:
            self._lose(session, directory)

    def _reap(self) -> None:
        while True:
            try:
                pid, _ = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            held = self._holders.pop(pid, None)
            if held is not None:
                session, directory = held
                if any(other == session for other, _ in self._holders.values()):
                    continue  # it had ended, and another goes on in its folder
                if exitfile.read_exit(directory) is None:
                    self._lose(session, directory)
                elif session in self._waiters:
                    self._answer(session, "gone")

    def _lose(self, session: str, directory: str) -> None:
        self._cleanups[session] = Cleanup(session, self._home, directory, self._strays)

    def _strays(self) -> list[Seen]:
        """Orphans fall to their living holder; so these come from dead ones."""
        mine = os.getpid()
        return [seen for seen in processes.descendants(mine) if seen.parent == mine and seen.pid not in self._holders]

    def _clean(self) -> None:
        for session, cleanup in list(self._cleanups.items()):
            if cleanup.step():
                del self._cleanups[session]
                _log(f"{session}: {cleanup!r}")
                self._answer(session, "gone")
        now = time.monotonic()
        for session, waiting in list(self._waiters.items()):
            if session not in self._cleanups and all(until <= now for _, until in waiting):
                self._answer(session, "alive")

    def _answer(self, session: str, how: str) -> None:
        for sock, _ in self._waiters.pop(session, ()):
            if sock in self._connections:
                self._reply(sock, pack(SWEPT, session, how))

    def _signals(self) -> int:
        reader, self._wake_writer = os.pipe()
        os.set_blocking(reader, False)
        os.set_blocking(self._wake_writer, False)
        signal.set_wakeup_fd(self._wake_writer, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda _signum, _frame: None)
        for signum in (signal.SIGINT, signal.SIGHUP, signal.SIGPIPE):
            signal.signal(signum, signal.SIG_IGN)
        return reader


def _log(line: str) -> None:
    try:
        print(line, file=sys.stderr, flush=True)  # noqa: T201 - into the nursery's log
    except OSError:
        pass  # a full disk must not end us
