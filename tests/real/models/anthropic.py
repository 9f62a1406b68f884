"""The Messages API: `POST /v1/messages`."""

from __future__ import annotations

import itertools
import json
from typing import Any

from tests.real.models.talk import TOKENS_IN, TOKENS_OUT, Asked, Call, event, text_in

_ids = itertools.count(1)
_ERRORS = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
    529: "overloaded_error",
}


class Anthropic:
    name = "anthropic"

    def takes(self, path: str) -> bool:
        return path.endswith("/messages")

    def read(self, path: str, body: dict[str, Any]) -> Asked:
        said: list[str] = []
        results: list[str] = []
        for message in body.get("messages", ()):
            if message.get("role") != "user":
                continue
            content = message.get("content")
            blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
            for block in blocks:
                if block.get("type") == "tool_result":
                    results.append(text_in(block.get("content")))
                elif block.get("type") == "text":
                    said.append(block["text"])
                    if "scenario=" in block["text"]:
                        results = []
        tools = {tool["name"]: tool for tool in body.get("tools") or ()}
        return Asked(self.name, body["model"], tuple(said), tuple(results), tools, bool(body.get("stream")))

    def answer(self, asked: Asked) -> _Answer:
        return _Answer(asked)

    def whole(self, asked: Asked, text: str, call: Call | None) -> dict[str, Any]:
        content: list[dict[str, Any]] = [{"type": "text", "text": text}]
        if call is not None:
            content.append({"type": "tool_use", "id": _tool_id(), "name": call.name, "input": dict(call.arguments)})
        return {**_message(asked), "content": content, "stop_reason": "tool_use" if call else "end_turn"}

    def error(self, status: int, message: str) -> dict[str, Any]:
        return {"type": "error", "error": {"type": _ERRORS.get(status, "api_error"), "message": message}}


class _Answer:
    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self._block = 0
        self._in_text = False
        self._stop = "end_turn"

    def begin(self) -> bytes:
        return event({"type": "message_start", "message": _message(self._asked)}, "message_start")

    def text(self, piece: str) -> bytes:
        head = b"" if self._in_text else self._start({"type": "text", "text": ""})
        self._in_text = True
        return head + self._delta({"type": "text_delta", "text": piece})

    def call(self, call: Call) -> bytes:
        head = self._close()
        self._stop = "tool_use"
        start = self._start({"type": "tool_use", "id": _tool_id(), "name": call.name, "input": {}})
        delta = self._delta({"type": "input_json_delta", "partial_json": json.dumps(dict(call.arguments))})
        self._in_text = True
        return head + start + delta + self._close()

    def end(self) -> bytes:
        delta = {"stop_reason": self._stop, "stop_sequence": None}
        last = {"type": "message_delta", "delta": delta, "usage": {"output_tokens": TOKENS_OUT}}
        return self._close() + event(last, "message_delta") + event({"type": "message_stop"}, "message_stop")

    def _start(self, block: dict[str, Any]) -> bytes:
        start = {"type": "content_block_start", "index": self._block, "content_block": block}
        return event(start, "content_block_start")

    def _delta(self, delta: dict[str, Any]) -> bytes:
        return event({"type": "content_block_delta", "index": self._block, "delta": delta}, "content_block_delta")

    def _close(self) -> bytes:
        if not self._in_text:
            return b""
        stop = event({"type": "content_block_stop", "index": self._block}, "content_block_stop")
        self._in_text = False
        self._block += 1
        return stop


def _message(asked: Asked) -> dict[str, Any]:
    return {
        "id": f"msg_{next(_ids):08}",
        "type": "message",
        "role": "assistant",
        "model": asked.model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {"input_tokens": TOKENS_IN, "output_tokens": TOKENS_OUT},
    }


def _tool_id() -> str:
    return f"toolu_{next(_ids):08}"
