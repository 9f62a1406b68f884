"""One session's process: owns the terminal, drains it always, records every byte, serves watchers, ends the tree.

Two-phase: it prepares everything and starts the program only when its supervisor says GO; a supervisor that goes away
before leaves nothing. Single-threaded, one poller; nothing in the loop blocks but fsync of `exit.json`.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from typing import NoReturn

from lite.executors.leash import Leash
from lite.executors.local import exitfile, processes, program, subreaper
from lite.executors.local.activity import Said
from lite.executors.local.channels import Channels
from lite.executors.local.clients import Clients
from lite.executors.local.ending import Ending, signal_foreground
from lite.executors.local.launchfile import LaunchFile, take_launch
from lite.executors.local.poller import READ, Poller
from lite.executors.local.screen import Screen
from lite.executors.local.veil import Veil
from lite.recordings.layout import SIZE
from lite.recordings.reader import Recording
from lite.recordings.writer import Writer, now_ms
from lite.terminal import packets

STARTED_NAME = "started"  # pid and start time of the program, for whoever finds the holder dead
_MAX_INPUT = 1 << 20  # bytes the program has not read yet
_REPLAY = 4 << 20
_LINE = 1 << 16  # bytes in which a line's end is looked for
_RING = 8 << 20  # what is kept with recording switched off
_HELLO_SECONDS = 15.0  # without a supervisor by then, nothing is started
_LINGER_SECONDS = 5.0  # for clients that are slow to take the rest
_WRITE_EVERY, _WRITE_SECONDS = 1.0, 60.0  # `exit.json`, when the disk is full
_STOP_GRACE_MS = 2000  # on SIGTERM: the machine goes down


def run(directory: str, socket_path: str, listener: socket.socket) -> NoReturn:
    """The whole life of a holder, in a freshly forked process. Never returns; never runs the interpreter's clean-up."""
    code = 1
    try:
        launch = take_launch(directory)
        Holder(directory, socket_path, listener, launch).run()
        code = 0
    except BaseException:
        import traceback

        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(code)


