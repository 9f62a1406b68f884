"""The file: its versions, what is refused, what is backed up."""

from __future__ import annotations

import contextlib
import sqlite3
import stat
from pathlib import Path

import pytest

from lite.backends.sqlite import SqliteBackend
from lite.backends.sqlite.migrations import shipped
from lite.errors import BackendError, BackendUnusable
from tests.support.backends import Desk

NEXT = max(shipped()) + 1


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "q.db"


async def _filled(path: Path) -> None:
    backend = SqliteBackend(path)
    await backend.open()
    await Desk(backend).add("kept")
    await backend.close()


async def _names(backend: SqliteBackend) -> list[str]:
    return [task.spec.name for task in await Desk(backend).all_tasks()]


async def _refused(path: Path) -> BackendUnusable:
    """Opening is refused, with a hint, and nothing in the directory has changed."""
    before = {file.name: file.read_bytes() for file in path.parent.iterdir()}
    with pytest.raises(BackendUnusable) as refused:
        await SqliteBackend(path).open()
    assert {file.name: file.read_bytes() for file in path.parent.iterdir()} == before
    assert refused.value.hint
    assert refused.value.place == str(path)
    return refused.value


async def test_a_new_file_is_private_and_of_the_newest_version(path: Path) -> None:
    await _filled(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA user_version").fetchone() == (max(shipped()),)
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()


async def test_migrations_are_numbered_without_a_gap() -> None:
    assert list(shipped()) == list(range(1, len(shipped()) + 1))


async def test_a_newer_schema_is_refused_untouched(path: Path) -> None:
    await _filled(path)
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version = {NEXT}")
    connection.close()
    error = await _refused(path)
    assert str(NEXT) in error.message


async def test_what_is_no_database_is_refused_untouched(path: Path) -> None:
    path.write_bytes(b"dear diary, " * 1000)
    await _refused(path)


@pytest.mark.parametrize("damage", ["cut", "scribbled"])
async def test_a_damaged_database_is_refused_untouched(path: Path, damage: str) -> None:
    await _filled(path)
    data = path.read_bytes()
    if damage == "cut":
        path.write_bytes(data[: len(data) // 2])
    else:
        path.write_bytes(data[:4096] + b"\xa5" * (len(data) - 4096))
    await _refused(path)


async def test_somebody_elses_database_is_refused_untouched(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE theirs (x)")
    connection.close()
    error = await _refused(path)
    assert "not Quarterdeck's" in error.message


async def test_an_empty_file_is_a_new_database(path: Path) -> None:
    path.touch()
    await _filled(path)


async def test_a_directory_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(BackendError) as refused:
        await SqliteBackend(tmp_path / "no" / "q.db").open()
    assert refused.value.hint


async def test_an_older_file_is_backed_up_and_then_migrated(path: Path) -> None:
    await _filled(path)
    backend = SqliteBackend(path, migrations={**shipped(), NEXT: "CREATE TABLE extra (x);"})
    await backend.open()
    assert await _names(backend) == ["kept"]
    await backend.close()
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM extra").fetchone() == (0,)
    backup = path.with_name(f"q.db.v{NEXT - 1}.backup")
    assert stat.S_IMODE(backup.stat().st_mode) == 0o600
    old = SqliteBackend(backup)
    await old.open()
    assert await _names(old) == ["kept"]
    await old.close()


async def test_a_migration_that_fails_changes_nothing(path: Path) -> None:
    await _filled(path)
    broken = {**shipped(), NEXT: "CREATE TABLE extra (x); INSERT INTO nowhere VALUES (1);"}
    with pytest.raises(BackendError):
        await SqliteBackend(path, migrations=broken).open()
    backend = SqliteBackend(path)
    await backend.open()
    assert await _names(backend) == ["kept"]
    tables = await backend._readers.fetch(("SELECT name FROM sqlite_schema WHERE name = 'extra'", ()))
    assert tables == []
    await backend.close()


async def test_only_two_ways_to_synchronise(path: Path) -> None:
    with pytest.raises(BackendError):
        SqliteBackend(path, synchronous="off")
    assert "FULL" in SqliteBackend(path).describe()
    assert "NORMAL" in SqliteBackend(path, synchronous="normal").describe()
