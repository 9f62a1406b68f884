"""The dashboard as a person has it: in a real terminal, by keys alone, the screen read back."""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.fleet import Fleet
from tests.support.tmux import Tmux

QD = [sys.executable, "-P", "-m", "lite"]


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    with Fleet(tmp_path / "p") as fleet:
        yield fleet


@pytest.fixture
def terminal(fleet: Fleet, tmp_path: Path) -> Iterator[Tmux]:
    kept = {name: value for name, value in fleet.environ.items() if not name.startswith(("SSH_", "TMUX", "NO_COLOR"))}
    with Tmux(tmp_path / "tmux", cols=130, rows=36, env=kept) as terminal:
        yield terminal


def open_dashboard(terminal: Tmux, fleet: Fleet) -> None:
    terminal.start(QD, fleet.project)
    terminal.see("Quarterdeck", "? Help")


def tmux_modes(terminal: Tmux) -> str:
    """Alternate screen, cursor, mouse, bracketed paste, keypad: what a program may leave behind."""
    flags = "alternate_on cursor_flag mouse_any_flag mouse_sgr_flag keypad_flag keypad_cursor_flag insert_flag"
    return terminal.tmux("display-message", "-p", " ".join(f"#{{{flag}}}" for flag in flags.split())).strip()


def test_a_day_at_the_dashboard(fleet: Fleet, terminal: Tmux) -> None:
    """Start, submit, watch, type, attach, detach, cancel, quit."""
    open_dashboard(terminal, fleet)  # it starts the supervisor by itself
    fleet.adopt()
    terminal.keys("n")
    terminal.see("New task")
    terminal.keys("C-t")
    terminal.see("a command, under sh -c")
    terminal.text("echo hello-$((40+2)); while read line; do echo got:$line:; done")
    terminal.keys("C-s")
    terminal.see("hello-42")
    terminal.until(lambda screen: re.search(r"●\s?R", screen))
    # type into the pane
    terminal.keys("i")
    terminal.see("ctrl-] leaves")
    terminal.text("one q ? x")
    terminal.keys("Enter")
    terminal.see("got:one q ? x:")
    terminal.keys("C-]")
    terminal.until(lambda screen: "ctrl-] leaves" not in screen)
    # attach: the whole terminal, and the bar below it
    terminal.keys("a")
    terminal.until(lambda screen: "leaves" in screen.splitlines()[-1] and "? Help" not in screen)
    terminal.text("two")
    terminal.keys("Enter")
    terminal.see("got:two:")
    terminal.until(lambda screen: "● 1" in screen.splitlines()[-1])
    terminal.keys("C-]")
    terminal.see("? Help", "got:two:")
    # cancel
    terminal.keys("c")
    terminal.see("cancel 1 task")
    terminal.keys("y")
    terminal.until(lambda screen: re.search(r"⊘\s?C", screen))
    # quit
    terminal.keys("q")
    screen = terminal.until(lambda screen: "goes on: nothing to do" in screen.replace("\n", ""))  # a path may be long
    assert "qd down" in screen
    assert terminal.ended() == 0
    assert tmux_modes(terminal) == "0 1 0 0 0 0 0"
    assert [task["state"] for task in fleet.tasks()] == ["cancelled"]


def test_the_supervisor_dies_and_comes_back(fleet: Fleet, terminal: Tmux) -> None:
    assert fleet.up() == "ready"
    task = fleet.client.call(
        "POST", "/v1/tasks", {"name": "worker", "command": "echo alive; cat", "cwd": str(fleet.project)}
    )["task"]["id"]
    open_dashboard(terminal, fleet)
    terminal.see("worker", "alive")
    fleet.kill()
    screen = terminal.see("lost")
    assert "worker" in screen
    assert "alive" in screen
    assert fleet.up() == "ready"
    terminal.until(lambda screen: "lost" not in screen)
    fleet.client.send(task, "after\n")
    terminal.see("after")
    terminal.keys("q")
    assert terminal.ended() == 0


