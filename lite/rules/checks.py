"""What a single field of an order may hold."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import get_args
from urllib.parse import urlsplit

from lite.errors import InvalidTask
from lite.model.ids import NAME
from lite.model.labels import LABEL_SYNTAX, is_label_key, is_label_value
from lite.model.order import Order
from lite.model.settings import Agent, Secret
from lite.model.task import Affinity, OnFailure
from lite.rules.hosts import may_go
from lite.rules.problems import Problems
from lite.rules.spelling import did_you_mean, listing, quoted
from lite.rules.touches import literal_prefix
from providers.base import Capabilities, HttpCall
from providers.owned import owns

MAX_TIME_MS = 366 * 24 * 3600 * 1000
MAX_TEXT = 255  # characters of a label
PRIORITIES = range(-100, 101)
RETRIES = range(101)

_ON_FAILURE: tuple[str, ...] = get_args(OnFailure)
_AFFINITY: tuple[str, ...] = get_args(Affinity)
_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_OURS = frozenset({"QD_HOME", "QD_TASK", "QD_ATTEMPT", "QD_SESSION", "QD_IDEMPOTENCY_KEY", "QD_OUTPUT", "QD_SECRETS"})
_SLUG = "lowercase letters, digits, dot, dash and underscore; at most 63, the first a letter or digit; no '..'"


def is_slug(text: str) -> bool:
    return NAME.match(text) is not None and ".." not in text


def check_fields(order: Order, problems: Problems) -> None:
    """Everything about an order that can be judged without agents, companions or a root."""
    _check_names(order, problems)
    _check_numbers(order, problems)
    _check_text(order, problems)
    _check_env(order, problems)
    if order.http is not None:
        _check_http(order, order.http, problems)


def _check_names(order: Order, problems: Problems) -> None:
    if order.name and not is_slug(order.name):
        problems.add(order.place("name"), f"{quoted(order.name)} cannot be a task's name", f"use {_SLUG}")
    if order.lane and not is_slug(order.lane):
        problems.add(order.place("lane"), f"{quoted(order.lane)} cannot be a lane's name", f"use {_SLUG}")
    _check_choice(order, "on_failure", order.on_failure, _ON_FAILURE, problems)
    _check_choice(order, "affinity", order.affinity, _AFFINITY, problems)
    _check_choice(order, "strategy", order.strategy, ("", "local", "kubernetes", "auto"), problems)
    if order.affinity != "none" and not order.team:
        problems.add(order.place("affinity"), "affinity needs a team", "it goes by where tasks of the same team run")


def _check_choice(order: Order, name: str, value: str, known: Sequence[str], problems: Problems) -> None:
    if value and value not in known:
        choices = [one for one in known if one]
        close = did_you_mean(value, choices)
        problems.add(order.place(name), f"{name} cannot be {quoted(value)}{close}", f"one of: {', '.join(choices)}")


def _check_numbers(order: Order, problems: Problems) -> None:
    if order.priority not in PRIORITIES:
        problems.add(order.place("priority"), f"priority {str(order.priority)[:20]} is not between -100 and 100")
    if order.retries is not None and order.retries not in RETRIES:
        problems.add(order.place("retries"), f"retries {str(order.retries)[:20]} is not between 0 and 100")
    for name, value in (("timeout", order.timeout_ms), ("idle_timeout", order.idle_timeout_ms)):
        if value is not None and value <= 0:
            problems.add(order.place(name), f"{name} must be more than 0", "leave it out for no limit")
        elif value is not None and value > MAX_TIME_MS:
            problems.add(order.place(name), f"{name} is longer than a year", "leave it out for no limit")
    if not 0 <= order.delay_ms <= MAX_TIME_MS:
        problems.add(order.place("delay"), "delay must be between 0 and a year")


def _check_text(order: Order, problems: Problems) -> None:
    for name in ("type", "trigger", "team", "complexity", "key"):
        if label := getattr(order, name):
            _check_label(order, name, str(label), problems)
    for label, value in order.selector.items():
        _check_label(order, "selector", label, problems)
        _check_label(order, "selector", value, problems)
        if order.strategy == "kubernetes" and not (is_label_key(label) and is_label_value(value)):
            told = f"no node of a cluster can have the label {quoted(label)}: {quoted(value)}"
            problems.add(order.place("selector"), told, LABEL_SYNTAX)
    if not is_text(order.prompt):
        problems.add(order.place("prompt"), "the prompt holds characters that are not text")
    if not all(map(is_text, order.command)):
        problems.add(order.place("command"), "the command holds a NUL or characters that are not text")
    if not is_text(order.cwd) or _CONTROL.search(order.cwd):
        problems.add(order.place("cwd"), "cwd holds characters that no path should have")


def _check_label(order: Order, name: str, value: str, problems: Problems) -> None:
    if len(value) > MAX_TEXT:
        problems.add(order.place(name), f"{name} is longer than {MAX_TEXT} characters")
    elif _CONTROL.search(value) or not is_text(value):
        problems.add(order.place(name), f"{name} holds control characters: {quoted(value)}")


def is_text(value: str) -> bool:
    """Can it be stored and handed to a program: no NUL, no lone surrogate?"""
    if "\0" in value:
        return False
    if value.isascii():
        return True
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _check_env(order: Order, problems: Problems) -> None:
    for name, value in order.env.items():
        place = order.places.get(f"env.{name}") or order.place("env")
        problem = env_problem(name, value)
        if problem:
            problems.add(place, problem)


def check_owned(order: Order, agent: Agent, able: Capabilities, problems: Problems) -> None:
    """A task does not choose whom its agent talks to, nor as whom."""
    for field, names in (("env", order.env), ("secrets", order.secrets)):
        for name in names:
            if is_owned(name, agent, able):
                place = order.places.get(f"{field}.{name}") or order.place(field)
                hint = f"agents.{agent.name}.env or .secrets may"
                problems.add(
                    place, f"{name} is for agent {agent.name} ({agent.provider}) to choose: no task sets it", hint
                )


def is_owned(name: str, agent: Agent, able: Capabilities) -> bool:
    """Is the variable the agent's own: by what its provider says, or because it has a secret in it?"""
    return name in agent.secrets or name in able.login_env or owns(able.env_owned, name)


