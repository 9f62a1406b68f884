"""Routing: the order of precedence, and what is said when nothing matches."""

from __future__ import annotations

from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lite.errors import InvalidTask
from lite.model.order import Order
from lite.model.settings import Agent, Routing, TriggerRule
from lite.rules.route import route
from providers.base import HttpCall
from tests.rules.making import DEV, settings

_words = st.sampled_from(["", "alpha", "beta", "gamma", "docs/a", "docs/b", "src/a"])
_agents = st.lists(
    st.builds(
        Agent,
        name=st.sampled_from(["alpha", "beta", "gamma"]),
        provider=st.just("claude"),
        roles=st.lists(_words.filter(bool), max_size=2).map(tuple),
    ),
    max_size=3,
    unique_by=lambda agent: agent.name,
)
_rules = st.lists(
    st.builds(TriggerRule, st.sampled_from(["docs/*", "*", "src/?", "Docs/*"]), st.sampled_from(["alpha", "beta"])),
    max_size=3,
).map(tuple)


@given(
    order=st.builds(
        Order,
        agent=_words,
        type=_words,
        trigger=_words,
        prompt=st.just("x"),
        command=st.sampled_from([(), ("true",)]),
        http=st.sampled_from([None, HttpCall("http://x")]),
    ),
    agents=_agents,
    routing=st.builds(Routing, _rules, _words),
)
def test_the_first_of_agent_type_trigger_kind_default_decides(
    order: Order, agents: list[Agent], routing: Routing
) -> None:
    known = settings(*agents, routing=routing)
    with_role = [agent.name for agent in agents if order.type and order.type in agent.roles]
    matching = [rule for rule in routing.triggers if order.trigger and fnmatchcase(order.trigger, rule.match)]
    if order.agent:
        expected, rule = order.agent, f"agent {order.agent} named"
    elif with_role:
        expected, rule = with_role[0], f"type {order.type}: role of {with_role[0]}"
    elif matching:
        expected, rule = matching[0].agent, f"trigger {matching[0].match}"
    elif order.command:
        expected, rule = "shell", "command"
    elif order.http:
        expected, rule = "http", "http"
    else:
        expected, rule = routing.default, "default"
    if expected in known.agents:
        chosen = route(order, known)
        assert (chosen.agent, chosen.rule) == (expected, rule)
    else:
        with pytest.raises(InvalidTask):
            route(order, known)


def test_a_command_needs_no_configuration() -> None:
    assert route(Order(command=("make", "test")), settings()).agent == "shell"
    assert route(Order(http=HttpCall("http://x")), settings()).agent == "http"


@pytest.mark.parametrize(
    ("order", "place", "message", "hint"),
    [
        (
            Order(agent="devv", prompt="x"),
            "agent",
            "no agent 'devv' is configured, did you mean 'dev'?",
            "agents: dev, shell, http",
        ),
        (
            Order(type="implemnt", prompt="x"),
            "type",
            "no agent has the role 'implemnt', did you mean 'implement'?",
            "roles: implement; ",
        ),
        (Order(trigger="docs/a", prompt="x"), "trigger", "no trigger pattern matches 'docs/a'", "patterns: src/*; "),
        (Order(prompt="x"), "agent", "nothing says which agent should do this", "routing.default"),
    ],
)
def test_the_refusal_names_the_field_and_a_way_out(order: Order, place: str, message: str, hint: str) -> None:
    known = settings(DEV, routing=Routing((TriggerRule("src/*", "dev"),)))
    with pytest.raises(InvalidTask) as caught:
        route(order, known)
    assert (caught.value.place, caught.value.message) == (place, message)
    assert hint in caught.value.hint
