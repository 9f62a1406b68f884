"""`waiting`, `approve`, `deny`, `answer`: to a question's id and to nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from tests.cli.conftest import Qd
from tests.cli.fake import FakeSupervisor, task

SESSION = "01JD8000000000000000000000-1"
ASKED: dict[str, Any] = {"id": f"{SESSION}-3fa9c1d2", "kind": "approval", "text": "rm -rf build?", "hash": "h1"}
ASKED["verbs"] = ["approve", "deny"]


@pytest.fixture
def answers(supervisor: FakeSupervisor) -> str:
    row = task(name="ui", state="running", waiting=ASKED)
    supervisor.routes["GET", "/v1/tasks"] = [row, task(name="quiet", state="running")]
    path = f"/v1/tasks/{row['id']}/answer"
    supervisor.routes["POST", path] = {"result": "delivered", "reason": ""}
    return path


def test_what_waits_is_listed_with_what_can_be_done(qd: Qd, answers: str) -> None:
    out = qd("waiting").out
    assert all(word in out for word in ("3fa9c1d2", "ui", "approve, deny", "rm -rf build?"))
    assert "quiet" not in out
    (one,) = qd("waiting", "--json").json
    assert (one["id"], one["name"]) == (ASKED["id"], "ui")


@pytest.mark.parametrize(
    ("argv", "body"),
    [
        (["approve", "3fa9c1d2"], {"decision": "allow", "text": ""}),
        (["approve", ASKED["id"]], {"decision": "allow", "text": ""}),
        (["deny", "3fa9c1d2", "--reason", "not now"], {"decision": "deny", "text": "not now"}),
        (["answer", "3fa9c1d2", "8080"], {"decision": "answer", "text": "8080"}),
    ],
)
def test_each_verb_names_the_question_and_its_hash(
    qd: Qd, supervisor: FakeSupervisor, answers: str, argv: list[str], body: dict[str, str]
) -> None:
    assert qd(*argv).out == "delivered\n"
    assert supervisor.bodies("POST", answers) == [{"id": ASKED["id"], "hash": "h1", **body}]


@pytest.mark.parametrize("ident", ["01JD8", SESSION, "ui", "3fa9", "ffffffff"])
def test_no_task_and_no_part_of_an_id_is_taken_for_a_question(
    qd: Qd, supervisor: FakeSupervisor, answers: str, ident: str
) -> None:
    result = qd("approve", ident)
    assert result.code == 1
    assert "qd waiting" in result.err
    assert supervisor.bodies("POST", answers) == []


def test_a_refusal_is_told(qd: Qd, supervisor: FakeSupervisor, answers: str) -> None:
    supervisor.routes["POST", answers] = {"result": "refused", "reason": "it asks something else now"}
    result = qd("approve", "3fa9c1d2")
    assert (result.code, "it asks something else now" in result.err) == (1, True)
    assert qd("approve", "3fa9c1d2", "--json").code == 1
