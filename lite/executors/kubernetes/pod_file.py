"""The files through which an executor and the bridge of one pod know of each other, in the session's folder.

Every one is written whole or not at all, 0600. `pod.json` says how to reach the pod and as whom; the payload of GO
holds secrets and goes as soon as the program has begun; `pod-end.json` is the bridge's last word.
"""

from __future__ import annotations

import errno
import json
import os
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

POD, END = "pod.json", "pod-end.json"
GO, STDIN = "pod-go", "pod-stdin"  # what the bootstrap, then the program is to read first: both go when they were sent
SENT = "pod-sent"  # GO was sent at least once
LEASE = "pod-lease"  # until when (ms since this machine's start) the session may go on without a word
INNER = "pod-inner"  # the handle of the session the bridge runs in now, when it is not the first
OWN = "pod-own"  # how many bytes (normal form) of the recording are the bridge's own
_VERSION = 1
_MOST = 16 << 20  # bytes of any of them

# how a bridge ends
ENDED = "ended"  # the pod has ended, its output is complete: pod
GONE = "gone"  # there is no such pod any more
LAPSED = "lapsed"  # nobody renewed its lease: message
LOST = "lost"  # its output cannot be had, though the pod may run: message


@dataclass(frozen=True, slots=True)
class PodFile:
    """`server` and `proxy` are URLs; the rest of how to reach it are paths of files, read anew for every connection; ""
    where there is none. `mark` is known to the bootstrap; `token` fences: who finds a greater one at the pod keeps away
    from it. `stdin`: does the program read what is typed. The rest is what a further session for the same pod needs;
    `hidden`: it has secrets, which are not here. `begun`: its program was let go before this file was written."""

    server: str
    ca: str
    verify: bool
    server_name: str
    token_file: str
    cert: str
    key: str
    namespace: str
    pod: str
    container: str
    mark: str
    token: int
    tty: bool
    stdin: bool
    grace_ms: int
    cols: int
    rows: int
    cap_bytes: int
    record: bool
    hidden: bool
    begun: bool = False
    proxy: str = ""

    def with_token(self, token: int) -> PodFile:
        return replace(self, token=token)


def write_pod(directory: str, pod: PodFile) -> None:
    """Raises OSError."""
    write_file(directory, POD, json.dumps({"v": _VERSION, **asdict(pod)}).encode())


def read_pod(directory: str) -> PodFile:
    """Raises OSError, ValueError for what is none of ours."""
    data = read_file(directory, POD)
    if data is None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), f"{directory}/{POD}")
    found = json.loads(data)
    if not isinstance(found, dict) or found.get("v") != _VERSION:
        raise ValueError(f"{directory}/{POD} is not of this version")
    try:
        return PodFile(**{one.name: found[one.name] for one in fields(PodFile) if one.name in found})
    except TypeError as error:
        raise ValueError(f"{directory}/{POD}: {error}") from error


@dataclass(frozen=True, slots=True)
class EndFile:
    """`pod` is the object as it was last seen; `code` what the end mark in its output says."""

    kind: str
    message: str = ""
    pod: dict[str, Any] | None = None
    code: int | None = None


def write_end(directory: str, end: EndFile) -> None:
    """Raises OSError."""
    write_file(directory, END, json.dumps({"v": _VERSION, **asdict(end)}).encode())


def read_end(directory: str) -> EndFile | None:
    """None when there is none (or it is none of ours)."""
    try:
        found = json.loads(read_file(directory, END) or b"null")
        if not isinstance(found, dict):
            return None
        return EndFile(str(found["kind"]), str(found["message"]), found["pod"], found["code"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def read_file(directory: str, name: str) -> bytes | None:
    """None when there is none. Raises OSError."""
    try:
        descriptor = os.open(f"{directory}/{name}", os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        return file.read(_MOST)


def write_file(directory: str, name: str, data: bytes) -> None:
    """Raises OSError."""
    draft = f"{directory}/.{name}.{os.getpid()}"
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.rename(draft, f"{directory}/{name}")
    except OSError:
        os.unlink(draft)
        raise


def remove_file(directory: str, name: str) -> None:
    try:
        os.unlink(f"{directory}/{name}")
    except FileNotFoundError:
        pass
