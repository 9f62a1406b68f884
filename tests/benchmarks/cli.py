"""The command line: `qd ls` against a bare interpreter, supervisor ready from cold against importing its web stack."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.benchmarks.report import Line, against
from tests.support.fleet import Fleet

_QD = Path(sys.executable).with_name("qd")


def run() -> list[Line]:
    with tempfile.TemporaryDirectory(prefix="qd-bench-") as folder, Fleet(Path(folder) / "p") as fleet:
        ready = []
        for _ in range(5):
            assert fleet.up() == "ready"
            ready.append(fleet.ready_after * 1000)
            fleet.kill()
        assert fleet.up() == "ready"
        for _ in range(20):
            fleet.qd("submit", "--", "true")
        fleet.wait()
        env = {**os.environ, "QD_HOME": str(fleet.home.root)}
        listing = _best([str(_QD), "ls"], env)
        bare = _best([sys.executable, "-c", "pass"], env)
        imports = _best([sys.executable, "-c", "import fastapi, uvicorn"], env)
        return [
            against("qd ls vs python -c pass", listing, bare, "ms", at_most=3),
            against(
                "supervisor ready vs import fastapi, uvicorn", statistics.median(ready), imports, "ms", at_most=1.5
            ),
        ]


def _best(argv: list[str], env: dict[str, str], rounds: int = 15) -> float:
    """The median wall time in ms, first round thrown away."""
    times = []
    for _ in range(rounds + 1):
        begun = time.perf_counter()
        subprocess.run(argv, env=env, stdout=subprocess.DEVNULL, check=True)
        times.append((time.perf_counter() - begun) * 1000)
    return statistics.median(times[1:])