def check_secrets(order: Order, secrets: Mapping[str, Secret], problems: Problems) -> None:
    """A task uses those that have a name in the configuration, where they may go. What was written for a name may be
    the value itself, and is not repeated."""
    known = f"secrets: {listing(secrets)}" if secrets else "declare it in the configuration: secrets: {NAME: ...}"
    for variable, name in order.secrets.items():
        place = order.places.get(f"secrets.{variable}") or order.place("secrets")
        if problem := env_problem(variable, ""):
            problems.add(place, problem)
        elif order.http is not None:
            problems.add(place, "an http call has no environment", "http: {headers: {NAME: {secret: ...}}}")
        elif name not in secrets:
            problems.add(place, f"secrets.{variable} does not name a secret of the configuration", known)
        elif secrets[name].hosts:
            problems.add(place, f"the secret {name} goes into HTTP headers only", "it has hosts in the configuration")
        elif variable in order.env:
            problems.add(place, f"{variable} is in env too")
    if order.http is None:
        return
    for header, name in order.http.secrets.items():
        place = order.places.get("http.headers") or order.place("http")
        if not _HEADER_NAME.match(header):
            problems.add(place, f"the header {quoted(header)} cannot be sent")
        elif name not in secrets:
            problems.add(place, f"the header {header} does not name a secret of the configuration", known)
        elif not may_go(order.http.url, secrets[name].hosts):
            hint = f"its hosts are {listing(secrets[name].hosts)}" if secrets[name].hosts else "give it hosts: [HOST]"
            problems.add(place, f"the secret {name} may not be sent to this URL's host", hint)


def env_problem(name: str, value: str) -> str:
    """What is wrong with a variable, "" when nothing is."""
    if not _ENV_NAME.match(name):
        return f"{quoted(name)} cannot be a variable's name"
    if name in _OURS or name.startswith("QD_NEEDS_"):
        return f"{name} is set by Quarterdeck itself"
    if not is_text(value):
        return f"the value of {name} holds a NUL or characters that are not text"
    return ""


def _check_http(order: Order, call: HttpCall, problems: Problems) -> None:
    def place(name: str) -> str:
        return order.places.get(f"http.{name}") or order.place("http")

    try:
        parts = urlsplit(call.url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good or _CONTROL.search(call.url) or " " in call.url or not is_text(call.url):
        problems.add(place("url"), f"{quoted(call.url)} is not an http or https URL")
    if call.method not in ("GET", "POST"):
        problems.add(place("method"), f"method cannot be {quoted(call.method)}", "one of: GET, POST")
    for name, value in call.headers.items():
        if not _HEADER_NAME.match(name) or _CONTROL.search(value.replace("\t", "")) or not is_text(value):
            problems.add(place("headers"), f"the header {quoted(name)} cannot be sent")
    if not is_text(call.body.replace("\0", "")):
        problems.add(place("body"), "the body holds characters that are not text")
    if not 0 < call.max_bytes <= 64 << 20:
        problems.add(place("max_bytes"), "max_bytes is not between 1 and 64 MiB")


def check_touches(order: Order, cwd: str, root: str, problems: Problems) -> tuple[str, ...]:
    """The path prefixes of `touches`: relative globs count from `cwd` and stay below `root`."""
    prefixes: dict[str, None] = {}
    for at, glob in enumerate(order.touches):
        place = order.places.get(f"touches.{at}") or order.place("touches")
        try:
            prefixes[_prefix(glob, cwd, root)] = None
        except InvalidTask as error:
            problems.take(error, place)
    return tuple(prefixes)


def _prefix(glob: str, cwd: str, root: str) -> str:
    if not glob.strip() or _CONTROL.search(glob) or not is_text(glob):
        raise InvalidTask(f"{quoted(glob)} is not a path or pattern")
    if glob.startswith("/"):
        root = "/"
    elif not cwd.startswith("/"):
        raise InvalidTask(f"{quoted(glob)} is relative, and the task has no cwd")
    prefix = literal_prefix(glob, cwd)
    below = root.rstrip("/") + "/"
    wild = False
    for part in glob.split("/"):
        wild = wild or bool(set(part) & set("*?[{"))
        if wild and part == "..":
            raise InvalidTask(f"{quoted(glob)} has '..' after a wildcard")
    if not (prefix + "/").startswith(below):
        raise InvalidTask(f"{quoted(glob)} leads out of {root}", hint="an absolute path may name any place")
    return prefix
