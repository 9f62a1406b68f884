"""The plans of example 07, with stand-ins that print what the real programs once printed."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.examples.project import EXAMPLES, ROOT, Project, states
from tests.support.replays import cases, environment, install

Example = Callable[[str], Project]
CASES = {"claude": "tool", "codex": "tool", "gemini": "tool", "opencode": "tool"}

pytestmark = pytest.mark.slow


@pytest.fixture
def project(example: Example, tmp_path: Path) -> Project:
    """Each stand-in has its own recording: the environment of a task is the example's, not ours to change."""
    made = example("07_real_agents")
    folder = tmp_path / "programs"
    for name, case in CASES.items():
        install(folder / name, name)
        said = " ".join(f"{key}='{value}'" for key, value in environment(name, case).items())
        agent = f'case "$*" in *--acp*) exec {sys.executable} -P -m tests.support.acp_agent tool;; esac\n'
        where = f"export PYTHONPATH={ROOT}\n"
        front = folder / name / "front"
        front.write_text(f'#!/bin/sh\n{where}{agent}export {said}\nexec {folder / name / name} "$@"\n')
        front.chmod(0o755)
        (folder / "bin").mkdir(exist_ok=True)
        (folder / "bin" / name).symlink_to(front)
    made.env["PATH"] = f"{folder / 'bin'}:{made.env['PATH']}"
    return made


def test_every_agent_has_a_plan_of_its_own() -> None:
    assert {path.stem for path in (EXAMPLES / "07_real_agents").glob("*.yaml")} == {
        *CASES,
        "acp",
        "plan",
        "quarterdeck",
    }


@pytest.mark.parametrize("agent", CASES)
def test_one_agent(project: Project, agent: str) -> None:
    project.qd("run", "--wait", f"{agent}.yaml")
    tasks = project.tasks()
    assert states(tasks) == {"greet": "succeeded", "again": "succeeded"}
    expected = cases(agent)[CASES[agent]]
    assert tasks["greet"]["output"] == expected["output"]
    assert tasks["greet"]["tokens_in"] == expected["tokens_in"]
    (cost,) = project.ask("costs", "--by", "agent")["costs"]
    assert (cost["key"], cost["attempts"], cost["tokens_in"]) == (agent, 2, 2 * expected["tokens_in"])


def test_one_agents_words_go_into_the_next_ones_prompt(project: Project) -> None:
    project.qd("run", "--wait", "plan.yaml")
    tasks = project.tasks()
    assert set(states(tasks).values()) == {"succeeded"}
    session = project.path / ".quarterdeck" / "sessions"
    prompts = "\n".join(path.read_text() for path in session.rglob("prompt.txt"))
    assert f"Its author says: {cases('claude')['tool']['output']}" in prompts
    assert cases("codex")["tool"]["output"] in prompts


@pytest.mark.parametrize("verb", ["approve", "deny"])
def test_an_agent_that_asks_is_answered(project: Project, verb: str) -> None:
    project.qd("run", "acp.yaml")
    project.qd("wait", "--no-input", "acp/greet", expect=7)
    (asked,) = project.ask("waiting")
    assert asked["kind"] == "approval"
    project.qd(verb, asked["id"])
    project.qd("wait", "acp/greet")
    assert project.tasks()["greet"]["state"] == "succeeded"
    assert project.ask("waiting") == []
    project.qd(verb, asked["id"], expect=1)  # it is no question any more
