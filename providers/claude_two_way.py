"""Claude Code conversed with: JSON lines both ways and its control protocol, spoken by the driver `claude`.

It asks before it does what its own settings do not allow, and is answered by a person or by `options.permissions`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from providers.base import Launch, Request
from providers.driven import driven_launch

_COMMAND = ("claude", "-p", "--input-format", "stream-json", "--output-format", "stream-json", "--verbose")
_ASK = ("--permission-prompt-tool", "stdio")
# after its result it may go on by itself, with what ran in the background; it tells when it is idle
_ENVIRONMENT = {"CLAUDE_CODE_EMIT_SESSION_STATE_EVENTS": "1"}


def two_way_launch(request: Request, flags: Sequence[str], env: Mapping[str, str]) -> Launch:
    """`flags` and `env` are those of a one-shot run."""
    command = [*_COMMAND, *_ASK, *flags]
    if request.options.get("partial_messages", True):
        command.append("--include-partial-messages")
    return driven_launch("claude", request, {"command": command}, {**env, **_ENVIRONMENT})
