"""`export`: a recording as an asciicast file."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from lite.cli.commands import Command
from lite.errors import NotFound, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Iterator
    from typing import Any

    from lite.cli.context import Context

_V2_KINDS = ("o", "i", "m", "r")


def _options(parser: ArgumentParser) -> None:
    add = parser.add_argument
    add("id", metavar="ID", help="task id, unique prefix or run/name")
    add("--cast", metavar="FILE", required=True, help='the file to write; "-" writes to stdout')
    add("--v2", action="store_true", help="asciicast version 2, for older players (default: 3)")
    add("--attempt", metavar="N", type=int, help="of this attempt (default: the last)")


def _export(context: Context, arguments: Namespace) -> int:
    client = context.client()
    task = client.task(arguments.id)
    session = task["session"]
    if not session:
        raise NotFound("no recording: it has not run yet", hint=f"qd explain {task['id']}", place=task["name"])
    if arguments.attempt is not None:
        if not 1 <= arguments.attempt <= task["attempt"]:
            raise NotFound(f"{task['name']} has had {task['attempt']} attempt(s)", place="--attempt")
        session = f"{task['id']}-{arguments.attempt}"
    pieces = client.cast(session)
    if arguments.v2:
        pieces = to_v2(pieces)
    if arguments.cast == "-":
        for piece in pieces:
            sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()
        return 0
    size = _write(Path(arguments.cast).expanduser(), pieces)
    if context.json:
        context.emit({"file": arguments.cast, "session": session, "bytes": size})
    else:
        context.note(f"wrote {arguments.cast} ({size} bytes)")
    return 0


def _write(path: Path, pieces: Iterator[bytes]) -> int:
    """Whole or not at all; a device or a pipe (`/dev/stdout`) is written to, never replaced."""
    if path.is_dir():
        raise UsageError("is a directory", place=str(path))
    if path.exists() and not path.is_file():
        with path.open("wb") as file:
            return sum(file.write(piece) for piece in pieces)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    size = 0
    try:
        with part.open("wb") as file:
            for piece in pieces:
                size += file.write(piece)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return size


def to_v2(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """asciicast 3 (intervals) as asciicast 2 (times since the start)."""
    clock = 0.0
    first = True
    for line in _lines(pieces):
        value: Any = json.loads(line)
        if first:
            first = False
            term = value.pop("term", {})
            header = {"version": 2, "width": term.get("cols", 120), "height": term.get("rows", 40)}
            header |= {name: value[name] for name in ("timestamp", "title", "command", "env") if name in value}
            yield json.dumps(header).encode() + b"\n"
        else:
            clock += value[0]
            if value[1] in _V2_KINDS:
                yield json.dumps([round(clock, 6), *value[1:]]).encode() + b"\n"


def _lines(pieces: Iterator[bytes]) -> Iterator[bytes]:
    rest = b""
    for piece in pieces:
        *whole, rest = (rest + piece).split(b"\n")
        yield from (line for line in whole if line and not line.startswith(b"#"))
    if rest:
        yield rest


COMMANDS = {
    "export": Command(
        _options,
        _export,
        """
qd export 01jd8 --cast demo.cast         play it with any asciicast player
qd export 01jd8 --cast demo.cast --v2    for older players""",
    )
}
