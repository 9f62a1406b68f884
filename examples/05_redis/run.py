"""A fleet on one machine: a Redis server, an orchestrator, two workers (one is killed), all of its own.

Runs the plan of `02_two_lanes` as it is, then `plan.yaml`; answers the agent's question itself; stops what it started,
removes its directory and exits 0 only when every task succeeded. Standard library only; needs redis-server and git.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from deck import Deck, DemoError, paint, shown  # noqa: E402 - it lies beside our folder
from demo import Demo  # noqa: E402
from server import Server  # noqa: E402

LIMIT_SECONDS = 120
ZONES = {"w1": "a", "w2": "b"}


class Fleet:
    """Server, orchestrator and workers. The orchestrator's home is the project's; a worker's is `folder/NAME`."""

    def __init__(self, folder: Path) -> None:
        self.deck = Deck(folder, private=True)
        self.server = Server(folder / "redis")
        shutil.copy(HERE / "quarterdeck.yaml", self.deck.project)
        shutil.copy(HERE / "plan.yaml", self.deck.project / "fleet.yaml")
        self._up: dict[Path, int] = {}  # home -> pid of its supervisor

    def start(self) -> None:
        self.server.start()
        print(f"{paint('$', 'dim')} redis-server, port {self.server.port}", flush=True)
        self.deck.env |= {"QD_BACKEND": self.server.url, "QD_REDIS_PASSWORD": self.server.password}
        self._start(self.deck.project / ".quarterdeck", "--role", "orchestrator")
        for name, zone in ZONES.items():
            home = self.deck.folder / name
            home.mkdir()
            shutil.copy(HERE / "quarterdeck.yaml", home)
            about = ("--name", name, "--labels", f"zone={zone}", "--slots", "1", "--listen", "127.0.0.1:0")
            self._start(home, "--role", "worker", *about)

    def _start(self, home: Path, *options: str) -> None:
        print(f"{paint('$', 'dim')} qd up -d {shlex.join(options)}", flush=True)
        self._up[home] = 0
        self._up[home] = self.deck.ask("up", "-d", "--home", str(home), *options)["pid"]

    def kill(self, worker: str) -> None:
        """kill -9 the worker's supervisor."""
        os.kill(self._up.pop(self.deck.folder / worker.partition("-")[0]), signal.SIGKILL)

    def close(self) -> None:
        for home in reversed(self._up):
            try:
                self.deck.qd("down", "--yes", "--home", str(home))
            except DemoError as error:
                print(f"demo: {error}", file=sys.stderr)
        self.server.close()

    def logs(self) -> str:
        """Their ends."""
        found = sorted(self.deck.folder.rglob("supervisor.log"))
        return "\n".join(f"{path}:\n{path.read_text(errors='replace')[-3000:]}" for path in found)


class Afar(Demo):
    """Tells also which worker a task runs on."""

    def _where(self, event: dict[str, Any]) -> str:
        return f", on {event['worker']}"


class Crossing(Afar):
    """The plan of this folder; the worker of its convoy is killed as soon as both tasks of it have been started."""

    plan = "fleet.yaml"

    def __init__(self, fleet: Fleet) -> None:
        super().__init__(fleet.deck, headless=True)
        self._fleet = fleet
        self._sailing: dict[str, str] = {}  # task -> worker
        self.killed = ""
        self.again = ""  # a task that had to run again elsewhere

    def _tell(self, event: dict[str, Any]) -> None:
        super()._tell(event)
        task = self._tasks.get(event["task"])
        if task is None or not task["name"].startswith("convoy"):
            return
        if event["kind"] == "lease.lost":
            self._line(event["at"], task, "lost", "red", f"its lease on {self.killed} has ended")
        elif event["kind"] == "task.started":
            self._sailing[task["name"]] = event["worker"]
            if len(self._sailing) == 2 and not self.killed:
                self.killed = event["worker"]
                self._fleet.kill(self.killed)
                print(f"\n{paint(f'kill -9 {self.killed}', 'red')}, while both tasks of the convoy run")
                show(self.deck, "workers")
                show(self.deck, "explain", f"fleet/{next(iter(self._sailing))}")
                print(flush=True)

    def _check(self) -> None:
        tasks = {task["name"]: task for task in self.deck.ask("ls", "--run", self.run, "--all")}
        bad = [f"{name} {task['state']} ({task['reason']})" for name, task in tasks.items() if not succeeded(task)]
        if bad:
            raise DemoError(f"not every task succeeded: {', '.join(bad)}")
        again = [name for name, worker in self._sailing.items() if worker != self.killed and tasks[name]["attempt"] > 1]
        if not again:
            raise DemoError(f"nothing had to run again elsewhere: {self._sailing}, killed: {self.killed or 'nobody'}")
        self.again = again[0]


def succeeded(task: dict[str, Any]) -> bool:
    return bool(task["state"] == "succeeded")


def show(deck: Deck, *args: str) -> None:
    print(f"\n{paint(f'qd {shlex.join(args)}', 'bold')}", flush=True)
    if code := deck.show(*args):
        raise DemoError(f"qd {shlex.join(args)}: exit code {code}")


def play(fleet: Fleet) -> None:
    begun = time.monotonic()
    fleet.start()
    print(f"\n{paint('The plan of 02_two_lanes, as it is', 'bold')}", flush=True)
    lanes = Afar(fleet.deck, headless=True)
    lanes.play()
    show(fleet.deck, "logs", "two-lanes/merge", "--tail", "9")
    print(f"\n{paint('Placement, and a worker that dies', 'bold')}", flush=True)
    crossing = Crossing(fleet)
    crossing.play()
    show(fleet.deck, "ls", "--run", crossing.run)
    show(fleet.deck, "workers")
    show(fleet.deck, "logs", f"fleet/{crossing.again}")
    print(f"\nevery task succeeded, in {time.monotonic() - begun:.1f} s", flush=True)


def stay(fleet: Fleet) -> None:
    """Until ctrl-c."""
    signal.alarm(0)
    deck = fleet.deck
    print(
        f"""
The fleet goes on until you press ctrl-c. From another terminal:
    cd {shlex.quote(str(deck.project))}
    {shown(deck)}                          the dashboard
    {shown(deck)} workers                  who is there
    {shown(deck)} run plan.yaml            once more; then attach, cancel, kill -9
    {shown(deck)} submit -- sh -c 'hostname; sleep 60'""",
        flush=True,
    )
    signal.pause()


def main() -> int:
    parser = argparse.ArgumentParser(description="Run a fleet on a Redis server of its own.")
    parser.add_argument("--stay", action="store_true", help="leave the fleet running until ctrl-c")
    asked = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job inherits it ignored
    signal.signal(signal.SIGALRM, _too_long)
    signal.alarm(LIMIT_SECONDS)
    folder = Path(tempfile.mkdtemp(prefix="qd-fleet-"))
    fleet = None
    try:
        fleet = Fleet(folder)
        play(fleet)
        if asked.stay:
            stay(fleet)
    except DemoError as error:
        print(f"demo: {error}", file=sys.stderr)
        if fleet is not None:
            print(f"demo: the ends of the logs:\n{fleet.logs()}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        signal.alarm(0)
        if fleet is not None:
            fleet.close()
        shutil.rmtree(folder, ignore_errors=True)
    return 0


def _too_long(*_: object) -> None:
    raise DemoError(f"not done after {LIMIT_SECONDS} s")


if __name__ == "__main__":
    sys.exit(main())
