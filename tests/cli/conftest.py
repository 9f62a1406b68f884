"""A home of the test's own, a fake supervisor on it, and `qd` called in this process."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from lite.__main__ import main
from lite.home import Home
from tests.cli.fake import FakeSupervisor


class Result(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Qd = Callable[..., Result]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    home = Home(tmp_path / "home")
    monkeypatch.setenv("QD_HOME", str(home.root))
    monkeypatch.chdir(tmp_path)
    for name in ("NO_COLOR", "COLUMNS", "QD_DEBUG", "QD_DETACH_KEY"):
        monkeypatch.delenv(name, raising=False)
    return home


@pytest.fixture
def supervisor(home: Home) -> Iterator[FakeSupervisor]:
    fake = FakeSupervisor(home)
    yield fake
    fake.close()


@pytest.fixture
def qd(home: Home, capfd: pytest.CaptureFixture[str]) -> Qd:
    def run(*argv: str) -> Result:
        code = main(list(argv))
        captured = capfd.readouterr()
        return Result(code, captured.out, captured.err)

    return run
