"""After a holder has died without a word: kill what it left, then say so in its `exit.json`."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterable

from lite.executors.local import exitfile, processes
from lite.executors.local.launchfile import remove_launch
from lite.executors.local.processes import Seen
from lite.executors.local.veil import OUTPUT_NAME
from lite.recordings.reader import Recording
from lite.recordings.writer import now_ms

STEP_SECONDS = 0.02
_GIVE_UP_SECONDS = 10.0


class Cleanup:
    """One lost session. What belongs to it is found by the marker in the environment, by the program's recorded pid
    and start time, and by descent from either; `others` adds what the caller knows to be its."""

    def __init__(self, session: str, home: str, directory: str, others: Callable[[], Iterable[Seen]] = tuple) -> None:
        self.session = session
        self._home, self._directory, self._others = home, directory, others
        self._until = time.monotonic() + _GIVE_UP_SECONDS
        self._killed: set[int] = set()

    def __repr__(self) -> str:
        return f"<Cleanup {self.session}, {len(self._killed)} killed>"

    def step(self) -> bool:
        """Kill once; True when nothing was found any more, and `exit.json` is there."""
        alive = self.find()
        for seen in alive:
            if processes.send(seen, signal.SIGKILL):
                self._killed.add(seen.pid)
        if alive and time.monotonic() < self._until:
            return False
        self._tell(len(alive))
        return True

    def run(self) -> None:
        """All of it; blocks."""
        while not self.step():
            time.sleep(STEP_SECONDS)

    def find(self) -> list[Seen]:
        roots = {seen.pid: seen for seen in (*processes.marked(self.session, self._home), *self._others())}
        recorded = self._recorded()
        if recorded is not None:
            roots[recorded.pid] = recorded
        for root in list(roots):
            roots.update((seen.pid, seen) for seen in processes.descendants(root))
        roots.pop(os.getpid(), None)
        return [seen for seen in roots.values() if not seen.zombie]

    def _recorded(self) -> Seen | None:
        try:
            with open(f"{self._directory}/started") as file:
                pid, start = map(int, file.read().split())
        except (OSError, ValueError):
            return None
        seen = processes.look(pid)
        return seen if seen is not None and seen.start == start else None

    def _forget_output(self) -> None:
        """Nobody reads it any more, and it may hold a secret that only the holder could have hidden."""
        try:
            os.unlink(f"{self._directory}/{OUTPUT_NAME}")
        except OSError:
            pass

    def _tell(self, left: int) -> None:
        remove_launch(self._directory)
        if exitfile.read_exit(self._directory) is None:
            self._forget_output()
        try:
            exitfile.write_exit(
                self._directory,
                {
                    "kind": exitfile.HOLDER_LOST,
                    "message": f"the session's holder died; {len(self._killed)} processes were killed",
                    "ended_at": now_ms(),
                    "offset": Recording(self._directory).end(),
                    "left": left,
                },
            )
        except OSError:
            pass  # no folder, no space: the caller reports it all the same
