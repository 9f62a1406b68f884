"""One HTTP request as a task, done by the inline executor."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from providers.base import Capabilities, HttpCall, Launch, Parser, Request
from providers.checks import check_mode
from providers.errors import InvalidRequest
from providers.parsing import ExitCodeParser

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")
_OURS = frozenset({"host", "content-length", "transfer-encoding", "connection", "accept-encoding"})


class HttpProvider:
    """GET and POST over http and https."""

    name = "http"

    def capabilities(self) -> Capabilities:
        return Capabilities(modes=("headless",), prompt=False, http=True)

    def validate(self, request: Request) -> None:
        check_mode(request, self.capabilities(), self.name)
        if request.http is None:
            raise InvalidRequest("there is no HTTP call", hint="give http: {url: ...}", field="http")
        check_call(request.http)

    def launch(self, request: Request) -> Launch:
        return Launch(inline=request.http)

    def parser(self, request: Request) -> Parser:
        return ExitCodeParser()

    def version(self, stdout: str) -> str:
        return ""


def check_call(call: HttpCall) -> None:
    """Raises `InvalidRequest`; looks at the words only, addresses are checked when they are known."""
    if any(character <= " " or character == "\x7f" for character in call.url):
        raise InvalidRequest("the URL holds a space or a control character", hint="percent-encode it", field="http.url")
    try:
        parts = urlsplit(call.url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise InvalidRequest(f"not a URL: {error}", field="http.url") from error
    if parts.scheme not in ("http", "https"):
        raise InvalidRequest(f"{call.url!r} is neither http:// nor https://", field="http.url")
    if not host:
        raise InvalidRequest(f"{call.url!r} names no host", field="http.url")
    if parts.username is not None or parts.password is not None:
        raise InvalidRequest("the URL holds credentials", hint="send them in a header", field="http.url")
    if call.method not in ("GET", "POST"):
        raise InvalidRequest(f"method {call.method!r} is neither GET nor POST", field="http.method")
    if call.body and call.method == "GET":
        raise InvalidRequest("a GET has no body", hint="use method: POST", field="http.body")
    if call.max_bytes <= 0:
        raise InvalidRequest("max_bytes must be positive", field="http.max_bytes")
    for name, value in call.headers.items():
        if not _TOKEN.match(name) or any(character in value for character in "\r\n\0"):
            raise InvalidRequest(f"header {name!r} is malformed", field="http.headers")
        if name.lower() in _OURS:
            raise InvalidRequest(f"header {name!r} is set by Quarterdeck", field="http.headers")
