"""Plans: what is accepted and how everything else is refused, at its place."""

# ruff: noqa: E501 - a table reads by its rows

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lite.config.load import load_text
from lite.config.plan import load_plan
from lite.errors import ConfigInvalid, NotSupported, PlanInvalid
from lite.model.order import Order, Plan
from lite.model.run import Submission
from lite.model.settings import Settings
from lite.rules.compile import compile_plan
from providers.base import HttpCall
from tests.config.outcomes import outcome
from tests.rules.making import PROVIDERS

SETTINGS = load_text("agents: {dev: {provider: claude, roles: implement}}", "q.yaml", environ={})


def load(text: str) -> Plan:
    return load_plan(text, "plan.yaml", "/project")


def compiled(text: str) -> Submission:
    return compile_plan(load(text), SETTINGS, PROVIDERS, run_id="r", new_id=lambda: "id", now=0)


def test_the_plan_of_the_guide() -> None:
    found = load(
        """\
# plan
name: add-login
tasks:
  api:   {agent: dev, lane: server, prompt: Add POST /login with tests, touches: [server/**]}
  ui:    {type: implement, needs: [api], lane: web, prompt: Add the login form}
  check: {command: make test, needs: [api, ui], timeout: 10m, retries: 1}
"""
    )
    assert (found.name, found.source, found.cwd) == ("add-login", "plan.yaml", "/project")
    api, ui, check = found.orders
    assert (api.name, api.agent, api.lane, api.touches) == ("api", "dev", "server", ("server/**",))
    assert api.prompt == "Add POST /login with tests"
    assert (ui.type, ui.needs) == ("implement", ("api",))
    assert check.command == ("sh", "-c", "make test")
    assert (check.needs, check.timeout_ms, check.retries) == (("api", "ui"), 600_000, 1)
    assert check.place("timeout") == "plan.yaml:6:49"
    assert check.place("needs.1") == "plan.yaml:6:44"
    assert check.place("lane") == "plan.yaml:6:3"


def test_every_key_of_a_task() -> None:
    found = load(
        """\
key: nightly-1
tasks:
  a:
    trigger: docs/x
    command: [sleep, 5, "", true]
    needs: b
    lane: web
    touches: src/**
    priority: -7
    timeout: 90
    idle_timeout: 1m
    delay: 2s
    retries: 0
    on_failure: continue
    mode: headless
    env: {PORT: 8080, NONE: , YES: yes}
    secrets: {TOKEN: vault}
    workspace: shared
    cwd: sub
    team: core
    selector: {gpu: 1}
    affinity: prefer-spread
    strategy: local
    complexity: high
    key: k-1
  b: {http: "https://example.org/x"}
  d: {http: {url: "https://example.org", headers: {A: {secret: k}, B: {secret: l, prefix: "Bearer "}, C: }}}
  c: {http: {url: "https://example.org", headers: {A: 1}, body: hi, max_bytes: 2k, allow_private: true}}
"""
    )
    a, b, d, c = found.orders
    assert {key: getattr(a, key) for key in Order.__dataclass_fields__ if key not in ("places", "watched")} == {
        "name": "a",
        "agent": "",
        "type": "",
        "trigger": "docs/x",
        "prompt": "",
        "command": ("sleep", "5", "", "true"),
        "http": None,
        "needs": ("b",),
        "lane": "web",
        "touches": ("src/**",),
        "priority": -7,
        "timeout_ms": 90_000,
        "idle_timeout_ms": 60_000,
        "retries": 0,
        "on_failure": "continue",
        "mode": "headless",
        "env": {"PORT": "8080", "NONE": "", "YES": "yes"},
        "secrets": {"TOKEN": "vault"},
        "cwd": "sub",
        "team": "core",
        "selector": {"gpu": "1"},
        "affinity": "prefer-spread",
        "strategy": "local",
        "complexity": "high",
        "key": "k-1",
        "delay_ms": 2_000,
    }
    assert b.http == HttpCall("https://example.org/x")
    assert c.http == HttpCall("https://example.org", "POST", {"A": "1"}, "hi", 2048, True)
    secrets = {"A": "k", "B": "l"}
    assert d.http == HttpCall("https://example.org", headers={"B": "Bearer ", "C": ""}, secrets=secrets)
    assert (found.name, found.key) == ("plan", "nightly-1")


