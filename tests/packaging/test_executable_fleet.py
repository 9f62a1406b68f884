"""The real executable in two roles on Redis, without Python: what it imports late, the verbs in Lua, other machines'
terminals."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from tests.examples.project import states
from tests.packaging.executable import Bare
from tests.packaging.test_executable import on_terminal
from tests.support.redis_server import RedisServer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]  # the first one here builds it


def test_one_routes_another_runs_and_its_terminal_is_reached(
    bare: Callable[..., Bare], redis_server: RedisServer, redis_prefix: str
) -> None:
    boss = bare("01_first_plan")
    config = f"backend: {{url: '{redis_server.url}', prefix: {redis_prefix}}}\n"
    (boss.path / "quarterdeck.yaml").write_text(config)
    hand = boss.folder / "hand"
    hand.mkdir()
    (hand / "quarterdeck.yaml").write_text(config)
    boss.qd("up", "-d", "--role", "orchestrator")
    boss.qd("up", "-d", "--home", str(hand), "--role=worker", "--name=hand", "--labels=zone=a", "--listen=127.0.0.1:0")
    try:
        (worker,) = boss.ask("workers")
        assert (worker["labels"]["zone"], bool(worker["address"])) == ("a", True)
        boss.qd("run", "--wait", "plan.yaml")
        assert set(states(boss.tasks()).values()) == {"succeeded"}
        assert "the sum is 55" in boss.qd("logs", "first-plan/report")  # kept by the other, asked for over HTTP

        task = boss.qd("submit", "--", "sh", "-c", 'echo ready; read line; echo "got <$line>"').strip()
        terminal = on_terminal(boss, "attach", task)  # over the other's WebSocket
        try:
            terminal.until(b"ready")
            terminal.type(b"ahoy\r")
            terminal.until(b"got <ahoy>")
        finally:
            terminal.close()
        boss.qd("wait", task)
        events = map(json.loads, boss.qd("events", "--json").splitlines())
        assert {event["worker"] for event in events if event["kind"] == "task.claimed"} == {worker["id"]}
    finally:
        boss.qd("down", "--yes", "--home", str(hand))
