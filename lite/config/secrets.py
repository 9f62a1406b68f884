"""`secrets:` of the configuration: by which name a value is known, where it is, and where it may go.

A value is never in the file and never in `Settings`, and no message here repeats what was written in its place. Under
the top-level `secrets:` it has a name that agents and tasks may use; one written inside an agent is that agent's alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, Field

from lite.model.settings import Agent, Secret
from lite.rules.checks import MAX_TIME_MS, env_problem, is_slug
from lite.rules.hosts import origin_of_host
from lite.rules.problems import Problems
from lite.rules.spelling import listing
from providers.durations import parse_duration

BY_REFERENCE = "{env: NAME}, {file: PATH} or {command: [PROGRAM, ARG]}"

_SOURCES = ("env", "file", "command")
_KEYS = frozenset({*_SOURCES, "ttl", "hosts"})
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}\Z")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


class SecretModel(BaseModel):
    """Where a secret is: exactly one of env, file and command. Only for the schema; `_secret` reads it."""

    env: str = Field(default="", description="the name of a variable in the supervisor's environment")
    file: str = Field(
        default="", description="a file that holds nothing else; relative to this one; not world-readable"
    )
    command: list[str] = Field(default=[], description="a program and its arguments, which prints it within 10 s")
    ttl: str = Field(default="", description="of a command's answer: ask again after this long; never when left out")
    hosts: list[str] = Field(
        default=[], description="only into HTTP headers to these hosts (https; http://HOST:PORT when meant)"
    )


def _secret(value: Any) -> Secret:
    """Says nothing of the value: it may be the secret itself."""
    if isinstance(value, Secret):
        return value
    if not isinstance(value, dict):
        raise ValueError(f"must not be written into this file; {BY_REFERENCE}")
    if not value.keys() <= _KEYS:
        raise ValueError(f"has a key that nobody knows; keys: {listing(sorted(_KEYS))}")
    sources = [key for key in _SOURCES if value.get(key)]
    if len(sources) != 1:
        raise ValueError(f"should say where the secret is, in one way; {BY_REFERENCE}")
    (source,) = sources
    where = value[source]
    made = Secret(ttl_ms=_ttl(value.get("ttl"), source), hosts=_hosts(value.get("hosts")))
    if source == "command":
        if not isinstance(where, list) or not all(
            isinstance(word, str) and word and "\0" not in word for word in where
        ):
            raise ValueError(
                "should have its command as a list, the program and its arguments; command: [pass, show, x]"
            )
        return replace(made, command=tuple(where))
    if not isinstance(where, str) or (source == "env" and not _NAME.match(where)):
        raise ValueError(f"is not given by the name of a variable; {BY_REFERENCE}")
    if _CONTROL.search(where):
        raise ValueError(f"is not given by the path of a file; {BY_REFERENCE}")
    return replace(made, env=where) if source == "env" else replace(made, file=where)


def _ttl(value: Any, source: str) -> int | None:
    if value is None:
        return None
    if source != "command":
        raise ValueError("has a ttl, which only a command's answer has; env and file are read at every launch")
    found = parse_duration(value)
    if not 0 < found <= MAX_TIME_MS:
        raise ValueError("has a ttl that is not between 1ms and a year")
    return found


def _hosts(value: Any) -> tuple[str, ...]:
    hosts = [value] if isinstance(value, str) else value or []
    if not isinstance(hosts, list) or not all(isinstance(host, str) for host in hosts):
        raise ValueError("should have its hosts as a list; hosts: [api.example.com]")
    for host in hosts:
        try:
            origin_of_host(host)
        except ValueError as error:
            raise ValueError(f"has hosts that are none: {error}") from None
    return tuple(hosts)


def _secret_or_name(value: Any) -> Any:
    return value if isinstance(value, str) else _secret(value)


def _mapping(value: Any) -> Any:
    if not isinstance(value, dict):
        raise ValueError(f"should be a mapping (key: value); NAME: {BY_REFERENCE}")
    return value


_Named = Annotated[Secret, BeforeValidator(_secret, json_schema_input_type=SecretModel)]
_Used = Annotated[Secret | str, BeforeValidator(_secret_or_name, json_schema_input_type=str | SecretModel)]
SecretsField = Annotated[dict[str, _Named], BeforeValidator(_mapping)]
AgentSecretsField = Annotated[dict[str, _Used], BeforeValidator(_mapping)]


def beside(secret: Secret, folder: Path) -> Secret:
    """Its file's path counted from the configuration's folder."""
    return replace(secret, file=str(folder / Path(secret.file).expanduser())) if secret.file else secret


def check_secrets(
    secrets: Mapping[str, Secret],
    agents: Mapping[str, Agent],
    places: Mapping[tuple[str | int, ...], str],
    problems: Problems,
) -> None:
    """Names that are none, and variables that are given twice. What was written for a name may be the value itself."""
    for name in secrets:
        if not is_slug(name):
            problems.add(places.get(("secrets", name), "secrets"), "a secret's name is a-z, 0-9, dot, dash, underscore")
    for agent, variable, secret in _used(agents):
        place = places.get(("agents", agent.name, "secrets", variable), f"agents.{agent.name}.secrets")
        key = f"agents.{agent.name}.secrets"
        if problem := env_problem(variable, ""):
            problems.add(place, f"{key}: {problem}")
        elif variable in agent.env:
            problems.add(place, f"{key}.{variable} is in env too", "leave one of them out")
        if isinstance(secret, str) and secret not in secrets:
            known = f"secrets: {listing(secrets)}" if secrets else f"declare it: secrets: {{NAME: {BY_REFERENCE}}}"
            problems.add(place, f"{key}.{variable} does not name a secret of this file", known)


def _used(agents: Mapping[str, Agent]) -> Iterator[tuple[Agent, str, Secret | str]]:
    for agent in agents.values():
        for variable, secret in agent.secrets.items():
            yield agent, variable, secret
