"""`backend:` of the configuration: its schema, and the way from there to what a Redis client is given.

A password is never in the file and never in `Settings`: both say only where it is. It is fetched by `redis_options`,
when a process is about to connect, and no message here repeats what was written in its place.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, Field, field_validator

from lite.config.address import LATER, TLS_SCHEME, BackendUrl, parse_backend
from lite.config.fields import Strict
from lite.config.yamlmarks import Document
from lite.errors import ConfigInvalid, NotSupported
from lite.model.settings import RedisOptions, RedisSettings, Settings
from lite.rules.checks import is_slug
from lite.rules.problems import Problems
from lite.rules.spelling import quoted

URL_VARIABLE, PASSWORD_VARIABLE = "QD_BACKEND", "QD_REDIS_PASSWORD"
BY_REFERENCE = "password: {env: NAME} or {file: PATH}"
MAX_PASSWORD = 4096  # bytes

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}\Z")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


class PasswordModel(BaseModel):
    """Where a password is: exactly one of the two. Only for the schema; `_reference` reads it."""

    env: str = Field(default="", description="the name of a variable in the supervisor's environment")
    file: str = Field(default="", description="a file that holds nothing else; relative to this one")


def _reference(value: Any) -> str:
    """`env NAME` or `file PATH`. Says nothing of the value: it may be the password itself."""
    if not isinstance(value, dict):
        raise ValueError(f"must not be written into this file; {BY_REFERENCE}")
    known = {key: inner for key, inner in value.items() if key in ("env", "file") and isinstance(inner, str) and inner}
    if len(known) != 1 or len(value) != 1:
        raise ValueError(f"should say where the password is, in one way; {BY_REFERENCE}")
    kind, where = known.popitem()
    if kind == "env" and not _NAME.match(where):
        raise ValueError(f"is not given by the name of a variable; {BY_REFERENCE}")
    if _CONTROL.search(where):
        raise ValueError(f"is not given by the path of a file; {BY_REFERENCE}")
    return f"{kind} {where}"


def _text_or_mapping(value: Any) -> Any:
    if isinstance(value, str):
        return {"url": value}
    if isinstance(value, dict):
        return value
    raise ValueError("should be text or a mapping (key: value); backend: {url: redis://host:6379/0}")


class TlsModel(Strict):
    ca: str = Field(default="", description="a file of certificates to trust instead of the system's")
    cert: str = Field(default="", description="our own certificate, for servers that ask for one")
    key: str = Field(default="", description="its key")
    verify: bool = Field(default=True, description="false trusts whoever answers")


class BackendModel(Strict):
    url: str = Field(min_length=1, description="sqlite, redis://host:6379/0, rediss://... (TLS) or unix:///path?db=0")
    username: str = Field(default="", max_length=255)
    password: Annotated[str, BeforeValidator(_reference, json_schema_input_type=PasswordModel)] = ""
    prefix: str = Field(default=RedisSettings().prefix, description="of every key; one fleet, one prefix")
    tls: TlsModel = Field(default_factory=TlsModel)

    @field_validator("prefix")
    @classmethod
    def _prefix(cls, value: str) -> str:
        if not is_slug(value):
            raise ValueError(f"cannot be {quoted(value)}; use a-z, 0-9, dot, dash, underscore")
        return value

    @field_validator("username")
    @classmethod
    def _username(cls, value: str) -> str:
        if _CONTROL.search(value):
            raise ValueError("has a control character in it")
        return value


BackendField = Annotated[BackendModel, BeforeValidator(_text_or_mapping, json_schema_input_type=str | BackendModel)]


@dataclass(frozen=True, slots=True)
class Chosen:
    """The backend's part of `Settings`, and where each of its keys came from."""

    backend: str
    redis: RedisSettings
    origins: Mapping[str, str]


def choose_backend(model: BackendModel, document: Document, environ: Mapping[str, str], problems: Problems) -> Chosen:
    """The file's backend, or the environment's. What is wrong is added to `problems`; raises `NotSupported`."""
    from_file = _of_file(model, document, problems)
    chosen = _of_environment(from_file, environ, problems)
    scheme, redis = chosen.backend.partition(":")[0], chosen.redis
    place = chosen.origins["backend"] if chosen.origins["backend"] in environ else ""
    if any((redis.ca, redis.cert, redis.key, not redis.verify)) and scheme not in (TLS_SCHEME, "sqlite"):
        problems.add(place or document.place("backend", "tls"), "backend.tls needs a rediss:// URL")
    if bool(redis.cert) != bool(redis.key):
        problems.add(document.place("backend", "tls"), "backend.tls needs cert and key, or neither")
    return chosen


