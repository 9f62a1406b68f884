"""The handle of a local session: what identifies its holder, also to another supervisor, also after a reboot."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from lite.errors import HandleGone
from lite.executors.local import processes

_VERSION = 1


@dataclass(frozen=True, slots=True)
class Handle:
    """`pid` and `start` are the holder's; `boot` says in which life of the machine they mean something."""

    session: str
    pid: int
    start: int
    boot: str
    socket: str
    directory: str

    def __str__(self) -> str:
        return json.dumps({"v": _VERSION, **asdict(self)}, separators=(",", ":"))

    def holder(self) -> processes.Seen | None:
        """The holder if it lives; None also when its pid now belongs to somebody else."""
        if self.boot != processes.boot_id():
            return None
        seen = processes.look(self.pid)
        return seen if seen is not None and seen.start == self.start and not seen.zombie else None


def parse_handle(text: str) -> Handle:
    """Raises `HandleGone` for what is no handle of ours."""
    try:
        fields = json.loads(text)
        if fields.pop("v") != _VERSION:
            raise ValueError("unknown version")
        return Handle(**fields)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise HandleGone(f"not a session of this executor: {text[:80]!r}") from error
