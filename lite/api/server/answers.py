"""How answers look: JSON that is ASCII, a key or an element a line, with a newline at the end; errors in one shape."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from fastapi import Response

from lite.errors import QuarterdeckError

_T = TypeVar("_T")
_SLICE = 200  # elements rendered before others get their turn

_dumps = json.JSONEncoder(ensure_ascii=True, allow_nan=False, default=str).encode


class Json(Response):
    media_type = "application/json"


def answer(value: Mapping[str, Any], status: int = 200) -> Response:
    """An object, a key a line."""
    lines = ",\n".join(f"  {_dumps(name)}: {_dumps(item)}" for name, item in value.items())
    return Json(f"{{\n{lines}\n}}\n", status)


async def answer_list(items: Iterable[_T], render: Callable[[_T], Mapping[str, Any]]) -> Response:
    """A list, an element a line; a long one leaves room for other work while it is made."""
    lines: list[str] = []
    for item in items:
        lines.append(_dumps(render(item)))
        if len(lines) % _SLICE == 0:
            await asyncio.sleep(0)
    return Json("[\n" + ",\n".join(lines) + "\n]\n" if lines else "[]\n")


def line(value: Mapping[str, Any]) -> bytes:
    """One line of NDJSON."""
    return _dumps(value).encode() + b"\n"


def failure(error: QuarterdeckError) -> Response:
    return Json(_dumps({"error": error.to_json()}) + "\n", error.status)


def plain_failure(status: int, code: str, message: str, hint: str = "", place: str = "") -> Response:
    body = {"code": code, "message": message, "hint": hint, "place": place}
    return Json(_dumps({"error": body}) + "\n", status)


def described(schema: type | str, text: str = "", *, many: bool = False, status: int = 200) -> dict[int | str, Any]:
    """`responses=` of a route: a TypedDict of `messages` (its schema is made when somebody asks for the document), or
    a media type."""
    if isinstance(schema, str):
        content: dict[str, Any] = {schema: {"schema": {"type": "string"}}}
    else:
        reference: dict[str, Any] = {"$ref": f"#/components/schemas/{schema.__name__}"}
        content = {"application/json": {"schema": {"type": "array", "items": reference} if many else reference}}
    return {status: {"description": text or "The answer", "content": content}}


def joined(parts: Sequence[str | int]) -> str:
    """A field's path: `http.url`, `needs[2]`."""
    text = ""
    for part in parts:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text
