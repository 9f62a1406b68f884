"""Where things listen: the URL of a backend and `HOST:PORT`, taken apart without ever repeating a password.

Written by hand and not by `urlsplit`: that one accepts nearly everything, and what it does not read it drops.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import quote, unquote

from lite.rules.spelling import did_you_mean, quoted

EXAMPLE = "backend: sqlite, or redis://host:6379/0"
LISTEN_EXAMPLE = "listen: 0.0.0.0:7433"
TLS_SCHEME = "rediss"
DEFAULT_PORT = 6379
MAX_DB = 65_535
SCHEMES = ("redis", TLS_SCHEME, "unix")
LATER = ("postgres", "postgresql")

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]{0,20}):")
_WORD = re.compile(r"[A-Za-z0-9_-]{1,30}\Z")  # surely no password of anybody's server
_HOST = re.compile(r"(?=.{1,253}\Z)[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9_])?\Z")
_IPV6 = re.compile(r"\[[0-9A-Fa-f:.]{2,45}\]\Z")
_CONTROL = re.compile(r"[\x00-\x20\x7f-\x9f]")


@dataclass(frozen=True, slots=True)
class BackendUrl:
    """`url` is spelt in full and holds no credentials; `secret`: a password was written, perhaps an empty one."""

    url: str
    username: str = ""
    password: str = field(default="", repr=False)
    secret: bool = False

    @property
    def scheme(self) -> str:
        return self.url.partition(":")[0]


def parse_backend(text: str) -> BackendUrl:
    """A backend's URL, or `sqlite`. Raises `ValueError` with "message; hint", the message without its subject."""
    if text == "sqlite":
        return BackendUrl(text)
    if text in SCHEMES:
        raise ValueError(f"is only the beginning of a URL; {EXAMPLE}")
    if _WORD.match(text):
        raise ValueError(f"cannot be {quoted(text)}{did_you_mean(text, ('sqlite', *SCHEMES))}; {EXAMPLE}")
    found = _SCHEME.match(text)
    scheme = found[1].lower() if found else ""
    if scheme not in SCHEMES or not text[len(scheme) :].startswith("://"):
        named = f"a {scheme}:// URL" if found and "://" in text else "this"
        close = "" if scheme in SCHEMES else did_you_mean(scheme, SCHEMES)
        raise ValueError(f"cannot be {named}{close}; {EXAMPLE}")
    if _CONTROL.search(text):
        raise ValueError("has a space or a control character in it; percent-encode it")
    if "#" in text:
        raise ValueError("has a # in it; percent-encode it as %23")
    rest = text[len(scheme) + 3 :]
    rest, mark, query = rest.partition("?")
    login, at, where = rest.rpartition("@")
    username, colon, password = login.partition(":")
    if at and "/" in login:
        raise ValueError("has a / before its @; percent-encode it as %2F")
    if scheme == "unix":
        url = _unix(where, query if mark else "")
    else:
        if mark:
            raise ValueError(f"has a ? in it; options have keys of their own: {EXAMPLE}")
        url = _tcp(scheme, where)
    return BackendUrl(url, _decoded(username), _decoded(password), bool(colon))


def parse_listen(text: str) -> tuple[str, int]:
    """(host without brackets, port; 0 means any free one). Raises `ValueError` as above."""
    host, colon, port = text.rpartition(":")
    if not colon or not _is_host(host):
        raise ValueError(f"should be HOST:PORT, not {quoted(text)}; {LISTEN_EXAMPLE}")
    return host.strip("[]"), _number(port, "port", 0, 65_535)


def _tcp(scheme: str, where: str) -> str:
    place, slash, db = where.partition("/")
    host, colon, port = place.rpartition(":") if not place.endswith("]") else (place, "", "")
    if not colon:
        host, port = place, str(DEFAULT_PORT)
    if not _is_host(host):
        raise ValueError(f"needs a host; {EXAMPLE}")
    number = _number(port, "port", 1, 65_535)
    return f"{scheme}://{host.lower()}:{number}/{_number(db, 'database', 0, MAX_DB) if slash and db else 0}"


def _unix(path: str, query: str) -> str:
    if not path.startswith("/") or path.endswith("/"):
        raise ValueError("needs the path of a socket; unix:///run/redis/redis.sock?db=0")
    key, _, value = query.partition("=")
    if query and key != "db":
        raise ValueError("knows no option but db; unix:///run/redis/redis.sock?db=0")
    if _CONTROL.search(_decoded(path)):
        raise ValueError("has a control character or a space in its path")
    return f"unix://{quote(unquote(path))}?db={_number(value, 'database', 0, MAX_DB) if query else 0}"


def _is_host(host: str) -> bool:
    return bool(_HOST.match(host) or _IPV6.match(host))


def _number(text: str, what: str, least: int, most: int) -> int:
    """Its text is never repeated: behind a forgotten @ it may be half a password."""
    if not text.isascii() or not text.isdigit() or not least <= int(text[:9]) <= most or len(text) > 9:
        raise ValueError(f"has a wrong {what}; a {what} is a whole number from {least} to {most}")
    return int(text)


def _decoded(text: str) -> str:
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise ValueError("has credentials that are not UTF-8") from None
