"""Agents one converses with ask before they act: what a person, or the policy, says is what happens."""

from __future__ import annotations

from typing import Any

import pytest

from tests.real.stage import SECONDS, Stage
from tests.support.fleet import until

pytestmark = [pytest.mark.real, pytest.mark.timeout(900)]
TALKING_ONLY = True


def asked(stage: Stage, ident: str, but: str = "") -> dict[str, Any]:
    """What the task asks, once it does; `but` is the id of a question that was settled."""

    def there() -> bool:
        task = stage.task(ident)
        assert task["state"] in ("queued", "running"), stage.describe()
        return task["waiting"] is not None and task["waiting"]["id"] != but

    until(there, SECONDS, stage.describe)
    found: dict[str, Any] = stage.task(ident)["waiting"]
    return found


def answers(stage: Stage, ident: str) -> list[tuple[str, str]]:
    """How each request was settled, and by whom."""
    said = [event["data"] for event in stage.said(ident) if "answered" in event["data"]]
    return [(data["decision"], data["by"]) for data in said]


def check_refused(stage: Stage, task: dict[str, Any]) -> None:
    """Whether the agent went on without or stopped, nothing was done, and the task says which."""
    expected = stage.row.reasons.get("denied", "")
    assert (task["state"], task["reason"]) == ("failed" if expected else "succeeded", expected), stage.describe()
    assert task["attempt"] == 1
    assert not (stage.fleet.project / "touched").exists()
    assert task["waiting"] is None


def test_asked_and_approved(stage: Stage) -> None:
    made = stage.fleet.project / "touched"
    ident = stage.submit(f"scenario=shell path={made}", "ask")
    question = asked(stage, ident)
    assert question["kind"] == "approval"
    assert str(made) in question["text"], "one must see what one allows"
    assert not made.exists()
    listed = stage.fleet.qd("waiting").stdout
    short = question["id"].rpartition("-")[2]
    assert short in listed
    assert stage.fleet.qd("approve", short).stdout == "delivered\n"
    task = stage.ended(ident)
    assert task["state"] == "succeeded", stage.describe()
    assert made.exists()
    assert answers(stage, ident) == [("allow", "person")]
    stage.check_usage(task, 2)


def test_asked_and_approved_after_the_supervisor_was_killed(stage: Stage) -> None:
    made = stage.fleet.project / "touched"
    ident = stage.submit(f"scenario=shell path={made}", "ask")
    question = asked(stage, ident)
    stage.fleet.kill()
    assert stage.fleet.up() == "ready"
    until(lambda: stage.taken_over(stage.task(ident)["session"]), SECONDS, stage.describe)
    assert asked(stage, ident) == question, "it is the same question"
    stage.fleet.qd("approve", question["id"])
    task = stage.ended(ident)
    assert (task["state"], task["attempt"]) == ("succeeded", 1), stage.describe()
    assert made.exists()
    assert answers(stage, ident) == [("allow", "person")]
    stage.check_usage(task, 2)


def test_asked_and_denied(stage: Stage) -> None:
    ident = stage.submit(f"scenario=shell path={stage.fleet.project / 'touched'}", "ask")
    stage.fleet.qd("deny", asked(stage, ident)["id"], "--reason", "not today")
    check_refused(stage, stage.ended(ident))
    assert answers(stage, ident) == [("deny", "person")]


def test_its_model_asks_a_question(stage: Stage) -> None:
    if not stage.row.questions:
        pytest.skip("its model has no tool for that")
    ident = stage.submit("scenario=ask", "ask")
    question = asked(stage, ident)
    assert question["kind"] == "question"
    assert question["text"] == "Which colour?\n1. Red\n   like a rose\n2. Blue\n   like the sea"
    stage.fleet.qd("answer", question["id"], "2")
    task = stage.ended(ident)
    assert task["state"] == "succeeded", stage.describe()
    assert '"Which colour?"="Blue"' in task["output"]


def test_denied_by_policy(stage: Stage) -> None:
    task = stage.run(f"scenario=shell path={stage.fleet.project / 'touched'}", "deny")
    check_refused(stage, task)
    assert answers(stage, task["id"]) == [("deny", "policy")]
    assert "session.waiting" not in [event["kind"] for event in stage.told(task["id"])], "nobody was asked"


def test_denied_when_nobody_answers_in_time(stage: Stage) -> None:
    task = stage.run(f"scenario=shell path={stage.fleet.project / 'touched'}", "wait")
    check_refused(stage, task)
    assert answers(stage, task["id"]) == [("deny", "policy")]
    assert "session.waiting" in [event["kind"] for event in stage.told(task["id"])]


def test_a_stale_answer_is_refused(stage: Stage) -> None:
    """It neither goes to the question that is asked by now, nor anywhere once nothing is asked."""
    made = stage.fleet.project / "touched"
    ident = stage.submit(f"scenario=twice path={made}", "ask")
    first = asked(stage, ident)
    stage.fleet.qd("approve", first["id"])
    second = asked(stage, ident, but=first["id"])
    assert made.exists()
    for words in (("approve", first["id"]), ("deny", first["id"]), ("answer", first["id"], "yes")):
        refused = stage.fleet.qd(*words, check=False)
        assert refused.returncode != 0
        assert first["id"] in refused.stderr
    # the same for one who does not look first, as `qd` does
    said = stage.fleet.client.answer(ident, first["id"], "allow", "", first["hash"])
    assert said["result"] == "refused", said
    assert stage.task(ident)["waiting"] == second
    assert not made.with_name("touched.2").exists()
    stage.fleet.qd("approve", second["id"])
    task = stage.ended(ident)
    assert task["state"] == "succeeded", stage.describe()
    assert made.with_name("touched.2").exists()
    assert stage.fleet.qd("approve", second["id"], check=False).returncode != 0
    assert answers(stage, ident) == [("allow", "person")] * 2
    stage.check_usage(task, 3)


def test_cancelled_while_it_asks(stage: Stage) -> None:
    ident = stage.submit(f"scenario=shell path={stage.fleet.project / 'touched'}", "ask")
    asked(stage, ident)
    session = stage.task(ident)["session"]
    stage.fleet.qd("cancel", ident)
    task = stage.ended(ident)
    assert (task["state"], task["reason"]) == ("cancelled", "user")
    assert not (stage.fleet.project / "touched").exists()
    until(lambda: not stage.left_running(f"QD_SESSION={session}"), 30)
