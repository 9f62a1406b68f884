"""The dashboard against tmux: nine panes that redraw, a key's way to the screen; idle cost, first paint, memory."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from tests.benchmarks.outer import COLS, ROWS, Outer, cpu, text_of
from tests.benchmarks.report import Line, against, median_of, percentile
from tests.support.fleet import Fleet, until

_BUSY = str(Path(__file__).with_name("busy.py"))
_SECONDS = 10.0
_KEYS = 100
_QD = [sys.executable, "-P", "-m", "lite"]
_LEAVE = b"\x1d"
_MINIMAL = """
from textual.app import App
from textual.widgets import Footer, Static
class Minimal(App):
    BINDINGS = [("q", "quit", "Quit")]
    def compose(self):
        yield Static("Quarterdeck")
        yield Footer()
Minimal().run()
"""


def run() -> list[Line]:
    return [*_nine(), *_latency(), *_idle(), *_first_paint(), *_memory()]


def _fleet(folder: str, slots: int = 60) -> Fleet:
    return Fleet(Path(folder) / "p", f"limits: {{slots: {slots}}}\n")


def _env(fleet: Fleet) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SSH_", "TEXTUAL", "NO_COLOR"))}
    return {**kept, "QD_HOME": str(fleet.home.root), "TERM": "xterm-256color", "COLORTERM": "truecolor"}


def _start(fleet: Fleet, commands: list[list[str]]) -> None:
    for command in commands:
        fleet.client.call("POST", "/v1/tasks", {"command": command, "cwd": str(fleet.project), "mode": "interactive"})
    until(lambda: sum(task["state"] == "running" for task in fleet.tasks()) == len(commands))


def _redraws(count: int) -> list[list[str]]:
    return [[sys.executable, "-S", _BUSY, "redraw", str(pane)] for pane in range(count)]


def _grid(dashboard: Outer) -> None:
    """From the opened list to nine panes."""
    dashboard.until(lambda seen: b"Quarterdeck" in seen)
    dashboard.quiet(1.0, 5.0)
    dashboard.type(b"v")
    dashboard.read(1.0)
    dashboard.type(b"9")
    dashboard.read(2.0)


class _Tmux:
    """A server with one pane a command, tiled, and a client in a terminal of ours."""

    def __init__(self, folder: str, env: dict[str, str], commands: list[list[str]]) -> None:
        self._server = ["tmux", "-S", f"{folder}/tmux.sock", "-f", "/dev/null"]
        self._env = {name: value for name, value in env.items() if name != "TMUX"}
        self._call("new-session", "-d", "-s", "b", "-x", str(COLS), "-y", str(ROWS), *commands[0])
        for command in commands[1:]:
            self._call("split-window", "-t", "b", *command)
            self._call("select-layout", "-t", "b", "tiled")
        self.pid = int(self._call("display-message", "-p", "#{pid}"))
        self.outer = Outer([*self._server, "attach", "-t", "b"], self._env, folder)
        self.outer.read(2.0)

    def _call(self, *args: str) -> str:
        return subprocess.run([*self._server, *args], check=True, env=self._env, capture_output=True, text=True).stdout

    def __enter__(self) -> _Tmux:
        return self

    def __exit__(self, *_: object) -> None:
        self._call("kill-server")
        self.outer.child.terminate(force=True)


def _nine() -> list[Line]:
    with tempfile.TemporaryDirectory(prefix="qd-bench-") as folder, _fleet(folder) as fleet:
        assert fleet.up() == "ready"
        _start(fleet, _redraws(9))
        with Outer(_QD, _env(fleet), str(fleet.project)) as dashboard:
            _grid(dashboard)
            ours = _watch(dashboard, dashboard.processes())
        with _Tmux(folder, _env(fleet), _redraws(9)) as tmux:
            theirs = _watch(tmux.outer, [psutil.Process(tmux.pid), *tmux.outer.processes()])
    return [
        against("9 panes at 30 Hz: CPU, % of a core", ours[0], theirs[0], "%"),
        against("  frames a second, the focused pane", ours[1], theirs[1], "/s"),
        against("  frames a second, the other panes", ours[2], theirs[2], "/s"),
        against("  bytes a second to the terminal", ours[3], theirs[3], "B/s"),
    ]


def _watch(outer: Outer, processes: list[psutil.Process]) -> tuple[float, float, float, float]:
    """(% of a core, frames a second of the pane drawn most, mean of the others, bytes a second)"""
    outer.forget()
    before = cpu(processes)
    count = outer.read(_SECONDS)
    used = cpu(processes) - before
    frames: dict[str, set[str]] = {}
    for pane, frame in re.findall(r"p(\d)-(\d{6})", _whole(outer)):
        frames.setdefault(pane, set()).add(frame)
    rates = sorted((len(each) / _SECONDS for each in frames.values()), reverse=True)
    assert len(rates) == 9, f"only {len(rates)} panes were seen to move"
    return used / _SECONDS * 100, rates[0], sum(rates[1:]) / 8, count / _SECONDS


def _whole(outer: Outer) -> str:
    """tmux writes only the digits that changed: the screen is followed, not the stream."""
    from lite.terminal.emulators import make_emulator

    screen = make_emulator(COLS, ROWS)
    found: list[str] = []
    data = bytes(outer.seen)
    for at in range(0, len(data), 512):
        screen.feed(data[at : at + 512])
        found += [screen.text(y) for y in screen.dirty()]
    screen.close()
    return "\n".join(found)


def _latency() -> list[Line]:
    """Keys into one pane while eight others redraw."""
    echo = [sys.executable, "-S", _BUSY, "echo"]
    with tempfile.TemporaryDirectory(prefix="qd-bench-") as folder, _fleet(folder) as fleet:
        assert fleet.up() == "ready"
        _start(fleet, [echo, *_redraws(8)])
        with Outer(_QD, _env(fleet), str(fleet.project)) as dashboard:
            _grid(dashboard)
            dashboard.until(lambda seen: b"ready" in seen)
            for _ in range(9):  # to the pane that answers
                dashboard.forget()
                dashboard.type(b"i")
                dashboard.read(0.3)
                dashboard.type(b"x")
                dashboard.read(0.5)
                if "<K" in text_of(bytes(dashboard.seen)):
                    break
                dashboard.type(_LEAVE + b"\t")
                dashboard.read(0.3)
            ours = _keys(dashboard)
        with _Tmux(folder, _env(fleet), [*_redraws(8), echo]) as tmux:
            theirs = _keys(tmux.outer)
    return [
        against("key to screen beside 8 busy panes, p50", percentile(ours, 0.5), percentile(theirs, 0.5), "ms"),
        against("key to screen beside 8 busy panes, p99", percentile(ours, 0.99), percentile(theirs, 0.99), "ms"),
    ]


def _keys(outer: Outer) -> list[float]:
    """Milliseconds from a key to a change in the digits of its token."""
    from lite.terminal.emulators import make_emulator

    screen = make_emulator(COLS, ROWS)
    screen.feed(bytes(outer.seen))
    outer.quiet(0.0, 0.2)
    times = []
    fed = len(outer.seen)

    def count() -> int:
        nonlocal fed
        screen.feed(bytes(outer.seen[fed:]))
        fed = len(outer.seen)
        found = re.search(r"<K(\d{5})>", "\n".join(screen.text(y) for y in range(ROWS)))
        return int(found[1]) if found else -1

    outer.read(0.2)
    for at in range(_KEYS):
        now = count()
        begun = time.perf_counter()
        outer.type(b"x")
        outer.until(lambda _, now=now: count() > now, 5.0)  # type: ignore[misc]
        times.append((time.perf_counter() - begun) * 1000)
        outer.read(0.02 + 0.013 * (at % 4))
    return times


def _idle() -> list[Line]:
    with tempfile.TemporaryDirectory(prefix="qd-bench-") as folder, _fleet(folder) as fleet:
        assert fleet.up() == "ready"
        _start(fleet, [["cat"]] * 50)
        with Outer(_QD, _env(fleet), str(fleet.project)) as dashboard:
            dashboard.until(lambda seen: b"Quarterdeck" in seen)
            dashboard.quiet(20.0, 120.0)  # ages count in minutes after the first
            processes = dashboard.processes()
            before = cpu(processes)
            written = dashboard.read(30.0)
            used = (cpu(processes) - before) / 30.0 * 100
    return [
        Line("idle, 50 idle sessions: CPU", f"{used:.2f} %", "", None, "<= 1 %", used <= 1.0),
        Line("  bytes written in 30 s", str(written), "", None, "0", written == 0),
    ]


def _first_paint() -> list[Line]:
    with tempfile.TemporaryDirectory(prefix="qd-bench-") as folder, _fleet(folder) as fleet:
        assert fleet.up() == "ready"
        _start(fleet, [["cat"]] * 3)
        env = {name: value for name, value in _env(fleet).items() if name != "PYTHONDONTWRITEBYTECODE"}

        def paint(argv: list[str]) -> Callable[[], float]:
            def once() -> float:
                with Outer(argv, env, str(fleet.project)) as outer:
                    return (outer.until(lambda seen: b"Quarterdeck" in seen) - outer.begun) * 1000

            once()
            return once

        ours = median_of(paint(_QD), 7)
        theirs = median_of(paint([sys.executable, "-c", _MINIMAL]), 7)
    return [against("start to first paint vs a minimal Textual app", ours, theirs, "ms", at_most=1.2)]


def _memory() -> list[Line]:
    with tempfile.TemporaryDirectory(prefix="qd-bench-") as folder, _fleet(folder) as fleet:
        assert fleet.up() == "ready"
        empty = _resident(fleet, 0)
        tasks = "\n".join(f"  t{at}: {{command: 'true', on_failure: continue}}" for at in range(1000))
        for _ in range(10):
            fleet.submit_plan(f"name: many\ntasks:\n{tasks}\n")
        until(lambda: all(task["state"] == "succeeded" for task in fleet.tasks()), 300)
        full = _resident(fleet, 10_000)
    return [against("memory with 10,000 tasks vs with none", full, empty, "MB")]


def _resident(fleet: Fleet, tasks: int) -> float:
    with Outer(_QD, _env(fleet), str(fleet.project)) as dashboard:
        dashboard.until(lambda seen: b"Quarterdeck" in seen)
        dashboard.quiet(3.0, 30.0)
        if tasks:
            dashboard.type(b"G")
            dashboard.quiet(1.0, 5.0)
        return float(psutil.Process(dashboard.child.pid).memory_full_info().uss) / 1e6
