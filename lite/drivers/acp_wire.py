"""The lines an ACP agent prints, as messages for the protocol's library; what cannot be one is told and left out.

The library trusts what it reads: a line of any length, an id that cannot be one, an error of another shape end its
connection or fill its memory. And it knows no updates but its own version's, so those go another way.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from lite.drivers.agent import Agent, Gone
from lite.drivers.lines import Lines
from lite.drivers.outcome import Failed
from providers.base import EventKind, Failure
from providers.parsing import Oversized, mapping_of, read_json, text_of

_GARBAGE_TOLD = 50  # lines


class Wire:
    """The library's `Transport`. `failed` is set when the agent broke the protocol beyond repair."""

    def __init__(self, agent: Agent, lines: Lines, on_update: Callable[[dict[str, Any], Any], None]) -> None:
        self.failed: Failed | None = None
        self.garbage = ""  # the first line that was no message
        self.session = ""  # whose updates count; "" is anybody's
        self._agent = agent
        self._lines = lines
        self._on_update = on_update
        self._told = 0

    async def send(self, message: dict[str, Any]) -> None:
        data = json.dumps(message, separators=(",", ":")).encode() + b"\n"
        try:
            await self._agent.write(data)
        except Gone as error:
            raise ConnectionError("the agent reads nothing more") from error

    async def receive(self) -> dict[str, Any] | None:
        """The next request or answer; None at the end. Updates are handed on in between."""
        while (line := await self._agent.line()) is not None:
            if isinstance(line, Oversized):
                if not self._skip(line):
                    return None
                continue
            if not line.strip():
                continue
            said = read_json(line)
            message = _message(said) if said is not None else None
            if message is None:
                self._strange(line, said)
            elif message.get("method") == "session/update" and "id" not in message:
                params = mapping_of(message.get("params"))
                if not self.session or params.get("sessionId") == self.session:
                    self._on_update(mapping_of(params.get("update")), message)
            else:
                return message
        return None

    async def close(self) -> None:
        """The frame closes the agent's stdin."""

    def _skip(self, line: Oversized) -> bool:
        """True when the conversation can go on without that line."""
        self._lines.say(EventKind.UNKNOWN, f"a line of {line.size} bytes was skipped", {"skipped_bytes": line.size})
        if b'"session/update"' in line.head:
            return True
        self.failed = Failed(Failure.AGENT, f"the agent printed a line of {line.size} bytes, which nobody can read")
        return False

    def _strange(self, line: bytes, said: dict[str, Any] | None) -> None:
        text = line[:1000].decode("utf-8", "replace")
        self.garbage = self.garbage or text
        self._told += 1
        if self._told <= _GARBAGE_TOLD:
            data: dict[str, Any] = {"malformed": True} if said is None else {"type": "no message"}
            if self._told == _GARBAGE_TOLD:
                data["more"] = "further lines like it are not told"
            self._lines.say(EventKind.UNKNOWN, text, data, said)


def _message(said: dict[str, Any]) -> dict[str, Any] | None:
    """A message the library can take; None for what is none."""
    ident, method = said.get("id"), said.get("method")
    if "id" in said and (isinstance(ident, bool) or not isinstance(ident, int | str)):
        return None
    if method is not None:
        return said if isinstance(method, str) else None
    if "id" not in said or not ("result" in said or "error" in said):
        return None
    if said.get("error") is None:
        return said if "result" in said else None
    error = said["error"] if isinstance(said["error"], dict) else {"message": json.dumps(said["error"])}
    code = error.get("code")
    right_code = code if isinstance(code, int) and not isinstance(code, bool) else -32603
    message = text_of(error.get("message")) or "an error without words"
    return {"jsonrpc": "2.0", "id": ident, "error": {"code": right_code, "message": message, "data": error.get("data")}}
