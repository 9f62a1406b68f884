"""What is installed is complete: data files travel with the code and are found as package data."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from importlib import resources
from pathlib import Path

import pytest

from tests.architecture.sources import PACKAGES, ROOT, name, tracked_files

DATA = (".sql", ".lua", ".toml", ".tcss", ".json")


def data_files() -> list[str]:
    """Files of the packages that are not Python."""
    found = [name(path) for path in tracked_files() if path.suffix in DATA]
    return sorted(path for path in found if path.split("/")[0] in PACKAGES)


def test_there_are_data_files() -> None:
    assert any(path.endswith(".sql") for path in data_files())


@pytest.mark.parametrize("path", data_files())
def test_data_is_reachable_as_package_data(path: str) -> None:
    package, _, inner = path.partition("/")
    found = resources.files(package).joinpath(*inner.split("/"))
    assert found.read_bytes() == (ROOT / path).read_bytes()


def build_wheel(folder: Path) -> Path:
    """Offline, as an installation from this checkout would."""
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--no-index", "--no-build-isolation", "--wheel-dir", str(folder), str(ROOT)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = folder.glob("*.whl")
    return wheel


@pytest.mark.slow
def test_the_wheel_holds_all_of_it(tmp_path: Path) -> None:
    wheel = build_wheel(tmp_path)
    with zipfile.ZipFile(wheel) as archive:
        inside = set(archive.namelist())
        (points,) = (archive.read(each).decode() for each in inside if each.endswith("entry_points.txt"))
    code = {name(path) for path in tracked_files() if path.suffix == ".py"}
    wanted = {path for path in code if path.split("/")[0] in PACKAGES} | set(data_files())
    assert wanted - inside == set()
    assert {path.split("/")[0] for path in inside if ".dist-info" not in path} == set(PACKAGES)
    assert not [path for path in inside if path.endswith((".pyc", ".db")) or ".quarterdeck" in path]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert set(project["entry-points"]) == {"quarterdeck.dashboard", "quarterdeck.providers"}
    for group in (project["scripts"], *project["entry-points"].values()):
        for point in group.items():
            assert " = ".join(point) in points


@pytest.mark.slow
def test_the_installed_wheel_works_by_itself(tmp_path: Path) -> None:
    """In an environment of its own, which finds this one's libraries, but not this checkout."""
    wheel = build_wheel(tmp_path)
    venv.create(tmp_path / "venv", symlinks=True)
    python = tmp_path / "venv" / "bin" / "python"
    command = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*command, "--disable-pip-version-check", str(wheel)], check=True, capture_output=True)
    (packages,) = (tmp_path / "venv").glob("lib/python*/site-packages")
    (packages / "libraries.pth").write_text(sysconfig.get_path("purelib"))
    qd = str(tmp_path / "venv" / "bin" / "qd")
    env = {**os.environ, "QD_HOME": str(tmp_path / "home")}
    done = subprocess.run(
        [qd, "submit", "--wait", "--", "true"], env=env, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    subprocess.run([qd, "down", "--yes"], env=env, cwd=tmp_path, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    where = "import lite, tui.entry, providers; print(lite.__file__, tui.__file__, providers.__file__)"
    found = subprocess.run([python, "-c", where], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert all(path.startswith(str(packages)) for path in found.stdout.split())
