"""The handle of a pod's session: which pod, which folder, and the session of the executor with terminals behind it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from lite.errors import HandleGone

_VERSION = 1


@dataclass(frozen=True, slots=True)
class Handle:
    """`inner` is the handle of the first session of the bridge; a later one is in the folder."""

    session: str
    namespace: str
    pod: str
    mark: str
    directory: str
    inner: str

    def __str__(self) -> str:
        return json.dumps({"v": _VERSION, **asdict(self)}, separators=(",", ":"))


def parse_handle(text: str) -> Handle:
    """Raises `HandleGone` for what is no handle of ours."""
    try:
        fields = json.loads(text)
        if fields.pop("v") != _VERSION:
            raise ValueError("unknown version")
        return Handle(**fields)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise HandleGone(f"not a session of this executor: {text[:80]!r}") from error
