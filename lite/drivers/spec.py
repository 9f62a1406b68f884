"""What a driver is to do: the JSON file `providers.driven` writes into the session's directory."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from providers.driven import PERMISSIONS, SPEC_VERSION, START_MS


class BadSpec(Exception):
    """The file is not there, not readable, or of another version."""


@dataclass(frozen=True, slots=True)
class Spec:
    """`own` is the whole file, for what only one driver understands. Times in ms."""

    driver: str
    prompt: str
    cwd: str
    model: str = ""
    resume: str = ""
    permissions: str = "ask"
    wait_ms: int | None = None  # how long a person has to answer before it is denied; None: for ever
    start_ms: int = START_MS  # for each step until the agent has a conversation
    cancel_ms: int = 5_000  # for it to say that it has cancelled
    close_ms: int = 5_000  # for it to end once its stdin is closed
    own: Mapping[str, Any] | None = None

    def words(self, key: str) -> list[str]:
        found = (self.own or {}).get(key)
        return [str(word) for word in found] if isinstance(found, list) else []

    def text(self, key: str) -> str:
        found = (self.own or {}).get(key)
        return found if isinstance(found, str) else ""


def read_spec(name: str) -> Spec:
    """`@NAME` is a file in the session's directory, the one `$QD_OUTPUT` lies in. Raises `BadSpec`."""
    path = Path(os.environ.get("QD_OUTPUT", "./output")).parent / name[1:] if name.startswith("@") else Path(name)
    try:
        said = json.loads(path.read_bytes())
    except OSError as error:
        raise BadSpec(f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise BadSpec(f"{path}: not JSON: {error}") from error
    if not isinstance(said, dict) or said.get("version") != SPEC_VERSION:
        raise BadSpec(f"{path}: not a task for a driver of version {SPEC_VERSION}")
    if said.get("permissions") not in PERMISSIONS:
        raise BadSpec(f"{path}: no policy {said.get('permissions')!r} for permissions")
    try:
        known = {field: said[field] for field in _FIELDS if field in said}
        return Spec(**known, own=said)
    except TypeError as error:
        raise BadSpec(f"{path}: {error}") from error


_FIELDS = ("driver", "prompt", "cwd", "model", "resume", "permissions", "wait_ms", "start_ms", "cancel_ms", "close_ms")


def hidden() -> tuple[bytes, ...]:
    """What must not be seen of the secrets in our environment, which `$QD_SECRETS` names (the agent is not told)."""
    names = os.environ.pop("QD_SECRETS", "").split(",")
    values = [os.environ[name] for name in names if name in os.environ]
    if not values:
        return ()
    from lite.executors.secret_forms import forms  # has modules that nobody needs otherwise

    return forms(values)