def _of_file(model: BackendModel, document: Document, problems: Problems) -> Chosen:
    place = document.place("backend", "url")
    url = _parsed(model.url, place, problems)
    if url.secret:
        problems.add(place, "a password must not be written into this file", f"backend: {{url: ..., {BY_REFERENCE}}}")
    if url.username and model.username and url.username != model.username:
        problems.add(document.place("backend", "username"), "backend.url names another user")
    given = model.model_fields_set - {"url"}
    if url.url == "sqlite" and given:
        first = next(key for key in type(model).model_fields if key in given)
        problems.add(document.place("backend", first), f"backend.{first} means nothing with sqlite")
    folder = Path(document.source).parent
    kind, _, where = model.password.partition(" ")
    redis = RedisSettings(
        username=model.username or url.username,
        password=f"file {_beside(folder, where)}" if kind == "file" else model.password,
        prefix=model.prefix,
        ca=_beside(folder, model.tls.ca),
        cert=_beside(folder, model.tls.cert),
        key=_beside(folder, model.tls.key),
        verify=model.tls.verify,
    )
    paths = [("backend", key) for key in ("username", "password", "prefix")]
    tls = [("backend", "tls", key) for key in TlsModel.model_fields]
    origins = {".".join(path): document.places.get(path, "default") for path in (*paths, *tls)}
    origins["backend"] = document.places.get(("backend", "url")) or document.places.get(("backend",)) or "default"
    return Chosen(url.url, redis, origins)


def _of_environment(chosen: Chosen, environ: Mapping[str, str], problems: Problems) -> Chosen:
    """`QD_BACKEND` names another server, with its own user and password; prefix and TLS stay the file's."""
    origins = dict(chosen.origins)
    given = environ.get(URL_VARIABLE)
    if given:
        url = _parsed(given, URL_VARIABLE, problems)
        password = f"url {URL_VARIABLE}" if url.secret else ""
        redis = replace(chosen.redis, username=url.username, password=password)
        chosen = Chosen(url.url, RedisSettings() if url.url == "sqlite" else redis, origins)
        origins |= dict.fromkeys(("backend", "backend.username", "backend.password"), URL_VARIABLE)
    if environ.get(PASSWORD_VARIABLE) and chosen.backend != "sqlite":
        redis = replace(chosen.redis, password=f"env {PASSWORD_VARIABLE}")
        origins["backend.password"] = PASSWORD_VARIABLE
        chosen = Chosen(chosen.backend, redis, origins)
    return replace(chosen, origins=origins)


def _parsed(text: str, place: str, problems: Problems) -> BackendUrl:
    scheme = text.partition(":")[0].lower()
    if scheme in LATER:
        raise NotSupported(f"backend {scheme} is not supported yet", hint="backend: sqlite", place=place)
    try:
        return parse_backend(text)
    except ValueError as error:
        message, _, hint = str(error).partition("; ")
        problems.add(place, f"backend {message}", hint)
        return BackendUrl("sqlite")


def _beside(folder: Path, path: str) -> str:
    return str(folder / Path(path).expanduser()) if path else ""


def redis_options(settings: Settings, environ: Mapping[str, str] | None = None) -> RedisOptions:
    """What a client of `settings.backend` is given, the password fetched from where it is. Raises `ConfigInvalid`."""
    redis = settings.redis
    for name in ("ca", "cert", "key"):
        path = getattr(redis, name)
        if path and not os.access(path, os.R_OK):
            raise ConfigInvalid(f"cannot read {path}", place=_origin(settings, f"backend.tls.{name}"))
    return RedisOptions(
        url=settings.backend,
        username=redis.username,
        password=_fetch(settings, os.environ if environ is None else environ),
        prefix=redis.prefix,
        ca=redis.ca,
        cert=redis.cert,
        key=redis.key,
        verify=redis.verify,
    )


def _fetch(settings: Settings, environ: Mapping[str, str]) -> str:
    kind, _, where = settings.redis.password.partition(" ")
    place = _origin(settings, "backend.password")
    if kind == "file":
        return _read_password(where, place)
    if not kind:
        return ""
    value = environ.get(where, "")
    if not value:
        raise ConfigInvalid(f"the variable {where} has no password in it", hint=f"export {where}", place=place)
    return parse_backend(value).password if kind == "url" else value


def _read_password(path: str, place: str) -> str:
    try:
        # a FIFO would be waited for and a device never end
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:  # noqa: PTH123
            data = file.read(MAX_PASSWORD + 1) or b""
    except OSError as error:
        raise ConfigInvalid(f"the password's file {path} cannot be read: {error.strerror}", place=place) from None
    try:
        text = data.removesuffix(b"\n").removesuffix(b"\r").decode()
    except UnicodeDecodeError:
        text = "\n"
    if not text or len(data) > MAX_PASSWORD or _CONTROL.search(text):
        raise ConfigInvalid(f"{path} does not hold one password on one line", place=place)
    return text


def _origin(settings: Settings, key: str) -> str:
    found = settings.origins.get(key, "default")
    return key if found == "default" else found
