"""`config show|validate|schema|reload`. All but `reload` work without a supervisor, by reading the file themselves."""

from __future__ import annotations

import json
import os
from pathlib import Path

from lite.cli.commands import Command
from lite.errors import ConfigInvalid, NoSupervisor, NotFound, UsageError
from lite.home import config_for

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from typing import Any

    from lite.cli.context import Context
    from lite.model.settings import Settings

_FILE_KEYS = {
    "slots": "limits.slots",
    "synchronous": "sqlite.synchronous",
    "lease": "lease.ttl",
    "heartbeat": "lease.heartbeat",
    "recording_cap": "recording.cap",
    "record": "recording.enabled",
    "cols": "terminal.cols",
    "rows": "terminal.rows",
    "worker_name": "worker.name",
    **{f"redis.{key}": f"backend.{key}" for key in ("username", "password", "prefix")},
    **{f"redis.{key}": f"backend.tls.{key}" for key in ("ca", "cert", "key", "verify")},
}
_VERBS = ("show", "validate", "schema", "reload")


def _options(parser: ArgumentParser) -> None:
    parser.add_argument("verb", choices=_VERBS, nargs="?", default="show", help="default: show")
    parser.add_argument("file", nargs="?", metavar="FILE", help="of validate: another file than this home's")
    parser.add_argument("--plan", action="store_true", help="of schema: the schema of plans")


def _config(context: Context, arguments: Namespace) -> int:
    if arguments.file and arguments.verb != "validate":
        raise UsageError("only validate takes a file", place="FILE")
    if arguments.plan and arguments.verb != "schema":
        raise UsageError("only schema takes --plan", place="--plan")
    if arguments.verb == "show":
        return _show(context)
    if arguments.verb == "validate":
        return _validate(context, arguments.file)
    if arguments.verb == "schema":
        return _schema(context, plan=arguments.plan)
    answer = context.client().reload()
    if context.json:
        context.emit(answer)
    else:
        context.note(f"read {answer['path'] or 'the defaults'}")
    return 0


def _schema(context: Context, *, plan: bool) -> int:
    if plan:
        from lite.config.plan import plan_schema as schema
    else:
        from lite.config.settings import settings_schema as schema
    context.emit(schema())
    return 0


def _show(context: Context) -> int:
    answer: dict[str, Any]
    try:
        answer = dict(context.client().config())
    except NoSupervisor:
        answer = plain(local_settings(config_for(context.home)))
    if context.json:
        context.emit(answer)
        return 0
    origins: dict[str, str] = answer["origins"]
    rows = []
    for name, value in flat(answer["settings"]):
        if name.startswith("redis.") and answer["settings"].get("backend") == "sqlite":
            continue  # means nothing there
        key = file_key(name)
        text = json.dumps(value, ensure_ascii=False) + (" ms" if name.endswith("_ms") and value is not None else "")
        rows.append([key, text, _origin(key, origins)])
    context.table(["KEY", "VALUE", "FROM"], rows)
    return 0


def _validate(context: Context, given: str | None) -> int:
    path: Path | None
    path = Path(os.path.abspath(given)) if given else config_for(context.home)  # noqa: PTH100 - keep links
    if given and path.is_dir():
        raise ConfigInvalid("is a directory", place=given)
    if given and not path.is_file():
        raise NotFound("no such file", place=given)
    if not path.is_file():
        path = None
    settings = local_settings(path)
    from lite.cli.secrets import examine

    doubtful = [one for one in examine(settings) if one.problem]
    if context.json:
        secrets = [{"name": one.name, "problem": one.problem} for one in doubtful]
        context.emit(
            {"valid": True, "path": str(path or ""), "agents": sorted(settings.agents), "secret_problems": secrets}
        )
    elif path is None:
        print("no configuration file: the defaults apply")
    else:
        context.note(f"{path} is valid: {len(settings.agents)} agent(s)")
    if not context.json:
        for one in doubtful:
            context.note(f"secret {one.name}: {one.problem}" + (f" -> {one.hint}" if one.hint else ""))
    return 0


def local_settings(path: Path | None) -> Settings:
    """Read as a supervisor of this machine would. Raises `ConfigInvalid`."""
    from lite.config.load import load_settings
    from providers.registry import Registry

    return load_settings(path if path and path.is_file() else None, providers=Registry.with_installed().names())


def plain(settings: Settings) -> dict[str, Any]:
    """As the API shows it: values of `env` are masked. Passwords are never in settings, only where they are."""
    from dataclasses import asdict

    values = asdict(settings)
    for agent in values["agents"].values():
        agent["env"] = dict.fromkeys(agent["env"], "***")
    return {"path": values.pop("path"), "origins": values.pop("origins"), "settings": values}


def flat(values: Any, prefix: str = "") -> list[tuple[str, Any]]:
    """Dotted key -> value; lists and empty mappings are values."""
    if not isinstance(values, dict) or not values:
        return [(prefix, values)]
    return [pair for key, value in values.items() for pair in flat(value, f"{prefix}.{key}" if prefix else key)]


def file_key(name: str) -> str:
    """A setting's name as it is written in the file."""
    name = name.removesuffix("_ms")
    return _FILE_KEYS.get(name, name)


def _origin(key: str, origins: dict[str, str]) -> str:
    """Of the key itself, else of the nearest key above it."""
    while key:
        if key in origins:
            return origins[key]
        key = key.rpartition(".")[0]
    return "default"


COMMANDS = {
    "config": Command(
        _options,
        _config,
        """
qd config show                every value and where it came from
qd config validate            the file of this home
qd config validate new.yaml   another one
qd config schema > schema.json   for an editor; --plan for plans
qd config reload              read it now (a changed file is read by itself)""",
    )
}
