"""The project's own files, read once."""

from __future__ import annotations

import ast
import subprocess
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("lite", "tui", "providers")


@cache
def python_files() -> tuple[Path, ...]:
    """Of the shipped packages."""
    return tuple(sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py")))


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def name(path: Path) -> str:
    """From the project's root."""
    return path.relative_to(ROOT).as_posix()


@cache
def tracked_files() -> tuple[Path, ...]:
    """What git knows, or (outside a checkout) every file of the project's own directories."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if listed.returncode == 0 and listed.stdout:
        return tuple(path for each in listed.stdout.decode().split("\0") if each and (path := ROOT / each).is_file())
    folders = (*PACKAGES, "tests", "examples")
    found = [path for folder in folders for path in (ROOT / folder).rglob("*") if path.is_file()]
    return tuple(path for path in found if "__pycache__" not in path.parts) + tuple(ROOT.glob("*.*"))
