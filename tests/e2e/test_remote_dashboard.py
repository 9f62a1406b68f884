"""The dashboard on a laptop that runs nothing itself: other machines' terminals, and the truth when one dies."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.fleet import Fleet
from tests.support.redis_server import RedisServer
from tests.support.tmux import Tmux

QD = [sys.executable, "-P", "-m", "lite"]
Join = Callable[..., Fleet]


@pytest.fixture
def join(tmp_path: Path, redis_server: RedisServer, redis_prefix: str) -> Iterator[Join]:
    """Start a member of one fleet, with leases so short that a dead worker is soon replaced."""
    members: list[Fleet] = []

    def start(name: str, *options: str) -> Fleet:
        backend = f"backend: {{url: '{redis_server.url}', prefix: {redis_prefix}}}\n"
        member = Fleet(tmp_path / name, backend + "lease: {ttl: 3s, heartbeat: 500ms}\nretry: {base: 10ms}\n")
        members.append(member)
        assert member.up(*options) == "ready", member.errors()
        return member

    yield start
    for member in reversed(members):
        member.close()


def worker_of(member: Fleet) -> str:
    return str(member.client.status()["worker"])


def on_laptop(laptop: Fleet, folder: Path) -> Tmux:
    kept = {name: value for name, value in laptop.environ.items() if not name.startswith(("SSH_", "TMUX", "NO_COLOR"))}
    return Tmux(folder / "tmux", cols=130, rows=36, env=kept)


def test_another_machines_terminal_is_like_ones_own_until_that_machine_dies(join: Join, tmp_path: Path) -> None:
    laptop = join("laptop", "--role", "orchestrator")
    hand = join("hand", "--role", "worker", "--name", "hand", "--listen", "127.0.0.1:0")
    command = "stty -echo; echo hello-$((40+2)); while read line; do echo got:$line:; done"
    body = {"name": "far", "command": command, "cwd": str(laptop.project)}
    laptop.client.call("POST", "/v1/tasks", body)
    with on_laptop(laptop, tmp_path) as terminal:
        terminal.start(QD, laptop.project)
        terminal.see("Quarterdeck", "? Help", "hello-42")
        terminal.until(lambda screen: re.search(r"●\s?R far on hand-", screen))  # in the pane's title
        # type into the pane
        terminal.keys("i")
        terminal.see("ctrl-] leaves")
        terminal.text("one q ? x")
        terminal.keys("Enter")
        terminal.see("got:one q ? x:")
        terminal.keys("C-]")
        terminal.until(lambda screen: "ctrl-] leaves" not in screen)
        # attach
        terminal.keys("a")
        terminal.until(lambda screen: "leaves" in screen.splitlines()[-1] and "? Help" not in screen)
        terminal.text("two")
        terminal.keys("Enter")
        terminal.see("got:two:")
        terminal.keys("C-]")
        terminal.see("? Help", "got:two:")
        # that machine dies
        hand.kill()
        screen = terminal.until(lambda screen: re.search(r"○\s?Q far +lost: its worker", screen))
        assert "got:two:" in screen  # what was seen stays
        gone = r"ended: not available: worker hand-\S+ (cannot be reached since|has left the fleet)"
        terminal.until(lambda screen: re.search(gone, screen))
        assert terminal.screen().count("on hand-") == 0
        spare = join("spare", "--role", "worker", "--name", "spare", "--listen", "127.0.0.1:0")
        screen = terminal.until(lambda screen: re.search(r"●\s?R far on spare-", screen) and "hello-42" in screen)
        assert "got:two:" not in screen  # a new attempt, from its beginning
        terminal.keys("i")
        terminal.see("ctrl-] leaves")
        terminal.text("three")
        terminal.keys("Enter")
        terminal.see("got:three:")
        assert not re.search(r"far +starting", terminal.screen())
        terminal.keys("C-]")
        terminal.until(lambda screen: "ctrl-] leaves" not in screen)
        terminal.keys("q")
        assert terminal.ended() == 0
    (task,) = laptop.tasks()
    assert (task["state"], task["attempt"], task["faults"], task["worker"]) == ("running", 2, 1, worker_of(spare))
