"""Which agent gets a task, and the rule that said so."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase

from lite.errors import InvalidTask
from lite.model.order import Order
from lite.model.settings import Settings
from lite.rules.spelling import did_you_mean, listing, quoted


@dataclass(frozen=True, slots=True)
class Route:
    """The chosen agent; `rule` in words: `agent dev named`, `type implement: role of dev`, `trigger docs/*`, `command`,
    `http`, `default`."""

    agent: str
    rule: str


def route(order: Order, settings: Settings) -> Route:
    """Explicit agent; work type (the first agent with that role); trigger pattern (the first that matches); then the
    built-in `shell` for a command and `http` for a call; then `routing.default`.

    Raises `InvalidTask` for an agent that is not configured and for work nothing matches.
    """
    if order.agent:
        return Route(_known(order.agent, settings, order.place("agent")), f"agent {order.agent} named")
    if order.type:
        for agent in settings.agents.values():
            if order.type in agent.roles:
                return Route(agent.name, f"type {order.type}: role of {agent.name}")
    if order.trigger:
        for rule in settings.routing.triggers:
            if fnmatchcase(order.trigger, rule.match):
                return Route(_known(rule.agent, settings, order.place("trigger")), f"trigger {rule.match}")
    if order.command and "shell" in settings.agents:
        return Route("shell", "command")
    if order.http is not None and "http" in settings.agents:
        return Route("http", "http")
    if settings.routing.default:
        return Route(_known(settings.routing.default, settings, order.place("agent")), "default")
    raise _unroutable(order, settings)


def _known(name: str, settings: Settings, place: str) -> str:
    if name in settings.agents:
        return name
    raise InvalidTask(
        f"no agent {quoted(name)} is configured{did_you_mean(name, settings.agents)}",
        hint=f"agents: {listing(settings.agents)}" if settings.agents else "add it under agents: in quarterdeck.yaml",
        place=place,
    )


def _unroutable(order: Order, settings: Settings) -> InvalidTask:
    hint = "name an agent, or set routing.default in quarterdeck.yaml"
    if settings.agents:
        hint += f"; agents: {listing(settings.agents)}"
    if order.trigger:
        patterns = [rule.match for rule in settings.routing.triggers]
        return InvalidTask(
            f"no trigger pattern matches {quoted(order.trigger)}",
            hint=f"patterns: {listing(patterns)}; {hint}" if patterns else hint,
            place=order.place("trigger"),
        )
    if order.type:
        roles = dict.fromkeys(role for agent in settings.agents.values() for role in agent.roles)
        return InvalidTask(
            f"no agent has the role {quoted(order.type)}{did_you_mean(order.type, roles)}",
            hint=f"roles: {listing(roles)}; {hint}" if roles else hint,
            place=order.place("type"),
        )
    return InvalidTask("nothing says which agent should do this", hint=hint, place=order.place("agent"))
