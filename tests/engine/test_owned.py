"""Whom an agent talks to is asked again where it is started: the worker's configuration may be another by then."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lite.engine.preparation import prepare
from lite.errors import InvalidTask
from lite.model.order import Order
from lite.model.settings import Agent, Secret, Settings
from lite.model.task import Lease
from tests.engine.conftest import Make
from tests.support.engines import SETTINGS


def configured(agent: Agent) -> Settings:
    return replace(SETTINGS, agents={**SETTINGS.agents, agent.name: agent})


@pytest.mark.parametrize("field", ["env", "secrets"])
async def test_a_worker_does_not_start_what_its_agent_forbids(make: Make, field: str) -> None:
    named = {"named": Secret(env="MY_KEY")}
    engine = await make(settings=replace(configured(Agent("dev", "shell")), secrets=named))
    given = {field: {"DEPLOY_KEY": "named"}}
    task, _ = await engine.operations.submit(Order(name="a", agent="dev", command=("run", "a"), **given))
    engine.context.settings = configured(Agent("dev", "shell", secrets={"DEPLOY_KEY": Secret(env="MY_KEY")}))
    with pytest.raises(InvalidTask) as refused:
        await prepare(engine.context, task, Lease(task.id, 1, 1, "w", 0))
    assert str(refused.value) == f"{field}.DEPLOY_KEY: DEPLOY_KEY is for agent dev to choose"
