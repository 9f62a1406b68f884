"""Chat Completions: `POST /v1/chat/completions`."""

from __future__ import annotations

import itertools
import json
from typing import Any

from tests.real.models.talk import TOKENS_IN, TOKENS_OUT, Asked, Call, event, text_in

_ids = itertools.count(1)
_USAGE = {"prompt_tokens": TOKENS_IN, "completion_tokens": TOKENS_OUT, "total_tokens": TOKENS_IN + TOKENS_OUT}


class Completions:
    name = "completions"

    def takes(self, path: str) -> bool:
        return path.endswith("/chat/completions")

    def read(self, path: str, body: dict[str, Any]) -> Asked:
        said: list[str] = []
        results: list[str] = []
        for message in body.get("messages", ()):
            text = text_in(message.get("content"))
            if message.get("role") == "tool":
                results.append(text)
            elif message.get("role") == "user":
                said.append(text)
                if "scenario=" in text:
                    results = []
        tools = {tool["function"]["name"]: tool["function"] for tool in body.get("tools") or ()}
        return Asked(self.name, body["model"], tuple(said), tuple(results), tools, bool(body.get("stream")))

    def answer(self, asked: Asked) -> _Answer:
        return _Answer(asked)

    def whole(self, asked: Asked, text: str, call: Call | None) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": text}
        if call is not None:
            message["tool_calls"] = [_tool_call(call)]
        choice = {"index": 0, "message": message, "finish_reason": "tool_calls" if call else "stop"}
        head = {"id": f"chat-{next(_ids)}", "object": "chat.completion", "created": 0, "model": asked.model}
        return {**head, "choices": [choice], "usage": _USAGE}

    def error(self, status: int, message: str) -> dict[str, Any]:
        return {"error": {"message": message, "type": "error", "code": str(status)}}


class _Answer:
    def __init__(self, asked: Asked) -> None:
        self._model = asked.model
        self._id = f"chat-{next(_ids)}"
        self._finish = "stop"

    def begin(self) -> bytes:
        return self._chunk({"role": "assistant", "content": ""})

    def text(self, piece: str) -> bytes:
        return self._chunk({"content": piece})

    def call(self, call: Call) -> bytes:
        self._finish = "tool_calls"
        return self._chunk({"tool_calls": [{"index": 0, **_tool_call(call)}]})

    def end(self) -> bytes:
        return self._chunk({}, self._finish, _USAGE) + event("[DONE]")

    def _chunk(self, delta: dict[str, Any], finish: str | None = None, usage: dict[str, int] | None = None) -> bytes:
        said: dict[str, Any] = {
            "id": self._id,
            "object": "chat.completion.chunk",
            "created": 0,
            "model": self._model,
            "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
        }
        return event({**said, "usage": usage} if usage else said)


def _tool_call(call: Call) -> dict[str, Any]:
    function = {"name": call.name, "arguments": json.dumps(dict(call.arguments))}
    return {"id": f"call_{next(_ids):08}", "type": "function", "function": function}
