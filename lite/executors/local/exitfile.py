"""`exit.json`: how a session ended, written once, atomically, by its holder or by whoever finds the holder dead."""

from __future__ import annotations

import errno
import os

NAME = "exit.json"
VERSION = 1

# kinds
EXITED = "exited"  # the program ended: exit_code or signal
LAUNCH = "launch"  # it could not be started: exit_code 126 or 127, message
NEVER_STARTED = "never-started"  # nobody let it go
MACHINE = "machine"  # this machine could not start it: no process or no terminal to be had
LAPSED = "lapsed"  # nobody renewed its lease: message; all of it was killed
HOLDER_LOST = "holder-lost"  # the holder died; what it left was killed


def write_exit(directory: str, fields: dict[str, int | str | None]) -> bytes:
    """Returns the JSON. Raises OSError. An existing file is left as it is and returned."""
    found = read_exit(directory)
    if found is not None:
        return found
    data = to_json(fields)
    draft = f"{directory}/.{NAME}.{os.getpid()}"
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        if os.write(descriptor, data) < len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), draft)
        os.fsync(descriptor)
    except OSError:
        os.unlink(draft)
        raise
    finally:
        os.close(descriptor)
    os.rename(draft, f"{directory}/{NAME}")
    return data


def read_exit(directory: str) -> bytes | None:
    try:
        with open(f"{directory}/{NAME}", "rb") as file:
            return file.read()
    except FileNotFoundError:
        return None


def to_json(fields: dict[str, int | str | None]) -> bytes:
    pairs = {"v": VERSION, **fields}.items()
    return ("{" + ", ".join(f'"{key}": {_json(value)}' for key, value in pairs) + "}\n").encode("utf-8", "replace")


def _json(value: int | str | None) -> str:
    if value is None:
        return "null"
    if isinstance(value, int):
        return str(int(value))
    text = value.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(char if char >= " " else f"\\u{ord(char):04x}" for char in text) + '"'
