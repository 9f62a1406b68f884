"""The frozen program's own affairs, without freezing anything."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from lite import bundle
from lite.restart import EXECUTABLE, self_command

DAY = 86_400
NOW = 2_000_000_000.0


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({"LD_LIBRARY_PATH": "/q/_internal"}, {}),
        ({"LD_LIBRARY_PATH": "/q/_internal:/a:/b", "LD_LIBRARY_PATH_ORIG": "/a:/b"}, {"LD_LIBRARY_PATH": "/a:/b"}),
        ({"LD_LIBRARY_PATH": "/q/_internal:", "LD_LIBRARY_PATH_ORIG": ""}, {"LD_LIBRARY_PATH": ""}),
        ({"LD_LIBRARY_PATH": "/theirs"}, {"LD_LIBRARY_PATH": "/theirs"}),
        # another frozen program around us
        ({"LD_LIBRARY_PATH": "/q/_internal", "LD_LIBRARY_PATH_ORIG": "/o"}, {"LD_LIBRARY_PATH_ORIG": "/o"}),
        ({"_PYI_ARCHIVE_FILE": "/q/qd", "_PYI_PARENT_PROCESS_LEVEL": "1", "PYTHONPATH": "/p"}, {"PYTHONPATH": "/p"}),
    ],
)
def test_the_environment_is_as_it_was(given: dict[str, str], found: dict[str, str]) -> None:
    environ = dict(given)
    bundle.restore_environment(environ, "/q/_internal")
    assert environ == found


def unpacked(base: Path, name: str, *, age_days: float = 0, complete: bool = True) -> Path:
    folder = base / name
    (folder / "_internal").mkdir(parents=True)
    (folder / "qd").write_text("#!/bin/sh\n")
    (folder / "qd").chmod(0o755)
    if complete:
        (folder / "complete").touch()
    os.utime(folder, (NOW - age_days * DAY,) * 2)
    return folder


def test_a_new_version_settles(tmp_path: Path) -> None:
    staging, target = unpacked(tmp_path, ".new-a"), tmp_path / "1.0-0123456789abcdef"
    assert bundle.settle(str(staging), str(target)) == 0
    assert bundle.is_complete(str(target))
    assert not staging.exists()


def test_the_first_of_several_wins(tmp_path: Path) -> None:
    target = unpacked(tmp_path, "1.0-0123456789abcdef")
    inode = target.stat().st_ino
    staging = unpacked(tmp_path, ".new-b")
    assert bundle.settle(str(staging), str(target)) == 0
    assert target.stat().st_ino == inode
    assert list(target.iterdir()) != []
    assert not (target / ".new-b").exists()  # what `mv` would have done


def test_a_damaged_one_is_replaced(tmp_path: Path) -> None:
    target = unpacked(tmp_path, "1.0-0123456789abcdef", complete=False)
    assert bundle.settle(str(unpacked(tmp_path, ".new-b")), str(target)) == 0
    assert bundle.is_complete(str(target))
    assert [path.name for path in tmp_path.iterdir()] == [target.name]


def test_what_cannot_be_written_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert bundle.settle(str(unpacked(tmp_path, ".new-a")), str(tmp_path / "no" / "target")) == 1
    assert "No such file" in capsys.readouterr().err


def test_only_what_nobody_uses_is_cleared_away(tmp_path: Path) -> None:
    keep = unpacked(tmp_path, "1.0-0123456789abcdef", age_days=90)
    used = unpacked(tmp_path, "0.9-0123456789abcdef", age_days=90)
    recent = unpacked(tmp_path, "0.8-0123456789abcdef", age_days=29)
    unpacked(tmp_path, "0.7-0123456789abcdef", age_days=31)
    foreign = unpacked(tmp_path, "mine", age_days=90)
    unpacking = unpacked(tmp_path, ".new-a", age_days=0.9)
    unpacked(tmp_path, ".new-b", age_days=1.1)
    unpacked(tmp_path, ".old-1_2_c", age_days=1.1)
    descriptor = bundle.hold(str(used))
    assert descriptor >= 3
    os.utime(used, (NOW - 90 * DAY,) * 2)
    bundle.clear(str(tmp_path), NOW, keep=keep.name)
    assert set(tmp_path.iterdir()) == {keep, used, recent, foreign, unpacking}
    os.close(descriptor)
    bundle.clear(str(tmp_path), NOW, keep=keep.name)
    assert not used.exists()


def test_using_one_keeps_it_young(tmp_path: Path) -> None:
    old = unpacked(tmp_path, "0.9-0123456789abcdef", age_days=20_000)
    before = old.stat().st_mtime
    os.close(bundle.hold(str(old)))
    assert old.stat().st_mtime > before
    assert bundle.hold(str(tmp_path / "gone")) == -1


def test_a_frozen_program_starts_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = unpacked(tmp_path, "1.0-0123456789abcdef")
    file = tmp_path / "qd"
    file.touch(mode=0o755)
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    monkeypatch.setattr(sys, "executable", str(folder / "qd"))
    monkeypatch.setenv(EXECUTABLE, str(file))
    assert self_command("ls") == [str(folder / "qd"), "ls"]
    (folder / "qd").unlink()
    assert self_command("ls") == [str(file), "ls"]
    file.unlink()
    assert self_command("ls") == [str(folder / "qd"), "ls"]
