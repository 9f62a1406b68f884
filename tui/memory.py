"""What the dashboard remembers from one opening to the next: theme, sort, layout. Losing it costs nothing."""

from __future__ import annotations

import contextlib
import json
import os
from typing import Any

from lite.home import state_directory

_NAME = "dashboard.json"


def load() -> dict[str, Any]:
    """Whatever is there; {} for a file that is missing or not ours."""
    try:
        found = json.loads((state_directory() / _NAME).read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def remember(known: dict[str, Any], **changed: Any) -> None:
    """Keep `changed` in `known` and on disk; a disk that is full or read-only is no reason to complain."""
    known.update(changed)
    path = state_directory() / _NAME
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f"{_NAME}.{os.getpid()}")
        draft.write_text(json.dumps(known))
        draft.replace(path)
