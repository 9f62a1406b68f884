"""Which files below a project look like plans. Bounded: never more than so many directories and bytes. No Textual."""

from __future__ import annotations

import os
from pathlib import Path

_MOST_FILES = 300
_MOST_DIRECTORIES = 4000
_DEPTH = 6
_HEAD = 64 * 1024  # bytes looked at
_SKIPPED = frozenset({"node_modules", "__pycache__", "venv", "target", "dist", "build"})


def find_plans(root: Path) -> list[Path]:
    """Paths relative to `root`, nearest first. Links to directories are not followed. Blocks: call it in a thread."""
    found: list[Path] = []
    for seen, (directory, folders, files) in enumerate(os.walk(root)):
        here = Path(directory).relative_to(root)
        if seen > _MOST_DIRECTORIES or len(found) >= _MOST_FILES:
            break
        deep = len(here.parts) >= _DEPTH
        folders[:] = [] if deep else sorted(n for n in folders if not n.startswith(".") and n not in _SKIPPED)
        for name in sorted(files):
            if name.endswith((".yaml", ".yml")) and looks_like_plan(Path(directory) / name):
                found.append(here / name)
    return sorted(found, key=lambda path: (len(path.parts), str(path)))[:_MOST_FILES]


def looks_like_plan(path: Path) -> bool:
    """Has it `tasks:` at the top level?"""
    try:
        if not path.is_file():
            return False
        with path.open("rb") as file:
            head = file.read(_HEAD)
    except OSError:
        return False
    return any(line.startswith((b"tasks:", b'"tasks":', b"'tasks':")) for line in head.splitlines())
