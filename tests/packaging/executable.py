"""The single file, built once for all tests, and machines without Python to run it on."""

from __future__ import annotations

import fcntl
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from tests.examples.project import ROOT, Project

BUILD = ROOT / ".ci" / "binary" / "build.py"
SECONDS = 60.0
# what the file itself, the examples and the tests' own tasks call
TOOLS = (
    *("sh", "cat", "chmod", "cksum", "gzip", "id", "ls", "mkdir", "mktemp", "mv", "rm", "tail", "tar"),
    *("echo", "env", "setsid", "sleep", "tee", "tr", "true", "uname"),
)


def load_build() -> ModuleType:
    spec = importlib.util.spec_from_file_location("qd_build", BUILD)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def built(folder: Path) -> Path:
    """The real one, as `make binary` builds it. Parallel test processes share it."""
    out = folder / "qd"
    with (folder / "building").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not out.exists():
            command = [sys.executable, os.fspath(BUILD), "--out", os.fspath(out), "--work", os.fspath(folder / "work")]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stdout + done.stderr
            shutil.rmtree(folder / "work")
    return out


def toolbox(folder: Path) -> Path:
    """A directory for PATH with a few tools and certainly no Python."""
    folder.mkdir()
    for name in TOOLS:
        found = shutil.which(name)
        assert found, f"{name} is not on PATH"
        (folder / name).symlink_to(os.path.realpath(found))
    return folder


class Bare(Project):
    """An example on a machine that has the file, a shell and a few tools."""

    def __init__(self, folder: Path, example: str, binary: Path, cache: Path) -> None:
        super().__init__(folder, example)
        (self.path / "quarterdeck.yaml").touch()  # its home is beside it
        self.command = os.fspath(binary)
        self.env = {
            "PATH": os.fspath(toolbox(folder / "bin")),
            "HOME": self.env["HOME"],
            "TMPDIR": self.env["TMPDIR"],
            "XDG_RUNTIME_DIR": self.env["XDG_RUNTIME_DIR"],
            "QD_CACHE_DIR": os.fspath(cache),
            "LANG": "C.UTF-8",
        }

    def start(self, *args: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """Like `qd`, with everything it said."""
        return run([self.command, *args], env=self.env, cwd=self.path, **options)


def run(command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
    """To its end, with everything it said."""
    given = {"stdin": subprocess.DEVNULL, "timeout": SECONDS} | options
    return subprocess.run(command, check=False, text=True, capture_output=True, **given)


def versions(cache: Path) -> list[Path]:
    """What is unpacked in there, remains included."""
    return sorted(cache.iterdir()) if cache.is_dir() else []
