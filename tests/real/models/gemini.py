"""Gemini: `POST /v1beta/models/MODEL:streamGenerateContent` and `:generateContent`."""

from __future__ import annotations

import json
from typing import Any

from tests.real.models.talk import TOKENS_IN, TOKENS_OUT, Asked, Call, event

_STATUS = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    503: "UNAVAILABLE",
}
_USAGE = {
    "promptTokenCount": TOKENS_IN,
    "candidatesTokenCount": TOKENS_OUT,
    "totalTokenCount": TOKENS_IN + TOKENS_OUT,
}


class Gemini:
    name = "gemini"

    def takes(self, path: str) -> bool:
        return path.endswith((":streamGenerateContent", ":generateContent"))

    def read(self, path: str, body: dict[str, Any]) -> Asked:
        said: list[str] = []
        results: list[str] = []
        for content in body.get("contents", ()):
            if content.get("role", "user") == "model":
                continue
            for part in content.get("parts", ()):
                if "functionResponse" in part:
                    response = part["functionResponse"].get("response", {})
                    results.append(str(response.get("output", json.dumps(response))))
                elif text := part.get("text"):
                    said.append(text)
                    if "scenario=" in text:
                        results = []
        declared = [one for tool in body.get("tools") or () for one in tool.get("functionDeclarations", ())]
        model = path.partition("/models/")[2].partition(":")[0]
        stream = ":streamGenerateContent" in path
        return Asked(self.name, model, tuple(said), tuple(results), {one["name"]: one for one in declared}, stream)

    def answer(self, asked: Asked) -> _Answer:
        return _Answer()

    def whole(self, asked: Asked, text: str, call: Call | None) -> dict[str, Any]:
        parts: list[dict[str, Any]] = [{"text": text}]
        if call is not None:
            parts.append(_function(call))
        return _said(parts, "STOP")

    def error(self, status: int, message: str) -> dict[str, Any]:
        return {"error": {"code": status, "message": message, "status": _STATUS.get(status, "INTERNAL")}}


class _Answer:
    def begin(self) -> bytes:
        return b""

    def text(self, piece: str) -> bytes:
        return event(_said([{"text": piece}]))

    def call(self, call: Call) -> bytes:
        return event(_said([_function(call)]))

    def end(self) -> bytes:
        return event(_said([{"text": ""}], "STOP"))


def _function(call: Call) -> dict[str, Any]:
    return {"functionCall": {"name": call.name, "args": dict(call.arguments)}}


def _said(parts: list[dict[str, Any]], finish: str = "") -> dict[str, Any]:
    candidate: dict[str, Any] = {"index": 0, "content": {"role": "model", "parts": parts}}
    if finish:
        candidate["finishReason"] = finish
    return {"candidates": [candidate], "usageMetadata": _USAGE}
