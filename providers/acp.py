"""Any agent that speaks the Agent Client Protocol: `command` starts it, the driver converses with it.

Such an agent works in the task's directory by itself; it is offered neither our files nor our terminals, and may ask
its user. It goes on with an earlier conversation when it says that it can. Where its configuration and its login are
only it knows: its own variables, in `env`, give them another place.
"""

from __future__ import annotations

import shlex
from typing import Any

from providers.base import Capabilities, Launch, Limits, Parser, Request
from providers.checks import Kinds, check_argv, check_mode, check_options, check_text
from providers.driven import DRIVEN_OPTIONS, DrivenParser, check_driven, driven_launch
from providers.errors import InvalidRequest
from providers.owned import ANY_AGENT

_OPTIONS: Kinds = {
    **DRIVEN_OPTIONS,
    "command": (str, list),
    "cwd": str,
    "env": dict,
    "mode": str,  # one of those the agent offers
    "auth_method": str,  # asked for before the conversation begins
    "mcp_servers": list,  # as the protocol writes them
    "add_dirs": list,
}
_LIMITS = Limits(idle_ms=15 * 60_000, steps=500, retries=10)  # nobody knows which agent it is


class AcpProvider:
    """Headless only: an agent's own screen is the `shell` provider's business."""

    name = "acp"

    def capabilities(self) -> Capabilities:
        return Capabilities(
            modes=("headless",),
            resume=True,
            events=True,
            env_owned=ANY_AGENT,
            answers=True,
            permissions="ask",
            limits=_LIMITS,
        )

    def validate(self, request: Request) -> None:
        check_mode(request, self.capabilities(), self.name)
        options = request.options
        check_options(options, _OPTIONS, self.name)
        check_driven(request)
        check_text(request.prompt, "prompt")
        if not request.prompt.strip():
            raise InvalidRequest("the prompt is empty", field="prompt")
        check_argv(_command(options.get("command")))
        for key, value in (options.get("env") or {}).items():
            if not isinstance(key, str) or not isinstance(value, str) or "=" in key or "\0" in key + value:
                raise InvalidRequest("env must map names to texts", field="options.env")
        for server in options.get("mcp_servers") or ():
            if not isinstance(server, dict) or not isinstance(server.get("name"), str):
                raise InvalidRequest("every MCP server is a mapping with a name", field="options.mcp_servers")
        if not all(isinstance(one, str) for one in options.get("add_dirs") or ()):
            raise InvalidRequest("add_dirs must be a list of paths", field="options.add_dirs")

    def launch(self, request: Request) -> Launch:
        options = request.options
        spec: dict[str, Any] = {
            "command": _command(options.get("command")),
            "cwd": options.get("cwd") or request.cwd,
            "mode": options.get("mode", ""),
            "auth_method": options.get("auth_method", ""),
            "mcp_servers": [_server(one) for one in options.get("mcp_servers") or ()],
            "add_dirs": list(options.get("add_dirs") or ()),
        }
        return driven_launch("acp", request, spec, options.get("env"))

    def parser(self, request: Request) -> Parser:
        return DrivenParser()

    def version(self, stdout: str) -> str:
        return ""


def _command(given: object) -> list[str]:
    """Raises `InvalidRequest` when there is none."""
    try:
        words = shlex.split(given) if isinstance(given, str) else given
    except ValueError as error:
        raise InvalidRequest(f"command: {error}", field="options.command") from error
    if not isinstance(words, list) or not words or not all(isinstance(word, str) for word in words) or not words[0]:
        raise InvalidRequest(
            "it is not said how to start the agent", hint="command: [gemini, --acp]", field="options.command"
        )
    return words


def _server(given: dict[str, Any]) -> dict[str, Any]:
    """Environment and headers may be written as mappings; the protocol wants lists of names and values."""
    server = dict(given)
    for key in ("env", "headers"):
        if isinstance(server.get(key), dict):
            server[key] = [{"name": name, "value": value} for name, value in server[key].items()]
    if "command" in server:
        server = {"args": [], "env": [], **server}
    elif "url" in server:
        server = {"type": "http", "headers": [], **server}
    return server
