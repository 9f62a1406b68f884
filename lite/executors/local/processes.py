"""Facts about processes, and signals that reach only the process that was looked at.

A process is (pid, start time): a pid alone is reused. Linux reads /proc; elsewhere psutil answers, loaded on demand.
"""

from __future__ import annotations

import os
import signal
from typing import NamedTuple

LINUX = os.path.exists("/proc/self/stat")


class Seen(NamedTuple):
    """`start` in clock ticks since boot on Linux, in 10 ms since the epoch elsewhere."""

    pid: int
    parent: int
    group: int
    start: int
    zombie: bool


def look(pid: int) -> Seen | None:
    """None when there is no such process."""
    if not LINUX:
        from lite.executors.local import processes_portable

        return processes_portable.look(pid)
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return None
    if len(fields) < 20:
        return None
    return Seen(pid, int(fields[1]), int(fields[2]), int(fields[19]), fields[0] in (b"Z", b"X"))


def everyone() -> list[int]:
    if not LINUX:
        from lite.executors.local import processes_portable

        return processes_portable.everyone()
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def descendants(root: int) -> list[Seen]:
    """All below `root`, parents first. A snapshot: who forks meanwhile may be missing, so repeat until stable."""
    if not _CHILDREN:
        return _descendants_by_scan(root)
    found: list[Seen] = []
    known = {root}
    queue = [root]
    while queue:
        for pid in _children(queue.pop()):
            if pid in known:
                continue
            known.add(pid)
            seen = look(pid)
            if seen is not None:
                found.append(seen)
                queue.append(pid)
    return found


def _children(pid: int) -> list[int]:
    found: list[int] = []
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/children", "rb") as file:
                found += map(int, file.read().split())
    except OSError:
        pass  # it has ended
    return found


def _descendants_by_scan(root: int) -> list[Seen]:
    below: dict[int, list[Seen]] = {}
    for pid in everyone():
        seen = look(pid)
        if seen is not None:
            below.setdefault(seen.parent, []).append(seen)
    found: list[Seen] = []
    queue = [root]
    while queue:
        for seen in below.pop(queue.pop(), ()):
            found.append(seen)
            queue.append(seen.pid)
    return found


def marked(session: str, home: str) -> list[Seen]:
    """The processes whose environment says that they belong to this session of this home."""
    marks = {f"QD_SESSION={session}".encode(), b"QD_HOME=" + os.fsencode(home)}
    found = []
    for pid in everyone():
        if pid == os.getpid():
            continue
        seen = look(pid)
        if seen is not None and marks <= _environment(pid):
            found.append(seen)
    return found


def _environment(pid: int) -> set[bytes]:
    if not LINUX:
        from lite.executors.local import processes_portable

        return processes_portable.environment(pid)
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            return set(file.read().split(b"\0"))
    except OSError:
        return set()


def send(seen: Seen, signum: int) -> bool:
    """Signal exactly this process; False when it is not there any more or not ours."""
    try:
        if not hasattr(os, "pidfd_open"):
            if not _same(seen):
                return False
            os.kill(seen.pid, signum)
            return True
        descriptor = os.pidfd_open(seen.pid)
        try:
            if not _same(seen):
                return False
            signal.pidfd_send_signal(descriptor, signum)
        finally:
            os.close(descriptor)
    except OSError:
        return False
    return True


def _same(seen: Seen) -> bool:
    now = look(seen.pid)
    return now is not None and now.start == seen.start


def boot_id() -> str:
    if not LINUX:
        from lite.executors.local import processes_portable

        return processes_portable.boot_id()
    with open("/proc/sys/kernel/random/boot_id") as file:
        return file.read().strip()


_CHILDREN = os.path.exists(f"/proc/self/task/{os.getpid()}/children")