def test_killed_it_changes_nothing_for_the_tasks(fleet: Fleet, terminal: Tmux) -> None:
    assert fleet.up() == "ready"
    fleet.client.call("POST", "/v1/tasks", {"name": "worker", "command": "echo alive; cat", "cwd": str(fleet.project)})
    open_dashboard(terminal, fleet)
    terminal.see("alive")
    terminal.keys("i")
    terminal.see("ctrl-] leaves")
    os.kill(terminal.pid(), signal.SIGKILL)
    assert terminal.ended() == 128 + signal.SIGKILL
    assert [(task["state"], task["attempt"]) for task in fleet.tasks()] == [("running", 1)]


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
@pytest.mark.parametrize("attached", [False, True], ids=["in the list", "attached"])
def test_a_signal_leaves_the_terminal_as_it_was(
    fleet: Fleet, terminal: Tmux, signum: signal.Signals, attached: bool
) -> None:
    assert fleet.up() == "ready"
    program = r"printf '\033[?1049h\033[?1000h\033[?25l\033[?2004hfull screen'; cat"
    fleet.client.call("POST", "/v1/tasks", {"name": "worker", "command": program, "cwd": str(fleet.project)})
    open_dashboard(terminal, fleet)
    terminal.see("full screen")
    if attached:
        terminal.keys("a")
        terminal.until(lambda screen: "leaves" in screen.splitlines()[-1] and "? Help" not in screen)
    os.kill(terminal.pid(), signum)
    assert terminal.ended() == 128 + signum
    assert tmux_modes(terminal) == "0 1 0 0 0 0 0"


def test_what_a_session_prints_never_reaches_the_outer_terminal(fleet: Fleet, terminal: Tmux) -> None:
    assert fleet.up() == "ready"
    hostile = (
        r"printf '\033]0;owned\007\033]52;c;b3duZWQ=\007\033[?1003h\033Ptmux;\033\033]0;owned\007\033\\'"
        r"; printf 'before\342\200\256after \033[31m[bold]red[/bold]\033[0m\n'; cat"
    )
    body = {"name": "x\x1b]0;owned\x07[red]", "command": hostile, "cwd": str(fleet.project)}
    refused = fleet.client.call("POST", "/v1/tasks", {**body, "name": "x"})
    assert refused["created"]
    open_dashboard(terminal, fleet)
    screen = terminal.see("[bold]red[/bold]")
    assert "\u202e" not in screen
    assert "owned" not in terminal.title()
    assert "owned" not in terminal.tmux("show-buffer") if terminal.tmux("list-buffers").strip() else True


def test_resize_storms(fleet: Fleet, terminal: Tmux) -> None:
    assert fleet.up() == "ready"
    for name in ("a", "b", "c"):
        body = {"name": name, "command": f"echo {name}-here; cat", "cwd": str(fleet.project)}
        fleet.client.call("POST", "/v1/tasks", body)
    open_dashboard(terminal, fleet)
    terminal.keys("v")
    for cols, rows in [(1, 1), (400, 120), (60, 15), (3, 50), (300, 2), (20, 8)] * 4 + [(130, 36)]:
        terminal.resize(cols, rows)
    terminal.see("a-here", "b-here", "c-here", "? Help")
    terminal.keys("q")
    assert terminal.ended() == 0


def test_ctrl_z_and_back(fleet: Fleet, terminal: Tmux) -> None:
    assert fleet.up() == "ready"
    terminal.start(["sh", "-i"], fleet.project, shell=False)
    terminal.text("PS1=prompt:; set -m; " + " ".join(QD))
    terminal.keys("Enter")
    terminal.see("? Help")
    terminal.keys("C-z")
    terminal.until(lambda screen: "? Help" not in screen and "prompt:" in screen)
    terminal.text("fg")
    terminal.keys("Enter")
    terminal.see("? Help")
    terminal.keys("q")
    terminal.see("goes on")
