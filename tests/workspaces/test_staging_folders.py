"""Staging volumes as folders."""

from __future__ import annotations

from pathlib import Path

import pytest

from lite.errors import ExecutorError
from lite.model.ids import new_id
from lite.model.staging import Volume
from lite.ports import Volumes
from lite.workspaces.staging import StagingFolders
from tests.contracts.volumes import NOW, Make, VolumesContract


class TestFolders(VolumesContract):
    @pytest.fixture
    def make(self, tmp_path: Path) -> Make:
        async def folders() -> Volumes:
            return StagingFolders(tmp_path / "staging", "here")

        return folders

    async def write(self, volumes: Volumes, run: str) -> None:
        (Path(volumes.place(run)) / "file").write_text("x")

    async def holds_something(self, volumes: Volumes, run: str) -> bool:
        return any(Path(volumes.place(run)).iterdir())


async def test_directories_nobody_may_write_to_go_too_and_links_are_not_followed(tmp_path: Path) -> None:
    folders, run = StagingFolders(tmp_path / "staging", "here"), new_id()
    await folders.provide(run, now=NOW)
    precious = tmp_path / "precious"
    precious.mkdir(mode=0o500)
    (tmp_path / "staging" / new_id()).symlink_to(precious)
    shut = Path(folders.place(run)) / "a" / "b"
    shut.mkdir(parents=True)
    (shut / "file").write_text("x")
    (shut / "link").symlink_to(precious)
    for folder in (shut, shut.parent):
        folder.chmod(0o500)
    await folders.free(run, "succeeded")
    await folders.remove(run)
    assert await folders.volumes() == []
    assert precious.stat().st_mode & 0o777 == 0o500
    precious.chmod(0o700)


async def test_other_files_beside_them_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    folders = StagingFolders(tmp_path, "here")
    assert await folders.volumes() == []
    assert [one.name for one in tmp_path.iterdir()] == ["notes"]


async def test_a_place_that_cannot_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ExecutorError, match="file"):
        await StagingFolders(tmp_path / "file", "here").provide(new_id(), now=NOW)


async def test_it_knows_when_one_was_made(tmp_path: Path) -> None:
    folders, run = StagingFolders(tmp_path / "staging", "here"), new_id()
    await folders.provide(run, now=NOW)
    (Path(folders.place(run)) / "file").write_text("x")
    assert await folders.volumes() == [Volume(run, NOW)]
    await folders.free(run, "orphan")
    assert await folders.volumes() == [Volume(run, NOW, "orphan")]