@pytest.mark.parametrize(("source", "name"), [("/x/My Plan.yaml", "my-plan"), ("", "plan"), ("/x/…", "plan")])
def test_a_plan_without_a_name_is_called_after_its_file(source: str, name: str) -> None:
    assert load_plan("tasks: {a: {command: x}}", source, "/").name == name


def test_anchors_keep_a_plan_short() -> None:
    found = load("tasks:\n  a: &a {command: make, timeout: 5m}\n  b: {<<: *a, needs: [a]}\n")
    assert found.orders[1].timeout_ms == 300_000
    assert found.orders[1].needs == ("a",)


@pytest.mark.parametrize(
    ("text", "line", "hint"),
    [
        ("", "plan.yaml: the plan is empty", ""),
        ("[a]", "plan.yaml:1:1: the plan should be a mapping (key: value)", ""),
        ("name: x", "plan.yaml:1:1: tasks is missing", ""),
        ("tasks: {}", "plan.yaml:1:1: a plan needs at least one task", ""),
        ("task: {a: {command: x}}", "plan.yaml:1:1: unknown key 'task', did you mean 'tasks'?", "known keys: name, key, tasks"),
        ("name: a/b\ntasks: {a: {command: x}}", "plan.yaml:1:1: 'a/b' cannot be a run's name", "lowercase"),
        ("name: [x]\ntasks: {a: {command: x}}", "plan.yaml:1:1: name should be text, not a list", ""),
        ("tasks:\n  a:", "plan.yaml:2:3: tasks.a should be a mapping (key: value), and is empty", ""),
        ("tasks:\n  a: make", "plan.yaml:2:3: tasks.a should be a mapping (key: value), not 'make'", ""),
        ("tasks:\n  a: {command: x}\n  a: {command: y}", "plan.yaml:3:3: 'a' is here twice", "the first is at plan.yaml:2:3"),
        ("tasks:\n  a: {promt: x, agent: dev}", "plan.yaml:2:7: unknown key 'promt' in tasks.a, did you mean 'prompt'?", "known keys: agent,"),
        ("tasks:\n  a: {agent: devv, prompt: x}", "plan.yaml:2:7: no agent 'devv' is configured, did you mean 'dev'?", "agents: dev, shell, http"),
        ("tasks:\n  a: {type: implemnt, prompt: x}", "plan.yaml:2:7: no agent has the role 'implemnt', did you mean 'implement'?", "roles: implement;"),
        ("tasks:\n  a: {prompt: x}", "plan.yaml:2:3: nothing says which agent should do this", "name an agent"),
        ("tasks:\n  a: {agent: dev, prompt: '  '}", "plan.yaml:2:19: the prompt is empty", "a task needs a prompt, a command or an http call"),
        ("tasks:\n  a: {agent: dev, prompt: }", "plan.yaml:2:19: the prompt is empty", "a task needs"),
        ("tasks:\n  a: {command: ' '}", "plan.yaml:2:7: the command is empty", "a task needs"),
        ("tasks:\n  a: {command: []}", "plan.yaml:2:7: the command is empty", "a task needs"),
        ("tasks:\n  a: {needs: []}", "plan.yaml:2:3: the prompt is empty", "a task needs"),
        ("tasks:\n  a: {agent: dev, prompt: x, command: y}", "plan.yaml:2:30: a task has one of prompt, command and http, not prompt and command", ""),
        ("tasks:\n  a: {agent: shell, prompt: x}", "plan.yaml:2:21: agent shell (shell) takes a command, not a prompt", ""),
        ("tasks:\n  a: {command: {x: y}}", "plan.yaml:2:7: tasks.a.command should be a list, not a mapping", ""),
        ("tasks:\n  a: {command: [[x]]}", "plan.yaml:2:17: tasks.a.command[0] should be text, not a list", ""),
        ("tasks:\n  a: {http: {uri: x}}", "plan.yaml:2:14: unknown key 'uri' in tasks.a.http, did you mean 'url'?", "known keys: url,"),
        ("tasks:\n  a: {http: 'ftp://x'}", "plan.yaml:2:7: 'ftp://x' is not an http or https URL", ""),
        ("tasks:\n  a: {http: {url: 'ftp://x'}}", "plan.yaml:2:14: 'ftp://x' is not an http or https URL", ""),
        ("tasks:\n  a: {http: {url: 'http://x', method: PUT}}", "plan.yaml:2:31: tasks.a.http.method cannot be 'PUT'", "one of: GET, POST"),
        ("tasks:\n  a: {command: x, timeout: -5m}", "plan.yaml:2:19: tasks.a.timeout cannot be negative: -5m", ""),
        ("tasks:\n  a: {command: x, timeout: -5}", "plan.yaml:2:19: tasks.a.timeout cannot be negative: -5", ""),
        ("tasks:\n  a: {command: x, timeout: 0}", "plan.yaml:2:19: timeout must be more than 0", "leave it out for no limit"),
        ("tasks:\n  a: {command: x, timeout: soon}", "plan.yaml:2:19: tasks.a.timeout is not a duration: 'soon'", "write for example 90s"),
        ("tasks:\n  a: {command: x, timeout: true}", "plan.yaml:2:19: tasks.a.timeout is not a duration", "write for example 90s"),
        ("tasks:\n  a: {command: x, priority: 101}", "plan.yaml:2:19: priority 101 is not between -100 and 100", ""),
        ("tasks:\n  a: {command: x, priority: high}", "plan.yaml:2:19: tasks.a.priority should be a whole number, not 'high'", ""),
        ("tasks:\n  a: {command: x, priority: 99999999999999999999999}", "plan.yaml:2:19: priority 99999999999999999999 is not between -100 and 100", ""),
        ("tasks:\n  a: {command: x, retries: -1}", "plan.yaml:2:19: retries -1 is not between 0 and 100", ""),
        ("tasks:\n  a: {command: x, lane: 'a b'}", "plan.yaml:2:19: 'a b' cannot be a lane's name", "use lowercase"),
        ("tasks:\n  a: {command: x, on_failure: stop}", "plan.yaml:2:19: tasks.a.on_failure cannot be 'stop'", "one of: skip, fail, continue"),
        ("tasks:\n  a: {command: x, mode: headles}", "plan.yaml:2:19: tasks.a.mode cannot be 'headles', did you mean 'headless'?", "one of: interactive, headless"),
        ("tasks:\n  a: {command: x, env: {A-B: x}}", "plan.yaml:2:25: 'A-B' cannot be a variable's name", ""),
        ("tasks:\n  a: {command: x, env: [A=b]}", "plan.yaml:2:19: tasks.a.env should be a mapping (key: value), not a list", ""),
        ("tasks:\n  a: {command: x, workspace: cloned}", "plan.yaml:2:19: tasks.a.workspace cannot be 'cloned'", "one of: shared"),
        ("tasks:\n  a: {command: x, touches: [../../etc/*]}", "plan.yaml:2:29: '../../etc/*' leads out of /project", "an absolute path"),
        ("tasks:\n  a: {command: x, needs: [b]}", "plan.yaml:2:27: task a needs 'b', which is not in this plan", ""),
        ("tasks:\n  api: {command: x}\n  ui: {command: x, needs: [apii]}", "plan.yaml:3:28: task ui needs 'apii', which is not in this plan, did you mean 'api'?", ""),
        ("tasks:\n  a: {command: x, needs: a}", "plan.yaml:2:19: task a needs itself", ""),
        ("tasks:\n  a: {command: x, needs: [b]}\n  b: {command: x, needs: [a]}", "plan.yaml:2:19: these tasks wait for one another: a -> b (needs) -> a (needs)", "a -> b"),
        ("tasks:\n  a: {command: x, lane: l, needs: [b]}\n  b: {command: x, lane: l}", "plan.yaml:2:28: these tasks wait for one another: a -> b (needs) -> a (lane l)", "a -> b"),
        ("tasks:\n  ../x: {command: x}", "plan.yaml:2:3: '../x' cannot be a task's name", "use lowercase"),
        ("tasks:\n  a..b: {command: x}", "plan.yaml:2:3: 'a..b' cannot be a task's name", "use lowercase"),
        ("tasks:\n  \"a\\tb\": {command: x}", "plan.yaml:2:3: 'a\\tb' cannot be a task's name", "use lowercase"),
        ("tasks:\n  \"a\\eb\": {command: x}", "plan.yaml:2:3: 'a\\x1bb' cannot be a task's name", "use lowercase"),
        ("tasks:\n  '': {command: x}", "plan.yaml:2:3: a task in a plan needs a name", ""),
        ("tasks:\n  a: {agent: dev, prompt: '{{ needs.b.output }}'}", "plan.yaml:2:19: the prompt wants the output of b, which is not one of its needs", ""),
        ("tasks: [", "plan.yaml:2:1: broken YAML: did not find expected node content while parsing a flow node", ""),
        ("tasks:\n\ta: 1", "plan.yaml:2:1: a tab where YAML wants spaces", "indent with spaces"),
        ("PK\x03\x04\0\0", "plan.yaml:1:3: the control character U+0003 cannot stand here", ""),
        ("\0\0", "plan.yaml:1:1: this is a binary file, not YAML", ""),
        ("x" * (10 << 20), "plan.yaml: this is larger than 1 MiB (10.0 MiB)", ""),
    ],
)  # fmt: skip
def test_a_bad_plan_is_refused_with_one_clear_line(text: str, line: str, hint: str) -> None:
    with pytest.raises(PlanInvalid) as caught:
        compiled(text)
    assert str(caught.value) == line
    assert caught.value.hint.startswith(hint)
    assert caught.value.exit_code == 3


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("budget: 3\ntasks: {}", "plan.yaml:1:1: budget is not supported yet"),
        ("schedule: x\ntasks: {}", "plan.yaml:1:1: schedule is not supported yet"),
        ("tasks:\n  a: {command: x, budget: 3}", "plan.yaml:2:19: budget is not supported yet"),
        ("tasks:\n  a: {command: x, workspace: worktree}", "plan.yaml:2:19: workspace worktree is not supported yet"),
        ("tasks:\n  a: {command: x, workspace: clone}", "plan.yaml:2:19: workspace clone is not supported yet"),
    ],
)
def test_what_is_not_built_yet_is_never_silently_accepted(text: str, line: str) -> None:
    with pytest.raises(NotSupported) as caught:
        load(text)
    assert str(caught.value) == line


