"""The secrets of one attempt, fetched on the worker that runs it when it is launched."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from lite.engine.context import Context
from lite.errors import SecretUnavailable
from lite.model.session import HeaderSecret
from lite.model.settings import Agent, Secret, Settings
from lite.model.task import TaskSpec
from lite.rules.hosts import may_go
from lite.rules.spelling import listing
from providers.base import HttpCall


@dataclass(frozen=True, slots=True)
class Secrets:
    """`agent` and `task` are variables, `headers` those of an HTTP call; values never leave for anywhere else."""

    agent: Mapping[str, str] = field(default_factory=dict, repr=False)
    task: Mapping[str, str] = field(default_factory=dict, repr=False)
    headers: Mapping[str, HeaderSecret] = field(default_factory=dict)

    @property
    def values(self) -> tuple[str, ...]:
        """All of them, each once."""
        return tuple(dict.fromkeys([*self.agent.values(), *self.task.values()]))


NONE = Secrets()


async def fetch(context: Context, agent: Agent, spec: TaskSpec) -> Secrets:
    """What its program is to get. Raises `SecretUnavailable` naming the field and the source."""
    if not agent.secrets and not spec.secrets:
        return NONE
    theirs = await of_agent(context, agent)
    own = {}
    for variable, name in spec.secrets.items():
        secret, place = _named(context.settings, name, f"secrets.{variable}"), f"secrets.{variable}"
        if secret.hosts:
            raise SecretUnavailable(f"the secret {name} goes into HTTP headers only", place=place)
        own[variable] = await _value(context, secret, place)
    return Secrets(theirs, own)


async def of_agent(context: Context, agent: Agent) -> Mapping[str, str]:
    """The variables every program of this agent gets. Raises as `fetch`."""
    found = {}
    for variable, secret in agent.secrets.items():
        place = f"agents.{agent.name}.secrets.{variable}"
        found[variable] = await _value(context, _found(context.settings, secret, place), place)
    return found


async def fetch_headers(context: Context, call: HttpCall) -> Mapping[str, HeaderSecret]:
    """Of a call. Raises as `fetch`, also when the call goes elsewhere than the secret may."""
    prefixes = {name.lower(): value for name, value in call.headers.items()}
    found = {}
    for header, name in call.secrets.items():
        place = f"http.headers.{header}"
        secret = _named(context.settings, name, place)
        if not may_go(call.url, secret.hosts):
            allowed = listing(secret.hosts) or "none"
            raise SecretUnavailable(f"the secret {name} may go to these hosts only: {allowed}", place=place)
        value = await _value(context, secret, place)
        if not value.isprintable() or not value.isascii():
            raise SecretUnavailable(f"the secret {name} cannot stand in a header", place=place)
        found[header.lower()] = HeaderSecret(prefixes.get(header.lower(), "") + value, secret.hosts, value)
    return found


def sources(settings: Settings) -> frozenset[str]:
    """Variables of our own environment that are secrets: no program gets one but by its name here."""
    return frozenset(secret.env for secret in _all(settings) if secret.env)


def problem_of(context: Context, agent: Agent) -> str:
    """Why this agent's secrets cannot be had, as far as is known without running a command; "" when nothing is."""
    for variable, secret in agent.secrets.items():
        try:
            found = _found(context.settings, secret, variable)
        except SecretUnavailable as error:
            return str(error)
        if context.secrets is not None and (why := context.secrets.problem(found)):
            return f"{variable}: {why}"
    return ""


def _all(settings: Settings) -> Iterator[Secret]:
    yield from settings.secrets.values()
    for agent in settings.agents.values():
        yield from (secret for secret in agent.secrets.values() if isinstance(secret, Secret))


def _found(settings: Settings, secret: Secret | str, place: str) -> Secret:
    return secret if isinstance(secret, Secret) else _named(settings, secret, place)


def _named(settings: Settings, name: str, place: str) -> Secret:
    found = settings.secrets.get(name)
    if found is None:
        raise SecretUnavailable(f"this worker's configuration has no secret {name}", place=place)
    return found


async def _value(context: Context, secret: Secret, place: str) -> str:
    if context.secrets is None:
        raise SecretUnavailable("this supervisor has no way to fetch secrets", place=place)
    try:
        return await context.secrets.value(secret)
    except SecretUnavailable as error:
        raise SecretUnavailable(error.message, hint=error.hint, place=place) from None
