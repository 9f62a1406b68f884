"""The same facts by psutil, where there is no /proc. Slower and heavier: loaded only there."""

from __future__ import annotations

import psutil

from lite.executors.local.processes import Seen


def look(pid: int) -> Seen | None:
    import os

    try:
        process = psutil.Process(pid)
        with process.oneshot():
            start = round(process.create_time() * 100)
            zombie = process.status() == psutil.STATUS_ZOMBIE
            return Seen(pid, process.ppid(), os.getpgid(pid), start, zombie)
    except (psutil.Error, OSError):
        return None


def everyone() -> list[int]:
    return psutil.pids()


def environment(pid: int) -> set[bytes]:
    try:
        return {
            f"{key}={value}".encode("utf-8", "surrogateescape") for key, value in psutil.Process(pid).environ().items()
        }
    except (psutil.Error, OSError):
        return set()


def boot_id() -> str:
    return str(round(psutil.boot_time()))
