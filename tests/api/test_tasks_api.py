"""Tasks and runs over HTTP."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from lite.engine.questions import Answer
from lite.model.event import EventKind
from lite.model.order import Order
from lite.model.task import State, TaskQuery
from providers.base import HttpCall
from tests.api.stub_operations import QUESTION, WORKING, StubOperations


async def submitted(http: httpx.AsyncClient, **body: Any) -> dict[str, Any]:
    answered = await http.post("/v1/tasks", json={"command": ["true"], **body})
    assert answered.status_code == 201, answered.text
    task: dict[str, Any] = answered.json()["task"]
    return task


async def test_an_order_arrives_as_it_was_given(http: httpx.AsyncClient, operations: StubOperations) -> None:
    body = {
        "name": "build",
        "agent": "shell",
        "command": ["make", "all"],
        "needs": ["01x", "plan/a"],
        "touches": ["src/**"],
        "lane": "l",
        "priority": -3,
        "timeout_ms": 60_000,
        "retries": 2,
        "on_failure": "continue",
        "mode": "interactive",
        "env": {"A": "b"},
        "cwd": "/w",
        "key": "k",
        "delay_ms": 5,
        "selector": {"gpu": "yes"},
    }
    assert (await http.post("/v1/tasks", json=body)).status_code == 201
    order = operations.calls[0][1]
    assert order == Order(
        name="build",
        agent="shell",
        command=("make", "all"),
        needs=("01x", "plan/a"),
        touches=("src/**",),
        lane="l",
        priority=-3,
        timeout_ms=60_000,
        retries=2,
        on_failure="continue",
        mode="interactive",
        env={"A": "b"},
        cwd="/w",
        key="k",
        delay_ms=5,
        selector={"gpu": "yes"},
    )


async def test_a_command_string_runs_under_sh(http: httpx.AsyncClient, operations: StubOperations) -> None:
    await http.post("/v1/tasks", json={"command": "a | b"})
    await http.post("/v1/tasks", json={"http": {"url": "http://x", "method": "POST", "headers": {"A": "b"}}})
    assert operations.calls[0][1].command == ("sh", "-c", "a | b")
    assert operations.calls[1][1].http == HttpCall("http://x", "POST", {"A": "b"})


async def test_the_same_key_gives_200_and_the_same_task(http: httpx.AsyncClient) -> None:
    first = await http.post("/v1/tasks", json={"prompt": "x", "key": "once"})
    second = await http.post("/v1/tasks", json={"prompt": "x", "key": "once"})
    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json()["task"]["id"] == second.json()["task"]["id"]
    assert second.json()["created"] is False


async def test_a_body_needs_no_content_type(http: httpx.AsyncClient) -> None:
    """`curl -d` claims to send a form."""
    headers = {"content-type": "application/x-www-form-urlencoded"}
    answered = await http.post("/v1/tasks", content=b'{"prompt": "x"}', headers=headers)
    assert answered.status_code == 201


async def test_a_task_shows_its_live_activity_and_what_it_waits_for(
    http: httpx.AsyncClient, operations: StubOperations
) -> None:
    task = await submitted(http)
    assert (task["activity"], task["session"], task["started_at"]) == ("", "", None)
    change = {"state": State.RUNNING, "attempt": 1, "started_at": 10, "waiting": QUESTION}
    await operations.become(task["id"], EventKind.TASK_STARTED, **change)
    seen = (await http.get(f"/v1/tasks/{task['id']}")).json()
    assert (seen["activity"], seen["activity_rule"], seen["activity_since"]) == ("unknown", "elsewhere", 10)
    operations.statuses[task["id"]] = WORKING
    seen = (await http.get(f"/v1/tasks/{task['id']}")).json()
    assert (seen["activity"], seen["activity_source"], seen["activity_rule"]) == ("working", "terminal", "title")
    assert seen["session"] == task["id"] + "-1"
    assert seen["waiting"] == {"id": "q1", "kind": "question", "text": "Which one?", "hash": "h", "verbs": ["answer"]}


@pytest.mark.parametrize("name", ["a", "explain", "cancel"])
async def test_run_and_name_are_told_apart_from_what_is_done_to_them(
    http: httpx.AsyncClient, operations: StubOperations, name: str
) -> None:
    plan = (await http.post("/v1/plans", json={"text": "ok"})).json()
    found = operations.table[plan["tasks"][0]["id"]]
    spec = type(found.spec)(id=found.id, name=name, agent="shell", provider="shell", run=found.spec.run)
    operations.table[found.id] = type(found)(spec, seq=1)
    shown = await http.get(f"/v1/tasks/plan%2F{name}")
    assert (shown.status_code, shown.json()["name"]) == (200, name)
    explained = await http.get(f"/v1/tasks/plan%2F{name}/explain")
    assert explained.json()["summary"] == "it waits for a free slot"
    cancelled = await http.post(f"/v1/tasks/plan%2f{name}/cancel")
    assert cancelled.json()["state"] == "cancelled"


async def test_filters_become_the_query(http: httpx.AsyncClient, operations: StubOperations) -> None:
    plan = (await http.post("/v1/plans", json={"text": "ok"})).json()
    query = "state=failed&state=queued&agent=shell&dead=true&after=3&limit=2&newest=true&run=plan"
    assert (await http.get(f"/v1/tasks?{query}")).status_code == 200
    assert operations.calls[-1] == (
        "tasks",
        TaskQuery(
            run=plan["run"]["id"],
            states=(State.FAILED, State.QUEUED),
            agent="shell",
            dead=True,
            after_seq=3,
            limit=2,
            newest=True,
        ),
    )
    await http.get("/v1/tasks?adhoc=true")
    assert operations.calls[-1][1].run == ""


async def test_changes(http: httpx.AsyncClient, operations: StubOperations) -> None:
    task = await submitted(http)
    path = f"/v1/tasks/{task['id']}"
    assert (await http.post(f"{path}/retry")).json()["error"]["code"] == "illegal-state"
    assert (await http.post(f"{path}/cancel", json={"reason": "obsolete"})).json()["reason"] == "obsolete"
    assert (await http.post(f"{path}/retry")).json()["state"] == "queued"
    sent = await http.post(f"{path}/send", json={"text": "yes\n"})
    assert sent.json() == {"result": "refused", "reason": "the task is not running"}
    await http.post(f"{path}/send", json={"base64": "/wA="})
    assert [call[1] for call in operations.calls if call[0] == "send"] == [b"yes\n", b"\xff\x00"]


async def test_an_answer_names_its_question(http: httpx.AsyncClient, operations: StubOperations) -> None:
    task = await submitted(http)
    path = f"/v1/tasks/{task['id']}/answer"
    done = await http.post(path, json={"id": "q1", "decision": "deny", "text": "no", "hash": "h"})
    assert done.json() == {"result": "delivered", "reason": ""}
    assert operations.calls[-1] == ("answer", (task["id"], Answer("q1", "deny", "no", "h")))
    assert (await http.post(path, json={"id": "q2", "decision": "allow"})).json()["result"] == "refused"
    for bad in ({"id": "q1"}, {"decision": "allow"}, {"id": "q1", "decision": "maybe"}, {"id": "q1", "x": 1}):
        assert (await http.post(path, json=bad)).status_code in (400, 422)


@pytest.mark.parametrize("body", [{}, {"text": "a", "base64": "YQ=="}, {"base64": "?"}])
async def test_what_is_sent_must_be_clear(http: httpx.AsyncClient, body: dict[str, str]) -> None:
    task = await submitted(http)
    answered = await http.post(f"/v1/tasks/{task['id']}/send", json=body)
    assert (answered.status_code, answered.json()["error"]["code"]) == (400, "usage")


async def test_plans_and_runs(http: httpx.AsyncClient, operations: StubOperations) -> None:
    body = {"text": "ok", "source": "p.yaml", "cwd": "/w", "key": "k"}
    dry = await http.post("/v1/plans", json={**body, "dry_run": True})
    assert (dry.status_code, dry.json()["run"], len(dry.json()["tasks"])) == (200, None, 1)
    assert not operations.table
    real = await http.post("/v1/plans", json=body)
    assert real.status_code == 201
    run = real.json()["run"]
    assert (run["name"], run["counts"]) == ("plan", {"queued": 1})
    assert operations.calls[-1] == ("plan", ("ok", "p.yaml", "/w", "k", False))
    assert (await http.get("/v1/runs?state=running")).json() == [run]
    assert (await http.get("/v1/runs?state=failed")).json() == []
    assert (await http.get("/v1/runs/plan")).json() == run
    bad = await http.post("/v1/plans", json={"text": "bad", "source": "p.yaml"})
    assert bad.status_code == 422
    expected = {"code": "plan-invalid", "message": "unknown key 'bad'"}
    assert bad.json()["error"] == {**expected, "hint": "did you mean 'bed'?", "place": "p.yaml:1:1"}


async def test_answers_read_well_in_a_terminal(http: httpx.AsyncClient) -> None:
    await submitted(http, env={})
    one, many = await http.get("/v1/status"), await http.get("/v1/tasks")
    assert one.text.startswith('{\n  "pid": 7,\n')
    assert one.text.endswith("\n}\n")
    assert many.text.count("\n") == 3
    assert (await http.get("/v1/runs")).text == "[]\n"


async def test_text_that_is_no_unicode_still_makes_json(http: httpx.AsyncClient, operations: StubOperations) -> None:
    task = await submitted(http)
    await operations.become(task["id"], EventKind.TASK_FAILED, detail="caf\udce9 \x1b[31m", state=State.FAILED)
    answered = await http.get(f"/v1/tasks/{task['id']}")
    assert answered.content.isascii()
    assert answered.json()["detail"] == "caf\udce9 \x1b[31m"
