"""The demo: the plan of `02_two_lanes`, run by the real `qd`, as a user would (`make demo`).

With --headless it answers the agent's question itself, stops what it started, removes its directory and exits 0 only
when every task succeeded. Without, it waits for your answer and leaves the fleet running for you to look at.
Standard library only; needs git on PATH.
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

from deck import Deck, DemoError, Follower, paint, shown

ON_REDIS = Path(__file__).parent / "05_redis" / "run.py"
ANSWER = "wordy"
LIMIT_SECONDS = 120  # of the headless demo, all in all
TASKS_AT_LEAST = 8


class Demo:
    """Submits the plan, tells what happens, line by line, and sees to the question."""

    plan = "plan.yaml"

    def __init__(self, deck: Deck, *, headless: bool) -> None:
        self.deck = deck
        self.headless = headless
        self.run = ""
        self._tasks: dict[str, dict[str, Any]] = {}
        self._started: dict[str, int] = {}
        self._begun_at = 0

    def submit(self) -> None:
        answer = self.deck.ask("run", self.plan)
        self.run = answer["run"]["id"]
        self._begun_at = answer["run"]["created_at"]
        self._tasks = {task["id"]: task for task in answer["tasks"]}
        lanes = {task["lane"] for task in answer["tasks"] if task["lane"]}
        print(f"plan {answer['run']['name']}: {len(self._tasks)} tasks, {len(lanes)} lanes, in {self.deck.project}")

    def play(self) -> float:
        """Seconds it took. Raises `DemoError` unless every task succeeded."""
        begun = time.monotonic()
        self.submit()
        follower = Follower(self.deck, self.run)
        try:
            self._follow(follower)
        finally:
            follower.close()
        took = time.monotonic() - begun
        self._check()
        return took

    def _follow(self, follower: Follower) -> None:
        while True:
            for event in follower.read():
                self._tell(event)
                if event["kind"] == "run.finished":
                    return

    def _tell(self, event: dict[str, Any]) -> None:
        task = self._tasks.get(event["task"])
        if task is None:
            return
        kind, data, at = event["kind"], event["data"], event["at"]
        if kind == "task.started":
            self._started[task["id"]] = at
            lane = f", lane {task['lane']}" if task["lane"] else ""
            self._line(at, task, "started", "cyan", f"agent {task['agent']}{lane}{self._where(event)}")
        elif kind == "session.waiting":
            self._line(at, task, "asks", "yellow", str(data.get("text") or ""))
            self._asked(task)
        elif kind == "session.answered":
            self._line(at, task, "goes on", "cyan", "it was answered")
        elif kind == "task.succeeded":
            took = (at - self._started.get(task["id"], at)) / 1000
            output = (self.deck.ask("show", task["id"])["output"] or "").strip().partition("\n")[0]
            self._line(at, task, "succeeded", "green", f"{took:.1f} s" + (f", hands on: {output}" if output else ""))
        elif kind in ("task.failed", "task.cancelled", "task.skipped", "task.retrying", "task.parked"):
            why = ": ".join(str(data[key]) for key in ("reason", "detail") if data.get(key))
            self._line(at, task, kind.partition(".")[2], "red", why)

    def _where(self, event: dict[str, Any]) -> str:
        """More about the place of something."""
        return ""

    def _asked(self, task: dict[str, Any]) -> None:
        if self.headless:
            result = self.deck.ask("send", task["id"], ANSWER)
            if result["result"] != "delivered":
                raise DemoError(f"the answer was not taken: {result}")
            return
        ref = f"two-lanes/{task['name']}"
        print(f"\n  It is your turn. From another terminal, in {self.deck.project}:")
        print(f"    {shown(self.deck)} attach {ref}      take over its terminal, answer, leave with ctrl-]")
        print(f"    {shown(self.deck)} send {ref} {ANSWER}  type one line into it")
        sys.stdout.flush()

    def _line(self, at: int, task: dict[str, Any], what: str, colour: str, more: str) -> None:
        moment = f"{(at - self._begun_at) / 1000:6.1f} s"
        print(f"{paint(moment, 'dim')}  {task['name']:12}  {paint(f'{what:9}', colour)}  {more}".rstrip(), flush=True)

    def _check(self) -> None:
        tasks = self.deck.ask("ls", "--run", self.run, "--all")
        bad = [f"{task['name']} {task['state']} ({task['reason']})" for task in tasks if task["state"] != "succeeded"]
        if bad:
            raise DemoError(f"not every task succeeded: {', '.join(bad)}")
        if len(tasks) < TASKS_AT_LEAST:
            raise DemoError(f"only {len(tasks)} tasks have run")
        if not list((self.deck.project / "build").glob("*.pyz")):
            raise DemoError("every task succeeded, but what they should have built is not there")


def summary(demo: Demo, took: float) -> None:
    print(f"\n{paint('qd ls', 'bold')}", flush=True)
    demo.deck.show("ls", "--run", demo.run)
    for task, lines in (("check", 4), ("merge", 9)):
        print(f"\n{paint(f'qd logs two-lanes/{task} --tail {lines}', 'bold')}", flush=True)
        demo.deck.show("logs", f"two-lanes/{task}", "--tail", str(lines))
    print(f"\nevery task succeeded, in {took:.1f} s", flush=True)


def headless() -> int:
    """Everything, and nothing left behind."""
    signal.signal(signal.SIGALRM, _too_long)
    signal.alarm(LIMIT_SECONDS)
    folder = Path(tempfile.mkdtemp(prefix="qd-demo-"))
    deck = None
    try:
        deck = Deck(folder, private=True)
        demo = Demo(deck, headless=True)
        summary(demo, demo.play())
    except DemoError as error:
        print(f"demo: {error}", file=sys.stderr)
        if deck is not None:
            print(f"demo: the end of the supervisor's log:\n{deck.log()}", file=sys.stderr)
        return 1
    finally:
        signal.alarm(0)
        clean(deck, folder)
    return 0


def clean(deck: Deck | None, folder: Path) -> None:
    if deck is not None and (deck.project / ".quarterdeck").exists():
        try:
            print(deck.qd("down", "--yes").strip(), flush=True)
        except DemoError as error:
            print(f"demo: {error}", file=sys.stderr)
    shutil.rmtree(folder, ignore_errors=True)


def for_a_person() -> int:
    """The question is yours, and the fleet stays: in the dashboard, or line by line where there is no terminal."""
    folder = Path(tempfile.mkdtemp(prefix="qd-demo-"))
    try:
        deck = Deck(folder, private=False)
    except DemoError as error:
        print(f"demo: {error}", file=sys.stderr)
        shutil.rmtree(folder, ignore_errors=True)
        return 1
    demo = Demo(deck, headless=False)
    code = 0
    try:
        if sys.stdin.isatty() and sys.stdout.isatty():
            demo.submit()
            code = deck.show()  # `qd` alone is the dashboard
        else:
            summary(demo, demo.play())
    except DemoError as error:
        print(f"demo: {error}", file=sys.stderr)
        code = 1
    except KeyboardInterrupt:
        print("\ndemo: no longer watching", flush=True)
        code = 130
    farewell(deck)
    return code


def farewell(deck: Deck) -> None:
    qd = shown(deck)
    print(f"""
