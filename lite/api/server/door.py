"""The door for other machines: who comes over TCP shows the token, means this machine, and is no web page."""

from __future__ import annotations

import hmac
import socket
from collections.abc import MutableMapping
from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.responses import Response

from lite.api.server.answers import plain_failure
from lite.api.server.edge import App, Receive, Scope, Send
from lite.api.server.web import OUTSIDE

STRANGER = "quarterdeck.stranger"  # in the scope: it showed no token
_PROBES = ("/health", "/ready")
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


class Door:
    """ASGI middleware, the outermost. Probes are answered without a token. `address` is ours as others know it."""

    def __init__(self, app: App, token: str, address: str, counts: MutableMapping[str, float]) -> None:
        self._app = app
        self._token = token.encode()
        self._names = {socket.gethostname().lower(), (urlsplit(address).hostname or "").lower()} - {""}
        self._counts = counts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not scope.get(OUTSIDE):
            await self._app(scope, receive, send)
            return
        refusal = self._refusal(scope)
        if refusal is None:
            await self._app(scope, receive, send)
            return
        self._counts["quarterdeck_api_refused_total"] = self._counts.get("quarterdeck_api_refused_total", 0) + 1
        refusal.headers["connection"] = "close"  # a stranger gets no second word
        await refusal(scope, receive, send)

    def _refusal(self, scope: Scope) -> Response | None:
        headers: dict[bytes, list[bytes]] = {}
        for name, value in scope["headers"]:
            headers.setdefault(name.lower(), []).append(value)
        if b"origin" in headers:
            return plain_failure(403, "forbidden", "this API is not for web pages", place="Origin")
        hosts = headers.get(b"host", [])
        if len(hosts) != 1 or not self._is_ours(hosts[0].decode("latin-1"), scope):
            return plain_failure(403, "forbidden", "this is not the machine you mean", place="Host")
        if self._authorized(headers.get(b"authorization", [])):
            return None
        if scope["type"] == "http" and scope["path"] in _PROBES:
            scope[STRANGER] = True
            return None
        hint = "Authorization: Bearer TOKEN"
        refusal = plain_failure(401, "unauthorized", "the worker's token is needed", hint, "Authorization")
        refusal.headers["www-authenticate"] = "Bearer"
        return refusal

    def _authorized(self, given: list[bytes]) -> bool:
        if len(given) != 1 or not self._token:
            return False
        scheme, _, token = given[0].partition(b" ")
        return scheme.lower() == b"bearer" and hmac.compare_digest(token.strip(), self._token)

    def _is_ours(self, host: str, scope: Scope) -> bool:
        """A page of elsewhere that had its own name resolved to our address still sends its own name. The port is not
        looked at: tunnels and containers have others."""
        try:
            asked = (urlsplit(f"//{host}").hostname or "").rstrip(".").lower()
        except ValueError:
            return False
        here = _plain(str((scope.get("server") or ("",))[0]))
        if asked in self._names or _plain(asked) == here:
            return bool(asked)
        return asked in _LOOPBACK and here in _LOOPBACK


def _plain(address: str) -> str:
    """An IP address in one spelling, anything else as it is."""
    try:
        found = ip_address(address)
    except ValueError:
        return address
    mapped = getattr(found, "ipv4_mapped", None)
    return str(mapped or found)
