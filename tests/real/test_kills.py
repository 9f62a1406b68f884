"""kill -9 in the middle of a turn, while a tool runs: of the supervisor, which costs nothing, and of the program, which
costs one attempt of which the next goes on in the same conversation."""

from __future__ import annotations

import errno
import os
import signal

import pytest

from tests.real.models.scenarios import RAN
from tests.real.stage import SECONDS, Stage
from tests.support.fleet import until

pytestmark = [pytest.mark.real, pytest.mark.timeout(900)]


class Gate:
    """Holds the tool of scenario `hold`, which notes in `path` that it began, until it is opened."""

    def __init__(self, stage: Stage) -> None:
        self.path = stage.fleet.project / "held.log"
        self._stage = stage
        self._fifo = f"{self.path}.gate"
        self._descriptor = -1
        os.mkfifo(self._fifo)

    def reached(self) -> None:
        """Wait until the tool stands at it."""
        until(self._is_read, SECONDS, self._stage.describe)

    def open(self) -> None:
        os.close(self._descriptor)

    @property
    def begun(self) -> int:
        """How often the tool was begun."""
        return self.path.read_text().count("began")

    def _is_read(self) -> bool:
        try:
            self._descriptor = os.open(self._fifo, os.O_WRONLY | os.O_NONBLOCK)
        except OSError as error:
            if error.errno != errno.ENXIO:  # nobody reads yet
                raise
            return False
        return True


def test_the_supervisor_is_killed_twice_and_nothing_runs_twice(stage: Stage) -> None:
    """The first time the tool goes on under the next supervisor, the second time the turn ends while there is none."""
    gate = Gate(stage)
    ident = stage.submit(f"scenario=hold path={gate.path}")
    gate.reached()
    session = stage.task(ident)["session"]
    programs = stage.programs(session)
    assert programs
    stage.fleet.kill()
    assert stage.fleet.up() == "ready"
    until(lambda: stage.taken_over(session), SECONDS, stage.describe)
    assert stage.programs(session) == programs
    stage.fleet.kill()
    gate.open()
    until(lambda: not stage.programs(session), SECONDS, lambda: repr(stage.server))
    assert stage.fleet.up() == "ready"
    task = stage.ended(ident)
    assert task["state"] == "succeeded", stage.describe()
    assert (task["attempt"], task["failures"], task["faults"]) == (1, 0, 0)
    assert RAN in task["output"]
    assert gate.begun == 1
    assert [event["kind"] for event in stage.told(ident)].count("task.started") == 1
    assert len([seen for seen in stage.server.seen if seen.asked.tools]) == 2, "the model was asked no more than needed"
    kinds = stage.kinds(ident)
    assert (kinds.count("tool_use"), kinds.count("tool_result"), kinds.count("verdict")) == (1, 1, 1), kinds
    stage.check_usage(task, 2)


def test_the_program_is_killed_and_the_next_goes_on(stage: Stage) -> None:
    gate = Gate(stage)
    ident = stage.submit(f"remember=marigold scenario=hold path={gate.path}", "real", "--retries", "1")
    gate.reached()
    session = stage.task(ident)["session"]
    (conversation,) = stage.conversations(ident)
    stage.server.heal()
    for pid in stage.programs(session):
        os.kill(pid, signal.SIGKILL)
    assert stage.failed_with(ident) == "retry", stage.describe()
    verdict = stage.said(ident)[-1]
    assert (verdict["kind"], verdict["data"]["reason"]) == ("verdict", "signal")
    until(lambda: not stage.left_running(f"QD_SESSION={session}"), 60, stage.describe)
    task = stage.ended(ident)
    assert task["state"] == "succeeded", stage.describe()
    assert (task["attempt"], task["failures"]) == (2, 1)
    assert task["output"] == "I go on."
    assert gate.begun == 1
    assert stage.conversations(ident) == [conversation] * 2
    last = [seen.asked for seen in stage.server.seen if seen.asked.tools][-1]
    assert "remember=marigold" in "\n".join(last.said[:-1]), last.said
    gate.open()
