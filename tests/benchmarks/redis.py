"""Redis: no-op tasks until durably succeeded, against arq, saq and taskiq on the same server (AOF, fsync every second),
and against the same server driven with nothing in between. Over TCP; submitters and worker share one process."""

from __future__ import annotations

import os
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.benchmarks.redis_ours import idle, ours
from tests.benchmarks.redis_peers import PEERS, Figures, environment, measured
from tests.benchmarks.redis_raw import claim_us, raw_rate
from tests.benchmarks.report import Line, against
from tests.support.redis_server import PROGRAM, RedisServer, installed

ROUNDS = 3  # everybody takes a turn in each, so that a busy machine is busy for all
COUNTS = {1: 1500, 10: 3000}  # of tasks, by number of submitters
RAW = 6000
SINGLES = 50
READY = (1_000, 100_000)
IDLE_SECONDS = 10
OURS = "ours"


def run() -> list[Line]:
    if not installed():
        return [Line(f"not measured: there is no {PROGRAM} here", "", "")]
    for peer in PEERS:
        environment(peer.package)
    with tempfile.TemporaryDirectory(prefix="qd-bench-") as folder:
        root = Path(folder)
        (root / "server").mkdir()
        server = RedisServer(root / "server", appendonly=True).start()
        try:
            return _lines(root, server)
        finally:
            server.kill()


def _lines(root: Path, server: RedisServer) -> list[Line]:
    rounds: dict[str, list[Figures]] = {}
    raw = []
    for _ in range(ROUNDS):
        rounds.setdefault(OURS, []).append(ours(root, server, COUNTS, SINGLES))
        for peer in PEERS:
            rounds.setdefault(peer.name, []).append(measured(peer, server, COUNTS, SINGLES))
        raw.append(raw_rate(server, RAW))

    def median(who: str, what: Callable[[Figures], float]) -> float:
        return statistics.median(what(figures) for figures in rounds[who])

    lines = []
    for submitters in COUNTS:
        mine = median(OURS, lambda one, n=submitters: one.rates[n])  # type: ignore[misc]
        name = f"{submitters} submitter{'s' if submitters > 1 else ''}"
        for peer in PEERS:
            theirs = median(peer.name, lambda one, n=submitters: one.rates[n])  # type: ignore[misc]
            aim = 5 if peer.package == "taskiq" and submitters == 10 else 1
            lines.append(against(f"{name}, vs {peer.name}", mine, theirs, "tasks/s", at_least=aim))
    mine = median(OURS, lambda one: one.rates[10])
    lines.append(against("10 submitters, vs bare calls of 100", mine, statistics.median(raw), "tasks/s", at_least=0.5))
    for peer in PEERS:
        for name, what in (("submit to start", _start), ("end to next start", _hop)):
            mine, theirs = median(OURS, what), median(peer.name, what)
            lines.append(against(f"{name} p50, vs {peer.name}", mine, theirs, "ms", at_most=1))
    few, many = claim_us(server, READY)
    lines.append(against(f"server time of a claim, {READY[1]:,} vs {READY[0]:,}", many, few, "us", at_most=1.5))
    engine, redis = idle(root, server, IDLE_SECONDS)
    met = engine <= 0.5
    lines.append(
        Line(
            "idle CPU of the engine (theirs: the server's)", f"{engine:.2f} %", f"{redis:.2f} %", None, "<= 0.5 %", met
        )
    )
    lines.append(Line("load average at the end", f"{os.getloadavg()[0]:.2f}", ""))
    return lines


def _start(figures: Figures) -> float:
    return figures.start


def _hop(figures: Figures) -> float:
    return figures.hop
