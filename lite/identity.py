"""What a home keeps of itself beyond restarts: its worker's id on a shared backend, the token of its control API.

Small private files, written whole or not at all; whoever writes them holds the home's lock.
"""

from __future__ import annotations

import os
import re
import secrets
from pathlib import Path

from lite.errors import ConfigInvalid
from lite.home import Home

_ID = re.compile(r"([a-z0-9][a-z0-9._-]{0,62})-([0-9a-f]{8})\Z")
_TOKEN = re.compile(r"[A-Za-z0-9_-]{32,128}\Z")
_MOST = 4096  # bytes


def short_name(node: str) -> str:
    """A machine's name without its domain, as it may stand in an id; "worker" when nothing of it may."""
    short = re.sub(r"[^a-z0-9._-]+", "-", node.split(".")[0].lower())[:63].strip("._-")
    return short or "worker"


def new_worker_id(name: str) -> str:
    """`<name>-<8 hex>`"""
    return f"{name}-{secrets.token_hex(4)}"


def worker_id(home: Home, name: str, node: str) -> str:
    """This home's, the same at every start as long as `name` ("": the machine's, as it was at first) is. Raises
    `ConfigInvalid` for a file that is not ours."""
    found = _read(home.worker_id, _ID, "a worker's id")
    if found:
        stored, _, tail = found.rpartition("-")
        if not name or name == stored:
            return found
        fresh = f"{name}-{tail}"
    else:
        fresh = new_worker_id(name or short_name(node))
    write_private(home.worker_id, fresh + "\n")
    return fresh


def api_token(home: Home) -> str:
    """The same at every start, so that other workers' copies of it stay good. Raises as above."""
    found = _read(home.api_token, _TOKEN, "a token")
    if not found:
        found = secrets.token_urlsafe(32)
        write_private(home.api_token, found + "\n")
    return found


def read_private(path: Path) -> bytes:
    """At most 4096 bytes and one, b"" when there is no such file. Raises OSError."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return b""
    with open(descriptor, "rb") as file:  # noqa: PTH123
        return file.read(_MOST + 1) or b""


def write_private(path: Path, text: str) -> None:
    """Whole or not at all, 0600."""
    fresh = path.with_name(f"{path.name}~")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with open(descriptor, "w", encoding="utf-8") as file:  # noqa: PTH123
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def _read(path: Path, shape: re.Pattern[str], what: str) -> str:
    try:
        data = read_private(path)
    except OSError as error:
        raise ConfigInvalid(f"cannot be read: {error.strerror}", place=str(path)) from error
    if not data and not path.exists():
        return ""
    text = data.decode("ascii", "replace").removesuffix("\n")
    if not shape.match(text):
        hint = "remove it and another is made; to the fleet this is then another worker"
        raise ConfigInvalid(f"does not hold {what}", hint=hint, place=str(path))
    return text
