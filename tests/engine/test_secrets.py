"""Secrets reach the environment of the one session, and nothing that is stored or shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lite.api.server.render import config_json
from lite.config.secret_values import SecretValues
from lite.engine.accounts import _logged_in
from lite.engine.preparation import prepare
from lite.errors import InvalidTask, SecretUnavailable
from lite.model.order import Order
from lite.model.settings import Agent, Secret, Settings
from lite.model.task import Lease, Task
from providers.base import Capabilities, HttpCall, Launch, Provider, Request
from tests.engine.conftest import Make
from tests.support.engines import SETTINGS, Engine

CANARY, OTHER = "canary-9f8e7d6c5b4a", "second-canary-2b3c4d"
ENVIRON = {"MY_KEY": CANARY, "OTHER_KEY": OTHER}
WITH: Settings = replace(
    SETTINGS,
    agents={**SETTINGS.agents, "dev": Agent("dev", "shell", secrets={"API_KEY": Secret(env="MY_KEY"), "B": "named"})},
    secrets={
        "named": Secret(env="OTHER_KEY"),
        "sent": Secret(env="MY_KEY", hosts=("api.example.com",)),
        "gone": Secret(env="NOT_THERE"),
    },
    env_allow=("OTHER_KEY", "PLAIN_*"),
)


async def engine_with(make: Make, environ: Mapping[str, str] = ENVIRON, settings: Settings = WITH) -> Engine:
    engine = await make(settings=settings)
    engine.context.secrets = SecretValues(environ)
    return engine


async def prepared(engine: Engine, **fields: Any) -> Any:
    """What would be launched, without launching it."""
    task, _ = await engine.operations.submit(_order(**fields))
    return await prepare(engine.context, Task(spec=task.spec, seq=1), Lease(task.id, 1, 1, "w", 0))


def _order(**fields: Any) -> Order:
    return Order(**({"name": "a", "command": ("run", "a")} | fields))


async def test_they_are_in_the_environment_and_nowhere_else(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTHER_KEY", OTHER)
    monkeypatch.setenv("PLAIN_KEY", "plain")
    engine = await engine_with(make)
    found = await prepared(engine, agent="dev", secrets={"MINE": "named"})
    env = found.session.env
    assert (env["API_KEY"], env["B"], env["MINE"]) == (CANARY, OTHER, OTHER)
    assert env["PLAIN_KEY"] == "plain"
    assert "OTHER_KEY" not in env, "the source of a secret is passed on by nobody's allow-list"
    assert set(found.session.secrets) == {CANARY, OTHER}
    assert "canary" not in repr(found)
    assert "canary" not in str(config_json(engine.context.settings))
    task = await engine.task("a")
    assert dict(task.spec.secrets) == {"MINE": "named"}
    assert "canary" not in repr(task)


async def test_an_agent_s_own_secret_is_no_other_s(make: Make) -> None:
    engine = await engine_with(make)
    found = await prepared(engine, agent="shell")
    assert not found.session.secrets
    assert "canary" not in str(dict(found.session.env))
    for name in ("API_KEY", "MY_KEY", "dev.API_KEY", "agents.dev.secrets.API_KEY"):
        with pytest.raises(InvalidTask, match="does not name a secret"):
            await engine.submit("b", secrets={"X": name})


async def test_a_task_names_what_was_declared_for_it(make: Make) -> None:
    engine = await engine_with(make)
    with pytest.raises(InvalidTask, match=r"secrets\.X does not name a secret") as caught:
        await engine.submit("a", secrets={"X": "sk-ant-written-by-mistake"})
    assert "mistake" not in str(caught.value) + caught.value.hint
    with pytest.raises(InvalidTask, match="HTTP headers only"):
        await engine.submit("a", secrets={"X": "sent"})
    with pytest.raises(InvalidTask, match="set by Quarterdeck"):
        await engine.submit("a", secrets={"QD_HOME": "named"})
    with pytest.raises(InvalidTask, match="in env too"):
        await engine.submit("a", env={"X": "1"}, secrets={"X": "named"})


async def test_one_that_cannot_be_had_fails_the_launch_by_name(make: Make) -> None:
    engine = await engine_with(make)
    await engine.submit("a", secrets={"X": "gone"})
    await engine.until_states(a="failed")
    task = await engine.task("a")
    assert task.reason == "launch"
    assert task.detail == "secrets.X: the secret (env NOT_THERE) cannot be had: the variable is not set"
    assert not engine.world.sessions
    assert task.started_at is None


async def test_the_configuration_of_the_worker_that_runs_it_decides(make: Make) -> None:
    engine = await engine_with(make)
    task, _ = await engine.operations.submit(_order(secrets={"X": "named"}))
    engine.context.settings = replace(WITH, secrets={})
    with pytest.raises(SecretUnavailable, match=r"secrets\.X: this worker's configuration has no secret named"):
        await prepare(engine.context, task, Lease(task.id, 1, 1, "w", 0))
    engine.context.settings = replace(WITH, secrets={"named": Secret(env="MY_KEY", hosts=("x",))})
    with pytest.raises(SecretUnavailable, match="HTTP headers only"):
        await prepare(engine.context, task, Lease(task.id, 1, 1, "w", 0))


async def test_a_header_goes_to_its_hosts_only(make: Make) -> None:
    engine = await engine_with(make)

    def call(url: str) -> dict[str, Any]:
        http = HttpCall(url, headers={"Authorization": "Bearer "}, secrets={"authorization": "sent"})
        return {"command": (), "http": http}

    for url in ("https://evil.example/", "http://api.example.com/", "https://api.example.com:444/"):
        with pytest.raises(InvalidTask, match="may not be sent"):
            await engine.submit("a", **call(url))
    with pytest.raises(InvalidTask, match="may not be sent"):
        await engine.submit("a", command=(), http=HttpCall("https://x/", secrets={"A": "named"}))
    found = await prepared(engine, **call("https://api.example.com/v1"))
    (header,) = found.session.headers.items()
    assert header[0] == "authorization"
    assert (header[1].value, header[1].hosts) == (f"Bearer {CANARY}", ("api.example.com",))
    assert "canary" not in repr(found)


async def test_an_agent_whose_secret_is_missing_says_so(make: Make) -> None:
    engine = await engine_with(make, {"OTHER_KEY": OTHER})
    found = {info.agent.name: info.problem for info in await engine.operations.agents()}
    assert found["dev"] == "API_KEY: the secret (env MY_KEY) cannot be had: the variable is not set"
    assert found["shell"] == ""


async def test_whether_an_agent_is_logged_in_is_asked_with_its_secrets(make: Make, tmp_path: Path) -> None:
    """Its login may be one."""
    program = tmp_path / "agent"
    program.write_text('#!/bin/sh\ntest "$API_KEY" = "$(cat "${0%/*}/key")"\n')
    program.chmod(0o755)
    (tmp_path / "key").write_text(CANARY)
    able = Capabilities(executable=str(program), login_args=("status",))
    for environ, expected in ((ENVIRON, True), ({**ENVIRON, "MY_KEY": "another-one"}, False), ({}, False)):
        engine = await engine_with(make, environ)
        provider = engine.context.providers.get("shell")
        agent = engine.context.settings.agents["dev"]
        engine.context.providers = _Only(provider, able)
        assert await _logged_in(engine.context, agent) is expected


class _Only:
    """One provider, said to be able to do something else."""

    def __init__(self, provider: Provider, able: Capabilities) -> None:
        self._provider, self._able = provider, able
        self.name = provider.name

    def get(self, name: str) -> Any:
        return self

    def capabilities(self) -> Any:
        return self._able

    def launch(self, request: Request) -> Launch:
        return Launch()
