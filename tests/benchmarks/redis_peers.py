"""The peers on Redis: each in an environment of its own, made once and kept under `build/`.

They cannot live in ours, nor together: arq wants redis-py below 6, saq below 8, taskiq-redis the newest. So each runs
with the versions (and hiredis) of `peers/NAME.txt`, which `uv pip compile --universal --generate-hashes` has pinned.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.support.redis_server import RedisServer

_FOLDER = Path(__file__).parent / "peers"
_KEPT = Path(__file__).parents[2] / "build" / "bench-peers"
_PATIENCE = 120.0  # seconds, for one peer's measurements


@dataclass(frozen=True, slots=True)
class Figures:
    """`rates`: tasks/s by number of submitters; `start`, `hop`: medians in ms, from the submission or from the end of
    the task before, to the start."""

    rates: Mapping[int, float]
    start: float
    hop: float


@dataclass(frozen=True, slots=True)
class Peer:
    name: str
    package: str
    arguments: tuple[str, ...] = ()


PEERS = (
    Peer("arq", "arq"),
    Peer("saq", "saq"),
    Peer("taskiq, list", "taskiq"),
    Peer("taskiq, stream", "taskiq", ("--stream",)),
)


def measured(peer: Peer, server: RedisServer, counts: Mapping[int, int], singles: int) -> Figures:
    """`counts`: tasks by number of submitters; `singles`: tasks timed one by one. Empties the server first."""
    python = environment(peer.package)
    server.ask("FLUSHALL")
    asked = json.dumps({"url": server.url, "counts": counts, "singles": singles})
    program = [str(python), str(_FOLDER / f"on_{peer.package}.py"), asked, *peer.arguments]
    done = subprocess.run(program, capture_output=True, text=True, timeout=_PATIENCE, check=False)
    if done.returncode:
        raise RuntimeError(f"{peer.name}: {done.stderr[-2000:]}")
    told = json.loads(done.stdout)
    return Figures({int(submitters): rate for submitters, rate in told["rates"].items()}, told["start"], told["hop"])


def environment(package: str) -> Path:
    """The Python that has the peer's packages."""
    pinned = _FOLDER / f"{package}.txt"
    key = hashlib.sha256(pinned.read_bytes() + sys.version.encode()).hexdigest()[:12]
    folder = _KEPT / f"{package}-{key}"
    python, ready = folder / "bin" / "python", folder / ".ready"
    if not ready.exists():
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        install = [str(python), "-m", "pip", "install", "--quiet", "--require-hashes", "-r", str(pinned)]
        subprocess.run(install, check=True)
        ready.touch()
    return python
