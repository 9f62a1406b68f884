"""Claude Code: `claude -p` with JSON lines headless, `claude` in a terminal interactive.

With the option `permissions` a headless one is conversed with (`claude_two_way`); without, nobody is asked.
"""

from __future__ import annotations

import re
from typing import Any

from providers.base import Capabilities, Launch, Limits, Parser, Request
from providers.checks import Kinds, check_mode, check_options, check_text
from providers.claude_events import ClaudeParser
from providers.claude_two_way import two_way_launch
from providers.driven import DRIVEN_OPTIONS, DrivenParser, check_driven, wants_driver
from providers.errors import InvalidRequest
from providers.owned import ANYWHERE
from providers.parsing import ExitCodeParser

_VERSION = re.compile(r"\b(\d+\.\d+\.\d+\S*)")
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\Z")
_PERMISSIONS = ("acceptEdits", "auto", "bypassPermissions", "default", "dontAsk", "manual", "plan")
_NUMBER = (int, float)

# option -> kind; what each becomes is in `_flags` and `_environment`
_OPTIONS: Kinds = {
    **DRIVEN_OPTIONS,
    "permission_mode": str,
    "allowed_tools": (list, str),
    "disallowed_tools": (list, str),
    "max_turns": int,
    "max_budget_usd": _NUMBER,
    "append_system_prompt": str,
    "settings": str,
    "mcp_config": str,
    "add_dirs": list,
    "session_id": str,
    "fork_session": bool,
    "partial_messages": bool,
    "config_dir": str,
    "base_url": str,
    "max_retries": int,
    "args": list,
}
_LOGINS = (
    "ANTHROPIC_API_KEY",
    "ANTHROPIC_AUTH_TOKEN",
    "CLAUDE_CODE_OAUTH_TOKEN",
    "CLAUDE_CODE_USE_BEDROCK",
    "CLAUDE_CODE_USE_VERTEX",
)
# it says nothing while a tool of its works, which it allows ten minutes
_LIMITS = Limits(idle_ms=30 * 60_000, retries=100)
_MAX_RETRIES = 2  # its own default of 10 retries a wrong key for two minutes


class ClaudeProvider:
    """The prompt goes in on stdin (headless) or as an argument (interactive)."""

    name = "claude"

    def capabilities(self) -> Capabilities:
        return Capabilities(
            resume=True,
            events=True,
            executable="claude",
            version_args=("--version",),
            login_args=("auth", "status"),
            login_env=_LOGINS,
            login_files=(".claude/.credentials.json",),
            env_owned=(*ANYWHERE, "ANTHROPIC_*", "CLAUDE_*", "AWS_BEARER_TOKEN_BEDROCK"),
            answers=True,
            limits=_LIMITS,
        )

    def validate(self, request: Request) -> None:
        check_mode(request, self.capabilities(), self.name)
        options = request.options
        check_options(options, _OPTIONS, self.name)
        if wants_driver(request):
            check_driven(request)
        check_text(request.prompt, "prompt")
        if not request.prompt.strip() and request.mode == "headless":
            raise InvalidRequest("the prompt is empty", field="prompt")
        mode = options.get("permission_mode")
        if mode is not None and mode not in _PERMISSIONS:
            known = ", ".join(_PERMISSIONS)
            raise InvalidRequest(
                f"no permission mode {mode!r}", hint=f"one of {known}", field="options.permission_mode"
            )
        for name, ident in (("options.session_id", options.get("session_id")), ("resume", request.resume)):
            if ident and not _UUID.match(ident):
                raise InvalidRequest(f"{ident!r} is not a session id (a UUID)", field=name)
        for name in ("max_turns", "max_budget_usd"):
            if options.get(name) is not None and options[name] <= 0:
                raise InvalidRequest(f"{name} must be positive", field=f"options.{name}")
        if options.get("max_retries", 0) < 0:
            raise InvalidRequest("max_retries must not be negative", field="options.max_retries")

    def launch(self, request: Request) -> Launch:
        env = _environment(request)
        if request.mode == "interactive":
            argv = ["claude", *_flags(request)]
            if request.prompt.strip():
                argv += ["--", request.prompt]
            return Launch(argv=tuple(argv), env=env)
        if wants_driver(request):
            return two_way_launch(request, _flags(request), env)
        argv = ["claude", "-p", "--output-format", "stream-json", "--verbose", *_flags(request)]
        if request.options.get("partial_messages"):
            argv.append("--include-partial-messages")
        return Launch(
            argv=tuple(argv),
            env=env,
            stdio="pipes",
            stdin="file",
            stdin_file="prompt.txt",
            files={"prompt.txt": request.prompt.encode("utf-8", "replace")},
        )

    def parser(self, request: Request) -> Parser:
        if request.mode != "headless":
            return ExitCodeParser()
        return DrivenParser() if wants_driver(request) else ClaudeParser()

    def version(self, stdout: str) -> str:
        found = _VERSION.search(stdout)
        return found[1] if found else ""


def _flags(request: Request) -> list[str]:
    options = request.options
    flags: list[str] = []
    if request.model:
        flags += ["--model", request.model]
    for name in ("permission_mode", "max_turns", "max_budget_usd", "append_system_prompt", "settings", "mcp_config"):
        if options.get(name) is not None:
            flags += [f"--{name.replace('_', '-')}", str(options[name])]
    for name, flag in (("allowed_tools", "--allowedTools"), ("disallowed_tools", "--disallowedTools")):
        if options.get(name):
            flags += [flag, _joined(options[name])]
    for directory in options.get("add_dirs") or ():
        flags += ["--add-dir", str(directory)]
    if request.resume:
        flags += ["--resume", request.resume]
        if options.get("fork_session"):
            flags.append("--fork-session")
    elif options.get("session_id"):
        flags += ["--session-id", options["session_id"]]
    return flags + [str(one) for one in options.get("args") or ()]


def _environment(request: Request) -> dict[str, str]:
    options = request.options
    env = {
        "CLAUDE_CODE_MAX_RETRIES": str(options.get("max_retries", _MAX_RETRIES)),
        "DISABLE_AUTOUPDATER": "1",
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    }
    if options.get("config_dir"):
        env["CLAUDE_CONFIG_DIR"] = options["config_dir"]
    if options.get("base_url"):
        env["ANTHROPIC_BASE_URL"] = options["base_url"]
    return env


def _joined(tools: Any) -> str:
    return tools if isinstance(tools, str) else ",".join(str(tool) for tool in tools)