class Holder:
    """See the module. Everything else is a part of it."""

    def __init__(self, directory: str, socket_path: str, listener: socket.socket, launch: LaunchFile) -> None:
        self._directory, self._socket_path, self._listener, self._launch = directory, socket_path, listener, launch
        self.token = launch.token
        self.cols, self.rows = launch.cols, launch.rows
        cap = launch.cap_bytes if launch.record else _RING
        self._writer = Writer(directory, cols=self.cols, rows=self.rows, cap_bytes=cap, head=launch.record)
        recording = Recording(directory)
        self._poller = Poller()
        self._clients = Clients(self, self._poller, recording)
        self._recording = recording
        self._ending = Ending(launch.session, launch.home, subreaper=subreaper.become("qd-holder"))
        self._leash = Leash()
        self._veil = Veil(launch.needles, self._take) if launch.needles else None
        self._screen = Screen()
        self._state = packets.PREPARED
        self._program: program.Program | None = None
        self._channels: Channels | None = None
        self._statuses: dict[int, int] = {}  # pid -> wait status
        self._started_at = self._last_output = 0
        self._status = b""
        self._deadline: float | None = time.monotonic() + _HELLO_SECONDS
        self._unwritten: dict[str, int | str | None] = {}  # what `exit.json` should say
        self._write_again: float | None = None
        self._ended = self._done = False

    # the loop

    def run(self) -> None:
        wake = _signals()
        poller = self._poller
        poller.register(wake, READ, self._woken)
        poller.register(self._listener.fileno(), READ, self._accept)
        while not self._done:
            poller.turn(self._patience())
            self._timers()

    def _patience(self) -> float | None:
        hung_up = self._channels.due if self._channels is not None else None
        veiled = self._veil.due if self._veil is not None else None
        times = (self._ending.due, self._deadline, hung_up, self._write_again, veiled)
        due = [at for at in times if at is not None]
        patience = max(min(due) - time.monotonic(), 0) if due else None
        return patience if self._ended else self._leash.patience(patience)

    def _timers(self) -> None:
        now = time.monotonic()
        if not self._ended and self._leash.ran_out():
            self.stop(0)
        if self._program is not None and self._state == packets.RUNNING:
            due = self._ending.due
            if due is not None and due <= now and self._ending.step(now, self._program.pid, self._program.terminal):
                self._end_of_program()
        channels = self._channels
        if channels is not None and channels.due is not None and channels.due <= now:
            channels.look_again()
        veil = self._veil
        if veil is not None and veil.due is not None and veil.due <= now:
            veil.look_again()
        if self._write_again is not None and self._write_again <= now:
            self._write_exit_again(now)
        if self._state == packets.ENDED and len(self._clients) == 0 and not self._unwritten:
            self._done = True
        if self._deadline is not None and self._deadline <= now:
            if self._state == packets.PREPARED:
                self._never_started()
            self._done = True

    def _accept(self, _descriptor: int, _mask: int) -> None:
        self._clients.accept(self._listener)

    def _woken(self, descriptor: int, _mask: int) -> None:
        signums = os.read(descriptor, 512)
        if signal.SIGTERM in signums:
            self.stop(_STOP_GRACE_MS)
        if signal.SIGCHLD in signums:
            self._reap()

    def _reap(self) -> None:
        """All results of waitpid go through here."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid == 0:
                break
            if self._program is not None and pid == self._program.pid:
                self._statuses[pid] = status
                self._ending.program_ended(time.monotonic())
        if self._ended is False and self._statuses:
            self._ended = True
        if self._ended and self._ending.due is not None:
            self._ending.due = time.monotonic()  # somebody has gone: look whether all have

    # what clients may ask

    @property
    def end(self) -> int:
        return self._writer.end

    def welcome(self) -> bytes:
        return packets.welcome(os.getpid(), self.cols, self.rows, self._writer.start, self._writer.end, self._state)

    def news(self) -> list[bytes]:
        """What a newcomer should know at once."""
        if self._state == packets.RUNNING:
            found = [packets.started(self._pid, self._started_at)]
            return [*found, self._status] if self._status else found
        return []

    def fresh_start(self) -> tuple[int, bytes]:
        """From where a new terminal should replay, and what to send it before."""
        end, start = self._writer.end, self._writer.start
        screen = self._screen
        if screen.mark >= max(end - _REPLAY, start) and screen.mark > 0:
            return screen.mark, screen.preamble
        if end - start <= _REPLAY:
            return start, b""
        at = end - _REPLAY
        for offset, _, data in self._recording.read(at, _LINE):
            line = data.find(b"\n")
            if line >= 0:
                return offset + line + 1, b""
        return at, b""

    def take_input(self, data: bytes) -> str:
        """ "" when accepted, else why not."""
        channels = self._channels
        if channels is None or self._ended:
            return "the program has ended" if self._state != packets.PREPARED else "the program has not started"
        if self._launch.stdin != "terminal":
            return "the program reads no input"
        if channels.waiting + len(data) > _MAX_INPUT:
            return "the program does not read its input"
        if data:
            shown = channels.masked(data)
            if self._veil is not None:
                shown = self._veil.clean(shown)
            channels.write(data)
            self._record(packets.IN, shown)
        return ""

    def look(self) -> None:
        if self._channels is not None:
            self._channels.look()

    def set_size(self, cols: int, rows: int) -> None:
        if (cols, rows) == (self.cols, self.rows) or self._ended:
            return
        self.cols, self.rows = cols, rows
        if self._channels is not None:
            try:
                self._channels.resize(cols, rows)
            except OSError:
                return
        offset = self._writer.resize(cols, rows, now_ms())
        self._clients.output(offset, packets.RESIZED, SIZE.pack(cols, rows))

    def signal(self, signum: int) -> str:
        if self._program is None or self._ended:
            return "the program does not run"
        if signum not in signal.valid_signals():
            return "no such signal"
        return "" if signal_foreground(self._pid, self._program.terminal, signum) else "nobody was there to signal"

    def stop(self, grace_ms: int) -> None:
        if self._state == packets.PREPARED:
            self._never_started()
        elif self._state == packets.RUNNING and not self._ended:
            self._ending.stop(time.monotonic(), grace_ms / 1000)

    def keep(self, until: int) -> None:
        self._leash.keep(until)

    def go(self) -> None:
        if self._state == packets.PREPARED:
            self._start()

    def supervised(self) -> None:
        """A supervisor has come: from now on its connection decides, not the time."""
        if self._state == packets.PREPARED:
            self._deadline = None

    def abandoned(self) -> None:
        """The supervisor has gone: before GO, nothing may start any more."""
        if self._state == packets.PREPARED:
            self._never_started()

    def info(self) -> bytes:
        alive = self._state == packets.RUNNING
        return packets.info(alive, self._pid, self._last_output, self._writer.end, self.cols, self.rows)

    # the program

    @property
    def _pid(self) -> int:
        return self._program.pid if self._program is not None else 0

    def _start(self) -> None:
        launch = self._launch._replace(cols=self.cols, rows=self.rows)
        try:
            started = program.start(launch)
        except program.CannotStart as error:
            return self._finish({"kind": exitfile.LAUNCH, "exit_code": error.code, "message": error.message})
        except OSError as error:
            return self._finish({"kind": exitfile.MACHINE, "message": error.strerror})
        self._program = started
        self._state = packets.RUNNING
        self._started_at = now_ms()
        seen = processes.look(started.pid)
        _write(f"{self._directory}/{STARTED_NAME}", f"{started.pid} {seen.start if seen else 0}\n")
        self._channels = Channels(self._poller, started, self._veil.take if self._veil is not None else self._take)
        self._clients.tell(packets.started(started.pid, self._started_at))
        if launch.stdin_data and launch.stdin == "terminal":
            self._channels.write(launch.stdin_data)
        self._launch = launch._replace(stdin_data=b"", env={}, argv=(), needles=())
        return None

    def _take(self, stream: int, data: bytes) -> None:
        now = self._last_output = now_ms()
        offset = self._writer.append(stream, data, now)
        self._clients.output(offset, stream, data)
        if self._launch.stdio != "terminal":
            return
        replies, news = self._screen.feed(data, offset, self.cols, self.rows)
        if self._channels is not None and not self._ended:
            self._channels.reply(replies)
        for said in news:
            self._hear(said, now)

    def _hear(self, said: Said, now: int) -> None:
        self._status = packets.status(now, said.activity, "terminal", said.rule, said.text)
        if said.activity == "waiting":
            self._record(packets.MARKER, f"waiting: {said.text}".encode())
        self._clients.tell(self._status)

    def _record(self, stream: int, data: bytes) -> None:
        offset = self._writer.append(stream, data, now_ms())
        self._clients.output(offset, stream, data)

    # the end

    def _end_of_program(self) -> None:
        """All processes are gone: take their last bytes, then tell."""
        assert self._program is not None
        assert self._channels is not None
        self._channels.finish(patient=not self._ending.left)
        if self._veil is not None:
            self._veil.look_again()
            self._veil.clean_output(self._directory)
        status = self._statuses.get(self._pid)
        code = os.waitstatus_to_exitcode(status) if status is not None else None
        self._finish(
            {
                "kind": exitfile.LAPSED if self._leash.over else exitfile.EXITED,
                "message": self._leash.why or None,
                "exit_code": code if code is not None and code >= 0 else None,
                "signal": -code if code is not None and code < 0 else None,
                "left": self._ending.left,
            }
        )

    def _never_started(self) -> None:
        self._finish({"kind": exitfile.NEVER_STARTED, "message": "its supervisor went away before it was let go"})

    def _finish(self, fields: dict[str, int | str | None]) -> None:
        if self._state == packets.ENDED:
            return
        self._state = packets.ENDED
        self._ended = True
        self._ending.due = None
        self._writer.close()
        common = {
            "pid": self._pid,
            "started_at": self._started_at or None,
            "ended_at": now_ms(),
            "offset": self._writer.end,
            "recorded": int(self._launch.record),
        }
        try:
            found = exitfile.write_exit(self._directory, {**fields, **common})
        except OSError:  # a full disk: who is connected is told, and it is tried again
            self._unwritten = {**fields, **common}
            self._write_again = time.monotonic() + _WRITE_EVERY
            found = exitfile.to_json(self._unwritten)
        self._deadline = time.monotonic() + (_WRITE_SECONDS if self._unwritten else _LINGER_SECONDS)
        try:
            os.unlink(self._socket_path)
        except OSError:
            pass
        while self._clients.accept(self._listener):
            pass  # who has connected in time is served
        self._poller.unregister(self._listener.fileno())
        self._listener.close()
        self._clients.finish(packets.encode(packets.EXIT, found.rstrip()))

    def _write_exit_again(self, now: float) -> None:
        try:
            exitfile.write_exit(self._directory, self._unwritten)
        except OSError:
            self._write_again = now + _WRITE_EVERY
        else:
            self._unwritten, self._write_again = {}, None


def _signals() -> int:
    """The reading end of a pipe that gets the number of every signal we care for."""
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    for signum in (signal.SIGCHLD, signal.SIGTERM):
        signal.signal(signum, _ignore)
    for signum in (signal.SIGINT, signal.SIGHUP, signal.SIGPIPE, signal.SIGTSTP, signal.SIGTTOU, signal.SIGTTIN):
        signal.signal(signum, signal.SIG_IGN)
    return reader


def _ignore(_signum: int, _frame: object) -> None:
    """The wake-up descriptor has its number."""


def _write(path: str, text: str) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    except OSError:
        return  # a full disk: only the search after a holder's death knows less
    try:
        os.write(descriptor, text.encode())
    except OSError:
        pass
    finally:
        os.close(descriptor)
