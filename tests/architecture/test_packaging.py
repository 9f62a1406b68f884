"""What is installed is complete: data files travel with the code and are found as package data."""

from __future__ import annotations

import subprocess
import sys
import tomllib
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


@pytest.mark.slow
def test_the_wheel_holds_all_of_it(tmp_path: Path) -> None:
    """Built offline, as an installation from this checkout would."""
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--no-index", "--no-build-isolation", "--wheel-dir", str(tmp_path), str(ROOT)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        inside = set(archive.namelist())
        (points,) = (archive.read(each).decode() for each in inside if each.endswith("entry_points.txt"))
    code = {name(path) for path in tracked_files() if path.suffix == ".py"}
    wanted = {path for path in code if path.split("/")[0] in PACKAGES} | set(data_files())
    assert wanted - inside == set()
    assert {path.split("/")[0] for path in inside if ".dist-info" not in path} == set(PACKAGES)
    assert not [path for path in inside if path.endswith((".pyc", ".db")) or ".quarterdeck" in path]
    for scripts in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"].items():
        assert " = ".join(scripts) in points
