"""Guards every test runs under: a throw-away HOME and XDG; soak, bench and real only on demand."""

from __future__ import annotations

import os
import pwd
import tempfile
from pathlib import Path

import pytest

pytest_plugins = ("tests.support.redis_fixtures",)

_real_home = Path(pwd.getpwuid(os.getuid()).pw_dir)
_base = Path(tempfile.mkdtemp(prefix="qd-test-"))
for _name, _sub in {
    "HOME": "home",
    "XDG_STATE_HOME": "state",
    "XDG_CONFIG_HOME": "config",
    "XDG_CACHE_HOME": "cache",
    "XDG_DATA_HOME": "data",
    "XDG_RUNTIME_DIR": "run",
}.items():
    (_base / _sub).mkdir(mode=0o700)
    os.environ[_name] = str(_base / _sub)
for _name in [name for name in os.environ if name.startswith("QD_") and not name.startswith("QD_TEST_")]:
    del os.environ[_name]
for _name in ("COLUMNS", "LINES"):  # a runner's own idea of a terminal, which programs believe more than theirs
    os.environ.pop(_name, None)
os.environ["GIT_CONFIG_GLOBAL"] = str(_base / "gitconfig")
(_base / "gitconfig").write_text(
    "[user]\n\tname = Test\n\temail = test@example.invalid\n[init]\n\tdefaultBranch = main\n"
)


def pytest_sessionfinish() -> None:
    import shutil

    shutil.rmtree(_base, ignore_errors=True)


@pytest.fixture(autouse=True)
def _own_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test may touch the real HOME: abort when one points there."""
    for name in ("HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR"):
        value = Path(os.environ[name])
        if value == _real_home or not value.is_relative_to(tempfile.gettempdir()):
            pytest.exit(f"{name}={value} lies outside the tests' folder", returncode=3)
    monkeypatch.delenv("QD_HOME", raising=False)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """`soak`, `bench` and `real` run only when asked for by marker."""
    asked = config.getoption("-m") or ""
    keep = []
    dropped = []
    for item in items:
        marks = {mark.name for mark in item.iter_markers()} & {"soak", "bench", "real"}
        (keep if not marks or any(mark in asked for mark in marks) else dropped).append(item)
    if dropped:
        config.hook.pytest_deselected(items=dropped)
        items[:] = keep
