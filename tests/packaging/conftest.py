from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.packaging.executable import Bare, built


@pytest.fixture(scope="session")
def binary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Takes half a minute. Fails, not skips, when PyInstaller cannot be had: the executable is part of the product."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if base.name.startswith("popen-") else base  # of all pytest-xdist processes
    folder = shared / "binary"
    folder.mkdir(exist_ok=True)
    return built(folder)


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the tests that do not care unpack, once."""
    return tmp_path_factory.mktemp("cache") / "quarterdeck"


@pytest.fixture
def bare(tmp_path: Path, binary: Path, cache: Path) -> Iterator[Callable[..., Bare]]:
    """Copies an example by name, for the executable alone; what was started there is stopped afterwards."""
    made: list[Bare] = []

    def make(example: str = "01_first_plan", **options: Path) -> Bare:
        made.append(Bare(tmp_path, example, **{"binary": binary, "cache": cache} | options))
        return made[-1]

    yield make
    for project in made:
        project.close()
