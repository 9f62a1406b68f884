"""Where a secret may be sent: hosts as somebody wrote them, compared with URLs."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlsplit

from lite.rules.spelling import quoted

Origin = tuple[str, str, int]  # scheme, host, port
_PORTS = {"http": 80, "https": 443}


def origin_of_host(text: str) -> Origin:
    """`api.example.com[:PORT]` means https; `http://HOST:PORT` says plainly that the line is not. Raises ValueError."""
    given = text if "://" in text else f"https://{text}"
    try:
        origin = _origin(given)
        rest = urlsplit(given)
    except ValueError:
        origin = None
    if origin is None or rest.path not in ("", "/") or rest.query or rest.fragment or "@" in rest.netloc or "*" in text:
        raise ValueError(f"{quoted(text)} is not HOST, HOST:PORT or http://HOST:PORT")
    return origin


def may_go(url: str, hosts: Iterable[str]) -> bool:
    """Is the URL's origin one of these hosts?"""
    try:
        origin = _origin(url)
    except ValueError:
        return False
    return origin is not None and any(origin == origin_of_host(host) for host in hosts)


def _origin(url: str) -> Origin | None:
    """Raises ValueError."""
    parts = urlsplit(url)
    host = (parts.hostname or "").rstrip(".")
    if parts.scheme not in _PORTS or not host or "@" in parts.netloc or set(url) & {"\\", " "} or not url.isprintable():
        return None
    if not host.isascii():
        host = host.encode("idna").decode()
    return parts.scheme, host, parts.port or _PORTS[parts.scheme]
