"""Ends a session's whole process tree, in steps the holder's loop comes back for.

Asked to stop: interrupt the program and its foreground group, terminate all, kill all, a third of the grace each. The
program's own end ends the session too: what it left behind is terminated, shortly after killed. The tree is all that
descends from the holder (which is a subreaper: no double fork leads out of it); where that does not exist, also what
carries the session's marker. It is walked anew for every step until nothing is left.
"""

from __future__ import annotations

import os
import signal

from lite.executors.local import processes
from lite.executors.local.processes import Seen

_LEFTOVER_SECONDS = 0.2  # from SIGTERM to SIGKILL for what outlives the program
_KILL_EVERY = 0.02
_GIVE_UP_SECONDS = 10.0  # a process in uninterruptible sleep, or of another user, cannot be ended by us


class Ending:
    """Times are monotonic seconds. `due` is when `step` wants to be called next, None: not before something happens."""

    def __init__(self, session: str, home: str, *, subreaper: bool) -> None:
        self.due: float | None = None
        self.left = 0  # processes that could not be killed
        self._session, self._home, self._subreaper = session, home, subreaper
        self._plan: list[tuple[float, str]] = []
        self._over = False
        self._kill_since = 0.0

    @property
    def stopping(self) -> bool:
        return bool(self._plan) or self._kill_since > 0

    def stop(self, now: float, grace: float) -> None:
        """Begin to end everything within about `grace` seconds; a later, shorter wish wins."""
        if self._kill_since:
            return
        if not self._plan:
            self._plan = [(now, "interrupt"), (now + grace / 3, "terminate")]
        last = self._killing_at(now + grace * 2 / 3)
        self._plan = [step for step in self._plan if step[1] != "kill" and step[0] <= last]
        self._plan.append((last, "kill"))
        self.due = self._plan[0][0]

    def program_ended(self, now: float) -> None:
        """Whatever is left of the tree goes too."""
        self._over = True
        if self._kill_since:
            return
        kill = self._killing_at(now + _LEFTOVER_SECONDS)
        self._plan = [(now, "terminate"), (kill, "kill")]
        self.due = now

    def step(self, now: float, program: int, terminal: int) -> bool:
        """Do what is due. True once the program and all it started are gone (or cannot be killed)."""
        if self._over and self._nothing_left():
            return True
        while self._plan and self._plan[0][0] <= now:
            action = self._plan.pop(0)[1]
            if action == "interrupt":
                signal_foreground(program, terminal, signal.SIGINT)
            elif action == "terminate":
                for seen in self._tree():
                    processes.send(seen, signal.SIGTERM)
                    processes.send(seen, signal.SIGCONT)
            else:
                self._kill_since = now
        if self._kill_since:
            alive = self._tree()
            for seen in alive:
                processes.send(seen, signal.SIGKILL)
            if now - self._kill_since > _GIVE_UP_SECONDS:
                self.left = len(alive)
                return True
            self.due = now + _KILL_EVERY
        else:
            self.due = self._plan[0][0] if self._plan else None
        return False

    def _killing_at(self, wanted: float) -> float:
        return min([wanted, *(at for at, action in self._plan if action == "kill")])

    def _tree(self) -> list[Seen]:
        tree = processes.descendants(os.getpid())
        if not self._subreaper:
            known = {seen.pid for seen in tree}
            tree += [seen for seen in processes.marked(self._session, self._home) if seen.pid not in known]
        return [seen for seen in tree if not seen.zombie]

    def _nothing_left(self) -> bool:
        """All children have been waited for already, so a subreaper without children has no descendants."""
        if not self._subreaper:
            return not self._tree()
        try:
            os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return True
        return False


def signal_foreground(program: int, terminal: int, signum: int) -> int:
    """Signal the terminal's foreground group and the program's own; returns how many processes got it."""
    groups = {program}
    try:
        groups.add(os.tcgetpgrp(terminal))
    except OSError:
        pass  # no session has the terminal any more
    reached = 0
    for seen in processes.descendants(os.getpid()):
        if seen.group in groups and not seen.zombie:
            reached += processes.send(seen, signum)
            if signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
                processes.send(seen, signal.SIGCONT)
    return reached
