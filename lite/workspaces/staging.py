"""Staging volumes as folders of this machine: `ROOT/RUN`."""

from __future__ import annotations

import asyncio
import os
import shutil
import stat
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from lite.errors import ExecutorError
from lite.model.ids import ID
from lite.model.staging import Volume

Done = TypeVar("Done")

_MADE = ".made-"  # then the run: a file with the time (ms)
_FREED = ".freed-"  # then the run, a dash, and why: the folder of one that nobody gets any more


class StagingFolders:
    """A `Volumes` in the directory `root` of the machine `node`; several machines may share it."""

    def __init__(self, root: Path, node: str) -> None:
        self._root = root
        self._node = node

    def __repr__(self) -> str:
        return f"<StagingFolders {self._root}>"

    def name(self, run: str) -> str:
        return f"{self._node}:{self._root / run}"

    def place(self, run: str) -> str:
        return str(self._root / run)

    async def provide(self, run: str, *, now: int) -> bool:
        return await self._do(lambda: self._make(run, now))

    async def volumes(self) -> Sequence[Volume]:
        return await self._do(self._list)

    async def free(self, run: str, why: str) -> bool:
        return await self._do(lambda: self._set_aside(run, why))

    async def remove(self, run: str) -> None:
        await self._do(lambda: self._remove(run))

    async def _do(self, work: Callable[[], Done]) -> Done:
        try:
            return await asyncio.to_thread(work)
        except OSError as error:
            raise ExecutorError(
                f"the staging folder {error.filename or self._root}: {error.strerror}", hint="staging.path"
            ) from error

    def _make(self, run: str, now: int) -> bool:
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        made = self._root / f"{_MADE}{run}"
        if not made.exists():
            made.write_text(str(now), encoding="ascii")
        try:
            (self._root / run).mkdir(mode=0o700)
        except FileExistsError:
            return False
        return True

    def _list(self) -> list[Volume]:
        try:
            names = os.listdir(self._root)  # noqa: PTH208 - names, not paths
        except FileNotFoundError:
            return []
        found = []
        for name in names:
            run, why = name, ""
            if name.startswith(_FREED):
                run, _, why = name.removeprefix(_FREED).partition("-")
            if ID.match(run) and not (self._root / name).is_symlink():
                found.append(Volume(run, self._created(run, name), why))
        return found

    def _created(self, run: str, name: str) -> int:
        try:
            return int((self._root / f"{_MADE}{run}").read_bytes()[:20])
        except (OSError, ValueError):
            return int((self._root / name).stat().st_mtime * 1000)

    def _set_aside(self, run: str, why: str) -> bool:
        try:
            (self._root / run).rename(self._root / f"{_FREED}{run}-{why.replace('/', '_')}")
        except FileNotFoundError:
            return False  # somebody else was quicker
        return True

    def _remove(self, run: str) -> None:
        for folder in self._root.glob(f"{_FREED}{run}-*"):
            _open_up(folder)
            shutil.rmtree(folder)
        if not (self._root / run).exists():
            (self._root / f"{_MADE}{run}").unlink(missing_ok=True)


def _open_up(folder: Path) -> None:
    """Programs leave directories nobody may write to, such as a cache of modules."""
    for inner, _, _ in os.walk(folder):  # a directory is changed before it is looked into
        if not os.access(inner, os.W_OK | os.X_OK | os.R_OK):
            os.chmod(inner, stat.S_IRWXU)  # noqa: PTH101
