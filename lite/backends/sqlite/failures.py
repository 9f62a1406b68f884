"""sqlite3's errors to ours, once."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from lite.errors import BackendError, BackendUnusable

_CAUSES = {
    sqlite3.SQLITE_FULL: ("the disk is full", "free some space; nothing that was acknowledged is lost"),
    sqlite3.SQLITE_BUSY: ("another program holds the database", "close other programs that write to it"),
    sqlite3.SQLITE_LOCKED: ("another program holds the database", "close other programs that write to it"),
    sqlite3.SQLITE_READONLY: ("the database cannot be written", "check the permissions of the file and its directory"),
    sqlite3.SQLITE_CANTOPEN: ("the database cannot be opened", "check that its directory exists and is writable"),
    sqlite3.SQLITE_IOERR: ("the disk failed", "look at the system's log; nothing that was acknowledged is lost"),
}
_CORRUPT = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def mapped(error: sqlite3.Error, path: Path) -> BackendError:
    """The error to raise instead, about the database at `path`."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in _CORRUPT:
        return corrupt(path, str(error))
    cause, hint = _CAUSES.get(code, (str(error), ""))
    return BackendError(f"{cause} ({error})", hint=hint, place=str(path))


def corrupt(path: Path, what: str) -> BackendUnusable:
    hint = "it was left as it is; restore a backup, or move it away to start with an empty one"
    return BackendUnusable(f"the database is damaged or not one: {what}", hint=hint, place=str(path))
