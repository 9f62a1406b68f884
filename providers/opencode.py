"""opencode: `opencode run` with JSON lines headless, or `opencode serve` where `permissions` say who allows what it
does; `opencode` in a terminal interactive.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from providers.base import Capabilities, Launch, Limits, Parser, Request
from providers.checks import Kinds, check_mode, check_options, check_text
from providers.driven import DRIVEN_OPTIONS, DrivenParser, check_driven
from providers.errors import InvalidRequest
from providers.opencode_events import SESSION_ID, OpenCodeParser
from providers.opencode_serve import asking, serve_launch
from providers.owned import ANY_AGENT
from providers.parsing import ExitCodeParser

_VERSION = re.compile(r"\b(\d+\.\d+\.\d+\S*)")
_MODEL = re.compile(r"[^\s/-][^\s/]*/\S+\Z")
_LONGEST_CONFIG = 100_000  # bytes: one variable holds at most 128 KiB

# option -> kind; what each becomes is in `_flags` and `_environment`
_OPTIONS: Kinds = {
    **DRIVEN_OPTIONS,
    "agent": str,
    "variant": str,
    "title": str,
    "auto": bool,
    "thinking": bool,
    "fork_session": bool,
    "config": dict,
    "config_file": str,
    "config_dir": str,
    "args": list,
}
_WORDS = ("agent", "variant", "title", "config_file", "config_dir")
_XDG = ("config", "data", "state", "cache")


class OpenCodeProvider:
    """The prompt goes in on stdin (headless) or as an option (interactive)."""

    name = "opencode"

    def capabilities(self) -> Capabilities:
        return Capabilities(
            resume=True,
            events=True,
            answers=True,
            executable="opencode",
            version_args=("--version",),
            login_env=("OPENCODE_API_KEY", "ANTHROPIC_API_KEY", "OPENAI_API_KEY", "OPENROUTER_API_KEY"),
            # an endpoint named in its configuration needs no login
            login_files=(
                ".local/share/opencode/auth.json",
                ".config/opencode/opencode.json",
                ".config/opencode/opencode.jsonc",
            ),
            env_owned=ANY_AGENT,  # it speaks with models of every maker
            # a step, and a tool, tells of itself only at its end; an answer that was cut is asked for again for ever
            limits=Limits(idle_ms=15 * 60_000, steps=500, retries=10),
        )

    def validate(self, request: Request) -> None:
        check_mode(request, self.capabilities(), self.name)
        options = request.options
        check_options(options, _OPTIONS, self.name)
        check_text(request.prompt, "prompt")
        if not request.prompt.strip() and request.mode == "headless":
            raise InvalidRequest("the prompt is empty", field="prompt")
        if request.model and not _MODEL.match(request.model):
            raise InvalidRequest(
                f"{request.model!r} names no model of a provider", hint="write PROVIDER/MODEL", field="model"
            )
        for name in _WORDS:
            _check_word(options.get(name), f"options.{name}")
        for word in options.get("args") or ():
            if not isinstance(word, str):
                raise InvalidRequest(f"args holds {word!r}, which is no text", field="options.args")
            check_text(word, "options.args")
        _check_config(options.get("config"))
        _check_permissions(request)
        if request.resume and not SESSION_ID.match(request.resume):
            raise InvalidRequest(f"{request.resume!r} is not a session id of opencode (ses_...)", field="resume")
        if request.resume and not request.cwd:
            raise InvalidRequest(
                "opencode goes on with a conversation only in the directory where it began, and that is not known",
                hint="give the task a cwd",
                field="cwd",
            )

    def launch(self, request: Request) -> Launch:
        env = _environment(request.options)
        if request.mode == "interactive":
            argv = ["opencode", *_flags(request)]
            if request.prompt.strip():
                argv.append(f"--prompt={request.prompt}")
            return Launch(argv=tuple(argv + _extra(request)), env=env)
        if _driven(request):
            return serve_launch(request, env)
        argv = ["opencode", "run", "--format", "json", "--print-logs", "--log-level", "ERROR"]
        if request.options.get("thinking", True):
            argv.append("--thinking")
        if request.options.get("variant"):
            argv += ["--variant", request.options["variant"]]
        argv += _flags(request)
        if request.resume:
            # from another directory it waits for ever
            argv += ["--dir", request.cwd]
        else:
            # without one it asks a model for it, and does not tell what that used
            argv += ["--title", request.options.get("title") or request.task]
        return Launch(
            argv=tuple(argv + _extra(request)),
            env=env,
            stdio="pipes",
            stdin="file",
            stdin_file="prompt.txt",
            files={"prompt.txt": request.prompt.encode("utf-8", "replace")},
        )

    def parser(self, request: Request) -> Parser:
        if request.mode != "headless":
            return ExitCodeParser()
        if _driven(request):
            return DrivenParser()
        return OpenCodeParser(resumed=bool(request.resume))

    def version(self, stdout: str) -> str:
        found = _VERSION.search(stdout)
        return found[1] if found else ""


def _driven(request: Request) -> bool:
    return request.mode == "headless" and "permissions" in request.options


def _flags(request: Request) -> list[str]:
    options = request.options
    flags: list[str] = []
    if request.model:
        flags += ["--model", request.model]
    if options.get("agent"):
        flags += ["--agent", options["agent"]]
    if options.get("auto"):
        flags.append("--auto")
    if request.resume:
        flags += ["--session", request.resume]
        if options.get("fork_session"):
            flags.append("--fork")
    return flags


def _extra(request: Request) -> list[str]:
    return list(request.options.get("args") or ())


def _environment(options: Mapping[str, Any]) -> dict[str, str]:
    env = {"OPENCODE_DISABLE_AUTOUPDATE": "1", "OPENCODE_DISABLE_MODELS_FETCH": "1"}
    if options.get("config_dir"):
        folder = options["config_dir"].rstrip("/")
        env |= {f"XDG_{name.upper()}_HOME": f"{folder}/{name}" for name in _XDG}
    if options.get("config_file"):
        env["OPENCODE_CONFIG"] = options["config_file"]
    config = options.get("config")
    if options.get("permissions", "allow") != "allow":
        config = asking(config)
    if config:
        env["OPENCODE_CONFIG_CONTENT"] = json.dumps(config)
    return env


def _check_permissions(request: Request) -> None:
    options = request.options
    if "permissions" in options:
        check_driven(request)
        if options.get("auto"):
            raise InvalidRequest(
                "auto allows everything, and permissions say who allows it",
                hint="permissions: allow",
                field="options.auto",
            )
        return
    for name in DRIVEN_OPTIONS:
        if name in options:
            raise InvalidRequest(f"{name} goes with permissions only", field=f"options.{name}")


def _check_word(word: str | None, field: str) -> None:
    if word is None:
        return
    check_text(word, field)
    if not word.strip() or word.startswith("-"):
        raise InvalidRequest(f"{word!r} is empty or looks like a flag", field=field)


def _check_config(config: Any) -> None:
    """Raises `InvalidRequest` when it cannot be given to the program as JSON in one variable."""
    if config is None:
        return
    try:
        size = len(json.dumps(config, allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidRequest(f"config is not JSON: {error}", field="options.config") from error
    if size > _LONGEST_CONFIG:
        raise InvalidRequest(
            f"config is {size} bytes, more than {_LONGEST_CONFIG}",
            hint="write it into a file and give config_file",
            field="options.config",
        )
