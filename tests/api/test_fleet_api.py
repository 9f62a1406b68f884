"""Workers, agents, the supervisor, probes."""

from __future__ import annotations

import httpx

from lite.errors import ConfigInvalid
from tests.api.stub_operations import Info, StubOperations


async def test_workers_can_be_cordoned_and_opened_again(http: httpx.AsyncClient) -> None:
    (worker,) = (await http.get("/v1/workers")).json()
    assert (worker["state"], worker["running"], worker["slots"]) == ("busy", ["a"], 2)
    assert (await http.post("/v1/workers/w-1/cordon")).json()["state"] == "draining"
    assert (await http.post("/v1/workers/w-1/cordon", json={"on": False})).json()["cordoned"] is False
    assert (await http.post("/v1/workers/w-9/cordon")).status_code == 404


async def test_a_worker_is_shown_without_its_token_and_can_be_forgotten(http: httpx.AsyncClient) -> None:
    answered = await http.get("/v1/workers")
    (worker,) = answered.json()
    assert (worker["load"], worker["executors"], "token" in worker) == (0.5, ["local"], False)
    assert "of-w-1" not in answered.text
    assert (await http.post("/v1/workers/w-1/deregister")).json()["id"] == "w-1"
    assert (await http.get("/v1/workers")).json() == []
    assert (await http.post("/v1/workers/w-1/deregister")).status_code == 404


async def test_agents_tell_what_is_missing_and_no_secrets(http: httpx.AsyncClient) -> None:
    answered = await http.get("/v1/agents")
    (agent,) = answered.json()
    assert (agent["problem"], agent["env"]) == ("claude is not on PATH", ["TOKEN"])
    assert "hunter2" not in answered.text + (await http.get("/v1/config")).text


async def test_a_held_account_is_released_by_its_name(http: httpx.AsyncClient) -> None:
    released = await http.post("/v1/accounts/release", json={"account": "claude"})
    told = {"account": "claude", "reason": "not-logged-in", "message": "run /login", "since": 7}
    assert released.json() == told
    assert (await http.post("/v1/accounts/release", json={"account": "x"})).status_code == 404
    assert (await http.post("/v1/accounts/release", json={})).status_code in (400, 422)


async def test_the_configuration_with_its_origins_and_a_reload(
    http: httpx.AsyncClient, operations: StubOperations
) -> None:
    config = (await http.get("/v1/config")).json()
    assert (config["settings"]["slots"], config["origins"]) == (4, {"slots": "default"})
    assert config["settings"]["agents"]["dev"]["provider"] == "claude"
    assert (await http.post("/v1/reload")).json()["settings"]["slots"] == 9
    operations.fail = ConfigInvalid("unknown key", place="q.yaml:3:1")
    refused = await http.post("/v1/reload")
    assert (refused.status_code, refused.json()["error"]["place"]) == (422, "q.yaml:3:1")


async def test_status(http: httpx.AsyncClient, operations: StubOperations) -> None:
    await http.post("/v1/tasks", json={"prompt": "x"})
    status = (await http.get("/v1/status")).json()
    assert (status["cursor"], status["backend"], status["paused"]) == (1, "a dict", False)
    assert status["services"] == [{"name": "dispatcher", "state": "running", "restarts": 0, "last_error": ""}]
    operations.info = Info(stopping=True)
    assert (await http.get("/v1/status")).json()["paused"] is True


async def test_health_and_readiness_differ(http: httpx.AsyncClient, operations: StubOperations) -> None:
    assert (await http.get("/ready")).status_code == 200
    operations.info = Info(ready=False)
    health = await http.get("/health")
    assert (health.status_code, health.json()["ready"]) == (200, False)
    refused = await http.get("/ready")
    assert (refused.status_code, refused.json()["error"]["message"]) == (503, "starting")


async def test_health_and_metrics_ask_no_store(http: httpx.AsyncClient, operations: StubOperations) -> None:
    """They must answer while everything else is stuck."""
    async with operations.changed:  # whoever waits for events waits for this
        for path in ("/health", "/ready", "/metrics"):
            assert (await http.get(path)).status_code == 200


async def test_metrics_are_prometheus_text(http: httpx.AsyncClient) -> None:
    answered = await http.get("/metrics")
    assert answered.headers["content-type"].startswith("text/plain; version=0.0.4")
    lines = answered.text.splitlines()
    assert "# TYPE quarterdeck_sessions gauge" in lines
    assert 'quarterdeck_service_restarts_total{service="a"} 1' in lines
    assert "# TYPE quarterdeck_service_restarts_total counter" in lines
    assert "quarterdeck_api_requests_total 1" in lines


async def test_shutdown_passes_the_wish_on(http: httpx.AsyncClient, operations: StubOperations) -> None:
    assert (await http.post("/v1/shutdown", json={"keep_sessions": True})).status_code == 202
    assert (await http.post("/v1/shutdown")).status_code == 202
    assert operations.calls == [("shutdown", True), ("shutdown", False)]


async def test_costs_come_with_their_names_and_total(http: httpx.AsyncClient, operations: StubOperations) -> None:
    found = (await http.get("/v1/costs?by=run&since=7")).json()
    assert operations.calls == [("costs", "run", 7)]
    assert [(one["key"], one["name"]) for one in found["costs"]] == [("a", "a"), ("01r", "night")]
    assert (found["total"]["attempts"], found["total"]["reported_usd"], found["total"]["unpriced"]) == (3, 0.5, 1)
    assert (await http.get("/v1/costs?by=moon")).status_code == 400
