"""Starts the session's program under a controlling terminal."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import signal
import tty
from typing import NamedTuple

from ptyprocess import PtyProcess

from lite.executors.local.launchfile import LaunchFile

RAW = b"QD_RAW"  # in the environment of what only passes on: no moment in which its terminal would echo what is typed
_STDOUT_HELD = 1 << 20  # bytes; what Linux lets every user have


class CannotStart(Exception):
    """The program, not the machine, is at fault. `code` as a shell would say: 127 not found, 126 not executable."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class Program(NamedTuple):
    """`terminal` is the master side; `out` and `err` are the pipes' reading ends, -1 without pipes."""

    pid: int
    terminal: int
    out: int
    err: int
    keep: PtyProcess  # its __del__ would sleep and kill


def start(launch: LaunchFile) -> Program:
    """Raises `CannotStart`; OSError when the machine is at fault (no process, no terminal to be had)."""
    if not os.path.isdir(launch.cwd):
        raise CannotStart(126, f"no such directory to run in: {launch.cwd}")
    command = resolve(launch.argv[0] if launch.argv else "", os.fsdecode(launch.env.get(b"PATH", b"")), launch.cwd)
    pipes = _pipes() if launch.stdio == "pipes" else ()
    inner = [pipe[1] for pipe in pipes]

    def prepare() -> None:
        os.chdir(launch.cwd)
        if inner or RAW in launch.env:
            tty.setraw(0)
        if inner:
            os.dup2(inner[0], 1)
            os.dup2(inner[1], 2)
            for descriptor in inner:
                os.close(descriptor)
        if launch.stdin != "terminal":
            source = os.open(os.devnull if launch.stdin == "null" else launch.stdin, os.O_RDONLY)
            os.dup2(source, 0)
            os.close(source)
        for signum in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
            try:
                signal.signal(signum, signal.SIG_DFL)
            except (OSError, ValueError):
                pass  # one of the C library's own
        signal.pthread_sigmask(signal.SIG_SETMASK, ())

    try:
        process = PtyProcess.spawn(
            [command, *launch.argv[1:]],
            env=dict(launch.env),
            preexec_fn=prepare,
            dimensions=(launch.rows, launch.cols),
            pass_fds=inner,
        )
    except Exception as error:  # ptyprocess rebuilds whatever was raised in the child, by name
        for pipe in pipes:
            os.close(pipe[0])
        if isinstance(error, OSError) and error.errno in (errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE):
            raise
        raise CannotStart(126, f"{command}: {error}") from error
    finally:
        for descriptor in inner:
            os.close(descriptor)
    readers = [pipe[0] for pipe in pipes] or [-1, -1]
    for descriptor in (process.fd, *readers):
        if descriptor >= 0:
            os.set_blocking(descriptor, False)
            os.set_inheritable(descriptor, False)
    return Program(process.pid, process.fd, readers[0], readers[1], process)


def resolve(name: str, path: str, cwd: str) -> str:
    """The absolute path of the program `name` means, on the program's own PATH, from its own directory."""
    if not name:
        raise CannotStart(127, "no command")
    path = path or os.defpath
    if "/" in name:
        candidates = [os.path.join(cwd, name)]
    else:
        candidates = [os.path.join(cwd, folder, name) for folder in path.split(os.pathsep)]
    present = ""
    for candidate in candidates:
        if os.path.isfile(candidate):
            if os.access(candidate, os.X_OK):
                return candidate
            present = present or candidate
    if present:
        raise CannotStart(126, f"not executable: {present}")
    if "/" in name and os.path.isdir(candidates[0]):
        raise CannotStart(126, f"a directory: {candidates[0]}")
    raise CannotStart(127, f"not found: {name}" + ("" if "/" in name else " (looked on the task's PATH)"))


def _pipes() -> tuple[tuple[int, int], tuple[int, int]]:
    """Some programs exit without waiting until what they wrote is read: the more stdout holds, the less is lost."""
    out, err = os.pipe(), os.pipe()
    with contextlib.suppress(AttributeError, OSError):  # Linux only, and each user has so many pages
        fcntl.fcntl(out[1], fcntl.F_SETPIPE_SZ, _STDOUT_HELD)
    return out, err