The supervisor goes on, and so does whatever it runs. In {deck.project} try:
    {qd} ls                            what there is
    {qd} logs two-lanes/merge          what a task printed
    {qd} show two-lanes/notes          everything about a task
    {qd} run plan.yaml                 once more; then attach, cancel, retry, or kill -9 the supervisor (qd homes)
To end it:
    (cd {shlex.quote(str(deck.project))} && {qd} down) && rm -rf {shlex.quote(str(deck.folder))}""")


def _too_long(*_: object) -> None:
    raise DemoError(f"not done after {LIMIT_SECONDS} s")


def _terminated(*_: object) -> None:
    sys.exit(143)


def main() -> int:
    parser = argparse.ArgumentParser(description="Run the example plan 02_two_lanes.")
    parser.add_argument("--headless", action="store_true", help="print progress, answer by itself, leave nothing")
    parser.add_argument("--redis", action="store_true", help="05_redis instead: a fleet on a Redis server of its own")
    asked = parser.parse_args()
    if asked.redis:
        os.execv(sys.executable, [sys.executable, str(ON_REDIS), *(() if asked.headless else ("--stay",))])
    signal.signal(signal.SIGTERM, _terminated)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job inherits it ignored
    try:
        return headless() if asked.headless else for_a_person()
    except KeyboardInterrupt:
        print("\ndemo: interrupted", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
