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
# Says only the beginning of the attempt and stays, until it is told to go on with a conversation.
_STAYS = """#!/bin/sh
echo "$*" >> "$REPLAY_CALLS"
[ -t 0 ] || cat > /dev/null
case "$*" in *resume*) cat "$REPLAY_RESUMED.jsonl"; exit 0;; esac
head -n "$REPLAY_LINES" "$REPLAY.jsonl"
exec tail -f /dev/null
"""
# Prints what `$REPLAY_LOGGED_OUT` has, and exits 1, as long as there is no file `$REPLAY_LOGIN`.
_LOGS_IN = """#!/bin/sh
case "$*" in
  *--version*) echo "1.2.3"; exit 0;;
  *status*) echo "$*" >> "$REPLAY_CALLS"; test -e "$REPLAY_LOGIN"; exit;;
esac
[ -t 0 ] || cat > /dev/null
test -e "$REPLAY_LOGIN" && { cat "$REPLAY.jsonl"; exit 0; }
cat "$REPLAY_LOGGED_OUT.jsonl"; exit 1
"""


def install(folder: Path, *names: str) -> str:
    """A PATH on which programs of these names come first."""
    for name in names:
        _install(folder, name, _PROGRAM)
    return f"{folder}{os.pathsep}{os.environ['PATH']}"


def install_staying(folder: Path, provider: str, case: str, lines: int, resumed: str) -> dict[str, str]:
    """The environment in which `provider`'s program says so many lines of `case` and stays; told to resume it says all
    of `resumed`. Its arguments are noted in `calls` beside it, a line each time."""
    _install(folder, provider, _STAYS)
    return {
        "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}",
        "REPLAY": str(TRANSCRIPTS / provider / case),
        "REPLAY_LINES": str(lines),
        "REPLAY_RESUMED": str(TRANSCRIPTS / provider / resumed),
        "REPLAY_CALLS": str(folder / "calls"),
    }


def install_logging_in(folder: Path, provider: str, logged_out: str, case: str) -> dict[str, str]:
    """The environment in which `provider`'s program says `logged_out` until there is a file `login` in the folder, and
    `case` from then on. How it was asked for its login is noted in `calls`, a line each time."""
    _install(folder, provider, _LOGS_IN)
    return {
        "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}",
        "REPLAY": str(TRANSCRIPTS / provider / case),
        "REPLAY_LOGGED_OUT": str(TRANSCRIPTS / provider / logged_out),
        "REPLAY_LOGIN": str(folder / "login"),
        "REPLAY_CALLS": str(folder / "calls"),
    }


def _install(folder: Path, name: str, text: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / name
    program.write_text(text)
    program.chmod(program.stat().st_mode | stat.S_IXUSR)


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
