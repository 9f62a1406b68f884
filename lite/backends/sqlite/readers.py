"""Read-only connections: one statement each time, so one short transaction; they never checkpoint."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import aiosqlite

from lite.backends.sqlite.failures import mapped
from lite.backends.sqlite.queries import Query

_CONNECTIONS = 2


class Readers:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._all: list[aiosqlite.Connection] = []
        self._idle: asyncio.LifoQueue[aiosqlite.Connection] = asyncio.LifoQueue()

    async def open(self) -> None:
        try:
            for _ in range(_CONNECTIONS):
                uri = f"{self._path.absolute().as_uri()}?mode=ro"
                connection = await aiosqlite.connect(uri, uri=True, isolation_level=None)
                self._all.append(connection)
                for pragma in ("query_only = 1", "wal_autocheckpoint = 0", "busy_timeout = 5000"):
                    await connection.execute_fetchall(f"PRAGMA {pragma}")
                self._idle.put_nowait(connection)
        except sqlite3.Error as error:
            raise mapped(error, self._path) from error

    async def close(self) -> None:
        while self._all:
            await self._all.pop().close()

    async def fetch(self, query: Query) -> list[Any]:
        """All rows, as of the newest commit."""
        connection = await self._idle.get()
        try:
            return list(await connection.execute_fetchall(*query))
        except sqlite3.Error as error:
            raise mapped(error, self._path) from error
        finally:
            self._idle.put_nowait(connection)
