"""The frozen program's own affairs: a clean environment, its place in the cache. Used by `make binary` only. A leaf.

The single file (`.ci/binary/stub.sh`) unpacks into `CACHE/<version>-<hash>/` once and starts what lies there from then
on. Such a directory is trusted when it has the file `complete`; a shared lock on it says that it is in use.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import stat
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import MutableMapping

COMPLETE = "complete"
PROGRAM = "qd"
_DAY = 86_400  # seconds
_KEEP = 30 * _DAY  # how long an unused version stays
_VERSION = re.compile(r"\d[\w.+!]*-[0-9a-f]{16}", re.ASCII)
_REMAINS = re.compile(r"\.(new|old)-\w+", re.ASCII)  # of an unpacking that was killed


def begin() -> None:
    """To be called first in a frozen process."""
    restore_environment(os.environ, str(getattr(sys, "_MEIPASS", "")))
    hold(os.path.dirname(sys.executable))  # noqa: PTH120 - pathlib costs a fifth of a short command's time


def restore_environment(environ: MutableMapping[str, str], libraries: str) -> None:
    """Undo what PyInstaller's loader did to it, or every child would be given our libraries."""
    for name in [name for name in environ if name.startswith("_PYI_")]:
        del environ[name]
    path = environ.get("LD_LIBRARY_PATH")
    if path is None or not libraries:
        return
    first, _, rest = path.partition(os.pathsep)
    if first != libraries:
        return
    if len(path) == len(first):
        del environ["LD_LIBRARY_PATH"]
        return
    environ["LD_LIBRARY_PATH"] = rest
    if environ.get("LD_LIBRARY_PATH_ORIG") == rest:
        del environ["LD_LIBRARY_PATH_ORIG"]


def hold(directory: str) -> int:
    """Mark a directory as in use for as long as this process and its forks live; the descriptor, -1 without success."""
    try:
        opened = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return -1
    try:
        descriptor = fcntl.fcntl(opened, fcntl.F_DUPFD_CLOEXEC, 3)  # never one of the standard streams
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        if time.time() - os.fstat(descriptor).st_mtime > _DAY:
            os.utime(descriptor)  # when it was last used
    except OSError:
        return -1  # a file system that cannot; then its age alone protects it
    finally:
        os.close(opened)
    return descriptor


def settle(staging: str, target: str) -> int:
    """Make a freshly unpacked directory the one that everybody uses, and clear away what nobody uses. The exit code.

    Several may do so at once. A crash of the machine cannot leave a trusted directory with empty files in it.
    """
    import shutil  # noqa: F401 - now: our own files are about to move

    base = os.path.dirname(target)  # noqa: PTH120
    try:
        _flush(staging)
        lock = os.open(base, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
        except OSError:
            pass  # a file system without locks: the renames are still atomic
        _move(staging, target)
        os.fsync(lock)
        clear(base, time.time(), keep=os.path.basename(target))  # noqa: PTH119
        os.close(lock)
    except OSError as error:
        print(f"{error.filename or base}: {error.strerror}", file=sys.stderr)  # noqa: T201 - the stub shows it
        return 1
    return 0


def is_complete(directory: str) -> bool:
    """The same as the stub asks before it starts what is in there."""
    program = f"{directory}/{PROGRAM}"
    return os.path.isfile(f"{directory}/{COMPLETE}") and os.access(program, os.X_OK)  # noqa: PTH113


def clear(base: str, now: float, *, keep: str) -> None:
    """Delete versions that nobody has used for a month nor holds now, and remains older than a day."""
    with os.scandir(base) as entries:
        found = list(entries)
    for entry in found:
        remains = _REMAINS.fullmatch(entry.name)
        if entry.name == keep or not (remains or _VERSION.fullmatch(entry.name)):
            continue
        seen = entry.stat(follow_symlinks=False)
        age = now - seen.st_mtime
        if stat.S_ISDIR(seen.st_mode) and age > (_DAY if remains else _KEEP) and not _held(entry.path):
            _delete(entry.path)


def _held(directory: str) -> bool:
    """Whether a process lives in it; also when that cannot be known."""
    try:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


def _move(staging: str, target: str) -> None:
    """`mv -T`, which not every system has: never into a target that exists."""
    try:
        os.rename(staging, target)  # noqa: PTH104
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        if not is_complete(target):  # somebody has cleaned up in it
            _delete(target)
            os.rename(staging, target)  # noqa: PTH104


def _delete(directory: str) -> None:
    """Out of the way at once, so that nobody finds half of it."""
    import shutil

    base, name = os.path.split(directory)
    aside = f"{base}/.old-{os.getpid()}_{time.monotonic_ns()}_{name[-16:].strip('.-')}"
    os.rename(directory, aside)  # noqa: PTH104
    shutil.rmtree(aside, ignore_errors=True)


def _flush(directory: str) -> None:
    """Files and directories onto the disk, before a rename makes them count."""
    for path, _, names in os.walk(directory, topdown=False):
        for name in (*names, "."):
            descriptor = os.open(f"{path}/{name}", os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
