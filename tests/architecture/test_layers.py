"""Arrows point downward: by import-linter's contracts, and at run time."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.sources import ROOT, name, python_files, tree

HEAVY = ("textual", "rich", "redis", "pydantic", "fastapi", "starlette", "uvicorn", "httpx", "aiosqlite", "asyncio")
OURS = ("lite.engine", "lite.wiring", "lite.daemon", "lite.backends", "lite.executors", "lite.api.server")


@pytest.mark.slow
def test_the_contracts_in_pyproject_hold() -> None:
    program = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([program, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    "module", ["lite.api.client", "lite.cli.app", "lite.cli.submit", "lite.cli.wait", "lite.cli.logs"]
)
def test_a_client_stays_light(module: str) -> None:
    """What a short command imports it pays for at every start."""
    unwanted = [*HEAVY, *OURS]
    program = f"import sys, {module}; print(*[name for name in {unwanted!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_the_engine_runs_without_a_screen() -> None:
    unwanted = ["textual", "rich", "tui"]
    program = f"import sys, lite.daemon, lite.wiring; print(*[name for name in {unwanted} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_providers_import_nothing_of_ours() -> None:
    """import-linter sees static imports; this sees those inside functions and by name, too."""
    found = []
    for path in python_files():
        if not name(path).startswith("providers/"):
            continue
        for node in ast.walk(tree(path)):
            modules = []
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                modules = [node.module or ""]
            elif isinstance(node, ast.Call) and _called(node) in ("import_module", "__import__"):
                modules = [
                    arg.value for arg in node.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str)
                ]
            found += [f"{name(path)}:{node.lineno}" for one in modules if one.split(".")[0] in ("lite", "tui")]
    assert found == []


def test_asyncio_tasks_are_made_in_one_module() -> None:
    """A task that nobody holds loses its errors; `lite.aio.tasks` holds them all."""
    found = [
        f"{name(path)}:{node.lineno}"
        for path in python_files()
        if name(path) != "lite/aio/tasks.py"
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call) and _called(node) in ("create_task", "ensure_future", "TaskGroup")
    ]
    assert found == []


def _called(node: ast.Call) -> str:
    """The last part of the name of what is called."""
    if isinstance(node.func, ast.Attribute):
        return node.func.attr
    return node.func.id if isinstance(node.func, ast.Name) else ""
