"""The executable file against the virtual environment: short commands, first start and later ones."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.benchmarks.report import Line, against, median_of
from tests.support.fleet import Fleet

_ROOT = Path(__file__).parents[2]
_VENV = [sys.executable, "-P", "-m", "lite"]


def run() -> list[Line]:
    with tempfile.TemporaryDirectory(prefix="qd-bench-") as folder, Fleet(Path(folder) / "p") as fleet:
        subprocess.run([sys.executable, ".ci/binary/build.py", "--out", f"{folder}/qd"], cwd=_ROOT, check=True)
        assert fleet.up() == "ready"
        kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        env = {**kept, "QD_HOME": str(fleet.home.root), "QD_CACHE_DIR": f"{folder}/cache"}

        def took(argv: list[str], *, anew: bool = False) -> float:
            if anew:
                shutil.rmtree(f"{folder}/cache", ignore_errors=True)
            begun = time.perf_counter()
            subprocess.run(argv, env=env, check=True, capture_output=True, cwd=folder)
            return (time.perf_counter() - begun) * 1000

        took([*_VENV, "ls"])
        venv = median_of(lambda: took([*_VENV, "ls"]), 15)
        first = median_of(lambda: took([f"{folder}/qd", "ls"], anew=True), 3)
        later = median_of(lambda: took([f"{folder}/qd", "ls"]), 15)
        size = Path(f"{folder}/qd").stat().st_size / 1e6
    return [
        against("qd ls, the executable vs the venv", later, venv, "ms"),
        against("qd ls, its first start vs the venv", first, venv, "ms"),
        Line("size of the executable", f"{size:.1f} MB", ""),
    ]
