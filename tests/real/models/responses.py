"""OpenAI's Responses: `POST /v1/responses`."""

from __future__ import annotations

import itertools
import json
from typing import Any

from tests.real.models.talk import TOKENS_IN, TOKENS_OUT, Asked, Call, event, text_in

_ids = itertools.count(1)
_RESULTS = ("function_call_output", "custom_tool_call_output", "local_shell_call_output")
_USAGE = {
    "input_tokens": TOKENS_IN,
    "input_tokens_details": {"cached_tokens": 0},
    "output_tokens": TOKENS_OUT,
    "output_tokens_details": {"reasoning_tokens": 0},
    "total_tokens": TOKENS_IN + TOKENS_OUT,
}


class Responses:
    name = "responses"

    def takes(self, path: str) -> bool:
        return path.endswith("/responses")

    def read(self, path: str, body: dict[str, Any]) -> Asked:
        said: list[str] = []
        results: list[str] = []
        items = body.get("input", ())
        if isinstance(items, str):
            items = [{"type": "message", "role": "user", "content": items}]
        for item in items:
            if item.get("type") in _RESULTS:
                results.append(text_in(item.get("output")))
            elif item.get("role") == "user":
                text = text_in(item.get("content"))
                said.append(text)
                if "scenario=" in text:
                    results = []
        tools = {tool.get("name", tool.get("type")): tool for tool in body.get("tools") or ()}
        return Asked(self.name, body["model"], tuple(said), tuple(results), tools, bool(body.get("stream")))

    def answer(self, asked: Asked) -> _Answer:
        return _Answer(asked)

    def whole(self, asked: Asked, text: str, call: Call | None) -> dict[str, Any]:
        output = [_message(text), *([_call(call)] if call is not None else ())]
        return {**_response(asked, "completed"), "output": output, "usage": _USAGE}

    def error(self, status: int, message: str) -> dict[str, Any]:
        return {"error": {"message": message, "type": "error", "code": str(status)}}


class _Answer:
    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self._response = _response(asked, "in_progress")
        self._message: dict[str, Any] | None = None
        self._text: list[str] = []
        self._output: list[dict[str, Any]] = []
        self._number = itertools.count()

    def begin(self) -> bytes:
        return self._event("response.created", response=self._response)

    def text(self, piece: str) -> bytes:
        head = b""
        if self._message is None:
            self._message = {**_message(""), "status": "in_progress", "content": []}
            head = self._item("response.output_item.added", self._message)
            part = {"type": "output_text", "text": "", "annotations": []}
            head += self._part("response.content_part.added", part=part)
        self._text.append(piece)
        return head + self._part("response.output_text.delta", delta=piece)

    def call(self, call: Call) -> bytes:
        head = self._close()
        item = _call(call)
        added = {**item, "status": "in_progress", ("arguments" if "arguments" in item else "input"): ""}
        sent = head + self._item("response.output_item.added", added) + self._item("response.output_item.done", item)
        self._output.append(item)
        return sent

    def end(self) -> bytes:
        head = self._close()
        done = {**self._response, "status": "completed", "output": self._output, "usage": _USAGE}
        return head + self._event("response.completed", response=done)

    def _close(self) -> bytes:
        if self._message is None:
            return b""
        text = "".join(self._text)
        item = {**_message(text), "id": self._message["id"]}
        sent = self._part("response.output_text.done", text=text)
        sent += self._part("response.content_part.done", part=item["content"][0])
        sent += self._item("response.output_item.done", item)
        self._output.append(item)
        self._message = None
        return sent

    def _part(self, name: str, **data: Any) -> bytes:
        assert self._message is not None
        place = {"item_id": self._message["id"], "output_index": len(self._output), "content_index": 0}
        return self._event(name, **place, **data)

    def _item(self, name: str, item: dict[str, Any]) -> bytes:
        return self._event(name, output_index=len(self._output), item=item)

    def _event(self, name: str, **data: Any) -> bytes:
        return event({"type": name, "sequence_number": next(self._number), **data}, name)


def _response(asked: Asked, status: str) -> dict[str, Any]:
    return {
        "id": f"resp_{next(_ids):08}",
        "object": "response",
        "created_at": 0,
        "status": status,
        "model": asked.model,
        "output": [],
    }


def _message(text: str) -> dict[str, Any]:
    content = [{"type": "output_text", "text": text, "annotations": []}]
    return {
        "id": f"msg_{next(_ids):08}",
        "type": "message",
        "role": "assistant",
        "status": "completed",
        "content": content,
    }


def _call(call: Call) -> dict[str, Any]:
    number = next(_ids)
    head = {"id": f"fc_{number:08}", "call_id": f"call_{number:08}", "name": call.name, "status": "completed"}
    if call.freeform is not None:
        return {"type": "custom_tool_call", **head, "input": call.freeform}
    return {"type": "function_call", **head, "arguments": json.dumps(dict(call.arguments))}
