"""What every request passes: the size cap, encoded slashes, bodies that are JSON whatever they say, a last answer."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import unquote

from starlette.exceptions import HTTPException
from starlette.responses import Response

from lite.api.server.answers import failure, plain_failure
from lite.errors import QuarterdeckError

log = logging.getLogger(__name__)

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

MAX_BODY = 2 << 20


class Edge:
    """ASGI middleware. `requests` counts them."""

    def __init__(self, app: App, counts: MutableMapping[str, float]) -> None:
        self._app = app
        self._counts = counts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            scope["path"] = _path(scope)
            await self._app(scope, receive, send)
            return
        self._counts["quarterdeck_api_requests_total"] = self._counts.get("quarterdeck_api_requests_total", 0) + 1
        scope["path"] = _path(scope)
        if _length(scope) > MAX_BODY:
            await too_large()(scope, receive, send)
            return
        _call_it_json(scope)
        begun = False

        async def watched(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app(scope, _capped(receive), watched)
        except QuarterdeckError as error:
            if begun:
                raise
            await failure(error)(scope, receive, send)
        except Exception as error:
            log.exception("%s %s failed", scope["method"], scope["path"])
            if begun:
                raise
            text = f"internal error: {type(error).__name__}"
            await plain_failure(500, "internal", text, "the supervisor's log tells where")(scope, receive, send)


def _path(scope: Scope) -> str:
    """The decoded path, in which a slash that was encoded stays `%2F`: it belongs to a name (`run/name`)."""
    raw = scope.get("raw_path")
    if not raw or b"%2" not in raw:
        return str(scope["path"])
    segments = raw.decode("latin-1").partition("?")[0].split("/")
    return "/".join(unquote(segment).replace("/", "%2F") for segment in segments)


def _length(scope: Scope) -> int:
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit():
            return int(value)
    return 0


def _call_it_json(scope: Scope) -> None:
    """`curl -d` says it sends a form; every body here is JSON."""
    if scope["method"] in ("POST", "PUT", "PATCH"):
        kept = [(name, value) for name, value in scope["headers"] if name != b"content-type"]
        scope["headers"] = [*kept, (b"content-type", b"application/json")]


def _capped(receive: Receive) -> Receive:
    seen = 0

    async def counted() -> Message:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > MAX_BODY:
            raise HTTPException(413)  # goes through FastAPI as it is
        return message

    return counted


def too_large() -> Response:
    return plain_failure(413, "too-large", f"the body is over {MAX_BODY >> 20} MiB", "pass a path instead of content")
