from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.examples.project import Project


@pytest.fixture
def example(tmp_path: Path) -> Iterator[Callable[[str], Project]]:
    """Copies an example by name; what was started there is stopped afterwards."""
    made: list[Project] = []

    def make(name: str) -> Project:
        made.append(Project(tmp_path, name))
        return made[-1]

    yield make
    for project in made:
        project.close()
