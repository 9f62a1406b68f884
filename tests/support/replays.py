"""Stand-ins for agent programs: executables of their names that print what the real ones once printed."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

TRANSCRIPTS = Path(__file__).parents[1] / "providers" / "transcripts"
_PROGRAM = """#!/bin/sh
case "$*" in *--version*) echo "1.2.3"; exit 0;; esac
[ -t 0 ] || cat > /dev/null
[ -f "$REPLAY.stderr" ] && cat "$REPLAY.stderr" >&2
cat "$REPLAY.jsonl"
[ -n "$REPLAY_SIGNAL" ] && kill -"$REPLAY_SIGNAL" $$
exit "${REPLAY_CODE:-0}"
"""


def install(folder: Path, *names: str) -> str:
    """A PATH on which programs of these names come first."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        program = folder / name
        program.write_text(_PROGRAM)
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return f"{folder}{os.pathsep}{os.environ['PATH']}"


def cases(provider: str) -> dict[str, dict[str, Any]]:
    """What is expected of each recorded attempt, by its name."""
    found: dict[str, dict[str, Any]] = json.loads((TRANSCRIPTS / provider / "cases.json").read_text())
    return found


def environment(provider: str, case: str) -> dict[str, str]:
    """What makes a stand-in print that attempt and end as it did."""
    expected = cases(provider)[case]
    return {
        "REPLAY": str(TRANSCRIPTS / provider / case),
        "REPLAY_CODE": str(expected["exit_code"] or 0),
        "REPLAY_SIGNAL": str(expected["signal"] or ""),
    }