_KEYS = ["agent", "prompt", "command", "http", "needs", "timeout", "env", "retries", "lane", "x", "tasks", "name", "<<"]
_scalars = st.sampled_from(
    ["", "x", "1", "-1", "true", "~", "[a, b]", "{a: b}", "'", "*a", "&a x", "!t x", "30m", "é", "|"]
)
_lines = st.tuples(st.integers(0, 4), st.sampled_from([*_KEYS, "-"]), _scalars).map(
    lambda line: " " * line[0] + ("- " if line[1] == "-" else f"{line[1]}: ") + line[2]
)


@given(st.lists(_lines, max_size=8).map("\n".join) | st.text(max_size=60))
def test_whatever_is_written_only_our_errors_come_out(text: str) -> None:
    for prefix in ("", "tasks:\n  a:\n"):
        found = outcome(load, prefix + text)
        if not isinstance(found, Plan):
            assert isinstance(found, PlanInvalid | NotSupported)
            assert found.place.startswith("plan.yaml")
            assert found.message
            assert "pydantic" not in str(found)
        settings = outcome(load_text, prefix + text, "q.yaml", providers=("claude",), environ={})
        if not isinstance(settings, Settings):
            assert isinstance(settings, ConfigInvalid | NotSupported)
            assert settings.place.startswith("q.yaml")
            assert "pydantic" not in str(settings)


_json: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(_KEYS), inner, max_size=3),
    max_leaves=6,
)


@given(
    st.dictionaries(
        st.sampled_from([*_KEYS, "mode", "delay", "touches", "selector", "affinity", "key"]), _json, max_size=5
    )
)
def test_a_task_of_any_shape_compiles_or_is_refused(fields: dict[str, Any]) -> None:
    found = outcome(compiled, json.dumps({"tasks": {"a": fields}}))
    if isinstance(found, Submission):
        assert found.tasks[0].name == "a"
    else:
        assert isinstance(found, PlanInvalid | NotSupported)
        assert found.place.startswith("plan.yaml")
