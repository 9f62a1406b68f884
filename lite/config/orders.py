"""A task order in JSON: the body of `POST /v1/tasks`, and a letter. Its schema is `messages.SubmitBody`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from typing import Any, TypeVar

from pydantic import ConfigDict, TypeAdapter, ValidationError, with_config

from lite.api import messages
from lite.config.validation import dotted
from lite.errors import UsageError
from lite.model.letter import MAX_LETTER
from lite.model.order import Order
from lite.rules.spelling import did_you_mean, quoted
from providers.base import HttpCall

MAX_VALUES = 20_000  # in one order; each wrong one would cost a kilobyte to complain of
_LARGEST = (1 << 53) - 1  # what JSON carries exactly, everywhere
_LONGEST_PLACE = 100  # characters
_KINDS = {list: "a list", str: "text", bool: "true or false", int: "a number", float: "a number", type(None): "null"}
_TYPES = {"str", "int", "bool", "float"}  # in pydantic's paths: which of several types was tried
_T = TypeVar("_T", bound=type)


def strict(body: _T) -> _T:
    """No unknown keys, no conversions."""
    return with_config(ConfigDict(extra="forbid", strict=True))(body)


strict(messages.HttpCallBody)
strict(messages.SubmitBody)


def read_order(payload: bytes) -> Order:
    """Read what a stranger wrote. Raises `UsageError`, its place the field; what the words mean is judged later."""
    value = _parsed(payload)
    if not isinstance(value, dict):
        raise UsageError(f"a task is a JSON object, not {_KINDS[type(value)]}")
    if _count(value) > MAX_VALUES:
        raise UsageError(f"the task holds more than {MAX_VALUES:,} values")
    try:
        body = _adapter().validate_python(value)
    except ValidationError as error:
        raise _complaint(error) from None
    return order_from(body)


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


@cache
def _adapter() -> TypeAdapter[messages.SubmitBody]:
    return TypeAdapter(messages.SubmitBody)


def _parsed(payload: bytes) -> Any:
    if len(payload) > MAX_LETTER:
        raise UsageError(f"the task is over {MAX_LETTER >> 20} MiB", hint="pass a path instead of content")
    try:
        text = payload.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(f"the task is not UTF-8 (byte {error.start})") from None
    try:
        return json.loads(text, object_pairs_hook=_object, parse_constant=_no_number)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno} column {error.colno}"
        raise UsageError(f"the task is not JSON: {error.msg}, {where}", hint="send a JSON object") from None
    except RecursionError:
        raise UsageError("the task's JSON is nested too deeply") from None
    except ValueError:
        raise UsageError("the task holds a number with thousands of digits") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        place = twice[:_LONGEST_PLACE] if twice.isidentifier() else ""
        raise UsageError(f"the key {quoted(twice)} is there twice", place=place)
    return made


def _no_number(word: str) -> Any:
    raise UsageError(f"the task is not JSON: {word} is no number there")


def _count(value: Any) -> int:
    """How many values there are; not much more than `MAX_VALUES` are looked at."""
    seen, left = 1, [value]
    while left and seen <= MAX_VALUES:
        one = left.pop()
        if isinstance(one, dict):
            seen += len(one)
            left += one.values()
        elif isinstance(one, list):
            seen += len(one)
            left += one
    return seen


def _complaint(error: ValidationError) -> UsageError:
    """The first thing that is wrong."""
    first = error.errors(include_url=False, include_input=False)[0]
    path: Sequence[Any] = first["loc"]
    place = dotted(
        tuple(part for part in path if isinstance(part, int) or (part.isidentifier() and part not in _TYPES))
    )[:_LONGEST_PLACE]
    if first["type"] == "extra_forbidden":
        body: Any = messages.HttpCallBody if path[0] == "http" else messages.SubmitBody
        close = did_you_mean(str(path[-1]), body.__annotations__)
        return UsageError(f"unknown key {quoted(str(path[-1]))}{close}", place=place)
    return UsageError(str(first["msg"]), place=place)
