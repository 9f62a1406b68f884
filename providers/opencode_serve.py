"""opencode conversed with: `opencode serve`, a server for one session, by the driver `opencode`.

It asks before it does what its own configuration does not name, and is answered by a person or by
`options.permissions`. Its server listens on loopback, with a password made by the driver.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from providers.base import Launch, Request
from providers.driven import driven_launch

PASSWORD = "OPENCODE_SERVER_PASSWORD"
_COMMAND = ("opencode", "serve", "--hostname", "127.0.0.1", "--port", "0", "--print-logs", "--log-level", "ERROR")
# they take over of the conversation they work for only what is denied
_SUBAGENTS = ("general", "explore")
_ASKS = {"edit": "ask", "bash": "ask", "webfetch": "ask", "websearch": "ask"}


def serve_launch(request: Request, env: Mapping[str, str]) -> Launch:
    """`env` is that of a run."""
    options = request.options
    spec: dict[str, Any] = {
        "command": [*_COMMAND, *(options.get("args") or ())],
        "secrets": [PASSWORD],
        "close_ms": 1,  # it does not end with its input
        "title": options.get("title") or request.task,  # without one it asks a model for it
        "agent": options.get("agent", ""),
        "variant": options.get("variant", ""),
        "thinking": options.get("thinking", True),
        "fork_session": options.get("fork_session", False),
    }
    return driven_launch("opencode", request, spec, env)


def asking(config: Mapping[str, Any] | None) -> dict[str, Any]:
    """The configuration in which its own subagents ask too; what is said of them already stays."""
    made = dict(config or {})
    agents = dict(made.get("agent") or {})
    for name in _SUBAGENTS:
        agent = dict(agents.get(name) or {})
        if "permission" not in agent:
            agents[name] = {**agent, "permission": _ASKS}
    return {**made, "agent": agents}
