"""The file's versions: numbered SQL files, applied in order, each in one transaction, after a backup.

`PRAGMA user_version` holds the number of the last one applied, `PRAGMA application_id` tells our files from others.
"""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Mapping
from importlib import resources
from pathlib import Path

from lite.backends.sqlite.failures import corrupt, mapped
from lite.errors import BackendUnusable

APPLICATION_ID = 0x51644B31
_MAGIC = b"SQLite format 3\x00"
_CHECK_BYTES = 8 << 20  # up to this size the whole file is checked when opened


def shipped() -> dict[int, str]:
    """number -> SQL of the migrations that came with this program."""
    found: dict[int, str] = {}
    for file in (resources.files("lite.backends.sqlite") / "migrations").iterdir():
        numbered = re.fullmatch(r"(\d{4})_\w+\.sql", file.name)
        if numbered:
            found[int(numbered[1])] = file.read_text("utf-8")
    return dict(sorted(found.items()))


def examine(path: Path, newest: int) -> int:
    """The version of the file at `path` (0: new), changing nothing. Raises `BackendUnusable`."""
    if not path.exists() or path.stat().st_size == 0:
        return 0
    with path.open("rb") as file:
        if file.read(len(_MAGIC)) != _MAGIC:
            raise corrupt(path, "it does not begin as SQLite files do")
    try:
        # Without a log beside it the file is complete, and `immutable` keeps SQLite from making one.
        how = "mode=ro" if path.with_name(f"{path.name}-wal").exists() else "immutable=1"
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?{how}", uri=True)
        try:
            version = int(connection.execute("PRAGMA user_version").fetchone()[0])
            application = int(connection.execute("PRAGMA application_id").fetchone()[0])
            tables = int(connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0])
            if path.stat().st_size <= _CHECK_BYTES:
                verdict = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
                if verdict != "ok":
                    raise corrupt(path, verdict)
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise mapped(error, path) from error
    if tables and application != APPLICATION_ID:
        raise BackendUnusable("this database is not Quarterdeck's", hint="choose another path", place=str(path))
    if version > newest:
        raise BackendUnusable(
            f"the database has version {version}, this program knows {newest}",
            hint="start the newer qd that wrote it; it was left as it is",
            place=str(path),
        )
    return version


def migrate(connection: sqlite3.Connection, path: Path, version: int, migrations: Mapping[int, str]) -> None:
    """Bring the file from `version` to the newest; an existing one is copied to `<name>.v<version>.backup` before."""
    due = [number for number in sorted(migrations) if number > version]
    if due and version:
        _backup(connection, path, version)
    for number in due:
        try:
            connection.executescript(
                f"BEGIN EXCLUSIVE;\n{migrations[number]}\nPRAGMA application_id = {APPLICATION_ID};\n"
                f"PRAGMA user_version = {number};\nCOMMIT;"
            )
        except sqlite3.Error:
            if connection.in_transaction:
                connection.rollback()
            raise


def _backup(connection: sqlite3.Connection, path: Path, version: int) -> None:
    unfinished = path.with_name(f"{path.name}.v{version}.backup.part")
    unfinished.unlink(missing_ok=True)
    connection.execute("VACUUM INTO ?", (str(unfinished),))
    unfinished.chmod(0o600)
    os.replace(unfinished, path.with_name(f"{path.name}.v{version}.backup"))  # noqa: PTH105
