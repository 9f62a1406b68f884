"""`quarterdeck.yaml` to `Settings`, each value with its origin."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from lite.config.backend import Chosen, choose_backend
from lite.config.kubernetes import check_kubernetes, for_agent, origins_of
from lite.config.overrides import Overrides, apply
from lite.config.prices import all_prices
from lite.config.secrets import beside, check_secrets
from lite.config.settings import SettingsModel, StagingModel, typed, unknown_agent
from lite.config.validation import validate
from lite.config.yamlmarks import MAX_BYTES, Document, read_document
from lite.errors import ConfigInvalid, NotSupported, UsageError
from lite.model.settings import BUILT_IN, Agent, RetryPolicy, Routing, Settings, TriggerRule
from lite.model.staging import Staging
from lite.rules.checks import is_slug
from lite.rules.problems import Problems
from lite.rules.spelling import did_you_mean, listing, quoted
from lite.terminal.keys import DetachKey

_EXECUTORS = ("local", "kubernetes", "auto")
_LATER_KEYS = ("budget", "budgets", "schedules")


def load_settings(
    path: Path | str | None,
    *,
    providers: Iterable[str] | None = None,
    environ: Mapping[str, str] | None = None,
    overrides: Overrides | None = None,
) -> Settings:
    """The settings of a file, or (None) the defaults; `QD_BACKEND`, `QD_REDIS_PASSWORD` and `QD_SLOTS` win over both,
    and `overrides` over those. With `providers`, agents of other ones are refused. Raises `ConfigInvalid` and
    `NotSupported` with file:line:column."""
    text = "" if path is None else _read(Path(path))
    settings = load_text(text, "" if path is None else str(path), providers=providers, environ=environ)
    return settings if overrides is None else apply(settings, overrides)


def load_text(
    text: str, source: str, *, providers: Iterable[str] | None = None, environ: Mapping[str, str] | None = None
) -> Settings:
    """As `load_settings`, of a text; `source` names it in messages."""
    document = read_document(text, source, ConfigInvalid, typed)
    if document.value is None:
        document = Document({}, document.places, source)  # a file of comments only
    _refuse_later(document)
    model = validate(SettingsModel, document, ConfigInvalid, "configuration")
    environ = os.environ if environ is None else environ
    problems = Problems()
    chosen = choose_backend(model.backend, document, environ, problems)
    settings = _override(_settings(model, document, chosen), environ)
    check_kubernetes(settings, {name: agent.kubernetes for name, agent in model.agents.items()}, document, problems)
    _check(settings, document, None if providers is None else list(providers), problems)
    return settings


def _read(path: Path) -> str:
    try:
        if path.is_dir():
            raise ConfigInvalid("is a directory, not a configuration file", place=str(path))
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise ConfigInvalid(f"cannot be read: {why}", place=str(path)) from error
    if len(data) > MAX_BYTES:
        raise ConfigInvalid("this is larger than 1 MiB", place=str(path))
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigInvalid("this is not UTF-8 text", place=f"{path}:{line}") from None


def _refuse_later(document: Document) -> None:
    """What the design knows but no code does yet."""
    value = document.value
    if not isinstance(value, dict):
        return
    for key in _LATER_KEYS:
        if key in value:
            raise NotSupported(f"{key} is not supported yet", place=document.place(key))
    agents = value.get("agents")
    for name, agent in agents.items() if isinstance(agents, dict) else ():
        if isinstance(agent, dict) and "budget" in agent:
            raise NotSupported("budget is not supported yet", place=document.place("agents", name, "budget"))


def _settings(model: SettingsModel, document: Document, chosen: Chosen) -> Settings:
    folder = Path(document.source).parent
    kubernetes = None if model.kubernetes is None else model.kubernetes.made(folder)
    agents = {
        name: replace(_beside(agent.to_agent(name), folder), kubernetes=for_agent(agent.kubernetes, kubernetes))
        for name, agent in model.agents.items()
    }
    for built_in in BUILT_IN:
        agents.setdefault(built_in.name, built_in)
    return Settings(
        agents=agents,
        routing=Routing(
            triggers=tuple(TriggerRule(rule.match, rule.agent) for rule in model.routing.triggers),
            default=model.routing.default,
        ),
        slots=model.limits.slots,
        backend=chosen.backend,
        redis=chosen.redis,
        synchronous=model.sqlite.synchronous,
        executor=model.executor,
        kubernetes=kubernetes,
        retry=RetryPolicy(model.retry.base, model.retry.factor, model.retry.cap, model.retry.jitter),
        lease_ms=model.lease.ttl,
        heartbeat_ms=model.lease.heartbeat,
        stop_grace_ms=model.stop_grace,
        recording_cap=model.recording.cap,
        record=model.recording.enabled,
        secrets={name: beside(secret, folder) for name, secret in model.secrets.items()},
        prices=all_prices(model.prices),
        env_allow=model.env_allow,
        cols=model.terminal.cols,
        rows=model.terminal.rows,
        labels=model.labels,
        staging=None if model.staging is None else _staging(model.staging, folder),
        worker_name=model.worker.name,
        listen=model.listen,
        detach_key=model.detach_key,
        path=document.source,
        origins=_origins(model, document) | dict(chosen.origins),
    )


def _staging(model: StagingModel, folder: Path) -> Staging:
    return Staging(model.keep, str(folder / Path(model.path).expanduser()) if model.path else "")


def _beside(agent: Agent, folder: Path) -> Agent:
    secrets = {key: one if isinstance(one, str) else beside(one, folder) for key, one in agent.secrets.items()}
    return replace(agent, secrets=secrets)


def _origins(model: SettingsModel, document: Document) -> dict[str, str]:
    origins: dict[str, str] = {}
    for name, field in SettingsModel.model_fields.items():
        if name in ("agents", "backend", "kubernetes"):
            continue
        inner = getattr(field.annotation, "model_fields", None)
        for path in [(name, key) for key in inner] if inner else [(name,)]:
            origins[".".join(path)] = document.places.get(path) or "default"
    origins |= origins_of(model.kubernetes, document)
    for name, agent in model.agents.items():
        for key in type(agent).model_fields:
            origins[f"agents.{name}.{key}"] = document.places.get(("agents", name, key)) or "default"
    for built_in in BUILT_IN:
        if built_in.name not in model.agents:
            origins[f"agents.{built_in.name}.provider"] = "built in"
    return origins


def _override(settings: Settings, environ: Mapping[str, str]) -> Settings:
    origins = dict(settings.origins)
    slots = environ.get("QD_SLOTS")
    if slots:
        if not slots.isascii() or not slots.isdigit() or not 1 <= int(slots[:6]) <= 10_000:
            raise ConfigInvalid(f"should be a whole number from 1 to 10000, not {quoted(slots)}", place="QD_SLOTS")
        settings = replace(settings, slots=int(slots))
        origins["limits.slots"] = "QD_SLOTS"
    return replace(settings, origins=origins)


def _check(settings: Settings, document: Document, providers: list[str] | None, problems: Problems) -> None:

    place = document.place
    _check_executor(settings.executor, place("executor"), problems)
    if settings.heartbeat_ms * 2 > settings.lease_ms:
        message = "lease.heartbeat must be at most half of lease.ttl"
        problems.add(document.place("lease", "heartbeat"), message, "so that one lost renewal costs no lease")
    for name, agent in settings.agents.items():
        if not is_slug(name):
            problems.add(place("agents", name), f"{quoted(name)} cannot be an agent's name", "use a-z, 0-9, dash, dot")
        if providers is not None and agent.provider not in providers and origin_known(settings, name):
            message = f"no provider {quoted(agent.provider)}{did_you_mean(agent.provider, providers)}"
            problems.add(place("agents", name, "provider"), message, f"providers: {listing(sorted(providers))}")
    for at, rule in enumerate(settings.routing.triggers):
        if rule.agent not in settings.agents:
            message = unknown_agent(rule.agent) + did_you_mean(rule.agent, settings.agents)
            problems.add(document.place("routing", "triggers", at, "agent"), message, _agents(settings))
    if settings.routing.default and settings.routing.default not in settings.agents:
        message = unknown_agent(settings.routing.default) + did_you_mean(settings.routing.default, settings.agents)
        problems.add(document.place("routing", "default"), message, _agents(settings))
    check_secrets(settings.secrets, settings.agents, document.places, problems)
    try:
        DetachKey(settings.detach_key)
    except UsageError as error:
        problems.add(document.place("detach_key"), error.message, error.hint)
    problems.refuse(ConfigInvalid)


def _check_executor(executor: str, executor_place: str, problems: Problems) -> None:
    if executor not in _EXECUTORS:
        close = did_you_mean(executor, _EXECUTORS)
        problems.add(
            executor_place, f"executor cannot be {quoted(executor)}{close}", f"executor: {'|'.join(_EXECUTORS)}"
        )


def origin_known(settings: Settings, agent: str) -> bool:
    """Was this agent written down by somebody?"""
    return settings.origins.get(f"agents.{agent}.provider") != "built in"


def _agents(settings: Settings) -> str:
    return f"agents: {listing(settings.agents)}"
