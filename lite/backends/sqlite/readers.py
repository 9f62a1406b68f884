"""Read-only connections: one statement each time, so one short transaction; they never checkpoint."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import aiosqlite

from lite.backends.sqlite.failures import mapped
from lite.backends.sqlite.queries import Query
from lite.errors import BackendError

_CONNECTIONS = 2


class Readers:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._opened = 0
        self._idle: asyncio.LifoQueue[aiosqlite.Connection] = asyncio.LifoQueue()

    async def open(self) -> None:
        try:
            while self._opened < _CONNECTIONS:
                uri = f"{self._path.absolute().as_uri()}?mode=ro"
                connection = await aiosqlite.connect(uri, uri=True, isolation_level=None)
                self._opened += 1
                self._idle.put_nowait(connection)
                for pragma in ("query_only = 1", "wal_autocheckpoint = 0", "busy_timeout = 5000"):
                    await connection.execute_fetchall(f"PRAGMA {pragma}")
        except sqlite3.Error as error:
            raise mapped(error, self._path) from error

    async def close(self) -> None:
        """Looks under way come to their end first."""
        count, self._opened = self._opened, 0
        for _ in range(count):
            connection = await self._idle.get()
            await connection.close()

    async def fetch(self, query: Query) -> list[Any]:
        """All rows, as of the newest commit."""
        if not self._opened:
            raise BackendError("the database is not open", place=str(self._path))
        connection = await self._idle.get()
        try:
            return list(await connection.execute_fetchall(*query))
        except sqlite3.Error as error:
            raise mapped(error, self._path) from error
        finally:
            self._idle.put_nowait(connection)
