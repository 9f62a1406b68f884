"""Codex: `codex exec --json` headless, `codex` in a terminal interactive.

With `options.permissions` it is conversed with headless: `codex app-server`, by the driver `codex`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from providers.base import Capabilities, Launch, Limits, Parser, Request
from providers.checks import Kinds, check_mode, check_options, check_text
from providers.codex_events import CodexParser
from providers.driven import DRIVEN_OPTIONS, DrivenParser, check_driven, driven_launch, wants_driver
from providers.errors import InvalidRequest
from providers.owned import ANYWHERE
from providers.parsing import ExitCodeParser

_VERSION = re.compile(r"\b(\d+\.\d+\.\d+\S*)")
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\Z")
_KEY = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*\Z")
_SANDBOXES = ("read-only", "workspace-write", "danger-full-access")
_ASKS = "on-request"
_ASKING = (_ASKS, "untrusted")
_APPROVALS = ("never", "on-failure", "on-request", "untrusted")

# option -> kind; what each becomes is in `_flags`
_OPTIONS: Kinds = {
    **DRIVEN_OPTIONS,
    "sandbox": str,
    "approval": str,
    "config": dict,
    "config_dir": str,
    "add_dirs": list,
    "trust": bool,
    "args": list,
}
_LAST = "--last"

# It refuses to start when its home does not exist; nobody else may look into one that is made here.
_MAKE_HOME = '(umask 077 && mkdir -p -- "$CODEX_HOME") && exec "$0" "$@"'

# Without a network it waits for ever, and says so once a minute: a limit of silence would never be reached. It is given
# nine minutes of that. A call that fails it repeats by itself five times, on one way of transport and then on another;
# with every step of the work the count begins anew.
_LIMITS = Limits(retries=12)


class CodexProvider:
    """The prompt goes in on stdin (headless) or as an argument (interactive).

    Settings become `-c` overrides and not flags where a resumed conversation knows no such flag: what `-s` said is
    forgotten then. `config` is shown in the list of processes and belongs to no secrets.
    """

    name = "codex"

    def capabilities(self) -> Capabilities:
        return Capabilities(
            resume=True,
            events=True,
            executable="codex",
            version_args=("--version",),
            login_args=("login", "status"),
            login_env=("CODEX_API_KEY",),
            login_files=(".codex/auth.json",),
            env_owned=(*ANYWHERE, "CODEX_*", "OPENAI_*"),
            answers=True,
            limits=_LIMITS,
        )

    def validate(self, request: Request) -> None:
        check_mode(request, self.capabilities(), self.name)
        options = request.options
        check_options(options, _OPTIONS, self.name)
        check_text(request.prompt, "prompt")
        check_text(request.model, "model")
        if not request.prompt.strip() and request.mode == "headless":
            raise InvalidRequest("the prompt is empty", field="prompt")
        if request.resume and not _UUID.match(request.resume):
            raise InvalidRequest(f"{request.resume!r} is not a thread id (a UUID)", field="resume")
        _check_choice(options, "sandbox", _SANDBOXES)
        _check_choice(options, "approval", _APPROVALS)
        if wants_driver(request):
            check_driven(request)
            approval = _approval(options)
            if isinstance(approval, str) and approval not in _ASKING:
                hint = f"use approval: {_ASKS}, or leave permissions out"
                raise InvalidRequest(f"it asks for nothing with {approval!r}", hint=hint, field="options.approval")
        elif request.mode == "headless" and options.get("approval", "never") != "never":
            raise InvalidRequest(
                "nobody can be asked for approval in headless mode",
                hint="use permissions: ask, approval: never, or mode: interactive",
                field="options.approval",
            )
        if "config_dir" in options:
            check_text(options["config_dir"], "options.config_dir")
            if not options["config_dir"].startswith("/"):
                raise InvalidRequest("config_dir must be an absolute path", field="options.config_dir")
        for name in ("add_dirs", "args"):
            for word in options.get(name, ()):
                if not isinstance(word, str) or not word:
                    raise InvalidRequest(f"{name} must hold words, not {word!r}", field=f"options.{name}")
                check_text(word, f"options.{name}")
        if _LAST in options.get("args", ()):
            raise InvalidRequest(
                "the last conversation may be any task's", hint="conversations are resumed by id", field="options.args"
            )
        for key, value in options.get("config", {}).items():
            if not isinstance(key, str) or not _KEY.match(key):
                raise InvalidRequest(f"{key!r} is no name of a setting", field="options.config")
            _toml(value, f"options.config.{key}")

    def launch(self, request: Request) -> Launch:
        env: dict[str, str] = {}
        opening: tuple[str, ...] = ()
        if home := request.options.get("config_dir"):
            env["CODEX_HOME"] = home
            opening = ("/bin/sh", "-c", _MAKE_HOME)
        if request.mode == "interactive":
            # the offer to update itself would wait for a key
            argv = ["codex", *(["resume"] if request.resume else ()), "-c", "check_for_update_on_startup=false"]
            argv += _flags(request)
            words = [word for word in (request.resume, request.prompt if request.prompt.strip() else "") if word]
            return Launch(argv=(*opening, *argv, *(["--", *words] if words else ())), env=env)
        if wants_driver(request):
            return driven_launch("codex", request, _conversation(request, opening), env)
        argv = ["codex", "exec", *(["resume"] if request.resume else ()), "--json", "--skip-git-repo-check"]
        argv += _flags(request)
        if request.resume:
            argv.append(request.resume)
        return Launch(
            argv=(*opening, *argv, "-"),
            env=env,
            stdio="pipes",
            stdin="file",
            stdin_file="prompt.txt",
            files={"prompt.txt": request.prompt.encode("utf-8", "replace")},
        )

    def parser(self, request: Request) -> Parser:
        if request.mode != "headless":
            return ExitCodeParser()
        return DrivenParser() if wants_driver(request) else CodexParser(request.at, request.model, request.resume)

    def version(self, stdout: str) -> str:
        found = _VERSION.search(stdout)
        return found[1] if found else ""


def _conversation(request: Request, opening: tuple[str, ...]) -> dict[str, Any]:
    """What only the driver understands. A resumed conversation forgets what the command line says of these two."""
    options = request.options
    return {
        "command": [*opening, "codex", "app-server", *_flags(request)],
        "approval": _approval(options),
        "sandbox": options.get("sandbox") or options.get("config", {}).get("sandbox_mode", ""),
    }


def _approval(options: Mapping[str, Any]) -> object:
    """When it asks: a word, or (of `config` only) what it is to ask for."""
    return options.get("approval") or options.get("config", {}).get("approval_policy", _ASKS)


def _flags(request: Request) -> list[str]:
    """The options, the last word on each being the option of its own name."""
    options = request.options
    settings = {key: _toml(value, key) for key, value in options.get("config", {}).items()}
    for name, key in (("sandbox", "sandbox_mode"), ("approval", "approval_policy")):
        if options.get(name) is not None:
            settings.pop(key, None)
            settings[key] = _toml(options[name], name)
    if options.get("add_dirs"):
        settings["sandbox_workspace_write.writable_roots"] = _toml(options["add_dirs"], "add_dirs")
    if options.get("trust"):  # for this once: it would ask, and keep what it was told
        settings["projects"] = _toml({request.cwd: {"trust_level": "trusted"}}, "cwd")
    flags = ["-m", request.model] if request.model and not wants_driver(request) else []
    for key, value in settings.items():
        flags += ["-c", f"{key}={value}"]
    return [*flags, *options.get("args", ())]


def _check_choice(options: Mapping[str, Any], name: str, known: tuple[str, ...]) -> None:
    if name in options and options[name] not in known:
        hint = f"one of {', '.join(known)}"
        raise InvalidRequest(f"no {name} {options[name]!r}", hint=hint, field=f"options.{name}")


def _toml(value: object, field: str) -> str:
    """A value as TOML on one line. Raises `InvalidRequest` for what TOML has not."""
    match value:
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case float() if value - value == 0:  # neither infinite nor NaN
            return repr(value)
        case str():
            check_text(value, field)
            return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
        case list():
            return "[" + ", ".join(_toml(one, field) for one in value) + "]"
        case dict() if all(isinstance(key, str) for key in value):
            return "{" + ", ".join(f"{_toml(key, field)} = {_toml(one, field)}" for key, one in value.items()) + "}"
        case _:
            raise InvalidRequest(f"{value!r} cannot be written as TOML", field=field)
