"""Echo through `qd attach` against `tmux attach`, each in a terminal of its own, the same program behind both."""

from __future__ import annotations

import os
import select
import sys
import tempfile
import time
from pathlib import Path

import ptyprocess

from tests.benchmarks.report import Line, against, percentile
from tests.support.fleet import Fleet, until

_KEYS = 300


def run() -> list[Line]:
    with tempfile.TemporaryDirectory(prefix="qd-bench-") as folder, Fleet(Path(folder) / "p") as fleet:
        assert fleet.up() == "ready"
        task = fleet.client.call("POST", "/v1/tasks", {"command": ["cat"], "cwd": folder})["task"]["id"]
        until(lambda: fleet.client.task(task)["state"] == "running")
        env = {**os.environ, "QD_HOME": str(fleet.home.root), "TERM": "xterm-256color"}
        ours = _echo([sys.executable, "-P", "-m", "lite", "attach", task], env)
        theirs = _echo_tmux(env, folder)
        raw = _echo(["cat"], env)
        return [
            against(
                "echo p50, qd attach vs tmux attach", percentile(ours, 0.5), percentile(theirs, 0.5), "ms", at_most=1
            ),
            against("echo p99, qd attach vs tmux attach", percentile(ours, 0.99), percentile(theirs, 0.99), "ms"),
            against("echo p50, qd attach vs a raw pty", percentile(ours, 0.5), percentile(raw, 0.5), "ms"),
        ]


def _echo_tmux(env: dict[str, str], folder: str) -> list[float]:
    import subprocess

    server = ["tmux", "-S", f"{folder}/tmux.sock", "-f", "/dev/null"]
    subprocess.run([*server, "new-session", "-d", "-s", "b", "cat"], check=True, env=env)
    try:
        return _echo([*server, "attach", "-t", "b"], env)
    finally:
        subprocess.run([*server, "kill-server"], check=False, env=env)


def _echo(argv: list[str], env: dict[str, str]) -> list[float]:
    """Milliseconds from a key to its echo, one key at a time."""
    child = ptyprocess.PtyProcess.spawn(argv, env=env, dimensions=(24, 80))
    _quiet(child.fd, 1.0)
    times = []
    for at in range(_KEYS):
        key = b"abcdefghijklmnopqrstuvwxyz"[at % 26 : at % 26 + 1]
        begun = time.perf_counter()
        os.write(child.fd, key)
        seen = b""
        while key not in seen:
            assert select.select([child.fd], [], [], 5)[0], f"{argv[0]}: no echo"
            seen += os.read(child.fd, 65536)
        times.append((time.perf_counter() - begun) * 1000)
        _quiet(child.fd, 0.01)
        if at % 60 == 59:
            os.write(child.fd, b"\r")
            _quiet(child.fd, 0.1)
    child.terminate(force=True)
    return times


def _quiet(descriptor: int, seconds: float) -> None:
    """Read until nothing comes for so long."""
    while select.select([descriptor], [], [], seconds)[0]:
        os.read(descriptor, 65536)
