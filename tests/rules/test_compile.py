"""Compiling: sound input becomes specs, everything unsound is refused with its field."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import count
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lite.errors import InvalidTask, PlanInvalid
from lite.model.order import Order, Plan
from lite.model.run import Submission
from lite.model.settings import Agent, Routing
from lite.model.task import Strategy, TaskSpec
from lite.rules.compile import compile_order, compile_plan
from providers.base import Capabilities, HttpCall
from tests.rules.making import DEV, NOW, PROVIDERS, commands, names, settings

SETTINGS = settings(
    DEV, Agent("slow", "claude", timeout_ms=5_000, idle_timeout_ms=900, retries=3), Agent("odd", "gone")
)


def plan(*orders: Order, name: str = "p", cwd: str = "/project") -> Submission:
    numbers = count(1)
    return compile_plan(
        Plan(name, orders, "plan.yaml", cwd),
        SETTINGS,
        PROVIDERS,
        run_id="run",
        new_id=lambda: f"id{next(numbers)}",
        now=NOW,
    )


def one(needs: tuple[str, ...] = (), **fields: Any) -> TaskSpec:
    return compile_order(Order(**fields), SETTINGS, PROVIDERS, task_id="id", now=NOW, needs=needs)


@st.composite
def _graphs(draw: st.DrawFn) -> tuple[dict[str, list[str]], dict[str, str]]:
    """An acyclic plan: tasks need only earlier ones, so that the order of lanes agrees."""
    tasks = draw(st.lists(names, min_size=1, max_size=8, unique=True))
    edges = {
        name: draw(st.lists(st.sampled_from(tasks[:at]), max_size=3)) if at else [] for at, name in enumerate(tasks)
    }
    lanes = {name: draw(st.sampled_from(["", "web", "api"])) for name in tasks}
    return edges, lanes


@given(_graphs())
def test_every_acyclic_plan_is_accepted_with_needs_as_ids(graph: tuple[dict[str, list[str]], dict[str, str]]) -> None:
    edges, lanes = graph
    submission = plan(*commands(edges, lanes))
    by_id = {spec.id: spec.name for spec in submission.tasks}
    assert [spec.name for spec in submission.tasks] == list(edges)
    assert len(by_id) == len(edges)
    for spec in submission.tasks:
        assert [by_id[need] for need in spec.needs] == list(dict.fromkeys(edges[spec.name]))
        assert (spec.run, spec.lane, spec.agent, spec.rule) == ("run", lanes[spec.name], "shell", "command")


@given(graph=_graphs(), data=st.data())
def test_an_injected_cycle_is_found_and_its_printed_path_is_one(
    graph: tuple[dict[str, list[str]], dict[str, str]], data: st.DataObject
) -> None:
    edges, lanes = graph
    tasks = list(edges)
    first, last = sorted(data.draw(st.tuples(*[st.integers(0, len(tasks) - 1)] * 2)))
    if first == last:
        return  # a task that needs itself is told apart
    for before, after in zip(tasks[first:last], tasks[first + 1 : last + 1], strict=True):
        edges[after] = [*edges[after], before]
    edges[tasks[first]] = [*edges[tasks[first]], tasks[last]]
    with pytest.raises(PlanInvalid) as caught:
        plan(*commands(edges, lanes))
    _assert_cycle(caught.value.message, edges, lanes)


def _assert_cycle(message: str, edges: Mapping[str, Sequence[str]], lanes: Mapping[str, str]) -> None:
    path = message.removeprefix("these tasks wait for one another: ")
    assert path != message
    first, *steps = path.split(" -> ")
    at = first
    for step in steps:
        found = re.fullmatch(r"(\S+) \((needs|lane (\S+))\)", step)
        assert found is not None, step
        target = found[1]
        if found[2] == "needs":
            assert target in edges[at]
        else:
            assert lanes[at] == lanes[target] == found[3]
            mates = [name for name in edges if lanes[name] == found[3]]
            assert mates.index(target) == mates.index(at) - 1
        at = target
    assert at == first
    assert len(steps) > 1


def test_a_cycle_through_a_lane_is_told_with_its_kind_of_edge() -> None:
    edges = {"a": ["b"], "c": ["a"], "b": []}
    with pytest.raises(PlanInvalid) as caught:
        plan(*commands(edges, {"c": "web", "b": "web"}))
    assert caught.value.message == ("these tasks wait for one another: a -> b (needs) -> c (lane web) -> a (needs)")
    assert "the one before it in the file" in caught.value.hint


@pytest.mark.parametrize(
    ("fields", "place", "message"),
    [
        ({"agent": "devv", "prompt": "x"}, "agent", "no agent 'devv' is configured, did you mean 'dev'?"),
        ({"agent": "odd", "prompt": "x"}, "agent", "agent odd wants the provider 'gone', which is not installed"),
        ({}, "prompt", "the prompt is empty"),
        ({"agent": "dev", "prompt": " \n\t"}, "prompt", "the prompt is empty"),
        ({"command": ("",), "places": {"command": "command"}}, "command", "the command is empty"),
        ({"command": ("sh", "-c", " "), "places": {"command": "p:1:2"}}, "p:1:2", "the command is empty"),
        (
            {"prompt": "x", "command": ("y",)},
            "command",
            "a task has one of prompt, command and http, not prompt and command",
        ),
        ({"agent": "shell", "prompt": "x"}, "prompt", "agent shell (shell) takes a command, not a prompt"),
        ({"agent": "dev", "command": ("x",)}, "command", "agent dev (claude) takes a prompt, not a command"),
        ({"agent": "http", "command": ("x",)}, "command", "agent http (http) takes an http call, not a command"),
        ({"command": ("x",), "timeout_ms": -1}, "timeout", "timeout must be more than 0"),
        ({"command": ("x",), "timeout_ms": 0}, "timeout", "timeout must be more than 0"),
        ({"command": ("x",), "idle_timeout_ms": 0}, "idle_timeout", "idle_timeout must be more than 0"),
        ({"command": ("x",), "timeout_ms": 1 << 60}, "timeout", "timeout is longer than a year"),
        ({"command": ("x",), "delay_ms": -1}, "delay", "delay must be between 0 and a year"),
        ({"command": ("x",), "priority": 101}, "priority", "priority 101 is not between -100 and 100"),
        ({"command": ("x",), "retries": -1}, "retries", "retries -1 is not between 0 and 100"),
        ({"command": ("x",), "retries": 101}, "retries", "retries 101 is not between 0 and 100"),
        ({"command": ("x",), "lane": "a b"}, "lane", "'a b' cannot be a lane's name"),
        ({"command": ("x",), "name": "a/b"}, "name", "'a/b' cannot be a task's name"),
        ({"command": ("x",), "name": "a..b"}, "name", "'a..b' cannot be a task's name"),
        ({"command": ("x",), "name": ".."}, "name", "'..' cannot be a task's name"),
        ({"command": ("x",), "name": "a\x1b[31m"}, "name", "'a\\x1b[31m' cannot be a task's name"),
        ({"command": ("x",), "name": "a\n"}, "name", "'a\\n' cannot be a task's name"),
        ({"command": ("x",), "name": "n" * 64}, "name", None),
        (
            {"command": ("x",), "on_failure": "skipp"},
            "on_failure",
            "on_failure cannot be 'skipp', did you mean 'skip'?",
        ),
        ({"command": ("x",), "affinity": "prefer-spread"}, "affinity", "affinity needs a team"),
        ({"command": ("x",), "affinity": "near", "team": "t"}, "affinity", "affinity cannot be 'near'"),
        ({"agent": "dev", "prompt": "x", "mode": "loud"}, "mode", "agent dev (claude) cannot run in mode 'loud'"),
        (
            {"http": HttpCall("http://x"), "mode": "interactive"},
            "mode",
            "agent http (http) cannot run in mode 'interactive'",
        ),
        ({"command": ("x",), "env": {"A-B": ""}}, "env", "'A-B' cannot be a variable's name"),
        ({"command": ("x",), "env": {"QD_TASK": ""}}, "env", "QD_TASK is set by Quarterdeck itself"),
        ({"command": ("x",), "env": {"A": "\0"}}, "env", None),
        ({"command": ("x", "\0")}, "command", "the command holds a NUL or characters that are not text"),
        ({"command": ("x\udcff",)}, "command", "the command holds a NUL or characters that are not text"),
        ({"command": ("x",), "team": "a\x1b]0;x\x07"}, "team", None),
        ({"command": ("x",), "key": "k" * 256}, "key", "key is longer than 255 characters"),
        ({"command": ("x",), "touches": ("../up/**",), "cwd": "/p"}, "touches", "'../up/**' leads out of /p"),
        (
            {"command": ("x",), "touches": ("a/*/../../x",), "cwd": "/p"},
            "touches",
            "'a/*/../../x' has '..' after a wildcard",
        ),
        ({"command": ("x",), "touches": ("src",)}, "touches", "'src' is relative, and the task has no cwd"),
        ({"command": ("x",), "touches": ("",), "cwd": "/p"}, "touches", "'' is not a path or pattern"),
        ({"command": ("x",), "cwd": "sub"}, "cwd", "'sub' is not an absolute path"),
        ({"http": HttpCall("ftp://x")}, "http", "'ftp://x' is not an http or https URL"),
        ({"http": HttpCall("http://")}, "http", "'http://' is not an http or https URL"),
        ({"http": HttpCall("http://[::1")}, "http", "'http://[::1' is not an http or https URL"),
        ({"http": HttpCall("http://x", headers={"A": "b\r\nC: d"})}, "http", "the header 'A' cannot be sent"),
        ({"http": HttpCall("http://x", max_bytes=0)}, "http", "max_bytes is not between 1 and 64 MiB"),
        ({"agent": "dev", "prompt": "{{ needs.a }}"}, "prompt", "cannot read '{{ needs.a }}'"),
        (
            {"agent": "dev", "prompt": "{{ needs.a.output }}"},
            "prompt",
            "the prompt wants the output of a, which is not one of its needs",
        ),
    ],
)
def test_a_bad_field_is_named(fields: dict[str, Any], place: str, message: str | None) -> None:
    with pytest.raises(InvalidTask) as caught:
        one(**fields)
    assert caught.value.place == place
    if message is not None:
        assert caught.value.message == message
    assert caught.value.message.isprintable()


@pytest.mark.parametrize("selector", [{"gpu": "yes please"}, {"a b": "c"}, {"a..b/c": "d"}, {"a": "x" * 64}])
def test_labels_no_node_can_have_are_refused_where_a_pod_is_asked_for(selector: dict[str, str]) -> None:
    with pytest.raises(InvalidTask, match="no node of a cluster can have the label") as refused:
        one(command=("x",), strategy="kubernetes", selector=selector)
    assert refused.value.place == "selector"
    for strategy in ("", "local", "auto"):  # a worker may be labelled so
        assert one(command=("x",), strategy=strategy, selector=selector).selector == selector
    for fine in ({"gpu": ""}, {"example.com/gpu": "a.b-c_D"}):
        assert one(command=("x",), strategy="kubernetes", selector=fine).selector == fine


@pytest.mark.parametrize("strategy", ["local", "kubernetes", "auto"])
def test_every_strategy_is_one_that_has_to_be_placed(strategy: Strategy) -> None:
    spec = one(command=("x",), strategy=strategy)
    assert (spec.strategy, spec.placed) == (strategy, True)
    assert not one(command=("x",)).placed


@pytest.mark.parametrize(
    ("orders", "line"),
    [
        (commands({"a": ["bb"], "b": []}), "needs: task a needs 'bb', which is not in this plan, did you mean 'b'?"),
        (commands({"a": ["a"]}), "needs: task a needs itself"),
        ((*commands({"a": []}), *commands({"a": []})), "name: there is a task 'a' already"),
        ((), "plan.yaml: a plan needs at least one task"),
        ((Order(command=("x",)),), "name: a task in a plan needs a name"),
        (
            (Order(name="a", command=("x",), key="k"), Order(name="b", command=("x",), key="k")),
            "key: task a has the key 'k' already",
        ),
        (
            (Order(name="a", command=("x",)), Order(name="b", agent="dev", prompt="{{ needs.a.output }}")),
            "prompt: the prompt wants the output of a, which is not one of its needs",
        ),
    ],
)
def test_what_is_wrong_between_tasks(orders: tuple[Order, ...], line: str) -> None:
    with pytest.raises(PlanInvalid) as caught:
        plan(*orders)
    assert str(caught.value) == line


def test_all_problems_are_told_at_once_each_with_its_place() -> None:
    orders = tuple(
        Order(name=f"t{at}", command=("x",), priority=999, places={"priority": f"plan.yaml:{at}:5"}) for at in range(13)
    )
    with pytest.raises(PlanInvalid) as caught:
        plan(*orders)
    lines = str(caught.value).splitlines()
    assert lines[:2] == [
        "plan.yaml:0:5: priority 999 is not between -100 and 100",
        "plan.yaml:1:5: priority 999 is not between -100 and 100",
    ]
    assert (len(lines), lines[-1]) == (11, "... and 3 more")
    assert caught.value.place == "plan.yaml:0:5"


def test_a_plans_name_is_checked() -> None:
    with pytest.raises(PlanInvalid, match=r"'\.\./x' cannot be a run's name"):
        plan(*commands({"a": []}), name="../x")


def test_defaults_come_from_the_agent_and_the_order_wins() -> None:
    spec = one(agent="slow", prompt="x")
    assert (spec.timeout_ms, spec.idle_timeout_ms, spec.retries) == (5_000, 900, 3)
    spec = one(agent="slow", prompt="x", timeout_ms=1, idle_timeout_ms=2, retries=0)
    assert (spec.timeout_ms, spec.idle_timeout_ms, spec.retries) == (1, 2, 0)


def test_the_mode_is_the_orders_else_the_agents_else_the_providers() -> None:
    known = settings(Agent("dev", "claude", mode="interactive"))

    def mode(**fields: Any) -> str:
        return compile_order(Order(**fields), known, PROVIDERS, task_id="id", now=NOW, needs=()).mode

    assert mode(agent="dev", prompt="x") == "interactive"
    assert mode(agent="dev", prompt="x", mode="headless") == "headless"
    assert mode(command=("x",)) == "interactive"
    assert mode(http=HttpCall("http://x")) == "headless"


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"command": ("make", "test")}, "make-test"),
        ({"command": ("/usr/bin/git", "status")}, "git-status"),
        ({"command": ("sh", "-c", "echo hi | wc")}, "echo-hi-wc"),
        ({"agent": "dev", "prompt": "Add POST /login with tests, and then some more"}, "add-post-login-with-tests-and"),
        ({"agent": "dev", "prompt": "…"}, "task"),
        ({"http": HttpCall("https://example.org/a?b=c")}, "get-example-org-a-b-c"),
        ({"command": ("x" * 500,)}, "x" * 32),
    ],
)
def test_an_ad_hoc_task_gets_a_name_a_person_recognises(fields: dict[str, Any], name: str) -> None:
    assert one(**fields).name == name


def test_paths_are_taken_from_the_projects_root() -> None:
    submission = plan(Order(name="a", command=("x",), cwd="server", touches=("src/**", "../web/*.ts", "/etc")))
    assert submission.tasks[0].cwd == "/project/server"
    assert submission.tasks[0].touches == ("/project/server/src", "/project/web", "/etc")


def test_needs_of_an_ad_hoc_task_are_kept_once_and_a_delay_becomes_a_time() -> None:
    spec = one(needs=("i2", "i1", "i2"), command=("x",), delay_ms=500)
    assert spec.needs == ("i2", "i1")
    assert spec.run_at == NOW + 500
    assert one(command=("x",)).run_at is None


def test_the_default_agent_and_its_rule_are_stored() -> None:
    known = settings(DEV, routing=Routing(default="dev"))
    spec = compile_order(Order(prompt="x"), known, PROVIDERS, task_id="id", now=NOW, needs=())
    assert (spec.agent, spec.provider, spec.rule) == ("dev", "claude", "default")


def test_ten_thousand_mistakes_cost_no_more_than_reading_them() -> None:
    """Looking for the nearest of 10,000 names 10,000 times would take minutes: the time-out would tell."""
    with pytest.raises(PlanInvalid) as caught:
        plan(*commands({f"task-{at}": [f"tusk-{at}"] for at in range(10_000)}))
    lines = str(caught.value).splitlines()
    assert "task-0 needs 'tusk-0', which is not in this plan, did you mean 'task-" in lines[0]
    assert (len(lines), lines[-1]) == (11, "... and 9990 more")


def test_a_long_cycle_is_shown_from_both_ends() -> None:
    with pytest.raises(PlanInvalid) as caught:
        plan(*commands({f"t{at}": [f"t{(at + 1) % 500}"] for at in range(500)}))
    assert len(caught.value.message) < 500
    assert " -> (481 more) -> " in caught.value.message
    assert caught.value.message.endswith("t0 (needs)")


ASKER = Agent("asker", "acp")


@pytest.mark.parametrize(
    ("agent", "fields", "fine"),
    [
        (ASKER, {}, False),
        (ASKER, {"watched": True}, True),
        (replace(ASKER, options={"permissions": "deny"}), {}, True),
        (replace(ASKER, options={"permissions": "ask"}), {}, True),
        (ASKER, {"mode": "interactive"}, True),
    ],
)
def test_what_nobody_watches_does_not_wait_for_somebody_by_mistake(
    agent: Agent, fields: dict[str, Any], fine: bool
) -> None:
    providers = {"acp": Capabilities(answers=True, permissions="ask")}
    order = Order(prompt="x", agent="asker", **fields)
    if fine:
        assert compile_order(order, settings(agent), providers, task_id="id", now=NOW, needs=()).agent == "asker"
        return
    with pytest.raises(InvalidTask) as refused:
        compile_order(order, settings(agent), providers, task_id="id", now=NOW, needs=())
    assert refused.value.place == "agent"
    assert "agents.asker.options.permissions" in refused.value.hint
