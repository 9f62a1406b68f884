"""A task chooses neither whom its agent talks to nor as whom; its agent's configuration does."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from lite.errors import InvalidTask, PlanInvalid
from lite.model.order import Order, Plan
from lite.model.settings import Agent, Secret
from lite.rules.compile import compile_order, compile_plan
from providers.owned import owns
from providers.registry import Registry
from tests.rules.making import NOW, settings

PROVIDERS = Registry.with_installed().capabilities()
KEY = Secret(env="MY_KEY")
AGENTS = settings(
    *(Agent(name, name, env={"MINE": "1"}) for name in ("claude", "codex", "gemini", "opencode")),
    Agent("acp", "acp", options={"permissions": "deny"}),
    Agent("runner", "shell", secrets={"DEPLOY_KEY": KEY}),
    secrets={"other": KEY},
)
EVERY_AGENT = ("claude", "codex", "gemini", "opencode", "acp")


def submit(agent: str, **more: Any) -> None:
    work = {"command": ("x",)} if agent in ("shell", "runner") else {"prompt": "x"}
    compile_order(Order(agent=agent, cwd="/p", **work, **more), AGENTS, PROVIDERS, task_id="t", now=NOW, needs=())  # type: ignore[arg-type]


def refused(agent: str, **more: Any) -> InvalidTask:
    with pytest.raises(InvalidTask) as found:
        submit(agent, **more)
    return found.value


@pytest.mark.parametrize("agent", EVERY_AGENT)
@pytest.mark.parametrize(
    "name", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "NODE_EXTRA_CA_CERTS", "NODE_TLS_REJECT_UNAUTHORIZED", "HOME"]
)
def test_the_way_to_the_network_and_to_the_login(agent: str, name: str) -> None:
    error = refused(agent, env={name: "x"})
    assert str(error) == f"env: {name} is for agent {agent} ({agent}) to choose: no task sets it"
    assert error.hint == f"agents.{agent}.env or .secrets may"


@pytest.mark.parametrize(
    ("agent", "name"),
    [
        ("claude", "ANTHROPIC_BASE_URL"),
        ("claude", "ANTHROPIC_AUTH_TOKEN"),
        ("claude", "CLAUDE_CONFIG_DIR"),
        ("claude", "CLAUDE_CODE_USE_BEDROCK"),
        ("codex", "OPENAI_BASE_URL"),
        ("codex", "CODEX_HOME"),
        ("codex", "CODEX_API_KEY"),
        ("gemini", "GOOGLE_GEMINI_BASE_URL"),
        ("gemini", "GEMINI_CLI_HOME"),
        ("gemini", "GEMINI_CLI_TRUST_WORKSPACE"),
        ("opencode", "OPENCODE_CONFIG_CONTENT"),
        ("opencode", "ANTHROPIC_API_KEY"),
        ("opencode", "XDG_DATA_HOME"),
        ("acp", "MISTRAL_API_KEY"),
        ("acp", "OPENAI_BASE_URL"),
        ("acp", "GEMINI_CLI_HOME"),
        ("runner", "DEPLOY_KEY"),
    ],
)
def test_endpoints_and_credentials(agent: str, name: str) -> None:
    assert refused(agent, env={name: "x"}).place == "env"
    assert refused(agent, secrets={name: "other"}).place == "secrets"


@pytest.mark.parametrize("agent", [*EVERY_AGENT, "shell", "runner"])
def test_everything_else_is_the_tasks(agent: str) -> None:
    submit(agent, env={"MINE": "2", "PATH": "/opt/bin", "RUST_LOG": "debug", "NODE_ENV": "test"})


def test_what_is_no_agent_owns_nothing() -> None:
    submit("shell", env={"HTTPS_PROXY": "http://proxy", "ANTHROPIC_API_KEY": "x", "HOME": "/elsewhere"})


def test_a_plan_is_told_where() -> None:
    order = Order(name="a", agent="claude", prompt="x", env={"OK": "1", "ANTHROPIC_BASE_URL": "http://evil"})
    order = replace(order, places={"env": "plan.yaml:3:5", "env.ANTHROPIC_BASE_URL": "plan.yaml:5:7"})
    plan = Plan(name="p", orders=(order,), cwd="/p", source="plan.yaml")
    with pytest.raises(PlanInvalid) as found:
        compile_plan(plan, AGENTS, PROVIDERS, run_id="r", new_id=lambda: "t", now=NOW)
    assert found.value.place == "plan.yaml:5:7"


def test_a_star_is_any_characters() -> None:
    assert owns(("A_*", "*_B", "X_*_Y"), "A_1")
    assert owns(("A_*", "*_B", "X_*_Y"), "1_B")
    assert owns(("X_*_Y",), "X_1_Y")
    assert not owns(("A_*", "*_B", "X_*_Y", "EXACT"), "exact")
    assert not owns((), "A")
