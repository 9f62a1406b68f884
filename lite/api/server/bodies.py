"""Request bodies: strict, no unknown keys; from the messages to the model."""

from __future__ import annotations

import binascii
from typing import Annotated, Any, TypeVar

from fastapi import Body
from pydantic import ConfigDict, with_config

from lite.api import messages
from lite.errors import UsageError
from lite.model.order import Order
from providers.base import HttpCall

_T = TypeVar("_T", bound=type)
_LARGEST = (1 << 53) - 1  # what JSON carries exactly, everywhere


def _strict(body: _T) -> _T:
    return with_config(ConfigDict(extra="forbid", strict=True))(body)


for _body in (
    messages.HttpCallBody,
    messages.SubmitBody,
    messages.PlanBody,
    messages.CancelBody,
    messages.SendBody,
    messages.AttachBody,
    messages.CordonBody,
    messages.ShutdownBody,
):
    _strict(_body)

Submit = Annotated[messages.SubmitBody, Body()]
Plan = Annotated[messages.PlanBody, Body()]
Send = Annotated[messages.SendBody, Body()]
Cancel = Annotated[messages.CancelBody | None, Body()]
Attach = Annotated[messages.AttachBody | None, Body()]
Cordon = Annotated[messages.CordonBody | None, Body()]
Shutdown = Annotated[messages.ShutdownBody | None, Body()]


def order_from(body: messages.SubmitBody) -> Order:
    """Raises `UsageError`; what the words mean is judged by the engine."""
    given: dict[str, Any] = dict(body)
    checked(given)
    command = given.get("command", [])
    given["command"] = ("sh", "-c", command) if isinstance(command, str) else tuple(command)
    http = given.get("http")
    given["http"] = HttpCall(**http) if http is not None else None
    for name in ("needs", "touches"):
        given[name] = tuple(given.get(name, ()))
    return Order(**given)


def bytes_from(body: messages.SendBody) -> bytes:
    """What is to be typed. Raises `UsageError`."""
    if ("text" in body) == ("base64" in body):
        raise UsageError("give either text or base64", place="text")
    if "text" in body:
        return body["text"].encode("utf-8", "surrogateescape")
    try:
        return binascii.a2b_base64(body["base64"], strict_mode=True)
    except (binascii.Error, ValueError) as error:
        raise UsageError(f"not base64: {error}", place="base64") from None


def checked(value: Any, place: str = "") -> None:
    """What no store and no program can take: numbers beyond 53 bits, text that is no Unicode or holds a NUL."""
    if isinstance(value, str):
        if "\0" in value:
            raise UsageError("a NUL character", place=place)
        try:
            value.encode()
        except UnicodeEncodeError:
            raise UsageError("not valid Unicode", place=place) from None
    elif isinstance(value, int):
        if abs(value) > _LARGEST:
            raise UsageError("the number is too large", place=place)
    elif isinstance(value, dict):
        for key, item in value.items():
            checked(key, place)
            checked(item, f"{place}.{key}" if place else key)
    elif isinstance(value, list):
        for at, item in enumerate(value):
            checked(item, f"{place}[{at}]")
