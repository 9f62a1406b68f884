"""Each real program, end to end: submitted, run by a holder, answered by the model server, judged by its provider."""

from __future__ import annotations

import os
import subprocess
import time

import pytest

from providers.registry import Registry
from tests.real.agents import Row
from tests.real.models.scenarios import CREATED, LONG, LONG_LINES, RAN, long_line
from tests.real.stage import SECONDS, Stage
from tests.support.fleet import until

pytestmark = [pytest.mark.real, pytest.mark.timeout(900)]


def test_its_version_is_the_pinned_one(row: Row) -> None:
    program = row.program
    provider = Registry.with_installed().get(program.name)
    can = provider.capabilities()
    env = {**os.environ, "PATH": f"{program.path}:{os.environ['PATH']}"}
    done = subprocess.run(
        [program.program, *can.version_args], env=env, capture_output=True, text=True, timeout=60, check=True
    )
    assert provider.version(done.stdout) == program.version


def test_creates_a_file(stage: Stage) -> None:
    made = stage.fleet.project / "made.txt"
    task = stage.run(f"scenario=create path={made}")
    assert task["state"] == "succeeded", stage.describe()
    assert made.read_text() == CREATED
    assert task["exit_code"] == 0
    assert task["output"].startswith("The tool said: ")
    kinds = stage.kinds(task["id"])
    for kind in ("tool_use", "tool_result", "message", "usage"):
        assert kind in kinds, kinds
    assert kinds.index("tool_use") <= kinds.index("tool_result")
    stage.check_usage(task, 2)


def test_runs_a_command(stage: Stage) -> None:
    made = stage.fleet.project / "touched"
    task = stage.run(f"scenario=shell path={made}")
    assert task["state"] == "succeeded", stage.describe()
    assert made.exists()
    assert RAN in task["output"]
    results = [event for event in stage.said(task["id"]) if event["kind"] == "tool_result"]
    if "results" not in stage.row.unsaid:
        assert any(RAN in event["text"] for event in results), results
    stage.check_usage(task, 2)


def test_cancelled_while_it_speaks(stage: Stage) -> None:
    ident = stage.submit("scenario=slow")
    until(lambda: stage.server.open_streams, SECONDS, stage.describe)
    session = stage.task(ident)["session"]
    assert stage.left_running(f"QD_SESSION={session}")
    stage.fleet.qd("cancel", ident)
    task = stage.ended(ident)
    assert (task["state"], task["reason"]) == ("cancelled", "user")
    until(lambda: not stage.server.open_streams, 30, stage.describe)
    until(lambda: not stage.left_running(f"QD_SESSION={session}"), 30)


def test_cancelled_while_its_tool_runs(stage: Stage) -> None:
    followed = stage.fleet.project / "followed.log"
    followed.touch()
    ident = stage.submit(f"scenario=sleep path={followed}")
    tool = f"tail -f {followed}"
    until(lambda: stage.left_running(tool), SECONDS, stage.describe)
    session = stage.task(ident)["session"]
    stage.fleet.qd("cancel", ident)
    task = stage.ended(ident)
    assert (task["state"], task["reason"]) == ("cancelled", "user")
    until(lambda: not stage.left_running(tool), 30, lambda: "\n".join(stage.left_running(tool)))
    until(lambda: not stage.left_running(f"QD_SESSION={session}"), 30)


def test_goes_on_with_its_conversation(stage: Stage) -> None:
    """After a fault the next attempt has the first one's prompt in its conversation, from the program's own store."""
    made = stage.fleet.project / "touched"
    ident = stage.submit(f"Remember that remember=marigold and then scenario=later path={made}")
    assert stage.failed_with(ident) == stage.row.reasons.get("cut", "cut-stream"), stage.describe()
    turns = next(len(seen.asked.said) for seen in stage.server.seen if seen.asked.tools)
    stage.server.heal()
    task = stage.ended(ident)
    assert task["state"] == "succeeded", stage.describe()
    assert task["attempt"] == 2
    first, second = stage.conversations(ident)
    assert first == second != ""
    last = [seen.asked for seen in stage.server.seen if seen.asked.tools][-1]
    assert len(last.said) > turns
    assert "remember=marigold" in "\n".join(last.said[:-1])


@pytest.mark.parametrize(
    ("case", "reason"),
    [("status=429 wait=1", "rate-limit"), ("status=500", "overloaded"), ("status=503", "overloaded")],
    ids=["429", "500", "503"],
)
def test_faults_of_the_service_cost_no_retry(stage: Stage, case: str, reason: str) -> None:
    ident = stage.submit(f"scenario=error {case}")
    assert stage.failed_with(ident) == stage.row.reasons.get(case, reason), stage.describe()
    stage.server.heal()
    task = stage.ended(ident)
    assert task["state"] == "succeeded", stage.describe()
    assert task["failures"] == 0
    assert task["attempt"] in (2, 3), "one more where the program kept nothing of the first conversation"
    assert task["output"] == "Hello from the model."


def test_a_wrong_key(stage: Stage) -> None:
    ident = stage.submit("scenario=error status=401")
    assert stage.failed_with(ident) == "not-logged-in", stage.describe()
    assert "401" in stage.task(ident)["detail"]
    assert len(stage.server.seen) <= 12, "it asked on and on"


def test_a_refused_connection(stage: Stage) -> None:
    ident = stage.submit("scenario=say", "lonely")
    assert stage.failed_with(ident) == "connection", stage.describe()
    assert stage.task(ident)["failures"] == 0
    assert stage.server.seen == []
    stage.fleet.qd("cancel", ident)
    assert stage.ended(ident)["state"] == "cancelled"


def test_a_limit_of_the_account_parks_the_task_until_it_is_over(stage: Stage) -> None:
    if stage.row.limited is None:
        pytest.skip("it has no such limit on its own service")
    until_seconds = int(time.time()) + 8
    ident = stage.submit(f"scenario=limit until={until_seconds}", "limited")
    assert stage.failed_with(ident) == "usage-limit", stage.describe()
    assert stage.task(ident)["run_at"] == until_seconds * 1000
    stage.server.heal()
    task = stage.ended(ident)
    assert task["state"] == "succeeded", stage.describe()
    assert (task["attempt"], task["failures"], task["faults"]) == (2, 0, 0)
    assert task["started_at"] >= until_seconds * 1000


def test_2_mb_of_output(stage: Stage) -> None:
    task = stage.run("scenario=long")
    assert task["state"] == "succeeded", stage.describe()
    assert task["output"].startswith(long_line(0))
    recorded = stage.recorded(task["id"])
    assert len(recorded) >= LONG
    assert long_line(LONG_LINES - 1).strip().encode() in recorded
    stage.check_usage(task, 1)
